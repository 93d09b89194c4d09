// Package posture finds what is known of a device, and how fresh that is.
package posture

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/headers"
)

// A Source is a sender that speaks about devices in request headers.
type Source struct {
	Name            string
	Listen          string            // a listener of its own, by its address; "": that of browsers
	Senders         []Sender          // who is believed, there and nowhere else; none: nobody is
	AssertionMaxAge time.Duration     // how long a statement is good; zero or less: 15 minutes
	Map             map[string]string // a posture field's word, such as device_id, and the header that carries it
}

const defaultMaxAge = 15 * time.Minute

// Sources reads the headers of every configured source. It is safe for
// concurrent use. Use [New]; nothing is known to the zero Sources.
type Sources struct {
	list   []source
	names  []string
	latest *latest
}

// A source is a Source made ready: canonical names and a reader for each.
type source struct {
	name    string
	listen  string
	senders []*sender
	maxAge  time.Duration
	device  string // the header of device_id; "" names no device
	fields  []field
	bones   map[string]string       // skeleton of a header's name, and the name
	spelled headers.Verdict[string] // own, of any name
	words   map[string]bool
	health  bool // it speaks of more than which device it is
}

type field struct {
	header string
	word   string
}

// New returns the reader of sources. Words of a Map that name no posture field
// are never read, but their headers are still listed by [Sources.HeaderNames].
func New(sources []Source) *Sources {
	s := &Sources{latest: &latest{}}
	for _, from := range sources {
		src := source{
			name:   from.Name,
			listen: from.Listen,
			maxAge: from.AssertionMaxAge,
			bones:  make(map[string]string),
			words:  make(map[string]bool),
		}
		if src.maxAge <= 0 {
			src.maxAge = defaultMaxAge
		}
		for _, one := range from.Senders {
			src.senders = append(src.senders, one.ready())
		}
		for word, header := range from.Map {
			header = http.CanonicalHeaderKey(header)
			src.bones[string(headers.Skeleton(nil, header))] = header
			src.words[word] = true
			s.names = append(s.names, header)
			if word == "device_id" {
				src.device = header
			} else if slices.Contains(fields, word) {
				src.fields = append(src.fields, field{header, word})
				src.health = src.health || isHealth(word)
			}
		}
		src.spelled = headers.NewVerdict(src.own, slices.Collect(maps.Values(src.bones))...)
		s.list = append(s.list, src)
	}
	slices.Sort(s.names)
	s.names = slices.Compact(s.names)
	return s
}

// unmap turns a prefix of IPv4-mapped IPv6 addresses into the IPv4 prefix that
// it stands for, as peers are compared in their short form.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// HeaderNames returns the canonical names of every header that a source may
// speak in, sorted, each once. Clients' own are to be deleted by skeleton.
func (s *Sources) HeaderNames() []string { return slices.Clone(s.names) }

// Supplies reports whether any source has a header for the posture field that
// word names.
func (s *Sources) Supplies(word string) bool {
	return slices.ContainsFunc(s.list, func(src source) bool { return src.words[word] })
}

// Read returns what the sender at the other end of the connection says of the
// device behind a request. Headers from a peer that is no source's sender are
// not looked at: the zero Posture is returned, as for a request that names no
// device. The error is an [ErrAmbiguous] that names the header; a value that
// means nothing is no error but an unknown fact.
func (s *Sources) Read(from Peer, h http.Header, now time.Time) (access.Posture, error) {
	from.Addr = from.Addr.Unmap().WithZone("")
	var found access.Posture
	for i := range s.list {
		src := &s.list[i]
		by := src.sent(from, now)
		if by == nil {
			continue
		}
		p, err := src.read(by, h, now)
		if err != nil {
			return access.Posture{}, err
		}
		if p.DeviceID == "" {
			continue
		}
		if found.DeviceID != "" {
			return access.Posture{}, fmt.Errorf("%w: both %s and %s speak of a device", ErrAmbiguous, found.Source, p.Source)
		}
		found = p
	}
	// A statement that is stale, or from a clock far ahead, must not stand in
	// the way of the true ones.
	if found.Known(now) && !found.Silent {
		s.latest.note(found)
	}
	return found, nil
}

// Continue has s remember what before was told of devices. It is called before
// the first Read.
func (s *Sources) Continue(before *Sources) { s.latest = before.latest }

// Latest returns the newest statement about a device by any request, and
// whether there was one. It may have expired since. Only the newest 100,000
// devices are remembered.
func (s *Sources) Latest(deviceID string) (access.Posture, bool) {
	if s.latest == nil {
		return access.Posture{}, false
	}
	return s.latest.get(deviceID)
}

func (s *source) read(by *sender, h http.Header, now time.Time) (access.Posture, error) {
	if err := s.spelling(h); err != nil {
		return access.Posture{}, err
	}
	said := false
	p := access.Posture{Source: s.name, Sender: by.Name, Assurance: by.assurance(), AssertedAt: now}
	for i := range s.fields {
		f := &s.fields[i]
		v, err := value(h, f.header)
		if err != nil {
			return access.Posture{}, err
		}
		if v == "" && f.word == "asserted_at" {
			continue // absent means now
		}
		put(&p, f.word, v)
		said = said || v != "" && isHealth(f.word)
	}
	p.Silent = s.health && !said
	id, err := value(h, s.device)
	switch {
	case err != nil:
		return access.Posture{}, err
	case len(id) > maxDeviceID:
		return access.Posture{}, fmt.Errorf("%w: %s is longer than %d bytes", ErrAmbiguous, s.device, maxDeviceID)
	case id == "":
		return access.Posture{}, nil
	}
	p.DeviceID = s.name + ":" + id
	// Of an unreadable asserted_at nothing is known, and year 1 has long expired.
	p.Expires = p.AssertedAt.Add(s.maxAge)
	return p, nil
}
