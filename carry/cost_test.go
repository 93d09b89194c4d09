package carry_test

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/anteroom/anteroom/carry"
)

// A long answer costs no more garbage than a short one: nothing is made for each
// piece of it.
func TestLongAnswersMakeNoGarbage(t *testing.T) {
	objects := func(size int) float64 {
		answer := append([]byte("HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n"), make([]byte, size)...)
		b := listen(t, func(b *backend, _ int, conn net.Conn) {
			in := bufio.NewReader(conn)
			for {
				if _, err := b.take(in); err != nil {
					return
				}
				conn.Write(answer)
			}
		})
		p := carry.New(b.options())
		defer p.CloseIdle()
		r := get("GET")
		return testing.AllocsPerRun(10, func() {
			a, err := p.Send(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			for err == nil {
				_, err = a.Next(nil)
			}
			if err != io.EOF {
				t.Fatal(err)
			}
		})
	}
	const pieces = 5 << 20 / (32 << 10) // at least
	short, long := objects(1<<10), objects(5<<20)
	t.Logf("objects: %.0f of a short answer, %.0f of a long one", short, long)
	if long-short > pieces/2 {
		t.Errorf("%.0f objects of a long answer, %.0f of a short one", long, short)
	}
}
