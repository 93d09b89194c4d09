package session_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/session"
)

func TestFind(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, c := w.begin(ehr)
		mine := c.Name + "=" + c.Value
		flipped := []byte(c.Value)
		flipped[len(flipped)/2] ^= 1
		for _, tc := range []struct {
			name    string
			host    string
			cookies []string
			found   bool
			bad     string
		}{
			{"no cookie", ehr, nil, false, ""},
			{"only others", ehr, []string{"a=b; __Host-anteroom-login-1=x"}, false, ""},
			{"ours", ehr, []string{mine}, true, ""},
			{"among others", ehr, []string{"a=b;" + mine + "; c=d"}, true, ""},
			{"in a second line", ehr, []string{"a=b", mine}, true, ""},
			{"in blanks", ehr, []string{" \t" + mine + " "}, true, ""},
			{"another case is another cookie", ehr, []string{strings.ToLower(c.Name) + "=x; " + mine}, true, ""},
			{"twice", ehr, []string{mine + "; " + mine}, false, "duplicate"},
			{"twice, in two lines", ehr, []string{mine, mine}, false, "duplicate"},
			{"twice, the first broken", ehr, []string{c.Name + "=x; " + mine}, false, "duplicate"},
			{"twice, the second empty", ehr, []string{mine + "; " + c.Name + "="}, false, "duplicate"},
			{"twice, one without a value", ehr, []string{mine + "; " + c.Name}, false, "duplicate"},
			{"twice, one with a blank after its name", ehr, []string{mine + "; " + c.Name + " =x"}, false, "duplicate"},
			{"of another host", gate, []string{mine}, false, "broken"},
			{"empty", ehr, []string{c.Name + "="}, false, "broken"},
			{"quoted", ehr, []string{c.Name + `="` + c.Value + `"`}, false, "broken"},
			{"cut", ehr, []string{mine[:len(mine)-1]}, false, "broken"},
			{"flipped", ehr, []string{c.Name + "=" + string(flipped)}, false, "broken"},
			{"no base64", ehr, []string{c.Name + "=%%%"}, false, "broken"},
			{"longest", ehr, []string{c.Name + "=" + strings.Repeat("x", 512)}, false, "broken"},
			{"too long", ehr, []string{c.Name + "=" + strings.Repeat("x", 513)}, false, "oversized"},
			{"the id in records opens nothing", ehr, []string{c.Name + "=" + h.ID()}, false, "broken"},
		} {
			f := w.Find(request(tc.cookies...), tc.host, time.Now())
			if (f.Handle != nil) != tc.found || f.Bad != tc.bad || f.Tombstone != nil {
				t.Errorf("%s: found %+v, want found = %t, bad = %q", tc.name, f, tc.found, tc.bad)
			}
			if tc.found && f.Handle.ID() != h.ID() {
				t.Errorf("%s: another session", tc.name)
			}
		}
	})
}

func TestCookieAttributes(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, c := w.begin(ehr)
		joined, err := w.Join(t.Context(), h.ID(), gate)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []*http.Cookie{c, joined, session.Expire(session.CookieName)} {
			if c.Name != session.CookieName || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("cookie %+v", c)
			}
		}
		if c.MaxAge != 0 || !c.Expires.IsZero() {
			t.Error("the browser is told when the session ends")
		}
		if got := session.Expire("x"); got.MaxAge >= 0 || got.Value != "" {
			t.Errorf("expiring cookie %+v", got)
		}
		if strings.Contains(c.Value, h.ID()) || strings.Contains(c.Value, "nora") {
			t.Error("the cookie is not opaque")
		}
		raw, _ := base64.URLEncoding.DecodeString(c.Value)
		if strings.Contains(string(raw), "nora") {
			t.Error("the cookie is not opaque")
		}
	})
}

