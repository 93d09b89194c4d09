package demo

import (
	"context"
	"net/http"
)

// What the tests of the story page reach: a source each, and the page.
type (
	Stories = stories
	Trail   = trail
)

var (
	NewStories = newStories
	OpenTrail  = openTrail
)

func (s *stories) Site(start string) http.Handler              { return s.site(start) }
func (s *stories) Answered(resp *http.Response)                { s.answered(resp) }
func (s *stories) Record(text []byte)                          { s.record(text) }
func (s *stories) Collector() http.Handler                     { return s.collector() }
func (s *stories) Watch(a string, n http.Handler) http.Handler { return s.watch(a, n) }

func (t *trail) Follow(ctx context.Context, record func([]byte)) { t.follow(ctx, record) }
