package proxy_test

import (
	"crypto/tls"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anteroom/anteroom/proxy"
)

// What ReverseProxy no longer sees, it would have removed as well.
func TestRemoveHopByHop(t *testing.T) {
	for _, h := range []http.Header{
		{},
		{"Accept": {"a"}, "Connection": {"keep-alive"}},
		{"Connection": {"x-one, X-Two ,", "x-three"}, "X-One": {"1"}, "X-Two": {"2"}, "X-Three": {"3"}, "X-Four": {"4"}},
		{"Connection": {"close"}, "Keep-Alive": {"timeout=5"}, "Proxy-Connection": {"keep-alive"}, "Proxy-Authorization": {"x"}},
		{"Te": {"gzip"}, "Trailer": {"X"}, "Transfer-Encoding": {"chunked"}, "Proxy-Authenticate": {"x"}},
		{"Connection": {"\taccept\t"}, "Accept": {"a"}},
	} {
		var want http.Header
		carrier := httputil.ReverseProxy{
			Rewrite:   func(*httputil.ProxyRequest) {},
			Transport: transport(func(r *http.Request) { want = r.Header }),
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = maps.Clone(h)
		carrier.ServeHTTP(httptest.NewRecorder(), r)
		if len(want["User-Agent"]) == 1 && want["User-Agent"][0] == "" {
			delete(want, "User-Agent") // which keeps net/http from naming itself
		}
		got := maps.Clone(h)
		proxy.RemoveHopByHop(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-ReverseProxy +ours):\n%s", h, diff)
		}
	}
}

type transport func(*http.Request)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return &http.Response{StatusCode: 204, Header: http.Header{}, Body: http.NoBody}, nil
}

func TestHandOver(t *testing.T) {
	to := http.Header{"X-Request-Id": {"1"}, "Set-Cookie": {"a=1"}}
	proxy.HandOver(to, http.Header{"Set-Cookie": {"b=2", "c=3"}, "Etag": {"x"}, "Connection": {"x-hop"}, "X-Hop": {"1"}, "Keep-Alive": {"1"}})
	want := http.Header{"X-Request-Id": {"1"}, "Set-Cookie": {"a=1", "b=2", "c=3"}, "Etag": {"x"}}
	if diff := cmp.Diff(want, to); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
}

func browserHeader() http.Header {
	return http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip, deflate, br"}, "Accept-Language": {"de-DE,de;q=0.9"},
		"Cookie": {"__Host-anteroom=MTc5NTMw; theme=dark; JSESSIONID=4F2A"}, "Referer": {"https://ehr.test/"}, "Sec-Fetch-Mode": {"cors"},
		"Sec-Fetch-Site": {"same-origin"}, "User-Agent": {"Mozilla/5.0"}, "X-Mdm-Device-Id": {"tablet-17"}, "X-Mdm-Managed": {"true"},
		"X-Forwarded-For": {"10.0.0.1"},
	}
}

func BenchmarkParse(b *testing.B) {
	r := httptest.NewRequest("GET", "/fhir/Observation?patient=4711", nil)
	r.Host, r.TLS = "ehr.test:8443", &tls.ConnectionState{ServerName: "ehr.test"}
	b.ReportAllocs()
	for b.Loop() {
		if proxy.Parse(r) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkStrip(b *testing.B) {
	strip, all := proxy.Strip("X-Mdm-Device-Id", "X-Mdm-Managed", "X-Remote-User"), browserHeader()
	h := make(http.Header, len(all))
	b.ReportAllocs()
	for b.Loop() {
		maps.Copy(h, all)
		if strip(h) != 3 {
			b.Fatal("another number was dropped")
		}
	}
}

func BenchmarkCookiesFor(b *testing.B) {
	lines := browserHeader()["Cookie"]
	b.ReportAllocs()
	for b.Loop() {
		proxy.CookiesFor(lines, nora{}, "ehr")
	}
}
