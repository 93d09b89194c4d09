package held_test

import (
	"mime"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/held"
)

func TestToken(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	token := strings.Repeat("Az0-_b9", 6) + "A"
	body := held.Field + "=" + token
	for _, c := range []struct {
		name, contentType, body string
		want                    bool
	}{
		{"exact", form, body, true},
		{"with a charset", form + "; charset=UTF-8", body, true},
		{"type in capitals", "Application/X-WWW-Form-Urlencoded", body, true},
		{"another charset", form + "; charset=utf-16", body, false},
		{"another parameter", form + "; boundary=x", body, false},
		{"two types", form + ", text/plain", body, false},
		{"no type", "", body, false},
		{"text", "text/plain", body, false},
		{"multipart", "multipart/form-data; boundary=x", body, false},
		{"empty", form, "", false},
		{"no value", form, held.Field + "=", false},
		{"another field before", form, "a=b&" + body, false},
		{"another field after", form, body + "&a=b", false},
		{"semicolon after", form, body + ";a=b", false},
		{"field in capitals", form, strings.ToUpper(held.Field) + "=" + token, false},
		{"line end", form, body + "\r\n", false},
		{"blank", form, " " + body, false},
		{"short", form, body[:len(body)-1], false},
		{"long", form, body + "A", false},
		{"escaped", form, held.Field + "=%41" + token[1:], false},
		{"plus", form, held.Field + "=+" + token[1:], false},
		{"padded", form, body + "=", false},
		{"line end inside", form, held.Field + "=" + token[:20] + "\n" + token[20:], false},
		{"stray bits", form, body[:len(body)-1] + "B", false},
		{"over 128 bytes", form, body + strings.Repeat("\n", 128), false},
	} {
		got, ok := held.Token(c.contentType, []byte(c.body))
		if ok != c.want || ok && got != token || !ok && got != "" {
			t.Errorf("%s: %q, %t; want %t", c.name, got, ok, c.want)
		}
	}
}

// What is taken for a release is written in exactly one way.
func FuzzToken(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	good := held.Field + "=" + strings.Repeat("A", 43)
	f.Add(form, good)
	f.Add(form+";charset=utf-8", good)
	f.Add(form, good+"&a=b")
	f.Add("text/plain", good)
	f.Add(form, held.Field+"="+strings.Repeat("%41", 43))
	f.Fuzz(func(t *testing.T, contentType, body string) {
		token, ok := held.Token(contentType, []byte(body))
		if !ok {
			return
		}
		if body != held.Field+"="+token || len(body) > 128 {
			t.Fatalf("%q is taken for the release of %q", body, token)
		}
		if strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Fatalf("token %q", token)
		}
		if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != form {
			t.Fatalf("content type %q", contentType)
		}
	})
}
