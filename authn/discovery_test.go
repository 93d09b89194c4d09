package authn_test

import (
	"bytes"
	"compress/gzip"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/authn"
)

// What a discovery document may say (H14).
func TestDiscoveryDocument(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(map[string]any)
		says string // in the error; "" when it is good
	}{
		{"as published", func(map[string]any) {}, ""},
		{"another issuer", set("issuer", "https://evil.test"), `names the issuer "https://evil.test"`},
		{"issuer with a slash more", func(m map[string]any) { m["issuer"] = m["issuer"].(string) + "/" }, "names the issuer"},
		{"no issuer", set("issuer", nil), "names the issuer"},
		{"token endpoint by http", set("token_endpoint", "http://login.hospital.test/token"), "token_endpoint \"http://login.hospital.test/token\" is not https"},
		{"keys by http", set("jwks_uri", "http://10.0.0.1/keys"), "jwks_uri"},
		{"userinfo by http", set("userinfo_endpoint", "http://login.hospital.test/me"), "userinfo_endpoint"},
		{"sign-out by http", set("end_session_endpoint", "http://login.hospital.test/bye"), "end_session_endpoint"},
		{"sign-in by script", set("authorization_endpoint", "javascript:alert(1)"), "authorization_endpoint"},
		{"sign-in from a file", set("authorization_endpoint", "file:///etc/passwd"), "authorization_endpoint"},
		{"a password in an address", set("token_endpoint", "https://u:p@login.hospital.test/"), "token_endpoint"},
		{"no token endpoint", set("token_endpoint", nil), "no token_endpoint"},
		{"no keys", set("jwks_uri", nil), "no jwks_uri"},
		{"only algorithms with shared secrets", set("id_token_signing_alg_values_supported", []string{"HS256", "none"}), "none of RS256"},
		{"a host elsewhere, by https", set("authorization_endpoint", "https://signin.hospital.test/go"), ""},
		{"a list that is none", set("id_token_signing_alg_values_supported", "RS256"), "not the JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			op := anteroomtest.NewProvider(t)
			op.Discovery(c.edit)
			var log lines
			config := configured(op)
			config.Log = slog.New(slog.NewTextHandler(&log, nil))
			rp := authn.NewProvider(config)
			_, _, err := rp.Begin(t.Context(), "state-1", authn.Ask{})
			refusal{down: c.says != ""}.check(t, err)
			if c.says != "" && (!strings.Contains(err.Error(), c.says) || !strings.Contains(log.String(), "provider is unavailable")) {
				t.Errorf("err = %v, log = %q: want %q told", err, log.String(), c.says)
			}
		})
	}
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestIssuerMustBeSafe(t *testing.T) {
	for _, issuer := range []string{"http://login.hospital.test", "", "login.hospital.test", "ftp://127.0.0.1", "http://127.0.0.1.evil.test", "https://u@h.test"} {
		rp := authn.NewProvider(authn.Config{Name: "p", Issuer: issuer, ClientID: "c", HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			t.Errorf("%q: %s was asked", issuer, r.URL)
			return nil, http.ErrHandlerTimeout
		})}})
		refusal{down: true}.check(t, rp.Check(t.Context()))
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Names under localhost lead to this machine whatever a resolver knows.
func TestLocalhostNames(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	op.URL = strings.Replace(op.URL, "127.0.0.1", "login.anteroom.localhost", 1)
	rp := authn.NewProvider(configured(op))
	if err := rp.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// A provider that is down is said to be down at once (R5), also by a gateway
// that starts before it.
func TestProviderDown(t *testing.T) {
	op, rp := parties(t)
	op.Down()
	for range 3 {
		start := time.Now()
		_, _, err := rp.Begin(t.Context(), "state-1", authn.Ask{})
		refusal{down: true}.check(t, err)
		if d := time.Since(start); d > 300*time.Millisecond {
			t.Errorf("answered after %v", d)
		}
	}
	op.Up()
	if err := rp.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSignIn(t, op, rp)
}

// A provider that dies is noticed by the next person, not by the one after a
// dead page, and is back within seconds.
func TestProviderDies(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	synctest.Test(t, func(t *testing.T) {
		rp := inBubble(op)
		begun(t, rp, authn.Ask{})
		time.Sleep(1001 * time.Millisecond)
		op.Handle(anteroomtest.DiscoveryPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
		_, _, err := rp.Begin(t.Context(), "state-1", authn.Ask{})
		refusal{down: true}.check(t, err)
		if _, ok := rp.LogoutURL(t.Context(), "", "", ""); ok {
			t.Error("a person who signs out is sent to a provider that is down")
		}
		time.Sleep(5 * time.Minute) // pauses in the background are at their longest now
		op.Handle(anteroomtest.DiscoveryPath, nil)
		time.Sleep(5 * time.Second)
		begun(t, rp, authn.Ask{})
	})
}

// inBubble returns parties that talk in memory, with the bubble's clock.
func inBubble(op *anteroomtest.Provider) *authn.Provider {
	config := configured(op)
	config.HTTPClient = &http.Client{Transport: inMemory{op}}
	return authn.NewProvider(config)
}

func TestHangingProvider(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	synctest.Test(t, func(t *testing.T) {
		rp := inBubble(op)
		op.Hang()
		begin := func() time.Duration {
			start := time.Now()
			_, _, err := rp.Begin(t.Context(), "state-1", authn.Ask{})
			refusal{down: true}.check(t, err)
			return time.Since(start)
		}
		for range 200 { // from the first on, each answer is fast, whatever is under way
			if d := begin(); d > 300*time.Millisecond {
				t.Fatalf("waited %v", d)
			}
			time.Sleep(70 * time.Millisecond)
		}
		op.Up()
		start := time.Now()
		for {
			if _, _, err := rp.Begin(t.Context(), "state-1", authn.Ask{}); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("back after %v", d)
		}
	})
}

// One that hangs while its document is at hand gets the benefit of the doubt
// once, not again.
func TestProviderBeginsToHang(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	synctest.Test(t, func(t *testing.T) {
		rp := inBubble(op)
		begun(t, rp, authn.Ask{})
		time.Sleep(2 * time.Second)
		op.Hang()
		defer op.Up()
		start := time.Now()
		begun(t, rp, authn.Ask{})
		if d := time.Since(start); d > 300*time.Millisecond {
			t.Errorf("waited %v", d)
		}
		time.Sleep(4 * time.Second)
		_, _, err := rp.Begin(t.Context(), "state-1", authn.Ask{})
		refusal{down: true}.check(t, err)
	})
}

func TestBackoff(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	synctest.Test(t, func(t *testing.T) {
		rp := inBubble(op)
		var mu sync.Mutex
		var at []time.Time
		tries := func() []time.Time {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(at)
		}
		op.Handle(anteroomtest.DiscoveryPath, func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		var all sync.WaitGroup
		for range 50 { // many at once share one fetch
			all.Go(func() { rp.Begin(t.Context(), "state-1", authn.Ask{}) })
		}
		all.Wait()
		if n := len(tries()); n != 1 {
			t.Fatalf("50 people caused %d fetches", n)
		}
		time.Sleep(9 * time.Minute)
		got := tries()
		for i, mid := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			mid *= time.Second
			low, high := max(mid*3/4, time.Second), min(mid*5/4, 30*time.Second)
			if gap := got[i+1].Sub(got[i]); gap < low || gap > high {
				t.Errorf("pause %d is %v, want %v to %v", i+1, gap, low, high)
			}
		}
		time.Sleep(time.Hour) // nobody has asked for long: nothing is asked in vain
		quiet := len(tries())
		time.Sleep(time.Hour)
		if n := len(tries()) - quiet; n != 0 {
			t.Errorf("%d fetches in an hour that nobody asked in", n)
		}
		op.Handle(anteroomtest.DiscoveryPath, nil)
		begun(t, rp, authn.Ask{})
	})
}

// O6, R7: an answer that is huge, packed or endless is an error in bounded
// time, at every endpoint.
func TestHugeAnswers(t *testing.T) {
	const huge = 100 << 20
	zeros := make([]byte, 64<<10)
	bomb := func() []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		for range huge / len(zeros) / 4 {
			z.Write(zeros)
		}
		z.Close()
		return b.Bytes()
	}()
	for _, path := range []string{anteroomtest.DiscoveryPath, anteroomtest.KeysPath, anteroomtest.TokenPath, anteroomtest.UserInfoPath} {
		for name, answer := range map[string]func(w http.ResponseWriter) int{
			"spaces without end": func(w http.ResponseWriter) (sent int) {
				w.Header().Set("Content-Type", "application/json")
				for sent < huge {
					n, err := w.Write(bytes.Repeat([]byte(" "), 64<<10))
					if sent += n; err != nil {
						return sent
					}
				}
				return sent
			},
			"gzip bomb": func(w http.ResponseWriter) int {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(bomb)
				return 0
			},
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				op, rp := parties(t)
				op.EditIDToken(set("groups", nil))
				sent := make(chan int, 10)
				op.Handle(path, func(w http.ResponseWriter, r *http.Request) { sent <- answer(w) })
				start := time.Now()
				authURL, a, err := rp.Begin(t.Context(), "state-1", authn.Ask{})
				if err == nil {
					_, err = rp.Finish(t.Context(), a, op.Visit(t, nil, authURL))
				}
				refusal{down: true}.check(t, err)
				if d := time.Since(start); d > 5*time.Second {
					t.Errorf("took %v", d)
				}
				if n := <-sent; n > huge/2 {
					t.Errorf("%d MiB were taken", n>>20)
				}
			})
		}
	}
}
