package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

const maxFile = 4 << 20 // bytes

// tree reads text as one YAML document without anchors, aliases, merge keys
// and tags: a file that can only be read in one way. It returns nil when there
// is no document to go on with.
func (d *decoder) tree(text []byte) *yaml.Node {
	if len(text) > maxFile {
		d.mistake(place{1, 1}, "the file is larger than 4 MiB")
		return nil
	}
	if at, what := unreadable(text); what != "" {
		d.mistake(at, "%s", what)
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		d.mistake(place{1, 1}, "not YAML: %v", err)
		return nil
	}
	var doc, more yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		d.mistake(place{1, 1}, "the file is empty")
		return nil
	} else if err != nil {
		d.notYAML(text, err)
		return nil
	}
	root := doc.Content[0]
	switch err := loader.Load(&more); {
	case err == nil:
		at := more.Line
		if len(more.Content) > 0 {
			at = more.Content[0].Line
		}
		d.mistake(place{max(at, 1), 1}, "a second document begins here: the configuration is one document")
	case !errors.Is(err, io.EOF):
		d.notYAML(text, err)
		return nil
	}
	d.plain(root)
	return root
}

// unreadable finds the first byte that is not text, and says what it is.
func unreadable(text []byte) (at place, what string) {
	at = place{1, 1}
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			return at, "the file is not UTF-8 text: this byte is " + fmt.Sprintf("0x%02X", text[0])
		case r == 0:
			return at, "the file holds a NUL character"
		case r == '\r' && !bytes.HasPrefix(text, []byte("\r\n")), r == 0x85, r == 0x2028, r == 0x2029:
			// YAML begins a new line here, and most editors do not.
			return at, fmt.Sprintf("the file holds the line break U+%04X, which not every program takes for one: end lines with LF or CRLF", r)
		case r < 0x20 && r != '\t' && r != '\n' && r != '\r', r >= 0x7f && r < 0xa0, r == 0xfffe, r == 0xffff:
			return at, fmt.Sprintf("the file holds the control character U+%04X", r)
		}
		text = text[n:]
		if at.column++; r == '\n' {
			at = place{at.line + 1, 1}
		}
	}
	return at, ""
}

// notYAML reports what stopped the YAML reader, in its own words where it has a place.
func (d *decoder) notYAML(text []byte, err error) {
	var all *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case errors.As(err, &all) && len(all.Errors) > 0:
		one = all.Errors[0]
	case !errors.As(err, &one):
		d.mistake(place{1, 1}, "not YAML: %v", err)
		return
	}
	at := place{max(one.Mark.Line, 1), max(one.Mark.Column, 1)}
	lines := bytes.Split(text, []byte("\n"))
	if at.line <= len(lines) {
		line := string(lines[at.line-1])
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
			d.mistake(place{at.line, tab + 1}, "indented with a tab: YAML wants spaces")
			return
		}
	}
	message := one.Message
	if one.ContextMsg != "" {
		message += " " + one.ContextMsg
		if line := one.ContextMark.Line; line > 0 && line != at.line {
			message += fmt.Sprintf(" that begins in line %d", line)
		}
	}
	d.mistake(at, "not YAML: %s", message)
}

// plain reports whatever makes a node mean something else than it says.
func (d *decoder) plain(n *yaml.Node) {
	at := placeOf(n)
	switch {
	case n.Kind == yaml.AliasNode:
		d.mistake(at, "aliases are not read: write the value out")
		return // not followed: that is how a small file grows without end
	case n.Anchor != "":
		d.mistake(at, "anchors are not read: write the value out where it is needed")
	case n.Style&yaml.TaggedStyle != 0:
		d.mistake(at, "tags such as %s are not read: write the plain value", quoted(n.ShortTag()))
	case n.Kind == yaml.ScalarNode && n.Tag == mergeTag:
		d.mistake(at, "merge keys are not read: write the keys out")
	}
	for _, c := range n.Content {
		d.plain(c)
	}
}

const mergeTag = "!!merge"

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }
