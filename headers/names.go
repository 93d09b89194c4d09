// Package headers tells names of header fields apart as backends do that fold
// them into variables.
package headers

import "net/http"

// Skeleton appends to dst what is left of name when only its letters and digits
// are kept, in lower case. Names that any backend might fold into one variable
// (X-Remote-User, x_remote.user) have the same skeleton.
func Skeleton(dst []byte, name string) []byte {
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			dst = append(dst, c)
		case 'A' <= c && c <= 'Z':
			dst = append(dst, c+'a'-'A')
		}
	}
	return dst
}

// browsers are the names that browsers send.
var browsers = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection", "Content-Length",
	"Content-Type", "Cookie", "Dnt", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "Origin", "Pragma",
	"Priority", "Range", "Referer", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest",
	"Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-Gpc", "Upgrade-Insecure-Requests", "User-Agent",
	"X-Requested-With",
}

// A Verdict is a question about names, with its answer at hand for those that
// requests mostly have. It is safe for concurrent use.
type Verdict[T any] struct {
	known map[string]T
	of    func(name string) T
}

// NewVerdict has of asked at once about the names that browsers send, and about
// more, and later about every other. It must always say the same of a name.
func NewVerdict[T any](of func(name string) T, more ...string) Verdict[T] {
	v := Verdict[T]{make(map[string]T), of}
	for _, list := range [][]string{browsers, more} {
		for _, name := range list {
			name = http.CanonicalHeaderKey(name)
			v.known[name] = of(name)
		}
	}
	return v
}

// On returns the answer about name.
func (v Verdict[T]) On(name string) T {
	if t, ok := v.known[name]; ok {
		return t
	}
	return v.of(name)
}
