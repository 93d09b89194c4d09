package session_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/session"
)

// victimDir, set in the environment, makes this binary the process that is killed.
const victimDir = "SESSION_TEST_VICTIM_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir)
		return
	}
	os.Exit(m.Run())
}

func keep(tb testing.TB, b session.Bucket) *session.Keeper {
	tb.Helper()
	k, err := session.Open(tb.Context(), config(b))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { k.Close() })
	return k
}

func config(b session.Bucket) session.Config {
	return session.Config{Bucket: b, Keys: []session.CookieKey{key(1)}, Limits: func() access.Limits { return limits }}
}

// victim begins and ends sessions, and says so on standard output, until it is killed.
func victim(dir string) {
	tb := new(victimTB)
	_, b := openStore(tb, dir)
	k := keep(tb, b)
	var mu sync.Mutex
	say := func(format string, v ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", v...)
	}
	for worker := range 4 {
		go func() {
			for i := 0; ; i++ {
				h, c, err := k.Begin(context.Background(), nora(), ehr)
				if err != nil {
					panic(err)
				}
				say("begun %s %s", h.ID(), c.Value)
				k.Use(context.Background(), h, access.Limits{}, true, time.Now())
				if (i+worker)%2 == 0 {
					say("ending %s", h.ID())
					if err := k.End(context.Background(), h.ID(), access.SessionEnded); err != nil {
						panic(err)
					}
					say("ended %s", h.ID())
				}
			}
		}()
	}
	select {}
}

// A victimTB is a testing.TB where there is no test.
type victimTB struct{ testing.TB }

func (*victimTB) Helper()                  {}
func (*victimTB) Cleanup(func())           {}
func (*victimTB) Context() context.Context { return context.Background() }
func (*victimTB) Fatal(v ...any)           { panic(fmt.Sprint(v...)) }

// Whatever was acknowledged before a kill -9 holds after it.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	begun := make(map[string]string) // session to cookie
	ending, ended := make(map[string]bool), make(map[string]bool)
	for round, lines := range []int{1, 60, 150} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), victimDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		scan := bufio.NewScanner(out)
		for n := 0; scan.Scan(); n++ {
			switch f := strings.Fields(scan.Text()); f[0] {
			case "begun":
				begun[f[1]] = f[2]
			case "ending":
				ending[f[1]] = true
			case "ended":
				ended[f[1]] = true
			}
			if n == lines {
				cmd.Process.Kill() // what is in the pipe is still read
			}
		}
		cmd.Wait()

		s, b := openStore(t, dir)
		k := keep(t, b)
		for id, value := range begun {
			f := k.Find(request(session.CookieName+"="+value), ehr, time.Now())
			switch {
			case f.Handle == nil && !ending[id]:
				t.Errorf("round %d: session %s was acknowledged and is lost: %+v", round, id, f)
			case f.Handle != nil && ended[id]:
				t.Errorf("round %d: session %s was ended and is back", round, id)
			case f.Handle == nil && f.Tombstone == nil:
				t.Errorf("round %d: nothing is remembered of session %s", round, id)
			}
		}
		k.Close()
		s.Close()
	}
	if len(begun) < 50 || len(ended) < 20 {
		t.Fatalf("only %d sessions begun and %d ended", len(begun), len(ended))
	}
}

func BenchmarkFind(b *testing.B) {
	k := keep(b, new(memory))
	_, c, err := k.Begin(b.Context(), nora(), ehr)
	if err != nil {
		b.Fatal(err)
	}
	r := request("theme=dark; " + c.Name + "=" + c.Value)
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if k.Find(r, ehr, now).Handle == nil {
				b.Fatal("not found")
			}
		}
	})
}

func BenchmarkValue(b *testing.B) {
	k := keep(b, new(memory))
	h, _, err := k.Begin(b.Context(), nora(), ehr)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if h.Value(now).Ended {
			b.Fatal("ended")
		}
	}
}

func BenchmarkUse(b *testing.B) {
	k := keep(b, new(memory))
	h, _, err := k.Begin(b.Context(), nora(), ehr)
	if err != nil {
		b.Fatal(err)
	}
	tight := access.Limits{LockAfter: 2 * time.Minute}
	b.ReportAllocs()
	for b.Loop() {
		if err := k.Use(b.Context(), h, tight, true, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOwns(b *testing.B) {
	k := keep(b, new(memory))
	h, _, err := k.Begin(b.Context(), nora(), ehr)
	if err != nil {
		b.Fatal(err)
	}
	k.Remember(h, "ehr", []*http.Cookie{{Name: "JSESSIONID", Value: "one"}})
	b.ReportAllocs()
	for b.Loop() {
		if !h.Owns("ehr", "JSESSIONID", "one") {
			b.Fatal("not owned")
		}
	}
}

// BenchmarkOpen measures a start with 10,000 sessions in the store.
func BenchmarkOpen(b *testing.B) {
	s, bucket := openStore(b, b.TempDir())
	defer s.Close()
	k := keep(b, bucket)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10_000 / 16 {
				if _, _, err := k.Begin(context.Background(), nora(), ehr); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	k.Close()
	for b.Loop() {
		k, err := session.Open(b.Context(), config(bucket))
		if err != nil {
			b.Fatal(err)
		}
		k.Close()
	}
}
