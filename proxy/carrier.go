//go:build !reference

package proxy

import "github.com/anteroom/anteroom/carry"

// newCarrier returns what carries requests to a backend. Built with the tag
// reference it is net/http's transport, which it is held against.
func newCarrier(o carry.Options) carry.Carrier { return carry.New(o) }
