package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/config"
)

// Every file under testdata/broken says in comments what is wrong with it:
//
//	#     ^ part     the column of the ^, in the last line above that is no such comment
//	#: part          the column of the #, likewise
//	#@ 4:1 part      line 4, column 1: for files that stop being YAML
//
// part is a part of the message. A file has these mistakes and no others.
var marker = regexp.MustCompile(`^( *)#(?:( *)\^ |(:) |@ (\d+):(\d+) )(.*)$`)

type expected struct {
	line, column int
	part         string
}

func expectations(text string) []expected {
	var all []expected
	above := 0
	for i, line := range strings.Split(text, "\n") {
		m := marker.FindStringSubmatch(line)
		if m == nil {
			above = i + 1
			continue
		}
		e := expected{line: above, column: len(m[1]) + 1, part: m[6]}
		switch {
		case m[4] != "":
			e.line, _ = strconv.Atoi(m[4])
			e.column, _ = strconv.Atoi(m[5])
		case m[3] == "":
			e.column += len(m[2]) + 1
		}
		all = append(all, e)
	}
	return all
}

func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	several := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := expectations(string(text))
			if len(want) == 0 {
				t.Fatal("the file expects no mistake")
			}
			if len(want) > 1 {
				several++
			}
			_, _, err = config.Parse("a.yaml", text, around(t))
			mistakes, ok := errors.AsType[config.Mistakes](err)
			if !ok {
				t.Fatalf("err = %v, want Mistakes", err)
			}
			if strings.Contains(err.Error(), secretText) {
				t.Errorf("a message repeats the secret:\n%v", err)
			}
			left := append(config.Mistakes(nil), mistakes...)
		expect:
			for _, e := range want {
				for i, m := range left {
					if m.Line == e.line && m.Column == e.column && strings.Contains(m.Message, e.part) {
						left = append(left[:i], left[i+1:]...)
						continue expect
					}
				}
				t.Errorf("missing: %d:%d: %s", e.line, e.column, e.part)
			}
			for _, m := range left {
				t.Errorf("unexpected: %s", m)
			}
			for i, line := range strings.Split(err.Error(), "\n") {
				m := mistakes[i]
				if want := fmt.Sprintf("a.yaml:%d:%d: %s", m.Line, m.Column, m.Message); line != want {
					t.Errorf("line %d of the error = %q, want %q", i+1, line, want)
				}
				if i > 0 && (m.Line < mistakes[i-1].Line || m.Line == mistakes[i-1].Line && m.Column < mistakes[i-1].Column) {
					t.Errorf("not in the order of the file: %s", m)
				}
			}
		})
	}
	if len(files) < 45 || several < 12 {
		t.Errorf("%d files, %d with several mistakes; want at least 45 and 12", len(files), several)
	}
}
