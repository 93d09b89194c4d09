package authn

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A flight is a fetch that many may wait for and that runs once at a time. It
// belongs to no caller: one that goes away does not end it for the others.
type flight struct {
	fetch func(context.Context) error // leaves its result with the owner, without a lock while it waits
	done  func(error)                 // told the outcome before those who wait

	mu      sync.Mutex
	running chan struct{} // closed when the one under way ends; nil when none is
}

// join returns a channel that closes when the fetch under way ends, which is
// begun now unless one is. An owner that has looked whether a fetch is needed
// joins under the lock it looked under: the result is stored under that lock
// before running is cleared, so whoever saw none finds the fetch still running.
// Joined later, it may just have ended, and each such caller would begin another.
func (f *flight) join() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running == nil {
		f.running = make(chan struct{})
		go f.run(f.running)
	}
	return f.running
}

func (f *flight) run(ended chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	err := f.guarded(ctx)
	f.done(err)
	f.mu.Lock()
	f.running = nil
	f.mu.Unlock()
	close(ended)
}

// guarded keeps a parser that panics on a hostile answer from ending the gateway.
func (f *flight) guarded(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("read the answer: panic: %s", clip(fmt.Sprint(r)))
		}
	}()
	return f.fetch(ctx)
}

// await waits until ended closes: no longer than limit, and no longer than the
// caller. It returns ctx's error when the caller left.
func await(ctx context.Context, ended <-chan struct{}, limit time.Duration) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-ended:
		return nil
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
