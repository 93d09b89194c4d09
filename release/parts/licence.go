package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A licence is a file that says under what terms a module is given.
type licence struct {
	File string
	IDs  []string // of SPDX, sorted; none for a notice
	Text string
}

// passed are the licences of parts that we may pass on in a binary under our own.
var passed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "Unlicense"}

// marks are phrases by which licences are told; all of one have to be there.
// A file may hold several licences.
var marks = []struct {
	id   string
	with []string
}{
	{"Apache-2.0", []string{"apache license", "version 2.0"}},
	{"MPL-2.0", []string{"mozilla public license", "2.0"}},
	{"MIT", []string{"permission is hereby granted, free of charge", "the software is provided \"as is\""}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "to endorse or promote products"}},
	{"ISC", []string{"permission to use, copy, modify, and", "distribute this software for any purpose with or without fee is hereby granted, provided that the above"}},
	{"0BSD", []string{"permission to use, copy, modify, and", "distribute this software for any purpose with or without fee is hereby granted. the software"}},
	{"CC0-1.0", []string{"cc0 1.0 universal"}},
	{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}},
	{"GPL", []string{"gnu general public license"}},
	{"LGPL", []string{"gnu lesser general public license"}},
	{"AGPL", []string{"gnu affero general public license"}},
	{"BUSL", []string{"business source license"}},
	{"SSPL", []string{"server side public license"}},
}

var space = regexp.MustCompile(`\s+`)

// identify returns the SPDX ids of the licences in text; none when it is none
// that is known.
func identify(text string) []string {
	text = space.ReplaceAllString(strings.ToLower(strings.NewReplacer("“", `"`, "”", `"`, "''", `"`, "``", `"`).Replace(text)), " ")
	var ids []string
	for _, m := range marks {
		if !slices.ContainsFunc(m.with, func(w string) bool { return !strings.Contains(text, w) }) {
			ids = append(ids, m.id)
		}
	}
	if strings.Contains(text, "redistribution and use in source and binary forms") && !slices.Contains(ids, "BSD-3-Clause") {
		ids = append(ids, "BSD-2-Clause")
	}
	if slices.Contains(ids, "MPL-2.0") { // which names these as licences that it may be combined with
		ids = slices.DeleteFunc(ids, func(id string) bool { return strings.Contains(id, "GPL") })
	}
	slices.Sort(ids)
	return ids
}

var licenceFile = regexp.MustCompile(`(?i)^(un)?licen[cs]e([-.].*)?$|^copying([-.].*)?$|^notice([-.].*)?$`)

// licencesIn returns the licences and notices at the top of dir. The error says
// that there is no licence, or one that we may not pass on.
func licencesIn(dir string) ([]licence, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []licence
	known := false
	for _, e := range entries {
		if !e.Type().IsRegular() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		l := licence{File: e.Name(), Text: string(text)}
		if !strings.HasPrefix(strings.ToLower(e.Name()), "notice") {
			l.IDs = identify(l.Text)
			known = known || len(l.IDs) > 0
			for _, id := range l.IDs {
				if !slices.Contains(passed, id) {
					return nil, fmt.Errorf("%s is %s, which is none of %s", e.Name(), id, strings.Join(passed, ", "))
				}
			}
		}
		all = append(all, l)
	}
	if !known {
		return nil, errors.New("its licence is not known")
	}
	return all, nil
}

// ids returns the SPDX ids of a module, sorted.
func (m module) ids() []string {
	var all []string
	for _, l := range m.Licences {
		all = append(all, l.IDs...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// writeLicences writes a table of the parts and their licences, and then the
// texts, which most of them want to be passed on with the binary.
func writeLicences(w io.Writer, parts []module) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Anteroom is made with the work of others, %d modules, whose licences follow.\n\n", len(parts))
	for _, m := range parts {
		fmt.Fprintf(&b, "%s %s: %s\n", m.Path, m.Version, strings.Join(m.ids(), ", "))
	}
	for _, m := range parts {
		for _, l := range m.Licences {
			fmt.Fprintf(&b, "\n%s\n%s %s, %s\n%s\n\n%s\n", strings.Repeat("=", 78), m.Path, m.Version, l.File, strings.Repeat("=", 78), strings.TrimSpace(l.Text))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
