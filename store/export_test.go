package store

import "net"

// Through has the connection to the engine go through what wrap makes of it.
func (o Options) Through(wrap func(net.Conn) net.Conn) Options {
	o.conn = wrap
	return o
}