// Each host has an id of its own on the one session; a new one replaces the
// old, which stays good for the requests that are under way.
func TestJoin(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, atGate := w.begin(gate)
		first, err := w.Join(t.Context(), h.ID(), ehr)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			cookie *http.Cookie
			host   string
			found  bool
		}{{atGate, gate, true}, {first, ehr, true}, {atGate, ehr, false}, {first, gate, false}} {
			if f := w.find(c.cookie, c.host); (f.Handle == h) != c.found {
				t.Errorf("%s: found %+v, want %t", c.host, f, c.found)
			}
		}
		time.Sleep(5*time.Second + 1)
		second, err := w.Join(t.Context(), h.ID(), ehr)
		if err != nil {
			t.Fatal(err)
		}
		if first.Value == second.Value {
			t.Fatal("a second id is the first")
		}
		time.Sleep(time.Minute - time.Second)
		if w.find(first, ehr).Handle != h || w.find(second, ehr).Handle != h {
			t.Error("two tabs fight")
		}
		time.Sleep(time.Second)
		if w.find(first, ehr).Handle != nil || w.find(second, ehr).Handle != h || w.find(atGate, gate).Handle != h {
			t.Error("the replaced id is good for more than a minute, or another's was replaced")
		}
		if _, err := w.Join(t.Context(), h.ID(), ehr); err != nil {
			t.Fatal(err)
		}
		w = w.restart()
		defer w.Close()
		if w.find(first, ehr).Handle != nil || w.find(second, ehr).Handle == nil {
			t.Error("after a restart the ids are others")
		}
	})
}

// Tabs that prove their person at once are each given an id, and a browser may
// keep any of them: answers come in no order.
func TestJoinAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, before := w.begin(ehr)
		time.Sleep(time.Minute)
		var given []*http.Cookie
		for range 10 {
			c, err := w.Join(t.Context(), h.ID(), ehr)
			if err != nil {
				t.Fatal(err)
			}
			given = append(given, c)
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		for i, c := range given {
			if w.find(c, ehr).Handle != h {
				t.Errorf("id %d of %d, given at once, ended with the minute", i+1, len(given))
			}
		}
		if w.find(before, ehr).Handle != nil {
			t.Error("the id of before is good for more than a minute")
		}
		last, err := w.Join(t.Context(), h.ID(), ehr)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for i, c := range given {
			if w.find(c, ehr).Handle != nil {
				t.Errorf("id %d of %d was not replaced by a later one", i+1, len(given))
			}
		}
		// However often it is asked for one, a session has few.
		for range 100 {
			if _, err := w.Join(t.Context(), h.ID(), ehr); err != nil {
				t.Fatal(err)
			}
		}
		if w.find(last, ehr).Handle != nil {
			t.Error("ids are kept without bound")
		}
	})
}

func TestKeyRotation(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		_, old := w.begin(ehr)
		w.Close()
		reopen := func(keys ...session.CookieKey) *ward {
			t.Helper()
			next := &ward{t: t, bucket: w.bucket, limits: limits}
			c := next.config()
			c.Keys = keys
			var err error
			if next.Keeper, err = session.Open(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { next.Close() })
			return next
		}
		both := reopen(key(5), key(1))
		h, fresh := both.begin(ehr)
		if both.find(old, ehr).Handle == nil || both.find(fresh, ehr).Handle != h {
			t.Error("a rotated key ends sessions")
		}
		after := reopen(key(5))
		if f := after.find(old, ehr); f.Bad != "broken" {
			t.Errorf("a dropped key opens: %+v", f)
		}
		if after.find(fresh, ehr).Handle == nil {
			t.Error("the first key does not seal")
		}
	})
}

func TestBadKeys(t *testing.T) {
	for name, keys := range map[string][]session.CookieKey{
		"none":        nil,
		"empty":       {{}},
		"short hash":  {{Hash: make([]byte, 16), Block: make([]byte, 32)}},
		"no block":    {{Hash: make([]byte, 32)}},
		"odd block":   {{Hash: make([]byte, 32), Block: make([]byte, 17)}},
		"second only": {key(1), {}},
	} {
		if k, err := session.Open(t.Context(), session.Config{Bucket: new(memory), Keys: keys}); err == nil {
			k.Close()
			t.Errorf("%s: taken", name)
		}
	}
}

