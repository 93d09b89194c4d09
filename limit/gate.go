package limit

import "sync/atomic"

// A Gate counts who is inside. It is safe for concurrent use, and nobody waits
// at it. The zero Gate is ready.
type Gate struct{ inside atomic.Int64 }

// Enter lets one more in, and reports whether there was room: fewer than most
// are inside. A most of zero sets no limit. Whoever was let in leaves once.
func (g *Gate) Enter(most int) bool {
	if n := g.inside.Add(1); most > 0 && n > int64(most) {
		g.inside.Add(-1)
		return false
	}
	return true
}

// Leave counts out one whom Enter let in.
func (g *Gate) Leave() { g.inside.Add(-1) }

// Len returns how many are inside.
func (g *Gate) Len() int { return int(max(0, g.inside.Load())) }
