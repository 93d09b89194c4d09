package session

import (
	"context"
	"slices"

	"github.com/anteroom/anteroom/access"
)

// crowd ends those of a person's sessions that are too many now that the one of
// h has begun: the ones that were idle the longest, which are most likely
// tablets that were put down somewhere.
func (k *Keeper) crowd(ctx context.Context, h *Handle) {
	most := k.most()
	if most <= 0 {
		return
	}
	now := k.now()
	t := k.at(now)
	var others []*Handle
	for _, o := range k.view.people.sessions(h.subject()) {
		if _, s := o.stand(t); o != h && !s.ended {
			others = append(others, o)
		}
	}
	excess := len(others) + 1 - most
	if excess <= 0 {
		return
	}
	slices.SortFunc(others, func(a, b *Handle) int {
		return a.lastActive(a.cur.Load()).Compare(b.lastActive(b.cur.Load()))
	})
	for _, o := range others[:excess] {
		was := o.Value(now)
		if !o.do(endAt(t, access.SessionEnded)) {
			continue
		}
		if err := k.persist(ctx, o); err != nil {
			k.log.Warn("end a session of a person who has too many; trying again", "session", o.id, "err", err)
		}
		k.tell(Change{Kind: access.EventSessionEnded, Session: was, Why: access.SessionEnded, Detail: TooMany})
	}
}
