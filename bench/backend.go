package main

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// serveBackend answers ?size=N with N bytes, and a WebSocket with what it says,
// until the process ends.
func serveBackend(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	block := bytes.Repeat([]byte("x"), 64<<10)
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
			return
		}
		size, _ := strconv.Atoi(strings.TrimPrefix(r.URL.RawQuery, "size="))
		h := w.Header()
		h["Content-Type"] = []string{"application/json"}
		h["Content-Length"] = []string{strconv.Itoa(size)}
		h["Cache-Control"] = []string{"private, max-age=60"}
		for size > 0 {
			n, err := w.Write(block[:min(size, len(block))])
			if err != nil {
				return
			}
			size -= n
		}
	}))
}
