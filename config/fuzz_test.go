package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/config"
)

func many(n int) []byte {
	var b strings.Builder
	b.WriteString(small("logins: {strong: {acr: [phr]}}", ""))
	for i := range n {
		fmt.Fprintf(&b, `  - name: route %d
    host: h%d.hospital.example
    path: /app
    backend: {url: "http://10.0.0.1:%d", identity: {headers: {X-Remote-User: username}}}
    allow: {roles: [nurse]}
    device: none
    rules:
      - {name: amend, when: {methods: [POST], path: /app/orders/**}, require: {login: strong, within: 5m}}
    tests:
      - {as: [nurse], request: GET /app/x, expect: allow}
`, i, i, 1000+i%60000)
	}
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{500, 10000} {
		text := many(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := config.Parse("a.yaml", text, around(b)); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(text)))
		})
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "testdata/example.yaml") {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, _, err := config.Parse("a.yaml", text, around(t))
		if (c == nil) != (err != nil) {
			t.Fatalf("config %v, err %v", c, err)
		}
		lines := strings.Count(string(text), "\n") + 1
		mistakes, ok := errors.AsType[config.Mistakes](err)
		if err != nil && !ok {
			t.Fatalf("err is a %T", err)
		}
		for _, m := range mistakes {
			if m.Line < 1 || m.Column < 1 || m.Line > lines+1 || m.Message == "" || strings.ContainsAny(m.Message, "\n\x00\x1b") {
				t.Errorf("mistake %+v in %d lines", m, lines)
			}
		}
		if c != nil && (c.Gateway.URL == nil || c.Gateway.TimeZone == nil || len(c.Routes) == 0) {
			t.Errorf("accepted without its essentials: %+v", c)
		}
	})
}
