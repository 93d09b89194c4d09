package config_test

import (
	"testing"
	"time"

	"github.com/anteroom/anteroom/config"
	"github.com/google/go-cmp/cmp"
)

func TestLimits(t *testing.T) {
	defaults := config.Limits{
		HeaderBytes: 32 << 10, Connections: 20000, ConnectionsPerAddress: 1000, Streams: 100,
		ReadHeader: 10 * time.Second, Idle: 2 * time.Minute, Stall: time.Minute,
		InFlight: 4000, OpenStreams: 10000,
		RequestsPerAddress: config.Rate{PerSecond: 100, Burst: 2000},
		RequestsPerSession: config.Rate{PerSecond: 200, Burst: 2000},
		SignInsPerAddress:  config.Rate{PerSecond: 10, Burst: 600},
		SessionsPerPerson:  20, Held: 2000, HeldPerSession: 5,
	}
	c, _ := parse(t, small("", ""))
	if diff := cmp.Diff(defaults, c.Limits); diff != "" {
		t.Errorf("of a file without limits (-want +got):\n%s", diff)
	}
	c, _ = parse(t, string(read(t, "example.yaml")))
	if diff := cmp.Diff(defaults, c.Limits); diff != "" {
		t.Errorf("the example does not show the defaults (-want +got):\n%s", diff)
	}

	// What is said is taken, and what is left out beside it stays as it was.
	c, _ = parse(t, small("limits: {connections: 50, stall: 1s, requests_per_session: {burst: 7}, sign_ins_per_address: {per_minute: 30}}\n", ""))
	want := defaults
	want.Connections, want.Stall = 50, time.Second
	want.RequestsPerSession.Burst, want.SignInsPerAddress.PerSecond = 7, 0.5
	if diff := cmp.Diff(want, c.Limits); diff != "" {
		t.Errorf("of a file with some (-want +got):\n%s", diff)
	}
}
