package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/audit"
)

// A Sender sends records to a receiver over TLS. It is for one goroutine.
//
// Syslog has no acknowledgement: what was written may lie in a buffer when the
// receiver dies. So a sender settles by ending the connection in good order:
// it says that no more comes (close_notify, RFC 5425, section 4.4), and the
// receiver, which has then read everything before, does the same. What was
// not settled is sent again.
type Sender struct {
	Address string // host:port
	TLS     *tls.Config
	Framer  Framer

	conn    *tls.Conn
	raw     *net.TCPConn
	ended   chan error // what the connection was read to end with
	closing *atomic.Bool
	buf     []byte
}

// Send writes records, and connects first where there is no connection.
func (s *Sender) Send(ctx context.Context, records []audit.Followed) error {
	if s.conn == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	select {
	case err := <-s.ended:
		return fmt.Errorf("%s ended the connection: %w", s.Address, err)
	default:
	}
	s.buf = s.buf[:0]
	for _, r := range records {
		s.buf = s.Framer.Frame(s.buf, r)
	}
	if deadline, ok := ctx.Deadline(); ok {
		s.conn.SetWriteDeadline(deadline)
	}
	if _, err := s.conn.Write(s.buf); err != nil {
		return fmt.Errorf("send to %s: %w", s.Address, err)
	}
	return nil
}

func (s *Sender) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", s.Address, err)
	}
	c := tls.Client(conn, s.TLS)
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close()
		return fmt.Errorf("greet %s: %w", s.Address, err)
	}
	s.conn, s.raw = c, conn.(*net.TCPConn)
	s.ended, s.closing = make(chan error, 1), &atomic.Bool{}
	go listen(c, s.ended, s.closing)
	return nil
}

// errEarly means that the receiver went before it was told that no more comes.
var errEarly = errors.New("before everything was sent")

// listen waits for the end of the connection: receivers say nothing else.
func listen(c *tls.Conn, ended chan<- error, closing *atomic.Bool) {
	b := make([]byte, 512)
	for {
		_, err := c.Read(b)
		switch {
		case err == nil:
			continue
		case !closing.Load():
			ended <- fmt.Errorf("%w: %w", errEarly, err)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			ended <- nil // not every receiver answers close_notify with its own
		default:
			ended <- err
		}
		return
	}
}

// Settle returns nil when the receiver has read all that was sent.
func (s *Sender) Settle(ctx context.Context) error {
	if s.conn == nil {
		return nil
	}
	defer s.Close()
	if deadline, ok := ctx.Deadline(); ok {
		s.conn.SetDeadline(deadline)
	}
	s.closing.Store(true)
	if err := s.conn.CloseWrite(); err != nil {
		return fmt.Errorf("finish with %s: %w", s.Address, err)
	}
	if err := s.raw.CloseWrite(); err != nil {
		return fmt.Errorf("finish with %s: %w", s.Address, err)
	}
	select {
	case err := <-s.ended:
		if err == nil {
			err = taken(s.raw)
		}
		if err != nil {
			return fmt.Errorf("finish with %s: %w", s.Address, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("finish with %s: it does not end the connection: %w", s.Address, ctx.Err())
	}
}

// Close gives the connection up.
func (s *Sender) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.raw.Close() // not s.conn: it would say close_notify
	s.conn, s.raw = nil, nil
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
