package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Mistake is one thing that is wrong with a configuration file, and where.
type Mistake struct {
	File         string
	Line, Column int // from 1; columns count characters
	Message      string
}

// String returns FILE:LINE:COL: message.
func (m Mistake) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Message)
}

// Mistakes are all the mistakes of one file, by line and column.
type Mistakes []Mistake

// Error returns every mistake as FILE:LINE:COL: message, one a line.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i := range m {
		lines[i] = m[i].String()
	}
	return strings.Join(lines, "\n")
}

// A Warning is something that works and that an operator may not have meant.
type Warning Mistake

// String returns FILE:LINE:COL: warning: message.
func (w Warning) String() string {
	return fmt.Sprintf("%s:%d:%d: warning: %s", w.File, w.Line, w.Column, w.Message)
}

// sorted returns m in the order of the file, each mistake once.
func (m Mistakes) sorted() Mistakes {
	slices.SortFunc(m, inFileOrder)
	return slices.Compact(m)
}

func inFileOrder(a, b Mistake) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
}

// A place is where a value stands in the file. The zero place is that of a
// value that the file does not give.
type place struct{ line, column int }

func (p place) given() bool   { return p.line > 0 }
func (p *place) put(at place) { *p = at }
func (p place) where() place  { return p }

const longestWord = 60 // characters of the file that a message repeats

// quoted returns what an operator wrote as a message shows it: between
// backquotes, shortened, and without anything that moves a terminal's cursor.
func quoted(s string) string {
	runes := []rune(s)
	if len(runes) > longestWord {
		s = string(runes[:longestWord]) + "…"
	}
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '�'
		}
		return r
	}, s)
	return "`" + s + "`"
}

// nearest ends a message about an unknown word: with the valid word that was
// probably meant, or else with all of them when they are few.
func nearest(word string, valid []string) string {
	const fewWords = 16
	best, least := "", 0
	for _, v := range valid {
		d := distance(strings.ToLower(word), strings.ToLower(v))
		if limit := max(1, max(len(word), len(v))/3); d <= limit && (best == "" || d < least) {
			best, least = v, d
		}
	}
	switch {
	case best != "":
		return "; did you mean " + quoted(best) + "?"
	case len(valid) == 0 || len(valid) > fewWords:
		return ""
	}
	return "; there is " + strings.Join(valid, ", ")
}

// distance returns how many letters must be changed, added, removed or swapped
// with their neighbour to make a of b. Words longer than a message shows are
// near to nothing.
func distance(a, b string) int {
	if len(a) > longestWord || len(b) > longestWord {
		return len(a) + len(b)
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := old[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, old[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}
