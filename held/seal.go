package held

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// A sealed request is AES-256-GCM over the length of its head in four bytes,
// the head as JSON, and the body as it came. Its id and its purpose are
// authenticated with it, so that nothing opens in another's place.
const (
	requestPurpose = "anteroom held request\x00"
	tokenPurpose   = "anteroom held token\x00"
)

type head struct {
	Expires time.Time
	Request Request
}

// A ticket is what a token stands for.
type ticket struct {
	ID      string
	Expires time.Time
	Proof   Proof
}

func (k *Keeper) seal(id string, expires time.Time, r Request) ([]byte, error) {
	meta, err := json.Marshal(head{expires.UTC(), r})
	if err != nil {
		return nil, fmt.Errorf("seal request: %w", err)
	}
	if len(meta) > maxMeta || len(r.Body) > MaxBody {
		return nil, ErrTooLarge
	}
	plain := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(meta)+len(r.Body)), uint32(len(meta)))
	plain = append(append(plain, meta...), r.Body...)
	return k.aeads[0].Seal(nil, nil, plain, []byte(requestPurpose+id)), nil
}

// open returns [ErrGone] also for what does not open: it is nothing that this
// gateway sealed under that id.
func (k *Keeper) open(id string, value []byte) (Request, time.Time, error) {
	plain, err := k.unseal(value, requestPurpose+id)
	if err != nil || len(plain) < 4 {
		return Request{}, time.Time{}, ErrGone
	}
	n, rest := binary.BigEndian.Uint32(plain), plain[4:]
	if uint64(n) > uint64(len(rest)) {
		return Request{}, time.Time{}, ErrGone
	}
	var h head
	if err := json.Unmarshal(rest[:n], &h); err != nil {
		return Request{}, time.Time{}, fmt.Errorf("open held request: %w", err)
	}
	if !k.now().Before(h.Expires) { // the store forgets a little late
		return Request{}, time.Time{}, ErrGone
	}
	h.Request.Body = rest[n:]
	return h.Request, h.Expires, nil
}

func (k *Keeper) sealTicket(token string, t ticket) ([]byte, error) {
	t.Expires = t.Expires.UTC()
	plain, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("seal token: %w", err)
	}
	return k.aeads[0].Seal(nil, nil, plain, []byte(tokenPurpose+token)), nil
}

func (k *Keeper) openTicket(token string, value []byte) (ticket, error) {
	plain, err := k.unseal(value, tokenPurpose+token)
	if err != nil {
		return ticket{}, ErrGone
	}
	var t ticket
	if err := json.Unmarshal(plain, &t); err != nil {
		return ticket{}, fmt.Errorf("open token: %w", err)
	}
	if !k.now().Before(t.Expires) {
		return ticket{}, ErrGone
	}
	return t, nil
}

// unseal opens what any of the keys sealed for purpose.
func (k *Keeper) unseal(value []byte, purpose string) (plain []byte, err error) {
	for _, a := range k.aeads {
		if plain, err = a.Open(nil, nil, value, []byte(purpose)); err == nil {
			return plain, nil
		}
	}
	return nil, err
}
