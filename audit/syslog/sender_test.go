package syslog_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/anteroom/anteroom/audit/syslog"
)

// receiver listens and hands every connection, after its handshake, to serve.
func receiver(t *testing.T, serve func(*tls.Conn, *net.TCPConn)) (address string, trust *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"siem.test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				conn := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
				if conn.Handshake() == nil {
					serve(conn, c.(*net.TCPConn))
				}
				c.Close()
			}()
		}
	}()
	return l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "siem.test"}
}

// Only a receiver that has read everything settles what was sent.
func TestSettle(t *testing.T) {
	const early = "goes before it is told that no more comes"
	for name, c := range map[string]struct {
		serve   func(*tls.Conn, *net.TCPConn)
		settles bool
	}{
		"reads all, and ends in good order": {func(c *tls.Conn, _ *net.TCPConn) { io.Copy(io.Discard, c); c.Close() }, true},
		"reads all, and ends without a word": {func(c *tls.Conn, raw *net.TCPConn) {
			io.Copy(io.Discard, c)
			raw.Close()
		}, true},
		"dies with unread messages": {func(c *tls.Conn, raw *net.TCPConn) {
			c.Read(make([]byte, 10))
			raw.SetLinger(0)
			raw.Close()
		}, false},
		early: {func(c *tls.Conn, _ *net.TCPConn) {
			io.ReadFull(c, make([]byte, 10))
			c.Close()
		}, false},
		"never ends": {func(c *tls.Conn, _ *net.TCPConn) { io.Copy(io.Discard, c); time.Sleep(time.Minute) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			address, trust := receiver(t, c.serve)
			s := &syslog.Sender{Address: address, TLS: trust, Framer: syslog.Framer{Format: syslog.FormatNDJSON}}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			defer s.Close()
			err := s.Send(ctx, records(t))
			for name == early && !s.Ended() && ctx.Err() == nil {
				runtime.Gosched() // until it is noticed; nothing more is sent
			}
			if err == nil {
				err = s.Settle(ctx)
			}
			if (err == nil) != c.settles {
				t.Errorf("settled: %v, want %v (%v)", err == nil, c.settles, err)
			}
		})
	}
}

// A receiver that nothing proves to be the right one gets nothing.
func TestReceiverIsProven(t *testing.T) {
	got := make(chan int64, 1)
	address, trust := receiver(t, func(c *tls.Conn, _ *net.TCPConn) {
		n, _ := io.Copy(io.Discard, c)
		got <- n
	})
	for name, config := range map[string]*tls.Config{
		"another authority": {ServerName: "siem.test", RootCAs: x509.NewCertPool()},
		"another name":      {ServerName: "other.test", RootCAs: trust.RootCAs},
	} {
		s := &syslog.Sender{Address: address, TLS: config}
		if err := s.Send(t.Context(), records(t)); err == nil {
			t.Errorf("%s: it was sent", name)
		}
	}
	if len(got) > 0 && <-got > 0 {
		t.Error("something came")
	}
	// The same sender goes on where it can.
	s := &syslog.Sender{Address: address, TLS: trust}
	if err := s.Send(t.Context(), records(t)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := s.Send(t.Context(), records(t)[:1]); err != nil {
		t.Errorf("after Close: %v", err)
	}
	s.Close()
}
