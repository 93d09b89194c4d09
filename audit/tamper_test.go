package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/audit"
)

const today = "2026-11-21.ndjson"

// twoDays makes a journal of two segments, n records each between two checkpoints.
func twoDays(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	journal(t, dir, n)
	o := options(dir)
	o.Now = at(noon.AddDate(0, 0, 1))
	j := open(t, o)
	for i := range n {
		record(t, j, numbered(n+i), false)
	}
	closed(t, j)
	return dir
}

func edit(t testing.TB, path string, change func(all []string) []string) {
	t.Helper()
	all := change(lines(t, path))
	if err := os.WriteFile(path, []byte(strings.Join(all, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	const tomorrow = "2026-11-22.ndjson"
	for _, c := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		want   string
	}{
		{"a word changed", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string {
				all[2] = strings.Replace(all[2], "allow", "alloW", 1)
				return all
			})
		}, today + ":3: record 3: was changed"},
		{"the last of a segment changed", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string {
				all[4] = strings.Replace(all[4], "allow", "deny", 1)
				return all
			})
		}, today + ":5: record 5: was changed"},
		{"a prev changed", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string {
				i := strings.LastIndex(all[2], `"prev":"`) + len(`"prev":"`)
				all[2] = all[2][:i] + strings.Repeat("0", 64) + all[2][i+64:]
				return all
			})
		}, today + ":3: record 3: was changed"},
		{"a line removed", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string { return slices.Delete(all, 2, 3) })
		}, today + ":3: record 3: is missing"},
		{"two lines removed", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string { return slices.Delete(all, 2, 4) })
		}, today + ":3: record 3: is missing, with all up to record 4"},
		{"a pair swapped", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string {
				all[2], all[3] = all[3], all[2]
				return all
			})
		}, today + ":3: record 3: is not in its place: record 4"},
		{"a line twice", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string { return slices.Insert(all, 3, all[2]) })
		}, today + ":4: record 4: is not in its place: record 3"},
		{"the tail cut", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, tomorrow), func(all []string) []string { return all[:4] })
		}, tomorrow + ":5: record 11: is missing, with all up to record 12: the end of the journal was cut off"},
		{"the last line cut", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, tomorrow), func(all []string) []string { return all[:5] })
		}, tomorrow + ":6: record 12: is missing: the end of the journal was cut off"},
		{"the tail of an older segment cut", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string { return all[:4] })
		}, tomorrow + ":1: record 5: is missing, with all up to record 6"},
		{"the newest segment removed", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, tomorrow))
		}, today + ":7: record 7: is missing, with all up to record 12"},
		{"all segments removed", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, today))
			os.Remove(filepath.Join(dir, tomorrow))
		}, "head: record 1: is missing, with all up to record 12"},
		{"the beginning cut up to a checkpoint", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, today))
			edit(t, filepath.Join(dir, tomorrow), func(all []string) []string { return all[5:] })
		}, tomorrow + ":1: record 12: is not the checkpoint that begins"},
		{"a segment renamed", func(t *testing.T, dir string) {
			os.Rename(filepath.Join(dir, today), filepath.Join(dir, "2026-11-20.ndjson"))
		}, "2026-11-20.ndjson:1: record 1: is not the checkpoint that begins"},
		{"the head removed", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, "head"))
		}, "head: is missing or unreadable"},
		{"the tail cut and one slot of the head spoilt", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, tomorrow), func(all []string) []string { return all[:4] })
			head, err := os.ReadFile(filepath.Join(dir, "head"))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "head"), append(make([]byte, 512), head[512:]...), 0o600))
		}, tomorrow + ":5: record 11: is missing"},
		{"the tail cut and the other slot spoilt", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, tomorrow), func(all []string) []string { return all[:4] })
			must(t, os.Truncate(filepath.Join(dir, "head"), 512))
		}, tomorrow + ":5: record 11: is missing"},
		{"the head changed", func(t *testing.T, dir string) {
			head, err := os.ReadFile(filepath.Join(dir, "head"))
			must(t, err)
			head = bytes.ReplaceAll(head, []byte(`"seq":12`), []byte(`"seq":10`))
			must(t, os.WriteFile(filepath.Join(dir, "head"), head, 0o600))
			edit(t, filepath.Join(dir, tomorrow), func(all []string) []string { return all[:4] })
		}, "head: is missing or unreadable"},
		{"the end written anew, and chained", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, tomorrow), func(all []string) []string { return forge(all[:3], 3) })
		}, tomorrow + ":6: record 12: is not the record that the head signed"},
		{"a forged line added", func(t *testing.T, dir string) {
			scratch := t.TempDir() // continues a copy with its own key
			if err := os.CopyFS(scratch, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			o := options(scratch)
			o.Now = at(noon.AddDate(0, 0, 1))
			j := open(t, o)
			record(t, j, numbered(66), false)
			closed(t, j)
			b, err := os.ReadFile(filepath.Join(scratch, tomorrow))
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile(filepath.Join(dir, tomorrow), b, 0o600)
		}, tomorrow + ": record 13: stands after the end that was signed"},
		{"everything written anew with another key", func(t *testing.T, dir string) {
			os.RemoveAll(dir)
			o := options(dir)
			o.Key = other
			j := open(t, o)
			closed(t, j)
		}, today + ":1: record 1: is a checkpoint signed by another key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := twoDays(t, 4)
			sound(t, dir)
			c.tamper(t, dir)
			r := verify(t, dir)
			if r.Problem == nil {
				t.Fatalf("verify found nothing, want %q; report %+v", c.want, r)
			}
			if !strings.HasPrefix(r.Problem.String(), c.want) {
				t.Errorf("verify says\n%s, want\n%s…", r.Problem, c.want)
			}
		})
	}
}

