// Command parts tells what released binaries are made of: as a bill of
// materials in CycloneDX, and with the licences of it all.
package main

import (
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// A module is a part of a binary.
type module struct {
	Path, Version string
	Sum           string // as in go.sum; "" for the standard library
	Dir           string // where its source is
	Licences      []licence
}

func main() {
	sbom := flag.String("sbom", "", "directory for a bill of materials of each binary")
	licences := flag.String("licences", "", "file for the licences of all binaries")
	version := flag.String("version", "", "version of the release")
	at := flag.String("time", "", "time of the bills (RFC 3339): that of the commit, so that they come out the same each time")
	flag.Parse()
	if err := run(*sbom, *licences, *version, *at, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "parts:", err)
		os.Exit(1)
	}
}

func run(sbom, licences, version, at string, binaries []string) error {
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return fmt.Errorf("-time: %w", err)
	}
	all := make(map[string]module)
	for _, name := range binaries {
		info, err := buildinfo.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		parts, err := partsOf(info)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, m := range parts {
			all[m.Path] = m
		}
		if sbom == "" {
			continue
		}
		b, err := billOf(name, info, parts, version, when)
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(b, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(sbom, filepath.Base(name)+".cdx.json"), append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if licences == "" {
		return nil
	}
	f, err := os.Create(licences)
	if err != nil {
		return err
	}
	return errors.Join(writeLicences(f, sorted(all)), f.Close())
}

func sorted(all map[string]module) []module {
	var list []module
	for _, m := range all {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b module) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

// partsOf returns the modules that a binary was linked from, the standard
// library first, with their licences. The error names every module whose
// licence is unknown, or is none of those that we may pass on.
func partsOf(info *debug.BuildInfo) ([]module, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("ask for GOROOT: %w", err)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	parts := []module{{Path: "std", Version: version, Dir: strings.TrimSpace(string(out))}}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		parts = append(parts, module{Path: d.Path, Version: d.Version, Sum: d.Sum})
	}
	if err := locate(parts[1:]); err != nil {
		return nil, err
	}
	var problems []error
	for i := range parts {
		if parts[i].Licences, err = licencesIn(parts[i].Dir); err != nil {
			problems = append(problems, fmt.Errorf("%s %s: %w", parts[i].Path, parts[i].Version, err))
		}
	}
	return parts, errors.Join(problems...)
}

// locate finds the source of modules.
func locate(parts []module) error {
	if len(parts) == 0 {
		return nil
	}
	args := []string{"mod", "download", "-json"}
	for _, m := range parts {
		args = append(args, m.Path+"@"+m.Version)
	}
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		return fmt.Errorf("find the source of the modules: %w", err)
	}
	dirs := make(map[string]string)
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var m struct{ Path, Version, Dir, Sum string }
		if err := d.Decode(&m); err != nil {
			return fmt.Errorf("read the list of modules: %w", err)
		}
		dirs[m.Path+"@"+m.Version+" "+m.Sum] = m.Dir
	}
	for i, m := range parts {
		if parts[i].Dir = dirs[m.Path+"@"+m.Version+" "+m.Sum]; parts[i].Dir == "" {
			return fmt.Errorf("the source of %s %s is not what was linked", m.Path, m.Version)
		}
	}
	return nil
}