func TestOwns(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, _ := w.begin(ehr)
		other, _ := w.begin(ehr)
		set := func(name, value string) { w.Remember(h, "ehr", []*http.Cookie{{Name: name, Value: value}}) }
		set("JSESSIONID", "one")
		w.Remember(h, "ehr", []*http.Cookie{{Name: "gone", Value: "x", MaxAge: -1}})
		for _, c := range []struct {
			h                  *session.Handle
			realm, name, value string
			want               bool
		}{
			{h, "ehr", "JSESSIONID", "one", true},
			{h, "ehr", "JSESSIONID", `"one"`, true},
			{h, "ehr", "JSESSIONID", "two", false},
			{h, "ehr", "jsessionid", "one", false},
			{h, "img", "JSESSIONID", "one", false},
			{h, "ehr", "gone", "x", false},
			{other, "ehr", "JSESSIONID", "one", false},
		} {
			if got := c.h.Owns(c.realm, c.name, c.value); got != c.want {
				t.Errorf("%s %s=%s: %t, want %t", c.realm, c.name, c.value, got, c.want)
			}
		}
		for i := range 9 {
			set("many", fmt.Sprint(i))
		}
		if h.Owns("ehr", "many", "0") || !h.Owns("ehr", "many", "1") || !h.Owns("ehr", "many", "8") {
			t.Error("want the last 8 values")
		}
		for i := range 62 {
			set(fmt.Sprint("n", i), "x")
		}
		set("JSESSIONID", "two") // used: no longer the longest unchanged
		for i := range 10 {
			set(fmt.Sprint("m", i), "x")
		}
		if h.Owns("ehr", "many", "8") || h.Owns("ehr", "n0", "x") || !h.Owns("ehr", "JSESSIONID", "one") || !h.Owns("ehr", "m9", "x") {
			t.Error("want the 64 names that changed last")
		}
		for i := range 600 {
			w.Remember(h, fmt.Sprint("realm", i), []*http.Cookie{{Name: "a", Value: "b"}})
		}
		if h.Owns("ehr", "m9", "x") || !h.Owns("realm599", "a", "b") || !h.Owns("realm88", "a", "b") || h.Owns("realm87", "a", "b") {
			t.Error("want the 512 cookies that changed last")
		}
		id := h.ID()
		w = w.restart()
		defer w.Close()
		h = w.ByID(id)
		if !h.Owns("realm88", "a", "b") || h.Owns("realm87", "a", "b") {
			t.Error("a restart changed what is remembered")
		}
		set("new", "x")
		if h.Owns("realm88", "a", "b") || !h.Owns("realm89", "a", "b") {
			t.Error("a restart changed the order")
		}
		w.End(t.Context(), id, "")
		if h.Owns("realm599", "a", "b") {
			t.Error("an ended session owns cookies")
		}
	})
}

// No spelling of a cookie header leads to a session unless exactly one of its
// pairs is the sealed value; and the answer is never a crash.
func FuzzFind(f *testing.F) {
	w := &ward{bucket: new(memory), limits: limits}
	var err error
	if w.Keeper, err = session.Open(f.Context(), w.config()); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { w.Close() })
	_, c, err := w.Begin(f.Context(), nora(), ehr)
	if err != nil {
		f.Fatal(err)
	}
	const mark = "SEALED" // stands for the sealed value, which differs from run to run
	name := session.CookieName
	f.Add(name+"="+mark, "", ehr)
	f.Add("a=b; "+name+"="+mark, name+"=x", ehr)
	f.Add(name+"="+mark+";"+name, "", ehr)
	f.Add(name+"="+mark+"=", "", gate)
	f.Add(name+"=\""+mark+"\"", ";;;===", ehr)
	f.Fuzz(func(t *testing.T, one, two, host string) {
		one, two = strings.ReplaceAll(one, mark, c.Value), strings.ReplaceAll(two, mark, c.Value)
		r := request(one, two)
		found := w.Find(r, host, time.Now())
		all := one + ";" + two
		if found.Handle == nil {
			return
		}
		if host != ehr || strings.Count(all, c.Value) < 1 {
			t.Fatalf("%q on %q leads to a session", all, host)
		}
		if cookies := r.CookiesNamed(name); len(cookies) > 1 {
			t.Fatalf("%q leads to a session, and has %d cookies", all, len(cookies))
		}
	})
}
