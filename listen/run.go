package listen

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Run serves until ctx ends or a listener breaks, then drains: it is unready
// first, serves on for the grace, takes no more connections, and lets running
// requests end. The admin listener answers to the last. The error says which
// listener broke, or that requests were cut off at the drain's end.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	watching.Go(func() { s.certs.watch(background, s.c.CheckEvery) })

	all := s.endpoints()
	broken := make(chan error, len(all))
	for _, e := range all {
		e.served = make(chan struct{})
		go func() {
			defer close(e.served)
			if err := e.serve(); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, errStopped) {
				broken <- fmt.Errorf("accept connections on %s: %w", e.listener.Addr(), err)
			}
		}()
	}
	close(s.ready)

	var problem error
	select {
	case <-ctx.Done():
	case problem = <-broken:
	}
	if s.c.Hooks.Draining != nil {
		s.c.Hooks.Draining()
	}
	if problem == nil && s.c.Grace > 0 { // so that load balancers notice before anyone is turned away
		select {
		case <-time.After(s.c.Grace):
		case problem = <-broken:
		}
	}
	return errors.Join(problem, s.drain())
}

// drain lets running requests end, and upgraded connections be told.
func (s *Server) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.c.Drain)
	defer cancel()
	var all sync.WaitGroup
	if s.c.Hooks.CloseStreams != nil {
		all.Go(func() { s.c.Hooks.CloseStreams(ctx) })
	}
	if s.redirect != nil {
		all.Go(func() { _ = s.redirect.shutdown(ctx) }) // its answers take no time
	}
	ends := make([]error, len(s.mutual))
	for i, e := range s.mutual {
		all.Go(func() { ends[i] = e.shutdown(ctx) })
	}
	err := s.main.shutdown(ctx)
	all.Wait()
	err = errors.Join(append(ends, err)...)
	if err != nil {
		return fmt.Errorf("wait %v for requests to end: %w", s.c.Drain, err)
	}
	return nil
}

const (
	// lastWord is how long the drain waits for connections to answer and close
	// by themselves. Browsers open some that they never use.
	lastWord = 2 * time.Second
	lookAt   = 3 * time.Millisecond // how often it looks
)

// shutdown takes no more connections and lets those there end, in three steps:
// net/http waits for no connection that it is just taking, and closes without a
// word whatever sends its first request while it shuts down.
func (e *endpoint) shutdown(ctx context.Context) error {
	if l, ok := e.listener.(*limited); ok {
		e.server.SetKeepAlivesEnabled(false) // first: whoever finds nobody listening is told to close what they have
		l.stop()
		select {
		case <-e.served:
		case <-ctx.Done():
		}
		ctx, cancel := context.WithTimeout(ctx, lastWord)
		defer cancel()
		for l.busy() && ctx.Err() == nil {
			select {
			case <-time.After(lookAt):
			case <-ctx.Done():
			}
		}
	}
	return e.server.Shutdown(ctx)
}
