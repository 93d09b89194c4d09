// Package pages holds the gateway's own HTML, CSS and words, all embedded: what
// a person reads when the gateway itself answers.
package pages

import (
	"time"

	"github.com/anteroom/anteroom/access"
)

// A Kind says what a page is about. The zero Kind is Unavailable.
type Kind uint8

const (
	Unavailable      Kind = iota // the gateway could not answer
	StepUp                       // prove it is you, for one rule
	Locked                       // the same person must prove themselves again
	SessionEnded                 // signed out by time, or from outside
	DeviceBlocked                // the device fails its profile
	DeviceWarning                // the device fails its profile, and may for a while
	DeviceChanged                // the session moved to another device
	NotAllowed                   // the role is missing
	Foreign                      // another site's page, or a script, may not ask this
	StepUpFailed                 // the provider did not prove what the rule asks
	SignInFailed                 // the provider refused, or its answer was wrong
	SignInExpired                // the answer belongs to no sign-in in progress
	ProviderDown                 // the provider does not answer
	BackendDown                  // the application does not answer
	BackendSlow                  // the application answers too late
	BackendAuth                  // the application asks for a login that cannot pass
	BadRequest                   // ambiguous or malformed
	WrongHost                    // no such host, or not the handshake's
	NoRoute                      // nothing at this path
	MethodNotAllowed             // the route does not take this method
	TooLarge                     // the body is over the route's limit
	TooLargeToHold               // the body is over what is kept over a sign-in
	HeadersTooLarge              // the header is over the limit
	TooMany                      // too many requests
	CannotRecord                 // the audit trail cannot be written
	Release                      // sends the held request
	AlreadySent                  // the held request is spent or gone
	NotSent                      // the held request was lost on the way
	ConfirmSignOut               // asks before signing out
	SignedOut                    // signed out
	FrameNotice                  // stands in a frame and leads out of it
	Done                         // where a small window ends
	Home                         // the sign-in host's front
	Busy                         // more is asked of the gateway than it can answer at once
	Choose                       // at which provider to sign in
	OtherProvider                // signed in, but at a provider that does not count here
	kindCount
)

// Kinds lists every kind.
func Kinds() []Kind {
	all := make([]Kind, kindCount)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String returns the kind's name in snake case.
func (k Kind) String() string { return wordsOf(k).name }

// Here, as a link, leads to the address that a page is the answer to, without
// saying it once more: it may name a patient.
const Here = "."

// A Page is what one person is told. Fields that a kind has no use for are
// ignored; text is shown as text, whatever it holds.
//
// Links (Continue, Cancel, SignOut and the release's Action) are shown only
// when they are an absolute https or http URL, begin with a single slash, or
// are [Here].
type Page struct {
	Kind      Kind
	Status    int    // 0: the kind's own
	Code      string // the reason or problem word; "": the kind's own
	RequestID string
	Rule      string // the rule that asks, which names the action; never patient data
	Continue  string // where the one next step leads
	Cancel    string // where going back leads
	SignOut   string // where another person signs this one out; "": /.anteroom/logout
	Who       string // whose session it is
	Host      string // the route's host as configured, never as the client wrote it
	Held      bool   // what the person sent is kept until they are back

	Choices   []Choice // of Choose
	Providers []string // what people call those that count, of OtherProvider

	Failed   []access.Failure // of DeviceBlocked and DeviceWarning
	Platform access.Platform  // of the device, for the steps
	Now      time.Time        // of DeviceWarning, in the time zone of its readers

	Release    *ReleaseForm // of Release
	Frame      string       // the origin that may frame a FrameNotice or a DeviceWarning; "" none
	FormAction []string     // further origins that the page's form may be redirected to
	RetryAfter int          // seconds; 0 says nothing
}

// A Choice is one provider at which a person may sign in.
type Choice struct {
	Name  string // its word in configuration: letters, digits, _ . and -
	Label string // what people call it
	Link  string // where it leads
	Last  bool   // it was this browser's last choice
}

// A ReleaseForm sends a held request: an absolute URL or a path with its
// query, byte for byte as it was, and the one-time token. A path that begins
// with two slashes must come as an absolute URL.
type ReleaseForm struct {
	Action string
	Token  string
}
