package syslog

import (
	"os"
	"strconv"

	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/audit/fhir"
)

// A Format is what a message holds.
type Format string

const (
	FormatDICOM  Format = "dicom"  // an audit message of DICOM, as IHE ATNA has it
	FormatNDJSON Format = "ndjson" // the record's line as it stands, so that the receiver can prove the chain
)

// Severities (RFC 5424, section 6.2.1). The facility is 10, security.
const (
	facility = 10
	broken   = 3 // error
	refused  = 4 // warning
	done     = 5 // notice, as ATNA has it
)

// A Framer writes records as messages.
type Framer struct {
	Format Format
	Mapper fhir.Mapper
	Host   string // the HOSTNAME of messages; "" is "-"
}

// Frame appends the message of r, with its length before it (RFC 5425, section
// 4.3). A record of which not every byte can be read has no message of DICOM's;
// it goes as its line.
func (f Framer) Frame(b []byte, r audit.Followed) []byte {
	e := f.Mapper.Event(fhir.Joined{Record: r.Record})
	severity := done
	switch e.Outcome {
	case "4":
		severity = refused
	case "8":
		severity = broken
	}
	id, body := "DICOM+RFC3881", []byte(nil)
	if f.Format == FormatNDJSON || r.Record.Seq == 0 {
		id, body = "anteroom", r.Raw
	} else {
		body = DICOM(e)
	}
	at := r.Record.Time
	head := make([]byte, 0, 128)
	head = append(head, '<')
	head = strconv.AppendInt(head, int64(facility*8+severity), 10)
	head = append(head, ">1 "...)
	if at.IsZero() {
		head = append(head, '-')
	} else {
		head = at.UTC().AppendFormat(head, "2006-01-02T15:04:05.000000Z07:00")
	}
	head = append(head, ' ')
	head = append(head, header(f.Host, 255)...)
	head = append(head, " anteroom "...)
	head = strconv.AppendInt(head, int64(os.Getpid()), 10)
	head = append(head, ' ')
	head = append(head, id...)
	head = append(head, " - "...)
	b = strconv.AppendInt(b, int64(len(head)+len(body)), 10)
	b = append(b, ' ')
	b = append(b, head...)
	return append(b, body...)
}

// header returns s as a field of the header: visible ASCII, and not empty.
func header(s string, most int) string {
	out := []byte(s)
	for i, c := range out {
		if c < '!' || c > '~' {
			out[i] = '_'
		}
	}
	if len(out) > most {
		out = out[:most]
	}
	if len(out) == 0 {
		return "-"
	}
	return string(out)
}
