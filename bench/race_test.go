//go:build race

package main

// slack is how much more than the bare proxy the gateway may count here: the
// race detector has sync.Pool forget a part of what it is given, and the
// gateway has more pools.
const slack = 1.15
