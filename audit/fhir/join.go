package fhir

import (
	"cmp"
	"slices"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// A Joined is a record, and for the decision about a request also the record
// of its outcome, where there is one.
type Joined struct {
	audit.Record
	Outcome *audit.Record
}

// A Join brings the two records of each request together. The zero Join is
// ready. It holds what is under way, so as many records as requests were at once.
type Join struct{ waiting map[string]audit.Record }

// Add takes the next record of the journal and returns what is whole now.
func (j *Join) Add(r audit.Record) []Joined {
	switch {
	case r.Event == access.EventAccess && r.RequestID != "":
		before, twice := j.waiting[r.RequestID]
		if j.waiting == nil {
			j.waiting = map[string]audit.Record{}
		}
		j.waiting[r.RequestID] = r
		if twice {
			return []Joined{{Record: before}}
		}
		return nil
	case r.Event == access.EventOutcome:
		decided, ok := j.waiting[r.RequestID]
		if !ok {
			return []Joined{{Record: r}}
		}
		delete(j.waiting, r.RequestID)
		return []Joined{{Record: decided, Outcome: &r}}
	}
	return []Joined{{Record: r}}
}

// Rest returns the decisions whose outcome did not come, oldest first.
func (j *Join) Rest() []Joined {
	var all []Joined
	for _, r := range j.waiting {
		all = append(all, Joined{Record: r})
	}
	j.waiting = nil
	slices.SortFunc(all, func(a, b Joined) int { return cmp.Compare(a.Seq, b.Seq) })
	return all
}
