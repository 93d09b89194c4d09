package access

import "time"

// A Journey is what a refused request needs of a sign-in, and where its
// browser comes back to. It travels sealed.
type Journey struct {
	Host   string // the application's host: canonical, no port
	Return string // target (path and query) on Host
	Front  string // the route's front page, for a person who was not the one asked for

	Providers []string // by name, any of which may sign the person in; none: the first of all
	Reason    Reason
	Route     string
	Rule      string

	Logins   []Login       // each must be proven; those of the Subject's issuer, when there is a Subject
	Within   time.Duration // oldest acceptable sign-in; zero sets no limit
	EachTime bool          // a sign-in made for this one request
	Method   string        // of that request, as judged

	Session   string    // whose step-up or unlock this is; "" for a plain sign-in
	Subject   Subject   // who must come back; zero: anybody
	NotBefore time.Time // the sign-in must be newer: the moment of the lock or the end

	Held   string // the held request's id
	Window bool   // asked for by a script: ends at /.anteroom/done
	Frame  bool   // asked for from inside a frame

	RequestID   string
	Traceparent string
}
