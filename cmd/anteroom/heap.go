package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// room is by how much the heap may grow from one collection to the next, beyond
// as much again as lives in it.
const room = 128 << 20

// giveRoom has the collector wait for room. Little lives in the heap of a
// gateway, and its requests leave as much behind in a blink; by Go's own measure,
// as much again as lives, it would be looked through ten times a second. Whoever
// sets GOGC keeps that instead, and GOMEMLIMIT bounds the whole in any case.
func giveRoom() {
	if os.Getenv("GOGC") == "" {
		adjust(0)
	}
}

// adjust sets what the collector waits for, now and after each of its rounds,
// from the percentage that stood before: one that never changed would let a
// large heap grow far more than a small one.
func adjust(before int) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	now := percent(live[0].Value.Uint64())
	if now < before*9/10 || now > before*11/10 { // setting it stops the world
		debug.SetGCPercent(now)
		before = now
	}
	type witness struct{ _ [4]uintptr } // is gone in the next round; smaller ones share a place with what may stay
	runtime.AddCleanup(new(witness), adjust, before)
}

// percent returns the GOGC by which a heap of so many bytes grows by as much
// again and by room.
func percent(live uint64) int {
	const unknown = 8 << 20 // before the first round, and while a gateway begins
	return 100 + int(100*room/max(live, unknown))
}
