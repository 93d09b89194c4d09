package audit

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/anteroom/anteroom/access"
)

// appendEvent appends what stands between a record's seq and its prev: each
// field of e that applies, with a comma before it.
func appendEvent(b []byte, e *access.Event, now time.Time) []byte {
	at := e.Time
	if at.IsZero() || !writable(at) {
		at = now
	}
	b = append(b, `,"time":"`...)
	b = appendMicros(b, at)
	b = append(b, '"')
	b = appendField(b, `,"event":`, string(e.Kind))
	b = appendField(b, `,"verdict":`, e.Verdict)
	b = appendField(b, `,"reason":`, string(e.Reason))
	b = appendField(b, `,"route":`, e.Route)
	b = appendField(b, `,"rule":`, e.Rule)
	b = appendField(b, `,"host":`, e.Host)
	b = appendField(b, `,"method":`, e.Method)
	b = appendField(b, `,"path":`, e.Path)
	if e.Status != 0 {
		b = append(b, `,"status":`...)
		b = strconv.AppendInt(b, int64(e.Status), 10)
	}
	if e.Session != nil {
		b = appendSubject(b, e.Session)
	}
	b = appendField(b, `,"client":`, e.Client)
	if e.Session != nil {
		b = appendField(b, `,"session":`, e.Session.ID)
	}
	b = appendDevice(b, e)
	if e.Session != nil {
		b = appendLogin(b, &e.Session.Authentication)
	}
	b = appendField(b, `,"patient":`, e.Patient)
	b = appendField(b, `,"source_ip":`, e.SourceIP)
	b = appendField(b, `,"request_id":`, e.RequestID)
	b = appendField(b, `,"trace_id":`, e.TraceID)
	b = appendField(b, `,"span_id":`, e.SpanID)
	if e.Sampled {
		b = append(b, `,"trace_flags":"01"`...)
	}
	b = appendField(b, `,"purpose_of_use":`, e.PurposeOfUse)
	if d := e.Disclosure; d != nil {
		start := len(b)
		b = appendField(b, `,"recipient":`, d.Recipient)
		b = appendField(b, `,"purpose":`, d.Purpose)
		b = enclose(b, start, `,"disclosure":`)
	}
	if !e.Judged.IsZero() && writable(e.Judged) {
		b = append(b, `,"judged":"`...)
		b = appendMicros(b, e.Judged)
		b = append(b, '"')
	}
	b = appendObserved(b, e.Observed)
	return appendField(b, `,"detail":`, e.Detail)
}

// appendMicros appends t to the microsecond, with a fixed width, so that records
// sort by their text. Package time is quick with the layout of RFC 3339 alone.
func appendMicros(b []byte, t time.Time) []byte {
	b = t.UTC().AppendFormat(b, time.RFC3339)
	b[len(b)-1] = '.' // where the Z was
	for micros, unit := t.Nanosecond()/1000, 100_000; unit > 0; unit /= 10 {
		b = append(b, byte('0'+micros/unit%10))
	}
	return append(b, 'Z')
}

// writable reports whether RFC 3339 has a spelling for t: a provider may claim
// an auth_time in the year 31,000,000.
func writable(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}

func appendSubject(b []byte, s *access.Session) []byte {
	start := len(b)
	b = appendField(b, `,"issuer":`, s.Subject.Issuer)
	b = appendField(b, `,"sub":`, s.Subject.Sub)
	b = appendField(b, `,"username":`, s.Username)
	b = appendList(b, `,"roles":`, s.Roles)
	return enclose(b, start, `,"subject":`)
}

var unknown access.Posture

func appendDevice(b []byte, e *access.Event) []byte {
	device := e.Posture
	if device == nil {
		device = &unknown
	}
	if device.DeviceID == "" && device.Assurance == access.A0 && len(e.Failed) == 0 {
		return b
	}
	start := len(b)
	b = appendField(b, `,"id":`, device.DeviceID)
	b = appendField(b, `,"assurance":`, device.Assurance.String())
	b = appendField(b, `,"sender":`, device.Sender)
	b = appendChecks(b, `,"failed":[`, e.Failed)
	b = appendChecks(b, `,"warned":[`, e.Warned)
	if len(e.Warned) > 0 {
		first := e.Warned[0].Deadline
		for i := range e.Warned {
			if e.Warned[i].Deadline.Before(first) {
				first = e.Warned[i].Deadline
			}
		}
		b = appendTime(b, `,"deadline":`, first)
	}
	b = appendTime(b, `,"last_known":`, e.LastKnown)
	return enclose(b, start, `,"device":`)
}

