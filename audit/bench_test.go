package audit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// granted is an ordinary record: a person, a device, a patient.
func granted() *access.Event { return everyKind()[3] }

func BenchmarkEncode(b *testing.B) {
	e, buf := granted(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = audit.Encode(buf[:0], e, noon)
	}
	b.SetBytes(int64(len(buf)))
}

func benchmarkRecord(b *testing.B, writers int, durable bool) {
	o := options(b.TempDir())
	o.Now = nil
	j := open(b, o)
	e := granted()
	b.SetParallelism(writers / 2)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := j.Record(context.Background(), e, durable); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkRecord(b *testing.B)          { benchmarkRecord(b, 2, false) }
func BenchmarkRecord32(b *testing.B)        { benchmarkRecord(b, 32, false) }
func BenchmarkRecord32Durable(b *testing.B) { benchmarkRecord(b, 32, true) }

// written makes a journal of about 60 MB.
func written(b *testing.B) (dir string, size int64) {
	b.Helper()
	dir = b.TempDir()
	o := options(dir)
	j := open(b, o)
	done := make(chan bool)
	for w := range 16 {
		go func() {
			for i := range 4000 {
				e := granted()
				e.Time, e.RequestID, e.Patient = noon, fmt.Sprint("r", w*4000+i), fmt.Sprint("P-", w*4000+i)
				if err := j.Record(context.Background(), e, false); err != nil {
					b.Error(err)
				}
			}
			done <- true
		}()
	}
	for range 16 {
		<-done
	}
	closed(b, j)
	info, err := os.Stat(filepath.Join(dir, today))
	must(b, err)
	return dir, info.Size()
}

func BenchmarkVerify(b *testing.B) {
	dir, size := written(b)
	b.SetBytes(size)
	for b.Loop() {
		sound(b, dir)
	}
}

func BenchmarkSearch(b *testing.B) {
	dir, size := written(b)
	for _, c := range []struct {
		name string
		q    audit.Query
	}{
		{"one patient", audit.Query{Patient: "P-777"}},
		{"person who is not there", audit.Query{Person: "piet"}},
		{"rare among frequent", audit.Query{Person: "nora", RequestID: "r777"}},
		{"frequent but not that verdict", audit.Query{Person: "nora", Verdict: "deny"}},
		{"all", audit.Query{Person: "nora"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				for _, err := range audit.Search(dir, c.q) {
					must(b, err)
				}
			}
		})
	}
}
