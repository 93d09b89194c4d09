package session

import (
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// A record is kept as a mark, its fields in protobuf's wire format by ascending
// number, and a CRC-32C of both. One that was cut off or changed is refused as a
// whole: it could have lost its end, and a session would be back. A record that
// begins with a brace was written by an earlier version, in JSON.
const (
	wireMark = 1
	checksum = crc32.Size
	timeSize = 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The numbers of fields are for good: what is new takes one that is new.
const (
	fID protowire.Number = iota + 1
	fProvider
	fProviderSID
	fIDToken
	fHost
	fDevice
	fOnce
	fOwned
	fCreated
	fProven
	fActive
	fLockAfter
	fEndAfter
	fMax
	fLockedAt
	fEndedAt
	fWhy
	fExpires
	fIssuer
	fSub
	fUsername
	fName
	fGroup
	fACR
	fAMR
	fAuthTime
	fFreshAt
)

// Fields of a host, an id, a once and an owned cookie.
const (
	fFirst protowire.Number = iota + 1
	fSecond
	fThird
)

// encode returns what the store keeps of r.
func (r *record) encode() []byte {
	b := make([]byte, 0, 768+len(r.IDToken))
	b = append(b, wireMark)
	b = appendText(b, fID, r.ID)
	b = appendText(b, fProvider, r.Provider)
	b = appendText(b, fProviderSID, r.ProviderSID)
	b = appendText(b, fIDToken, r.IDToken)
	for _, host := range slices.Sorted(maps.Keys(r.Hosts)) {
		b = appendBytes(b, fHost, encodeHost(host, r.Hosts[host]))
	}
	b = appendText(b, fDevice, r.Device)
	for _, o := range r.Once {
		b = appendBytes(b, fOnce, appendTime(appendBytes(nil, fFirst, o.Request[:]), fSecond, o.Until))
	}
	for _, c := range r.Owned {
		one := appendBytes(appendBytes(nil, fFirst, c.Realm[:]), fSecond, c.Name[:])
		for _, v := range c.Values {
			one = appendBytes(one, fThird, v[:])
		}
		b = appendBytes(b, fOwned, one)
	}
	b = appendTime(b, fCreated, r.Created)
	b = appendTime(b, fProven, r.Proven)
	b = appendTime(b, fActive, r.Active)
	b = appendDuration(b, fLockAfter, r.Limits.LockAfter)
	b = appendDuration(b, fEndAfter, r.Limits.EndAfter)
	b = appendDuration(b, fMax, r.Limits.Max)
	b = appendTime(b, fLockedAt, r.LockedAt)
	b = appendTime(b, fEndedAt, r.EndedAt)
	b = appendText(b, fWhy, string(r.Why))
	b = appendTime(b, fExpires, r.Expires)
	a := &r.Authn
	b = appendText(b, fIssuer, a.Subject.Issuer)
	b = appendText(b, fSub, a.Subject.Sub)
	b = appendText(b, fUsername, a.Username)
	b = appendText(b, fName, a.Name)
	for _, g := range a.Groups {
		b = appendBytes(b, fGroup, []byte(g))
	}
	b = appendText(b, fACR, a.ACR)
	for _, m := range a.AMR {
		b = appendBytes(b, fAMR, []byte(m))
	}
	b = appendTime(b, fAuthTime, a.AuthTime)
	b = appendTime(b, fFreshAt, a.FreshAt)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func encodeHost(host string, ids []hostID) []byte {
	b := appendBytes(make([]byte, 0, 32+64*len(ids)), fFirst, []byte(host))
	for _, h := range ids {
		id := appendBytes(make([]byte, 0, 64), fFirst, h.ID[:])
		b = appendBytes(b, fSecond, appendTime(appendTime(id, fSecond, h.Given), fThird, h.Until))
	}
	return b
}

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func appendText(b []byte, n protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

// appendTime appends seconds and nanoseconds since 1970: a provider's auth_time
// may lie where nanoseconds alone would not reach.
func appendTime(b []byte, n protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	var v [timeSize]byte
	binary.BigEndian.PutUint64(v[:], uint64(t.Unix()))
	binary.BigEndian.PutUint32(v[8:], uint32(t.Nanosecond()))
	return appendBytes(b, n, v[:])
}

func appendDuration(b []byte, n protowire.Number, d time.Duration) []byte {
	if d == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(d))
}
