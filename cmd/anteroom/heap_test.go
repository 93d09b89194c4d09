package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 1700}, {8 << 20, 1700}, {16 << 20, 900}, {128 << 20, 200}, {1 << 30, 112}, {1 << 40, 100},
	} {
		if got := percent(c.live); got != c.want {
			t.Errorf("with %d MiB live: %d, want %d", c.live>>20, got, c.want)
		}
	}
}

// The collector waits longer while little lives, and no longer than it should
// once much does.
func TestGiveRoom(t *testing.T) {
	inForce := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	t.Setenv("GOGC", "100")
	before := inForce()
	if giveRoom(); inForce() != before {
		t.Errorf("%d in force, where GOGC says %d", inForce(), before)
	}
	t.Setenv("GOGC", "")
	if giveRoom(); inForce() < 500 {
		t.Errorf("%d in force while little lives", inForce())
	}
	settles := func(what string, good func(uint64) bool) {
		t.Helper()
		for range 1000 { // what follows a round runs soon after it, not in it
			if runtime.GC(); good(inForce()) {
				return
			}
		}
		t.Errorf("%s: %d in force", what, inForce())
	}
	much := make([]byte, 512<<20)
	settles("half a gibibyte lives", func(p uint64) bool { return p < 130 })
	runtime.KeepAlive(much)
	much = nil
	settles("it is gone", func(p uint64) bool { return p > 500 })
}
