//go:build reference

package proxy

import (
	"github.com/anteroom/anteroom/anteroomtest/reference"
	"github.com/anteroom/anteroom/carry"
)

func newCarrier(o carry.Options) carry.Carrier { return reference.New(o) }
