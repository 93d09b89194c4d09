package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"anteroom": main})
}

// TestScript runs what an operator types, and holds what they are told.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "journal": journal, "copies": copied, "disclosed": disclosed, "nextday": nextDay, "replace": replace,
			"awaits": awaits, "holds": holds,
		},
		RequireExplicitExec: true,
	})
}

// exits CODE COMMAND... runs a command and wants its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("run %s: %v", args[1], err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// journal DIR writes an audit trail of one evening.
func journal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: journal DIR")
	}
	at := time.Date(2026, 11, 20, 19, 30, 0, 0, time.UTC)
	j, err := audit.Open(audit.Options{Dir: ts.MkAbs(args[0]), Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: func() time.Time { return at }})
	ts.Check(err)
	nora := &access.Session{ID: "s-nora", Roles: []string{"nurse"}, Authentication: access.Authentication{
		Subject: access.Subject{Issuer: "https://login.test", Sub: "a81f"}, Username: "nora", ACR: "pwd", AuthTime: at.Add(-time.Hour)}}
	piet := &access.Session{ID: "s-piet", Roles: []string{"physician"}, Authentication: access.Authentication{
		Subject: access.Subject{Issuer: "https://login.test", Sub: "b302"}, Username: "piet", ACR: "phr", AuthTime: at.Add(-time.Hour)}}
	for i, e := range []access.Event{
		{Kind: access.EventAccess, Verdict: "allow", Reason: access.AllMet, Route: "chart", Method: "GET", Path: "/patients/77", Patient: "77", Session: nora, RequestID: "r1", Posture: &access.Posture{DeviceID: "mdm:ipad-1", Assurance: access.A1}},
		{Kind: access.EventAccess, Verdict: "step_up", Reason: access.OldLogin, Route: "chart", Rule: "amend", Method: "POST", Path: "/orders/7", Session: nora, RequestID: "r2"},
		{Kind: access.EventAccess, Verdict: "allow", Reason: access.AllMet, Route: "chart", Method: "GET", Path: "/patients/77/lab", Patient: "77", Session: piet, RequestID: "r3"},
		{Kind: access.EventAccess, Verdict: "deny", Reason: access.NoRole, Route: "admin", Method: "GET", Path: "/admin", Session: piet, RequestID: "r4"},
	} {
		e.Host = "chart.test"
		e.Time = at.Add(time.Duration(i) * time.Minute)
		ts.Check(j.Record(context.Background(), &e, true))
	}
	ts.Check(j.Close())
}

// nextday DIR writes the trail of journal, and opens it again the day after.
func nextDay(ts *testscript.TestScript, neg bool, args []string) {
	journal(ts, neg, args)
	at := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	j, err := audit.Open(audit.Options{Dir: ts.MkAbs(args[0]), Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: func() time.Time { return at }})
	ts.Check(err)
	ts.Check(j.Close())
}

// disclosed DIR adds to a trail what went to a pharmacy outside, and what did not.
func disclosed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: disclosed DIR")
	}
	at := time.Date(2026, 11, 20, 20, 30, 0, 0, time.UTC)
	j, err := audit.Open(audit.Options{Dir: ts.MkAbs(args[0]), Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: func() time.Time { return at }})
	ts.Check(err)
	told := &access.Disclosure{Recipient: "Apotek, Oslo", Purpose: "dispensing"}
	for _, e := range []access.Event{
		{Kind: access.EventAccess, Verdict: "allow", Reason: access.AllMet, Route: "results", Method: "GET", Path: "/export/77", Patient: "77", RequestID: "d1", Disclosure: told},
		{Kind: access.EventOutcome, Verdict: "allow", Reason: access.AllMet, Route: "results", Method: "GET", Path: "/export/77", Patient: "77", RequestID: "d1", Status: 200},
		{Kind: access.EventAccess, Verdict: "deny", Reason: access.NoRole, Route: "results", Method: "GET", Path: "/refused", Patient: "77", RequestID: "d2", Disclosure: told},
		{Kind: access.EventAccess, Verdict: "allow", Reason: access.AllMet, Route: "results", Method: "GET", Path: "/broken", Patient: "77", RequestID: "d3", Disclosure: told},
		{Kind: access.EventOutcome, Verdict: "allow", Reason: access.AllMet, Route: "results", Method: "GET", Path: "/broken", Patient: "77", RequestID: "d3", Status: 502},
		{Kind: access.EventAccess, Verdict: "allow", Reason: access.AllMet, Route: "results", Method: "GET", Path: "/export/77", Patient: "77", RequestID: "d4", Disclosure: told}, // its end is not known
	} {
		ts.Check(j.Record(context.Background(), &e, true))
	}
	ts.Check(j.Close())
}

// copied JOURNAL DIR copies its checkpoints to DIR, as a gateway does.
func copied(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: copies JOURNAL DIR")
	}
	dir, to := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(to, 0o700))
	sink, f := audit.Copy{Journal: dir, Dir: to}, audit.Follow(dir, audit.Place{})
	for {
		records, err := f.Next(3)
		ts.Check(err)
		if len(records) == 0 {
			return
		}
		ts.Check(sink.Send(context.Background(), records))
	}
}

// replace GLOB OLD NEW changes text in the one file that GLOB names.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace GLOB OLD NEW")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) != 1 {
		ts.Fatalf("%s names %d files", args[0], len(files))
	}
	text, err := os.ReadFile(files[0])
	ts.Check(err)
	if n := bytes.Count(text, []byte(args[1])); n != 1 {
		ts.Fatalf("%q stands %d times in %s", args[1], n, files[0])
	}
	ts.Check(os.WriteFile(files[0], bytes.Replace(text, []byte(args[1]), []byte(args[2]), 1), 0o600))
}

// awaits GLOB [TEXT] waits until a file of such a name is there, and holds TEXT.
func awaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: awaits GLOB [TEXT]")
	}
	for deadline := time.Now().Add(time.Minute); ; {
		files, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(strings.Join(args[1:], ""))) {
				return
			}
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after a minute there is no %s", strings.Join(args, " with "))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// holds GLOB TEXT wants TEXT in the one file that GLOB names.
func holds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: holds GLOB TEXT")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) != 1 {
		ts.Fatalf("%s names %d files", args[0], len(files))
	}
	text, err := os.ReadFile(files[0])
	ts.Check(err)
	if !bytes.Contains(text, []byte(args[1])) {
		ts.Fatalf("%s does not hold %q", files[0], args[1])
	}
}
