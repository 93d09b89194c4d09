package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/anteroom/anteroom/proxy"
)

// A line is a backend that says what it holds and is then closed.
type line struct{ io.Reader }

var errClosed = errors.New("closed")

func (line) Write(p []byte) (int, error) { return len(p), nil }
func (line) Close() error                { return nil }

func frameOf(first byte, masked bool, n int) []byte {
	f := []byte{first, 0}
	switch {
	case n < 126:
		f[1] = byte(n)
	case n < 1<<16:
		f[1] = 126
		f = append(f, byte(n>>8), byte(n))
	default:
		f[1] = 127
		f = append(f, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	if masked {
		f[1] |= 0x80
		f = append(f, 1, 2, 3, 4)
	}
	return append(f, bytes.Repeat([]byte{0x88}, n)...) // a payload that looks like close frames
}

// A WebSocket that the gateway ends is told so where a frame may stand, and
// never in the middle of another.
func TestTunnelEnds(t *testing.T) {
	goodbye := []byte{0x88, 2, 0x03, 0xe9} // 1001
	several := slices.Concat(frameOf(0x01, false, 5), frameOf(0x89, false, 0), frameOf(0x80, false, 126), frameOf(0x82, true, 70_000))
	for _, c := range []struct {
		name string
		sent []byte
		end  bool
		want []byte // after what was sent
	}{
		{"before anything was said", nil, true, goodbye},
		{"between two frames", several, true, goodbye},
		{"a short frame", frameOf(0x82, false, 125), true, goodbye},
		{"the longest of the short form", frameOf(0x82, false, 65_535), true, goodbye},
		{"the shortest of the long form", frameOf(0x82, true, 65_536), true, goodbye},
		{"within a payload", several[:len(several)-1], true, nil},
		{"within a length", frameOf(0x82, false, 300)[:3], true, nil},
		{"within a mask", frameOf(0x82, true, 300)[:6], true, nil},
		{"after one byte", []byte{0x82}, true, nil},
		{"after the backend's own goodbye", slices.Concat(several, []byte{0x88, 2, 0x03, 0xe8}), true, nil},
		{"by the backend", several, false, nil},
	} {
		for how, reader := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader, "by halves": iotest.HalfReader,
		} {
			t.Run(c.name+" "+how, func(t *testing.T) {
				tunnel, end := proxy.Tunnel(line{reader(io.MultiReader(bytes.NewReader(c.sent), iotest.ErrReader(errClosed)))})
				if c.end {
					end(1001)
					end(1008) // the first word counts
				}
				got, err := io.ReadAll(tunnel)
				if !errors.Is(err, errClosed) {
					t.Errorf("err = %v: it must not look like an end by the backend", err)
				}
				if !bytes.Equal(got, slices.Concat(c.sent, c.want)) {
					t.Errorf("after %d bytes came %x, want %x", len(c.sent), got[min(len(c.sent), len(got)):], c.want)
				}
			})
		}
	}
}
