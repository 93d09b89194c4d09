package config

func (d *decoder) limits(l *limitKeys) Limits {
	d.within(l.ConnectionsPerAddress, "connections_per_address", l.Connections, "connections")
	d.within(l.HeldPerSession, "held_requests_per_session", l.Held, "held_requests")
	perSecond := func(n, burst count) Rate { return Rate{float64(n.V), burst.V} }
	signIns := perSecond(l.SignInsPerAddress.PerMinute, l.SignInsPerAddress.Burst)
	signIns.PerSecond /= 60
	return Limits{
		HeaderBytes: int(l.HeaderBytes.V), Connections: l.Connections.V, ConnectionsPerAddress: l.ConnectionsPerAddress.V,
		Streams: l.Streams.V, ReadHeader: l.ReadHeader.V, Idle: l.Idle.V, Stall: l.Stall.V,
		InFlight: l.InFlight.V, OpenStreams: l.OpenStreams.V,
		RequestsPerAddress: perSecond(l.RequestsPerAddress.PerSecond, l.RequestsPerAddress.Burst),
		RequestsPerSession: perSecond(l.RequestsPerSession.PerSecond, l.RequestsPerSession.Burst),
		SignInsPerAddress:  signIns,
		SessionsPerPerson:  l.SessionsPerPerson.V, Held: l.Held.V, HeldPerSession: l.HeldPerSession.V,
	}
}

// within reports a limit of one that is given and greater than that of all: it
// would never be reached. One that is not given yields to that of all.
func (d *decoder) within(one count, oneName string, all count, allName string) {
	if one.given() && all.V > 0 && one.V > all.V {
		d.mistake(one.where(), "%s (%d) is greater than %s (%d): it would never be reached", oneName, one.V, allName, all.V)
	}
}