// forge adds n lines to all that fit the chain, as somebody without the key can.
func forge(all []string, n int) []string {
	for range n {
		var seq int
		last := all[len(all)-1]
		fmt.Sscanf(last, `{"seq":%d,`, &seq)
		all = append(all, fmt.Sprintf(`{"seq":%d,"time":"2026-11-21T12:00:00.000000Z","event":"access","verdict":"allow","prev":"%x"}`,
			seq+1, sha256.Sum256([]byte(last))))
	}
	return all
}

// A checkpoint after the signed end must be signed itself: else anybody could
// tell of gaps.
func TestForgedCheckpoint(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		made := t.TempDir()
		j := open(t, options(made))
		record(t, j, numbered(0), true)
		time.Sleep(time.Second)
		must(t, os.CopyFS(dir, os.DirFS(made)))
		closed(t, j)
	})
	sound(t, dir)
	edit(t, filepath.Join(dir, today), func(all []string) []string {
		forged := fmt.Sprintf(`{"seq":9,"time":"2026-11-21T12:00:00.000000Z","event":"checkpoint","gaps":[{"kind":"lost_tail","from":3,"to":8}],"key":%q,"prev":"%x","sig":%q}`,
			base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)), sha256.Sum256([]byte(all[1])), base64.StdEncoding.EncodeToString(make([]byte, 64)))
		return append(all, forged)
	})
	if r := verify(t, dir); r.Problem == nil || !strings.Contains(r.Problem.What, "signature is wrong") {
		t.Errorf("verify says %v, want a wrong signature", r.Problem)
	}
}

// Blocks of lines are looked at side by side: a change in the last line of one
// shows only where the next begins.
func TestVerifyFindsAChangeWhereABlockEnds(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	for i := range 900 {
		e := *granted()
		e.RequestID = fmt.Sprint("r", i)
		record(t, j, &e, false)
	}
	closed(t, j)
	sound(t, dir)
	path := filepath.Join(dir, today)
	whole, err := os.ReadFile(path)
	must(t, err)
	if len(whole) < 2*audit.BlockBytes {
		t.Fatalf("a segment of %d bytes is no two blocks", len(whole))
	}
	at := bytes.LastIndex(whole[:audit.BlockBytes], []byte(`"verdict":"allow"`))
	line := 1 + bytes.Count(whole[:at], []byte("\n"))
	if end := at + bytes.IndexByte(whole[at:], '\n'); end >= audit.BlockBytes { // the line goes on in the next block
		at = bytes.LastIndex(whole[:at], []byte(`"verdict":"allow"`))
		line--
	}
	copy(whole[at:], `"verdict":"alloW"`)
	must(t, os.WriteFile(path, whole, 0o600))
	if got, want := verify(t, dir).Problem, fmt.Sprintf("%s:%d: record %d: was changed", today, line, line); got == nil || !strings.HasPrefix(got.String(), want) {
		t.Errorf("verify says %v, want %s", got, want)
	}
}

