package authn

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	freshFor   = time.Second            // a provider heard of this lately is not asked whether it lives
	shortWait  = 200 * time.Millisecond // longest wait for one that is not known to live
	demandGap  = time.Second            // shortest time between attempts that people cause, before jitter
	backoffMin = time.Second            // of attempts in the background
	backoffMax = 30 * time.Second
	forgetTime = 10 * time.Minute // background attempts end when nobody has asked for this long
)

var errNoAnswer = errors.New("no answer in time")

// discovery keeps a provider's discovery document, and with it the knowledge
// whether the provider lives: sending a browser to one that does not would
// leave a person before a dead page that no one of ours can explain.
type discovery struct {
	issuer string
	auth   credentials
	client *http.Client
	log    *slog.Logger
	flight *flight

	mu       sync.Mutex
	doc      *document // the newest good one; nil before there was any
	heard    time.Time // when doc was fetched
	err      error     // of the last attempt; nil when it was good or none was made
	pause    time.Time // no attempt on demand before
	failures int       // in a row
	asked    time.Time // when anybody last wanted the document
	retry    *time.Timer
}

func newDiscovery(issuer string, auth credentials, client *http.Client, log *slog.Logger) *discovery {
	d := &discovery{issuer: issuer, auth: auth, client: client, log: log}
	d.flight = &flight{fetch: d.fetch, done: d.tried}
	return d
}

// known returns the newest good document, however old. When there is none it
// waits for the first attempt in full: whoever comes back from a provider just
// after a restart has been there already.
func (d *discovery) known(ctx context.Context) (*document, error) {
	d.mu.Lock()
	doc := d.doc
	d.mu.Unlock()
	if doc != nil {
		return doc, nil
	}
	return d.asking(ctx, fetchTimeout+shortWait)
}

// living returns the document of a provider that answered just now, or an
// [*UnavailableError] when it did not within shortWait. One that answered
// before and is slow today gets the benefit of the doubt.
func (d *discovery) living(ctx context.Context) (*document, error) {
	return d.asking(ctx, shortWait)
}

// asking is living, but waits for cold when no attempt has ended yet.
func (d *discovery) asking(ctx context.Context, cold time.Duration) (*document, error) {
	d.mu.Lock()
	now := time.Now()
	d.asked = now
	limit := shortWait
	switch {
	case d.err == nil && d.doc != nil && now.Sub(d.heard) < freshFor:
		defer d.mu.Unlock()
		return d.doc, nil
	case d.err != nil && now.Before(d.pause):
		defer d.mu.Unlock()
		return nil, d.unavailable(d.err)
	case d.err == nil && d.doc == nil:
		limit = cold
	}
	ended := d.flight.join()
	d.mu.Unlock()
	return d.after(await(ctx, ended, limit))
}

// renewed asks the provider whatever is known of it, and waits for the answer.
func (d *discovery) renewed(ctx context.Context) (*document, error) {
	return d.after(await(ctx, d.flight.join(), fetchTimeout+shortWait))
}

func (d *discovery) after(left error) (*document, error) {
	if left != nil {
		return nil, d.unavailable(left)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.err != nil:
		return nil, d.unavailable(d.err)
	case d.doc == nil:
		return nil, d.unavailable(errNoAnswer)
	}
	return d.doc, nil
}

func (d *discovery) unavailable(err error) error {
	return &UnavailableError{Issuer: d.issuer, Err: err}
}

func (d *discovery) fetch(ctx context.Context) error {
	if _, err := endpoint("issuer", d.issuer, true); err != nil {
		return err
	}
	var m metadata
	where := strings.TrimSuffix(d.issuer, "/") + "/.well-known/openid-configuration"
	if err := getJSON(ctx, d.client, where, "", &m); err != nil {
		return err
	}
	doc, err := m.vet(d.issuer, d.auth)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.doc != nil && d.doc.JWKS == doc.JWKS {
		doc.keys = d.doc.keys
	} else {
		doc.keys = newKeySet(doc.JWKS, d.client, d.log)
	}
	d.doc, d.heard = doc, time.Now()
	return nil
}

// tried notes how an attempt ended and, after a bad one, sets the next.
func (d *discovery) tried(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.err
	d.err = err
	if d.retry != nil {
		d.retry.Stop()
		d.retry = nil
	}
	if err == nil {
		if was != nil {
			d.log.Info("provider is back", "issuer", d.issuer, "after_failures", d.failures)
		}
		d.failures = 0
		return
	}
	if was == nil || was.Error() != err.Error() {
		d.log.Warn("provider is unavailable", "issuer", d.issuer, "error", err)
	}
	now := time.Now()
	d.failures++
	d.pause = now.Add(demandGap + rand.N(demandGap/2)) // with fetchTimeout in all under 5 s
	if now.Sub(d.asked) < forgetTime {
		d.retry = time.AfterFunc(backoff(d.failures), func() { d.flight.join() })
	}
}

// backoff returns the pause after so many failures in a row: it doubles from
// backoffMin to backoffMax, a quarter more or less so that gateways that lost
// a provider together do not all come back together.
func backoff(failures int) time.Duration {
	pause := backoffMax
	if n := failures - 1; n < 5 { // 1, 2, 4, 8, 16, then 30
		pause = backoffMin << n
	}
	pause += rand.N(pause/2) - pause/4
	return min(max(pause, backoffMin), backoffMax)
}
