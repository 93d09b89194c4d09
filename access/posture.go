package access

import "time"

// A Tri is a fact that a source may not know. Its zero value is Unknown.
type Tri uint8

const (
	Unknown Tri = iota
	No
	Yes
)

func (t Tri) String() string {
	switch t {
	case No:
		return "false"
	case Yes:
		return "true"
	}
	return "unknown"
}

// TriOf returns Yes or No.
func TriOf(b bool) Tri {
	if b {
		return Yes
	}
	return No
}

// A Field is a tri-state fact of a posture record, by its word in configuration.
type Field string

const (
	Managed     Field = "managed"
	Compliant   Field = "compliant"
	Compromised Field = "compromised"
	Encrypted   Field = "encrypted"
	Passcode    Field = "passcode"
	Lost        Field = "lost"
)

// Fields lists the tri-state facts that a check may name.
func Fields() []Field {
	return []Field{Managed, Compliant, Compromised, Encrypted, Passcode, Lost}
}

// A Platform is an operating system family; the zero value is not known.
type Platform string

// Platforms lists the platforms that a check may name.
func Platforms() []Platform {
	return []Platform{"ipados", "ios", "android", "macos", "windows", "chromeos", "linux"}
}

// An Assurance says how a posture record came to be believed. The zero value
// is A0: nothing is known.
type Assurance uint8

const (
	A0 Assurance = iota // nothing
	A1                  // a header from a listed address
	A2                  // a header from an authenticated sender
	A3                  // device certificate and a look-up at the MDM
	A4                  // hardware-attested key and a look-up at the MDM
)

func (a Assurance) String() string {
	if a > A4 {
		return "A0"
	}
	return [...]string{"A0", "A1", "A2", "A3", "A4"}[a]
}

// A Posture is what a source reported of a device, and when. The zero Posture
// is a device of which nothing is known.
type Posture struct {
	Source    string
	Sender    string // the name that its sender proved; "" for one known by its address
	Assurance Assurance

	DeviceID      string
	Platform      Platform
	OSVersion     OSVersion // zero: not known
	SecurityPatch time.Time // midnight UTC of the patch level; zero: not known

	Managed, Compliant, Compromised, Encrypted, Passcode, Lost Tri

	Ownership string // corporate, personal, shared; "" not known
	Owner     string

	Silent bool // its sender named the device, and said none of what it says of others

	CheckedInAt time.Time // when the MDM last heard from the device; zero: not known
	AssertedAt  time.Time // when the sender made this statement
	Expires     time.Time // AssertedAt plus what the source allows; zero: never
}

// Known reports whether any source spoke of a device, in a statement that is
// still good at now. One dated more than two minutes ahead is not.
func (p Posture) Known(now time.Time) bool {
	if p.DeviceID == "" || p.Assurance == A0 || p.Assurance > A4 {
		return false
	}
	if p.AssertedAt.After(now.Add(maxAhead)) {
		return false
	}
	return p.Expires.IsZero() || !now.After(p.Expires)
}

const maxAhead = 2 * time.Minute // clocks of sender and gateway may differ by this

// Fact returns the tri-state fact that field names; Unknown for a word that names none.
func (p Posture) Fact(field Field) Tri {
	switch field {
	case Managed:
		return p.Managed
	case Compliant:
		return p.Compliant
	case Compromised:
		return p.Compromised
	case Encrypted:
		return p.Encrypted
	case Passcode:
		return p.Passcode
	case Lost:
		return p.Lost
	}
	return Unknown
}
