//go:build !race

package main

// slack is how far the counts may lie apart. They move by a few in a hundred
// with how often the collector empties the pools meanwhile.
const slack = 1.10
