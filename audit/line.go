package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"github.com/anteroom/anteroom/access"
)

// maxLine bounds a line, its newline included. A reader need not hold more.
const maxLine = 1 << 20

// A link is what binds a line to the one before it: the journal's lines are a
// chain, whose links are all checked without decoding the records.
type link struct {
	seq    uint64
	prev   [sha256.Size]byte // hash of the line before
	signed []byte            // what sig signs; nil when the line is not signed
	sig    []byte
}

// A point is a place in the chain: a record's number and its line's hash. The
// zero point is before the first record.
type point struct {
	seq  uint64
	hash [sha256.Size]byte
}

const (
	seqKey  = `{"seq":`
	prevKey = `,"prev":"`
	sigKey  = `,"sig":"`
)

var checkpointField = []byte(`,"event":"checkpoint"`)

// appendSeal finishes a line that begins with its seq: it appends prev.
func appendSeal(b []byte, prev [sha256.Size]byte) []byte {
	b = append(b, prevKey...)
	b = hex.AppendEncode(b, prev[:])
	return append(b, '"')
}

// sign appends the signature of b, which holds one object from start on without
// its closing brace, and closes it.
func sign(b []byte, start int, key ed25519.PrivateKey) []byte {
	sig := ed25519.Sign(key, b[start:])
	b = append(b, sigKey...)
	b = base64.StdEncoding.AppendEncode(b, sig)
	return append(b, `"}`...)
}

// cutSignature splits an object that [sign] finished. ok is false when it has
// no signature at its end.
func cutSignature(line []byte) (signed, sig []byte, ok bool) {
	const tail = len(sigKey) + 88 + len(`"}`) // 64 bytes in base64
	if len(line) < tail || !bytes.HasSuffix(line, []byte(`"}`)) {
		return nil, nil, false
	}
	at := len(line) - tail
	if string(line[at:at+len(sigKey)]) != sigKey {
		return nil, nil, false
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(string(line[at+len(sigKey) : len(line)-2]))
	if err != nil || len(sig) != ed25519.SignatureSize {
		return nil, nil, false
	}
	return line[:at], sig, true
}

// parseLink reads how line, without its newline, is linked. ok is false when
// no gateway wrote such a line.
func parseLink(line []byte) (l link, ok bool) {
	body := line
	if signed, sig, ok := cutSignature(line); ok {
		l.signed, l.sig = signed, sig
		body = signed
	} else if n := len(line); n > 0 && line[n-1] == '}' {
		body = line[:n-1]
	} else {
		return link{}, false
	}
	if !bytes.HasPrefix(body, []byte(seqKey)) {
		return link{}, false
	}
	digits := body[len(seqKey):]
	end := bytes.IndexByte(digits, ',')
	if end < 1 || digits[0] == '0' {
		return link{}, false
	}
	seq, err := strconv.ParseUint(string(digits[:end]), 10, 64)
	if err != nil {
		return link{}, false
	}
	l.seq = seq
	at := len(body) - len(prevKey) - 2*sha256.Size - 1
	if at < 0 || string(body[at:at+len(prevKey)]) != prevKey || body[len(body)-1] != '"' {
		return link{}, false
	}
	return l, readHash(&l.prev, body[at+len(prevKey):len(body)-1])
}

// readHash reads a hash as [appendSeal] writes it: in lower case.
func readHash(into *[sha256.Size]byte, text []byte) bool {
	for i := range into {
		hi, lo := unhex[text[2*i]], unhex[text[2*i+1]]
		if hi|lo > 15 {
			return false
		}
		into[i] = hi<<4 | lo
	}
	return true
}

var unhex = func() (t [256]byte) {
	for c := range t {
		t[c] = 0xff
	}
	for v, c := range "0123456789abcdef" {
		t[c] = byte(v)
	}
	return t
}()

// isCheckpoint reports whether the line's event is checkpoint. No value can
// spell the field, since quotes in values are escaped.
func isCheckpoint(line []byte) bool { return bytes.Contains(line, checkpointField) }

// parseCheckpoint returns the checkpoint that line is and the key that signed
// it; ok is false when it is none, or the signature is not of that key.
func parseCheckpoint(line []byte, l link) (r Record, key ed25519.PublicKey, ok bool) {
	if l.sig == nil || !isCheckpoint(line) {
		return Record{}, nil, false
	}
	r, err := decode(line)
	if err != nil || r.Event != access.EventCheckpoint {
		return Record{}, nil, false
	}
	key, err = base64.StdEncoding.Strict().DecodeString(r.Key)
	if err != nil || len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, l.signed, l.sig) {
		return Record{}, nil, false
	}
	return r, key, true
}

// A checkpoint is what a signed record says beyond its place in the chain.
type checkpoint struct {
	at     time.Time
	reason access.Reason
	detail string
	begins string // the segment that it begins; "" inside one
	gaps   []Gap
}

// Reasons of checkpoints that tell no gap.
const (
	reasonSegment  access.Reason = "segment"  // begins a segment
	reasonOpened   access.Reason = "opened"   // the gateway started, in a segment that exists
	reasonPeriodic access.Reason = "periodic" // enough records or time since the last
	reasonClosed   access.Reason = "closed"   // the gateway stopped cleanly
)

// appendCheckpoint appends c as the line after the point last, without a newline.
func appendCheckpoint(b []byte, c checkpoint, seq uint64, prev [sha256.Size]byte, key ed25519.PrivateKey) []byte {
	start := len(b)
	b = append(b, seqKey...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"time":"`...)
	b = appendMicros(b, c.at)
	b = append(b, '"')
	b = append(b, checkpointField...)
	b = appendField(b, `,"reason":`, string(c.reason))
	b = appendField(b, `,"detail":`, c.detail)
	b = appendField(b, `,"begins":`, c.begins)
	if len(c.gaps) > 0 {
		text, err := json.Marshal(c.gaps)
		if err != nil { // only for a Since beyond the year 9999
			text = []byte("[]")
		}
		b = append(b, `,"gaps":`...)
		b = append(b, text...)
	}
	public := key.Public().(ed25519.PublicKey)
	b = append(b, `,"key":"`...)
	b = base64.StdEncoding.AppendEncode(b, public)
	b = append(b, '"')
	b = appendSeal(b, prev)
	return sign(b, start, key)
}
