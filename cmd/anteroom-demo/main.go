// Command anteroom-demo runs a gateway with an OpenID provider, a small
// hospital behind it and an MDM tunnel before it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/anteroom/anteroom/cmd/gateway"
	"github.com/anteroom/anteroom/demo"
)

var version = "devel" // set by the linker

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("anteroom-demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: anteroom-demo [--dir DIR] [--listen ADDR]")
		flags.PrintDefaults()
	}
	dir := flags.String("dir", "demo-data", "where the demo keeps its files, the configuration among them")
	listen := flags.String("listen", "", "the tunnel's address (default: as configured, else "+demo.DefaultListen+"); with port 0, a new demo finds free ports for all its parts")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		flags.Usage()
		return 2
	}
	if err := serve(ctx, *dir, *listen, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "anteroom-demo: %v\n", err)
		return 1
	}
	return 0
}

// serve runs hospital and gateway until ctx ends or one of them fails.
func serve(ctx context.Context, dir, listen string, stdout, stderr io.Writer) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open demo: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "demo.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer file.Close()
	// Everything goes to the file, and what a person should act on to the terminal too.
	kept := slog.NewJSONHandler(file, &slog.HandlerOptions{Level: slog.LevelInfo})
	shown := slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})
	log := slog.New(slog.NewMultiHandler(kept, shown))
	slog.SetDefault(slog.New(kept)) // the provider's library logs by the default logger alone

	hospital, err := demo.Open(demo.Options{Dir: dir, Listen: listen, Log: log})
	if err != nil {
		return err
	}
	defer hospital.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	var ofHospital, ofGateway error
	running.Go(func() {
		defer cancel()
		ofHospital = hospital.Run(ctx)
	})
	running.Go(func() {
		defer cancel()
		ofGateway = gateway.Run(ctx, gateway.Options{
			ConfigFile: hospital.ConfigFile(),
			Version:    version,
			Log:        log,
			Ready:      func(gateway.Addresses) { fmt.Fprintln(stdout, hospital.Welcome()) },
			Grace:      -1, // no balancer stands before a demo
		})
	})
	running.Wait()
	return errors.Join(ofHospital, ofGateway)
}
