package audit

import (
	"fmt"
	"time"
)

// A GapKind is the kind of a [Gap].
type GapKind string

const (
	// Explained by a crash, a power failure or a failing disk.
	TornTail    GapKind = "torn_tail"    // an unfinished end was found at start and set aside
	LostTail    GapKind = "lost_tail"    // records not yet flushed to disk are gone, as after a power failure
	TornSegment GapKind = "torn_segment" // an unfinished end could not be removed; the segment was left
	FlushFailed GapKind = "flush_failed" // the disk did not confirm records; they may be missing
	NotWritten  GapKind = "not_written"  // records were refused because they could not be written
	KeyChanged  GapKind = "key_changed"  // another key signs from here on

	// Explained by nothing that a machine does by itself: [Verify] calls them problems.
	CutTail     GapKind = "cut_tail"     // records that had been flushed to disk are gone
	AddedTail   GapKind = "added_tail"   // records stood after the end that was signed at a clean stop
	ChangedTail GapKind = "changed_tail" // the last signed record is not the one that was signed
	HeadMissing GapKind = "head_missing" // the signed head was gone or unreadable, so the end was not proven
)

// Grave reports whether only a hand in the files explains a gap of this kind.
func (k GapKind) Grave() bool {
	switch k {
	case TornTail, LostTail, TornSegment, FlushFailed, NotWritten, KeyChanged:
		return false
	}
	return true
}

// A Gap is something missing from the journal that the gateway noticed and
// told in a signed checkpoint.
type Gap struct {
	Kind    GapKind   `json:"kind"`
	File    string    `json:"file,omitempty"`    // the segment that is short or torn
	Aside   string    `json:"aside,omitempty"`   // the file that holds what was set aside
	From    uint64    `json:"from,omitempty"`    // first seq that is missing, or may be; 0: not known
	To      uint64    `json:"to,omitempty"`      // last such seq
	Offset  int64     `json:"offset,omitempty"`  // torn_segment: bytes of the file that are good
	Bytes   int64     `json:"bytes,omitempty"`   // bytes set aside
	Records int       `json:"records,omitempty"` // not_written: how many
	Since   time.Time `json:"since,omitzero"`    // not_written: when the first was refused

	Line int    `json:"-"` // in a [Report]: line of the checkpoint that tells it, in At; 0: not told yet
	At   string `json:"-"` // in a [Report]: the segment of that checkpoint
}

// String says what is missing, in plain words.
func (g Gap) String() string {
	switch g.Kind {
	case TornTail:
		if g.Aside == "" {
			return fmt.Sprintf("%s ends in an unfinished line of %d bytes", g.File, g.Bytes)
		}
		return fmt.Sprintf("%s ended in %d unfinished bytes, as after a crash; they are kept in %s", g.File, g.Bytes, g.Aside)
	case LostTail:
		return fmt.Sprintf("%s lost before reaching the disk, as in a power failure", span(g.From, g.To))
	case TornSegment:
		return fmt.Sprintf("%s counts only to byte %d: an unfinished end could not be removed", g.File, g.Offset)
	case FlushFailed:
		return fmt.Sprintf("the disk did not confirm %s in %s: they may be missing", span(g.From, g.To), g.File)
	case NotWritten:
		return fmt.Sprintf("%d records could not be written from %s on", g.Records, g.Since.UTC().Format(time.RFC3339))
	case KeyChanged:
		return "another key signs from here on"
	case CutTail:
		return fmt.Sprintf("%s missing, although already on disk: somebody cut the end off", span(g.From, g.To))
	case AddedTail:
		return fmt.Sprintf("%s stood after the end that was signed at a clean stop: somebody added them", span(g.From, g.To))
	case ChangedTail:
		return fmt.Sprintf("record %d is not the one that was signed: somebody rewrote the end", g.From)
	case HeadMissing:
		return "the signed head was gone or unreadable at a start, so the end of the journal was not proven"
	}
	return "unknown gap " + shown(string(g.Kind))
}

func span(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("record %d", from)
	}
	return fmt.Sprintf("records %d to %d", from, to)
}
