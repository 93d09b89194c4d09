package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path"
	"runtime/debug"
	"strings"
	"time"
)

// A bill is a bill of materials (CycloneDX 1.6, ECMA-424).
type bill struct {
	Schema       string       `json:"$schema"`
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	SerialNumber string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Licenses   []choice   `json:"licenses,omitempty"`
	PURL       string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

// A choice is one licence, or an expression of several.
type choice struct {
	License    *license `json:"license,omitempty"`
	Expression string   `json:"expression,omitempty"`
}

type license struct {
	ID string `json:"id"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// billOf returns the bill of the binary in file, which is the same each time.
// version and at are those of the release: Go writes down neither for a build
// that does not look at a repository.
func billOf(file string, info *debug.BuildInfo, parts []module, version string, at time.Time) (*bill, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	b := &bill{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		SerialNumber: serial(sum),
		Metadata: metadata{Timestamp: at.UTC().Format(time.RFC3339), Component: component{
			Type: "application", Name: path.Base(info.Path), Version: version,
			Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Licenses: []choice{{License: &license{"Apache-2.0"}}},
		}},
	}
	this := &b.Metadata.Component
	this.PURL = purl(info.Main.Path, this.Version) + "#" + strings.TrimPrefix(info.Path, info.Main.Path+"/")
	this.Ref = this.PURL
	for _, s := range info.Settings {
		if strings.HasPrefix(s.Key, "GO") || s.Key == "CGO_ENABLED" {
			this.Properties = append(this.Properties, property{"go:" + s.Key, s.Value})
		}
	}
	all := dependency{Ref: this.Ref}
	for _, m := range parts {
		c := component{Type: "library", Name: m.Path, Version: m.Version, PURL: purl(m.Path, m.Version), Licenses: choices(m.ids())}
		c.Ref = c.PURL
		if m.Sum != "" {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
			if err != nil {
				return nil, fmt.Errorf("sum of %s: %w", m.Path, err)
			}
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(raw)}} // of the module's tree, as go.sum has it
		}
		b.Components = append(b.Components, c)
		all.DependsOn = append(all.DependsOn, c.Ref)
	}
	b.Dependencies = []dependency{all}
	return b, nil
}

// purl names a module (package URL specification).
func purl(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
}

func choices(ids []string) []choice {
	if len(ids) == 1 {
		return []choice{{License: &license{ids[0]}}}
	}
	return []choice{{Expression: strings.Join(ids, " AND ")}}
}

// serial returns a UUID made from sum (RFC 9562, section 5.8).
func serial(sum [32]byte) string {
	u := sum
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
