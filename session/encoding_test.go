package session_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/session"
)

const anID = "00112233445566778899aabbccddeeff"

// Whatever a record says, it says after it was written and read, and after
// an upgrade from a version that kept records in JSON.
func TestEveryField(t *testing.T) {
	former := session.Former(anID)
	says, kept, err := session.Recode(anID, former)
	if err != nil || says != string(former) {
		t.Fatalf("read of a former record: %v\nsays %s\nheld %s", err, says, former)
	}
	again, same, err := session.Recode(anID, kept)
	if err != nil || again != says {
		t.Errorf("read of a record: %v\nsays %s\nheld %s", err, again, says)
	}
	if !bytes.Equal(same, kept) {
		t.Error("a record is not written twice alike")
	}
	if _, _, err := session.Recode("another", kept); err == nil {
		t.Error("a record is taken for another session's")
	}
}

var update = flag.Bool("update", false, "write testdata anew")

// What is in hospitals' stores stays readable: these are bytes that were written once.
func TestKeptRecord(t *testing.T) {
	_, kept, err := session.Recode(anID, session.Former(anID))
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/record.hex"
	if *update {
		if err := os.WriteFile(file, []byte(hex.Dump(kept)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.Dump(kept); got != string(want) {
		t.Errorf("the form of records changed:\n%s", got)
	}
}

// Sessions of a version that kept its records in JSON go on.
func TestFormerRecords(t *testing.T) {
	const head = `{"id":"` + anID + `","authn":{"Subject":{"issuer":"https://login.test","sub":"n-1"},"Username":"nora","Name":"Nora N.",` +
		`"Groups":["ehr-nurses"],"ACR":"pwd","AMR":["pwd"],"AuthTime":"2026-01-02T08:00:00+01:00","FreshAt":"2026-01-02T07:00:00.5Z"},` +
		`"provider":"hospital","provider_sid":"sid-1","id_token":"header.nora.signature",` +
		`"hosts":{"ehr.test":[{"id":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","given":"2026-01-02T07:00:00Z"}]},` +
		`"created":"2026-01-02T07:00:00Z","proven":"2026-01-02T07:00:00Z","active":"2026-01-02T07:00:00Z",` +
		`"limits":{"LockAfter":300000000000,"EndAfter":1800000000000,"Max":46800000000000},"expires":"2026-01-03T09:00:00Z"`
	const tomb = `{"id":"` + anID + `","authn":{"Subject":{"issuer":"https://login.test","sub":"n-1"},"Username":"","Name":"","Groups":null,"ACR":"","AMR":null,` +
		`"AuthTime":"0001-01-01T00:00:00Z","FreshAt":"0001-01-01T00:00:00Z"},"provider":"hospital","hosts":{},` +
		`"created":"2026-01-02T07:00:00Z","proven":"2026-01-02T07:00:00Z","active":"2026-01-02T07:00:00Z","limits":{"LockAfter":0,"EndAfter":0,"Max":0},` +
		`"ended_at":"2026-01-02T07:01:00Z","why":"session_ended","expires":"2026-01-03T09:00:00Z"}`
	now := time.Date(2026, 1, 2, 7, 2, 0, 0, time.UTC)
	for _, c := range []struct{ name, record, want string }{
		{"in use", head + `}`, "Nora N. [ehr-nurses] 07:00:00.5 hospital sid-1 header.nora.signature, locks 07:05, ends 07:30"},
		{"locked", head + `,"locked_at":"2026-01-02T07:01:00Z"}`, "Nora N. [ehr-nurses] 07:00:00.5 hospital sid-1 header.nora.signature, locks 07:01, ends 07:30, locked"},
		{"pinned", head + `,"device":"ward-7"}`, "Nora N. [ehr-nurses] 07:00:00.5 hospital sid-1 header.nora.signature, locks 07:05, ends 07:30, on ward-7"},
		{"ended", tomb, "n-1 [] 00:00:00 hospital  , locks 20:00, ends 07:01, ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &memory{kept: map[string]kept{anID: {value: []byte(c.record), rev: 1, expires: time.Now().Add(time.Hour)}}, rev: 1}
			for _, form := range []string{"former", "present"} {
				k, err := session.Open(t.Context(), session.Config{Bucket: m, Keys: []session.CookieKey{key(1)}, Now: func() time.Time { return now }})
				if err != nil {
					t.Fatal(err)
				}
				h := k.ByID(anID)
				if h == nil {
					t.Fatalf("%s: the session is lost", form)
				}
				if got := describe(h, now); got != c.want {
					t.Errorf("%s: %s\nwant %s", form, got, c.want)
				}
				k.Close()
				_, value, err := session.Recode(anID, m.kept[anID].value)
				if err != nil {
					t.Fatal(err)
				}
				m.kept[anID] = kept{value: value, rev: 2, expires: time.Now().Add(time.Hour)}
			}
		})
	}
}

func describe(h *session.Handle, now time.Time) string {
	const clock = "15:04"
	v := h.Value(now)
	s := fmt.Sprintf("%s %v %s %s %s %s, locks %s, ends %s", v.Display(), v.Groups, v.FreshAt.Format("15:04:05.9"), h.Provider(), h.ProviderSID(), h.IDToken(), v.LocksAt.Format(clock), v.EndsAt.Format(clock))
	for word, is := range map[string]bool{", on " + v.Device: v.Device != "", ", ended": v.Ended, ", locked": v.Locked && !v.Ended} {
		if is {
			s += word
		}
	}
	return s
}

// A record that was cut off, or changed anywhere, is refused as a whole.
func TestDamagedRecord(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, _ := w.begin(ehr)
		if err := w.End(t.Context(), h.ID(), access.SessionEnded); err != nil {
			t.Fatal(err)
		}
		whole := w.bucket.text()
		if _, _, err := session.Recode(h.ID(), whole); err != nil {
			t.Fatal(err)
		}
		for n := range whole {
			if _, _, err := session.Recode(h.ID(), whole[:n]); err == nil {
				t.Errorf("read when cut off after %d of %d bytes", n, len(whole))
			}
			for bit := range 8 {
				changed := bytes.Clone(whole)
				changed[n] ^= 1 << bit
				if _, _, err := session.Recode(h.ID(), changed); err == nil {
					t.Errorf("read with bit %d of byte %d changed", bit, n)
				}
			}
		}
		if _, _, err := session.Recode(h.ID(), append(whole, 0)); err == nil {
			t.Error("read with a byte more")
		}
	})
}