// appendChecks appends the names of checks, in a list that key begins.
func appendChecks(b []byte, key string, all []access.Failure) []byte {
	for i := range all {
		if i == 0 {
			b = append(b, key...)
		} else {
			b = append(b, ',')
		}
		b = appendString(b, all[i].Check)
	}
	if len(all) > 0 {
		b = append(b, ']')
	}
	return b
}

// appendTime appends key and t, to the second; nothing when t is zero.
func appendTime(b []byte, key string, t time.Time) []byte {
	if t.IsZero() || !writable(t) {
		return b
	}
	b = append(append(b, key...), '"')
	b = t.UTC().AppendFormat(b, time.RFC3339)
	return append(b, '"')
}

func appendLogin(b []byte, a *access.Authentication) []byte {
	start := len(b)
	b = appendField(b, `,"acr":`, a.ACR)
	b = appendList(b, `,"amr":`, a.AMR)
	b = appendTime(b, `,"auth_time":`, a.AuthTime)
	return enclose(b, start, `,"login":`)
}

func appendObserved(b []byte, all []access.Observation) []byte {
	for i := range all {
		if i == 0 {
			b = append(b, `,"observed":[`...)
		} else {
			b = append(b, ',')
		}
		start := len(b)
		b = appendField(b, `,"rule":`, all[i].Rule)
		b = appendField(b, `,"verdict":`, all[i].Verdict)
		b = appendField(b, `,"reason":`, string(all[i].Reason))
		if len(b) == start {
			b = append(b, "{}"...)
			continue
		}
		b[start] = '{'
		b = append(b, '}')
	}
	if len(all) > 0 {
		b = append(b, ']')
	}
	return b
}

// enclose makes the fields that were appended from start on into the object
// that key names, or leaves b alone when there are none.
func enclose(b []byte, start int, key string) []byte {
	if len(b) == start {
		return b
	}
	fields := len(b) - start
	b = append(b, key...)
	b = append(b, '}')
	copy(b[start+len(key):], b[start:start+fields])
	copy(b[start:], key)
	b[start+len(key)] = '{' // where the first field's comma was
	return b
}

// appendField appends key, which brings its comma and colon, and value; nothing
// when value is empty.
func appendField(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, key...)
	return appendString(b, value)
}

func appendList(b []byte, key string, values []string) []byte {
	if len(values) == 0 {
		return b
	}
	b = append(b, key...)
	for i, v := range values {
		if i == 0 {
			b = append(b, '[')
		} else {
			b = append(b, ',')
		}
		b = appendString(b, v)
	}
	return append(b, ']')
}

// appendString appends s as a JSON string. Whatever a terminal or a viewer
// would obey rather than show (control and format characters, line separators,
// odd spaces) is written as an escape, and each byte that is not UTF-8 as U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	done := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			b = append(b, s[done:i]...)
			b = appendEscape(b, rune(c))
			i++
			done = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if strconv.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			i += n
			continue
		}
		b = append(b, s[done:i]...)
		b = appendEscape(b, r)
		i += n
		done = i
	}
	b = append(b, s[done:]...)
	return append(b, '"')
}

// plain marks the ASCII bytes that stand for themselves in a JSON string.
var plain = func() (t [utf8.RuneSelf]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func appendEscape(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	if r > 0xffff { // JSON escapes are UTF-16 (RFC 8259, section 7)
		r -= 0x10000
		b = appendUnit(b, 0xd800+uint16(r>>10))
		return appendUnit(b, 0xdc00+uint16(r&0x3ff))
	}
	return appendUnit(b, uint16(r))
}

func appendUnit(b []byte, u uint16) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[u>>12], hex[u>>8&15], hex[u>>4&15], hex[u&15])
}