func TestVerifyFindsEveryFlippedByte(t *testing.T) {
	dir := twoDays(t, 2)
	for _, name := range []string{today, "2026-11-22.ndjson"} {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			flipped := bytes.Clone(whole)
			flipped[i] ^= []byte{1, 0x20}[i%2]
			if err := os.WriteFile(path, flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			line := 1 + bytes.Count(whole[:i], []byte("\n"))
			r := verify(t, dir)
			if r.Problem == nil {
				t.Fatalf("%s: byte %d (%q) of line %d flipped unseen", name, i, whole[i], line)
			}
			if r.Problem.File != name || r.Problem.Line != line {
				t.Errorf("%s: byte %d of line %d flipped: verify blames %s", name, i, line, r.Problem)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What was cut before a start must still show after it, although the gateway
// has signed a new end since.
func TestTamperingShowsAfterTheNextStart(t *testing.T) {
	for _, c := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		want   string
	}{
		{"tail cut", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string { return all[:4] })
		}, "records 5 to 6 missing, although already on disk"},
		{"head removed", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "head")) },
			"the signed head was gone"},
		{"journal removed", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, today)) },
			"records 1 to 6 missing"},
		{"end written anew", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string { return forge(all[:3], 3) })
		}, "record 6 is not the one that was signed"},
		{"lines added after a clean stop", func(t *testing.T, dir string) {
			path := filepath.Join(dir, today)
			head, err := os.ReadFile(filepath.Join(dir, "head"))
			must(t, err)
			journal(t, dir, 1) // adds three lines that fit
			must(t, os.WriteFile(filepath.Join(dir, "head"), head, 0o600))
			edit(t, path, func(all []string) []string { return all[:8] })
		}, "records 7 to 8 stood after the end"},
		{"middle changed", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, today), func(all []string) []string {
				all[2] = strings.Replace(all[2], "allow", "deny", 1)
				return all
			})
		}, "was changed after it was written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			journal(t, dir, 4)
			c.tamper(t, dir)
			for range 3 {
				journal(t, dir, 2)
				r := verify(t, dir)
				if r.Problem == nil {
					t.Fatalf("verify found nothing; gaps %v", r.Gaps)
				}
				if !strings.Contains(r.Problem.What, c.want) {
					t.Errorf("verify says %s, want %q", r.Problem, c.want)
				}
			}
		})
	}
}

func TestKeyChange(t *testing.T) {
	dir := t.TempDir()
	journal(t, dir, 2)
	o := options(dir)
	o.Key = other
	j := open(t, o)
	record(t, j, numbered(2), false)
	closed(t, j)
	r, err := audit.Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Problem != nil || len(r.Gaps) != 1 || r.Gaps[0].Kind != audit.KeyChanged || len(r.Keys) != 2 {
		t.Errorf("report %+v, want two keys and a gap that says so", r)
	}
	if r := verify(t, dir); r.Problem == nil || r.Problem.Seq != 5 {
		t.Errorf("with the first key pinned: problem %v, want one at record 5", r.Problem)
	}
	r, err = audit.Verify(dir, key.Public().(ed25519.PublicKey), other.Public().(ed25519.PublicKey))
	if err != nil || r.Problem != nil {
		t.Errorf("with both pinned: %v, %v", r.Problem, err)
	}
}

func TestVerifyNothing(t *testing.T) {
	if _, err := audit.Verify(t.TempDir()); !errors.Is(err, audit.ErrNoJournal) {
		t.Errorf("err = %v, want ErrNoJournal", err)
	}
	if _, err := audit.Verify(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v, want one of a missing directory", err)
	}
}
