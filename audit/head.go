package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The head is a small file that says, signed, how far the journal goes: the
// lines alone cannot show that some are missing at the end. It is written in
// place after the lines, so it may lag behind them by a moment and is never
// ahead. It has two slots that are written in turn, so that a crash while one
// is written leaves the other; at rest both say the same, so that nothing is won
// by spoiling the newer.
const (
	headName  = "head"
	slotSize  = 512
	headSlots = 2
)

// A head is one signed statement of how far the journal goes.
type head struct {
	Head   uint64    `json:"head"` // counts statements, so that the newer slot is known
	Time   time.Time `json:"time"`
	Seq    uint64    `json:"seq"`  // the last record
	Hash   string    `json:"hash"` // of its line
	File   string    `json:"file"` // the segment that is being written
	Synced uint64    `json:"synced"`
	Size   int64     `json:"size"`   // bytes of File that the disk has confirmed, up to record Synced
	Closed bool      `json:"closed"` // the gateway stopped cleanly: nothing follows
	Key    string    `json:"key"`
}

func (h head) point() point {
	p := point{seq: h.Seq}
	hex.Decode(p.hash[:], []byte(h.Hash))
	return p
}

// slot returns h signed by key, padded to the size of a slot.
func (h head) slot(key ed25519.PrivateKey) ([]byte, error) {
	h.Key = base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	b, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode head: %w", err)
	}
	b = sign(b[:len(b)-1], 0, key)
	if len(b) >= slotSize {
		return nil, fmt.Errorf("encode head: %d bytes do not fit", len(b))
	}
	padding := bytes.Repeat([]byte{' '}, slotSize-len(b))
	padding[len(padding)-1] = '\n'
	return append(b, padding...), nil
}

func parseSlot(b []byte) (head, bool) {
	line := bytes.TrimRight(b, " \n")
	signed, sig, ok := cutSignature(line)
	if !ok || !bytes.HasPrefix(line, []byte(`{"head":`)) {
		return head{}, false
	}
	var h head
	if json.Unmarshal(line, &h) != nil || len(h.Hash) != 2*sha256.Size || h.Size < 0 {
		return head{}, false
	}
	if _, err := hex.DecodeString(h.Hash); err != nil {
		return head{}, false
	}
	key, err := base64.StdEncoding.Strict().DecodeString(h.Key)
	if err != nil || len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, signed, sig) {
		return head{}, false
	}
	return h, true
}

var errNoHead = errors.New("the head file is missing or unreadable")

// readHead returns the newest good statement in dir's head, or [errNoHead].
func readHead(dir string) (head, error) {
	f, err := os.Open(filepath.Join(dir, headName))
	if errors.Is(err, os.ErrNotExist) {
		return head{}, errNoHead
	}
	if err != nil {
		return head{}, fmt.Errorf("read head: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, headSlots*slotSize))
	if err != nil {
		return head{}, fmt.Errorf("read head: %w", err)
	}
	var newest head
	found := false
	for slot := range slices.Chunk(b, slotSize) {
		if h, ok := parseSlot(slot); ok && (!found || h.Head > newest.Head) {
			newest, found = h, true
		}
	}
	if !found {
		return head{}, errNoHead
	}
	return newest, nil
}

// A headFile writes the head.
type headFile struct {
	file   *os.File
	key    ed25519.PrivateKey
	last   head // in the newer slot
	before head // in the older slot
}

func openHead(dir string, key ed25519.PrivateKey, last head) (*headFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, headName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open head: %w", err)
	}
	return &headFile{file: f, key: key, last: last}, nil
}

// write replaces the older slot by h.
func (f *headFile) write(h head) error {
	h.Head = f.last.Head + 1
	b, err := h.slot(f.key)
	if err != nil {
		return err
	}
	if _, err := f.file.WriteAt(b, int64(h.Head%headSlots)*slotSize); err != nil {
		return fmt.Errorf("write head: %w", err)
	}
	f.before, f.last = f.last, h
	return nil
}

// settle writes h into both slots and brings them to the disk.
func (f *headFile) settle(h head) error {
	for range headSlots {
		if err := f.write(h); err != nil {
			return err
		}
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("flush head: %w", err)
	}
	return nil
}

// says reports whether both slots say of the journal what h does.
func (f *headFile) says(h head) bool {
	same := func(slot head) bool {
		return slot.Seq == h.Seq && slot.Synced == h.Synced && slot.File == h.File && slot.Closed == h.Closed
	}
	return same(f.last) && same(f.before)
}

// SigningKey returns the public half of the key that signs the journal in dir
// now, as its head names it.
func SigningKey(dir string) (ed25519.PublicKey, error) {
	h, err := readHead(dir)
	if errors.Is(err, errNoHead) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoJournal)
	}
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(h.Key) // parseSlot has seen that it is one
}