// Fields that are of another kind, twice, or out of order are refused, also
// when the checksum is right; those of later versions are skipped.
func TestFields(t *testing.T) {
	const good = "0a20" + "3030313132323333343435353636373738383939616162626363646465656666" + "4a0c" + "00000000695770b000000000"
	for _, c := range []struct{ name, fields, says string }{
		{"as written", good, ""},
		{"a later version's", good + "8a3f00" + "903f01", ""},
		{"another session's", "0a0141" + good[68:], "not this session"},
		{"no beginning", good[:68], "not this session"},
		{"twice", "0a0141" + good, "field 1: there twice"},
		{"a time twice", good + good[68:], "field 9: there twice"},
		{"out of order", good[68:] + good[:68], "field 1 after 9"},
		{"a number for a text", "0801", "field 1: of another kind"},
		{"a text for a number", good + "6200", "field 12: of another kind"},
		{"a number twice", good + "60016001", "field 12: there twice"},
		{"a short time", good[:68] + "4a0100", "field 9: of another kind"},
		{"a host twice", good[:68] + "2a00" + "2a00" + good[68:], "field 5: there twice"},
		{"a short digest", good[:68] + "2a05" + "1203" + "0a0100" + good[68:], "field 5: field 2: field 1: of another kind"},
		{"a number for a group", good + "b80101", "field 23: of another kind"},
		{"a number for a host", good[:68] + "2801" + good[68:], "field 5: of another kind"},
		{"a short cookie", good[:68] + "4203" + "0a0100" + good[68:], "field 8: field 1: of another kind"},
		{"cut off", good + "62", "unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, err := hex.DecodeString(c.fields)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = session.Recode(anID, sealed(body))
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("err = %v, want %q", err, c.says)
			}
		})
	}
	for _, text := range []string{"", "\x00", "\x02", "null", "[]"} {
		if _, _, err := session.Recode(anID, []byte(text)); err == nil || !strings.Contains(err.Error(), "unknown form") {
			t.Errorf("%q: err = %v, want unknown form", text, err)
		}
	}
}

// sealed makes a record of fields.
func sealed(body []byte) []byte {
	b := append([]byte{1}, body...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// What is read is written and read again the same; nothing panics.
func FuzzRecord(f *testing.F) {
	_, now, err := session.Recode(anID, session.Former(anID))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(now[1:len(now)-4], false)
	f.Add(session.Former(anID), true)
	f.Fuzz(func(t *testing.T, body []byte, former bool) {
		if !former {
			body = sealed(body)
		}
		says, now, err := session.Recode(anID, body)
		if err != nil {
			return
		}
		again, same, err := session.Recode(anID, now)
		if err != nil || !bytes.Equal(now, same) || !former && again != says {
			t.Errorf("%v\nfirst %s\nagain %s", err, says, again)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	former := session.Former(anID)
	_, present, err := session.Recode(anID, former)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		kept []byte
	}{{"former", former}, {"present", present}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := session.Decode(anID, c.kept); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
