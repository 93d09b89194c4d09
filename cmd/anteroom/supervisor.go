package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// inherited returns the sockets that the service manager opened for this
// process (sd_listen_fds(3)); none when there is no such manager. Its children,
// if ever there were any, would not see them.
func inherited() ([]net.Listener, error) {
	all, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take over sockets: %w", err)
	}
	for _, l := range all {
		if l == nil {
			return nil, errors.New("take over sockets: one is not a listening stream socket")
		}
	}
	return all, nil
}

// tell says to the service manager that the gateway is ready, or that it stops
// (sd_notify(3)). Without a manager that wants to know it does nothing.
func tell(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("tell the service manager", "error", err)
	}
}

// tellStopping does so once ctx ends.
func tellStopping(ctx context.Context, log *slog.Logger) (forget func() bool) {
	return context.AfterFunc(ctx, func() { tell(log, daemon.SdNotifyStopping) })
}
