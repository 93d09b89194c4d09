package config

// The shapes of what stands under `limits`.
type (
	limitKeys struct {
		place
		HeaderBytes           size        `yaml:"header_bytes" default:"32KiB" min:"4KiB" max:"1MiB" doc:"the header of a request, else 431"`
		Connections           count       `yaml:"connections" default:"20000" min:"1" max:"1000000" doc:"connections open at once; one more is closed"`
		ConnectionsPerAddress count       `yaml:"connections_per_address" default:"1000" min:"1" max:"1000000" doc:"of them from one IPv4 address or IPv6 /64; one more is closed"`
		Streams               count       `yaml:"streams" default:"100" min:"1" max:"10000" doc:"HTTP/2 requests at once on one connection; one more is refused"`
		ReadHeader            span        `yaml:"read_header" default:"10s" min:"1s" max:"5m" doc:"time for a handshake, and for the header of a request"`
		Idle                  span        `yaml:"idle" default:"2m" min:"1s" max:"1h" doc:"time that a connection stays open without a request"`
		Stall                 span        `yaml:"stall" default:"60s" min:"1s" max:"1h" doc:"time in which something of a body has to come, else 408, or something of an answer has to be taken, else the connection ends"`
		InFlight              count       `yaml:"in_flight" default:"4000" min:"1" max:"1000000" doc:"requests that are being answered at once, else 503"`
		OpenStreams           count       `yaml:"open_streams" default:"10000" min:"1" max:"1000000" doc:"WebSockets and event streams that are open and no longer count as in flight; one more goes on counting"`
		RequestsPerAddress    addressRate `yaml:"requests_per_address" doc:"requests of nobody signed in, from one IPv4 address or IPv6 /64, else 429"`
		RequestsPerSession    sessionRate `yaml:"requests_per_session" doc:"requests of one session, whatever address they come from, else 429"`
		SignInsPerAddress     signInRate  `yaml:"sign_ins_per_address" doc:"browsers sent to the provider, from one IPv4 address or IPv6 /64, else 429"`
		SessionsPerPerson     count       `yaml:"sessions_per_person" default:"20" min:"1" max:"10000" doc:"sessions of one person at once; one more ends the one that was idle the longest"`
		Held                  count       `yaml:"held_requests" default:"2000" min:"1" max:"100000" doc:"requests that are kept while their persons step up, else 429"`
		HeldPerSession        count       `yaml:"held_requests_per_session" default:"5" min:"1" max:"1000" doc:"of them of one session, else 429"`
	}

	addressRate struct {
		place
		PerSecond count `yaml:"per_second" default:"100" min:"1" max:"1000000" doc:"on average"`
		Burst     count `yaml:"burst" default:"2000" min:"1" max:"1000000" doc:"at once"`
	}

	sessionRate struct {
		place
		PerSecond count `yaml:"per_second" default:"200" min:"1" max:"1000000" doc:"on average"`
		Burst     count `yaml:"burst" default:"2000" min:"1" max:"1000000" doc:"at once"`
	}

	signInRate struct {
		place
		PerMinute count `yaml:"per_minute" default:"600" min:"1" max:"1000000" doc:"on average"`
		Burst     count `yaml:"burst" default:"600" min:"1" max:"1000000" doc:"at once"`
	}
)
