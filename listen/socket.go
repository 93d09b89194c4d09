package listen

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"
)

// listener returns given, or the inherited socket that is bound to addr, or a
// new one on it; nil when there is neither.
func (s *Server) listener(given net.Listener, addr string) (net.Listener, error) {
	if given != nil || addr == "" {
		return given, nil
	}
	for i, l := range s.inherited {
		if boundTo(l.Addr(), addr) {
			s.inherited = slices.Delete(s.inherited, i, i+1)
			return l, nil
		}
	}
	config := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4,
	}}
	l, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("open listener: %w", err)
	}
	return l, nil
}

// boundTo reports whether a socket at is what listening on addr would make. An
// addr without a host is every address, of IPv4 alone or of both.
func boundTo(at net.Addr, addr string) bool {
	socket, ok := at.(*net.TCPAddr)
	if !ok {
		return false
	}
	want, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil || want.Port != socket.Port || want.Zone != socket.Zone {
		return false
	}
	if want.IP == nil {
		return socket.IP.IsUnspecified()
	}
	return want.IP.Equal(socket.IP)
}

// allTaken returns an error that names the inherited sockets which no address
// of the configuration does: whoever connects there would wait for ever.
func (s *Server) allTaken() error {
	if len(s.inherited) == 0 {
		return nil
	}
	var at []string
	for _, l := range s.inherited {
		at = append(at, l.Addr().String())
	}
	return fmt.Errorf("sockets at %v were passed in, and no listener of the configuration has such an address", at)
}
