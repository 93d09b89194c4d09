package session

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// decodeRecord returns the record of the session id that value holds.
func decodeRecord(id string, value []byte) (*record, error) {
	rec, err := new(record), errors.New("of an unknown form")
	if len(value) > 0 {
		switch value[0] {
		case wireMark:
			err = rec.decode(value)
		case '{':
			err = json.Unmarshal(value, rec)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("decode session: %w", err)
	}
	if rec.ID != id || rec.Created.IsZero() {
		return nil, errors.New("decode session: not this session's record")
	}
	return rec, nil
}

// decode reads what encode wrote. Fields that a later version may add are skipped.
func (r *record) decode(value []byte) error {
	end := len(value) - checksum
	if end < 1 || binary.BigEndian.Uint32(value[end:]) != crc32.Checksum(value[:end], castagnoli) {
		return errors.New("damaged")
	}
	return fields(value[1:end], func(f field) error {
		switch f.number {
		case fID:
			return f.text(&r.ID)
		case fProvider:
			return f.text(&r.Provider)
		case fProviderSID:
			return f.text(&r.ProviderSID)
		case fIDToken:
			return f.text(&r.IDToken)
		case fHost:
			return f.host(r)
		case fDevice:
			return f.text(&r.Device)
		case fOnce:
			return f.once(r)
		case fOwned:
			return f.cookie(r)
		case fCreated:
			return f.time(&r.Created)
		case fProven:
			return f.time(&r.Proven)
		case fActive:
			return f.time(&r.Active)
		case fLockAfter:
			return f.duration(&r.Limits.LockAfter)
		case fEndAfter:
			return f.duration(&r.Limits.EndAfter)
		case fMax:
			return f.duration(&r.Limits.Max)
		case fLockedAt:
			return f.time(&r.LockedAt)
		case fEndedAt:
			return f.time(&r.EndedAt)
		case fWhy:
			return f.text((*string)(&r.Why))
		case fExpires:
			return f.time(&r.Expires)
		case fIssuer:
			return f.text(&r.Authn.Subject.Issuer)
		case fSub:
			return f.text(&r.Authn.Subject.Sub)
		case fUsername:
			return f.text(&r.Authn.Username)
		case fName:
			return f.text(&r.Authn.Name)
		case fGroup:
			return f.texts(&r.Authn.Groups)
		case fACR:
			return f.text(&r.Authn.ACR)
		case fAMR:
			return f.texts(&r.Authn.AMR)
		case fAuthTime:
			return f.time(&r.Authn.AuthTime)
		case fFreshAt:
			return f.time(&r.Authn.FreshAt)
		}
		return nil
	})
}

// A field is one as it stands in a record.
type field struct {
	number protowire.Number
	wire   protowire.Type
	bytes  []byte // of the BytesType
	value  uint64 // of the VarintType
}

// fields calls take with each field of b, and returns its first error.
func fields(b []byte, take func(field) error) error {
	for last := protowire.Number(0); len(b) > 0; {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if number < last {
			return fmt.Errorf("field %d after %d", number, last)
		}
		last, b = number, b[n:]
		f := field{number: number, wire: wire}
		switch wire {
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(number, wire, b)
		}
		if n < 0 {
			return fmt.Errorf("field %d: %w", number, protowire.ParseError(n))
		}
		b = b[n:]
		if err := take(f); err != nil {
			return fmt.Errorf("field %d: %w", number, err)
		}
	}
	return nil
}

var (
	errKind  = errors.New("of another kind")
	errTwice = errors.New("there twice")
)

func (f field) text(to *string) error {
	switch {
	case f.wire != protowire.BytesType:
		return errKind
	case *to != "":
		return errTwice
	}
	*to = string(f.bytes) // by itself: a part of the whole would keep the ID token for as long as anything
	return nil
}

func (f field) texts(to *[]string) error {
	if f.wire != protowire.BytesType {
		return errKind
	}
	*to = append(*to, string(f.bytes))
	return nil
}

func (f field) time(to *time.Time) error {
	switch {
	case f.wire != protowire.BytesType || len(f.bytes) != timeSize:
		return errKind
	case !to.IsZero():
		return errTwice
	}
	seconds, nanos := binary.BigEndian.Uint64(f.bytes), binary.BigEndian.Uint32(f.bytes[8:])
	*to = time.Unix(int64(seconds), int64(nanos)).UTC()
	return nil
}

func (f field) duration(to *time.Duration) error {
	switch {
	case f.wire != protowire.VarintType:
		return errKind
	case *to != 0:
		return errTwice
	}
	*to = time.Duration(f.value)
	return nil
}

// hash fills to, which is a digest or a part of one.
func (f field) hash(to []byte) error {
	if f.wire != protowire.BytesType || len(f.bytes) != len(to) {
		return errKind
	}
	copy(to, f.bytes)
	return nil
}

// within calls take with each field that f consists of.
func (f field) within(take func(field) error) error {
	if f.wire != protowire.BytesType {
		return errKind
	}
	return fields(f.bytes, take)
}

func (f field) host(r *record) error {
	var host string
	var ids []hostID
	err := f.within(func(f field) error {
		switch f.number {
		case fFirst:
			return f.text(&host)
		case fSecond:
			var id hostID
			err := f.within(func(f field) error {
				switch f.number {
				case fFirst:
					return f.hash(id.ID[:])
				case fSecond:
					return f.time(&id.Given)
				case fThird:
					return f.time(&id.Until)
				}
				return nil
			})
			ids = append(ids, id)
			return err
		}
		return nil
	})
	if _, known := r.Hosts[host]; known && err == nil {
		err = errTwice
	}
	if r.Hosts == nil {
		r.Hosts = make(map[string][]hostID)
	}
	r.Hosts[host] = ids
	return err
}

func (f field) once(r *record) error {
	var o once
	err := f.within(func(f field) error {
		switch f.number {
		case fFirst:
			return f.hash(o.Request[:])
		case fSecond:
			return f.time(&o.Until)
		}
		return nil
	})
	r.Once = append(r.Once, o)
	return err
}

func (f field) cookie(r *record) error {
	var c ownedCookie
	err := f.within(func(f field) error {
		switch f.number {
		case fFirst:
			return f.hash(c.Realm[:])
		case fSecond:
			return f.hash(c.Name[:])
		case fThird:
			var v short
			err := f.hash(v[:])
			c.Values = append(c.Values, v)
			return err
		}
		return nil
	})
	r.Owned = append(r.Owned, c)
	return err
}
