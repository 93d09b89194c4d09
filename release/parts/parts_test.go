package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	mit    = "Permission is hereby granted,\nfree of charge, to any person. THE SOFTWARE IS PROVIDED “AS IS”"
	bsd2   = "Redistribution and use in source and binary forms, with or without modification"
	bsd3   = bsd2 + ". Neither the name may be used to endorse or\n  promote products"
	apache = "  Apache License\n  Version 2.0, January 2004"
	mpl    = "Mozilla Public License Version 2.0 ... the GNU General Public License, Version 2.0"
)

func TestIdentify(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"MIT, over lines", mit, "MIT"},
		{"two clauses", bsd2, "BSD-2-Clause"},
		{"three clauses", bsd3, "BSD-3-Clause"},
		{"ISC in both spellings", "Permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted, provided that the above copyright", "ISC"},
		{"two licences", apache + mit, "Apache-2.0 MIT"},
		{"what it may be combined with", mpl, "MPL-2.0"},
		{"copyleft", "GNU Affero General Public License", "AGPL"},
		{"words", "All rights reserved.", ""},
	} {
		if got := strings.Join(identify(c.text), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLicencesIn(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   map[string]string
		want    int
		refused string
	}{
		{"one", map[string]string{"LICENSE": mit, "main.go": "package main"}, 1, ""},
		{"with a notice", map[string]string{"License.txt": apache, "NOTICE": "made by"}, 2, ""},
		{"one of two may not be passed on", map[string]string{"LICENSE": mit, "COPYING": "GNU General Public License"}, 0, "COPYING is GPL"},
		{"unknown", map[string]string{"LICENSE": "ask us"}, 0, "not known"},
		{"a notice alone", map[string]string{"NOTICE": mit}, 0, "not known"},
		{"none", map[string]string{"license_test.go": mit}, 0, "not known"},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := licencesIn(dir)
		switch {
		case c.refused == "" && (err != nil || len(got) != c.want):
			t.Errorf("%s: %d files, %v", c.name, len(got), err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s: err = %v, want %q", c.name, err, c.refused)
		}
	}
}

func TestBill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "anteroom-v1.2.3-rc1-linux-arm64")
	if err := os.WriteFile(file, []byte("binary"), 0o600); err != nil {
		t.Fatal(err)
	}
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8", Path: "example.test/anteroom/cmd/anteroom", Main: debug.Module{Path: "example.test/anteroom"},
		Settings: []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: "arm64"}, {Key: "-ldflags", Value: "-s"}},
	}
	parts := []module{
		{Path: "std", Version: "1.26.8", Licences: []licence{{IDs: []string{"BSD-3-Clause"}}}},
		{Path: "example.test/part", Version: "v2.0.0+incompatible", Sum: "h1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
			Licences: []licence{{IDs: []string{"MIT"}}, {IDs: []string{"Apache-2.0"}}, {File: "NOTICE"}}},
	}
	var texts [2][]byte
	for i := range texts {
		b, err := billOf(file, info, parts, "v1.2.3-rc1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)))
		if err != nil {
			t.Fatal(err)
		}
		if texts[i], err = json.Marshal(b); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("two bills of one binary differ")
	}
	for _, want := range []string{
		`"version":"v1.2.3-rc1"`, `"timestamp":"2026-01-02T02:04:05Z"`, `"purl":"pkg:golang/example.test/anteroom@v1.2.3-rc1#cmd/anteroom"`,
		`"purl":"pkg:golang/example.test/part@v2.0.0%2Bincompatible"`, `"expression":"Apache-2.0 AND MIT"`, `"license":{"id":"BSD-3-Clause"}`,
		`"content":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"`, `{"name":"go:GOARCH","value":"arm64"}`,
		`"dependsOn":["pkg:golang/std@1.26.8","pkg:golang/example.test/part@v2.0.0%2Bincompatible"]`,
	} {
		if !strings.Contains(string(texts[0]), want) {
			t.Errorf("the bill lacks %s:\n%s", want, texts[0])
		}
	}
}

func TestWriteLicences(t *testing.T) {
	var b strings.Builder
	parts := sorted(map[string]module{
		"b": {Path: "b", Version: "v2", Licences: []licence{{"LICENSE", []string{"MIT"}, mit + "\n\n"}, {"NOTICE", nil, "thanks"}}},
		"a": {Path: "a", Version: "v1", Licences: []licence{{"COPYING", []string{"ISC", "MIT"}, "text of a"}}},
	})
	if err := writeLicences(&b, parts); err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, want := range []string{"a v1: ISC, MIT\nb v2: MIT\n", "a v1, COPYING", "text of a\n", "b v2, LICENSE", mit + "\n", "b v2, NOTICE", "thanks\n"} {
		next := strings.Index(b.String(), want)
		if next <= at {
			t.Fatalf("%q is at %d, after %d:\n%s", want, next, at, b.String())
		}
		at = next
	}
	if !slices.IsSortedFunc(parts, func(a, b module) int { return strings.Compare(a.Path, b.Path) }) {
		t.Error("not sorted")
	}
}
