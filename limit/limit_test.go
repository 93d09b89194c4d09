package limit_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/limit"
)

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r limit.Rates[string]
		by := limit.Rate{PerSecond: 2, Burst: 3}
		take := func(key string) time.Duration { return r.Take(key, by, time.Now()) }
		for i := range 3 {
			if wait := take("nora"); wait != 0 {
				t.Fatalf("%d of a burst of 3: wait %v", i+1, wait)
			}
		}
		for range 5 { // what is refused is not counted, or whoever goes on asking would never be let in
			if wait := take("nora"); wait != 500*time.Millisecond {
				t.Fatalf("past the burst: wait %v, want 500ms", wait)
			}
		}
		if wait := take("piet"); wait != 0 {
			t.Errorf("another key waits %v", wait)
		}
		time.Sleep(499 * time.Millisecond)
		if wait := take("nora"); wait == 0 {
			t.Error("let in before its time")
		}
		time.Sleep(time.Millisecond)
		if wait := take("nora"); wait != 0 {
			t.Errorf("after its time: wait %v", wait)
		}
		if wait := take("nora"); wait == 0 {
			t.Error("one wait bought two")
		}
		time.Sleep(time.Hour)
		for i := range 3 {
			if wait := take("nora"); wait != 0 {
				t.Fatalf("%d of a new burst: wait %v", i+1, wait)
			}
		}
		if take("nora") == 0 {
			t.Error("a long pause saved up more than the burst")
		}
	})
}

func TestRatesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r limit.Rates[int]
		for range 1000 {
			if r.Take(1, limit.Rate{}, time.Now()) != 0 {
				t.Fatal("the zero rate is a limit")
			}
		}
		if n := r.Len(); n != 0 {
			t.Errorf("%d keys are remembered under no limit", n)
		}
		r.Take(1, limit.Rate{PerSecond: 1, Burst: 1}, time.Now())
		if r.Take(1, limit.Rate{PerSecond: 1, Burst: 1}, time.Now()) == 0 {
			t.Fatal("the limit does not hold")
		}
		if wait := r.Take(1, limit.Rate{PerSecond: 10, Burst: 1}, time.Now()); wait != 100*time.Millisecond {
			t.Errorf("under a new rate: wait %v, want 100ms", wait)
		}
	})
}

// However many keys come, few are remembered, and one that is in use is not
// forgotten for those that come once.
func TestRatesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r limit.Rates[string]
		by := limit.Rate{PerSecond: 0.001, Burst: 1}
		r.Take("busy", by, time.Now())
		for i := range 4 * limit.MaxKeys {
			r.Take(fmt.Sprint(i), by, time.Now())
			if i%256 == 0 && r.Take("busy", by, time.Now()) == 0 {
				t.Fatalf("forgotten after %d others", i)
			}
		}
		if n := r.Len(); n > limit.MaxKeys || n < limit.MaxKeys/4 {
			t.Errorf("%d keys are remembered of at most %d", n, limit.MaxKeys)
		}
	})
}

func TestRatesAtOnce(t *testing.T) {
	var r limit.Rates[int]
	now := time.Now()
	var let atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 4000 {
				if r.Take(i%4, limit.Rate{PerSecond: 1, Burst: 100}, now) == 0 {
					let.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := let.Load(); n != 400 {
		t.Errorf("%d were let in, want 4 × 100", n)
	}
}

func TestGate(t *testing.T) {
	var g limit.Gate
	for range 2 {
		if !g.Enter(2) {
			t.Fatal("refused while there is room")
		}
	}
	if g.Enter(2) {
		t.Fatal("the third of two is let in")
	}
	if n := g.Len(); n != 2 {
		t.Errorf("%d inside, want 2", n)
	}
	if !g.Enter(0) {
		t.Error("zero is a limit")
	}
	g.Leave()
	g.Leave()
	if !g.Enter(2) {
		t.Error("whoever left still takes a place")
	}
}

func TestGateAtOnce(t *testing.T) {
	var g limit.Gate
	var most, now atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 2000 {
				if !g.Enter(5) {
					continue
				}
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				now.Add(-1)
				g.Leave()
			}
		})
	}
	all.Wait()
	if most.Load() > 5 || g.Len() != 0 {
		t.Errorf("%d were inside at once, want at most 5; %d are left", most.Load(), g.Len())
	}
}

func TestClient(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"2001:db8:1:2::9", "2001:db8:1:2::"},
		{"2001:db8:1:3::9", "2001:db8:1:3::"},
		{"fe80::1%eth0", "fe80::"},
	} {
		if got := limit.Client(netip.MustParseAddr(c.in)); got.String() != c.want {
			t.Errorf("Client(%s) = %s, want %s", c.in, got, c.want)
		}
	}
	if got := limit.Client(netip.Addr{}); got.IsValid() {
		t.Errorf("Client of no address = %s", got)
	}
}

func TestAlarms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a limit.Alarms
		one := netip.MustParseAddr("192.0.2.7")
		if !a.Tell(one, time.Now()) {
			t.Fatal("the first is not told of")
		}
		for range 59 {
			time.Sleep(time.Second)
			if a.Tell(one, time.Now()) {
				t.Fatal("told of twice in a minute")
			}
		}
		time.Sleep(time.Second)
		if !a.Tell(one, time.Now()) {
			t.Error("silent after a minute")
		}

		told := 0
		for range 60 {
			for i := range 1000 {
				if a.Tell(netip.AddrFrom4([4]byte{10, byte(i), byte(i >> 8), byte(time.Now().Unix())}), time.Now()) {
					told++
				}
			}
			time.Sleep(time.Second)
		}
		if told > 100+60*10 {
			t.Errorf("60,000 addresses in a minute are told of %d times", told)
		}
	})
}

// What a request pays whose key is known: no garbage, and no lock that all share.
func BenchmarkTake(b *testing.B) {
	var r limit.Rates[netip.Addr]
	by := limit.Rate{PerSecond: 1e9, Burst: 1e9}
	var next atomic.Uint32
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		n := next.Add(1)
		key := netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
		r.Take(key, by, now)
		for pb.Next() {
			if r.Take(limit.Client(key), by, now) != 0 {
				b.Fail()
			}
		}
	})
}

func TestTakeMakesNoGarbage(t *testing.T) {
	var addresses limit.Rates[netip.Addr]
	var sessions limit.Rates[string]
	now, by := time.Now(), limit.Rate{PerSecond: 1, Burst: 2}
	six := netip.MustParseAddr("2001:db8::1")
	for name, take := range map[string]func(){
		"an address": func() { addresses.Take(limit.Client(six), by, now) },
		"a session":  func() { sessions.Take("0123456789abcdef", by, now) },
	} {
		if n := testing.AllocsPerRun(1000, take); n != 0 { // the first, which makes the bucket, is not counted
			t.Errorf("%s: %v allocations for a key that is known", name, n)
		}
	}
}
