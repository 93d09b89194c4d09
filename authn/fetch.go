package authn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	clientTimeout = 10 * time.Second // of any exchange with the provider, its body included
	fetchTimeout  = 3 * time.Second  // of discovery and keys, so that a hang does not delay recovery
	maxBody       = 1 << 20          // bytes of any answer
)

var (
	errTooLarge   = errors.New("the answer is larger than 1 MiB")
	errCompressed = errors.New("the answer is compressed though none was asked for")
)

// newClient returns a client with base's transport (nil: one of its own) that
// follows no redirect, ends in time and reads no more than maxBody.
func newClient(base *http.Client) *http.Client {
	c := http.Client{Timeout: clientTimeout}
	if base != nil {
		c = *base
		if c.Timeout <= 0 || c.Timeout > clientTimeout {
			c.Timeout = clientTimeout
		}
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	c.Transport = capped{c.Transport}
	// A redirect could lead the client secret, a code or a token elsewhere.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err == nil && isLocalhost(host) {
				// RFC 6761, section 6.3: such a name never leaves the machine, whatever a resolver says.
				if conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port)); err == nil {
					return conn, nil
				}
				addr = net.JoinHostPort("::1", port)
			}
			return dialer.DialContext(ctx, network, addr)
		},
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  clientTimeout,
		MaxResponseHeaderBytes: 256 << 10,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    8,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

// isLocalhost reports whether name is localhost or under it.
func isLocalhost(name string) bool {
	name = strings.ToLower(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// capped refuses answers that are compressed or large. Naming an encoding in
// the request keeps any [http.Transport] from unpacking gzip on its own, so
// what is counted is what is read.
type capped struct{ base http.RoundTripper }

func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept-Encoding", "identity")
	resp, err := c.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	enc := resp.Header.Get("Content-Encoding")
	switch {
	case resp.Uncompressed || enc != "" && !strings.EqualFold(enc, "identity"):
		err = errCompressed
	case resp.ContentLength > maxBody:
		err = errTooLarge
	}
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	resp.Body = &cappedBody{resp.Body, maxBody}
	return resp, nil
}

// A cappedBody gives an error, not an early end, when there is more than left.
type cappedBody struct {
	io.ReadCloser
	left int64
}

func (b *cappedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// getJSON reads the JSON value at where into v. Its errors hold nothing of the
// answer but the status.
func getJSON(ctx context.Context, client *http.Client, where, bearer string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return fmt.Errorf("fetch %s: the address cannot be used", where)
	}
	req.Header.Set("Accept", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", where, bare(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("fetch %s: the answer has status %d", where, resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", where, err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("fetch %s: the answer is not the JSON that was expected", where)
	}
	return nil
}

// bare returns err without the address that [http.Client] puts before it.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return errNoAnswer
		}
		return e.Err
	}
	return err
}
