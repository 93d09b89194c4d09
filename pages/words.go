package pages

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/anteroom/anteroom/access"
)

// words are what one kind of page says when the page adds nothing of its own.
type words struct {
	name   string // of the kind
	code   string // shown when the page brings none
	status int
	icon   string
	tone   string // ask, stop, wait or good
	head   string
	lead   []string
	next   string // the text of the link onwards
	back   string // the text of the link back
}

// wordsOf returns the words of k; those of Unavailable for a kind that is none.
func wordsOf(k Kind) words {
	if k >= kindCount {
		k = Unavailable
	}
	return table[k]
}

var table = [kindCount]words{
	Unavailable: {name: "unavailable", code: "unavailable", status: http.StatusInternalServerError, icon: "tool", tone: "wait",
		head: "Something went wrong here",
		lead: []string{"It is not your doing. Wait a moment, then try again."},
		next: "Try again", back: "Go back"},
	StepUp: {name: "step_up", code: "step_up_required", status: http.StatusOK, icon: "key", tone: "ask",
		head: "Confirm it's you",
		next: "Confirm it's me", back: "Cancel"},
	Locked: {name: "locked", code: string(access.SessionLocked), status: http.StatusOK, icon: "lock", tone: "ask",
		head: "Locked",
		next: "Unlock"},
	SessionEnded: {name: "session_ended", code: string(access.SessionEnded), status: http.StatusOK, icon: "door", tone: "ask",
		head: "You were signed out",
		lead: []string{"Your session has ended. Sign in to go on."},
		next: "Sign in", back: "Cancel"},
	DeviceBlocked: {name: "device_blocked", code: "device_not_allowed", status: http.StatusForbidden, icon: "tablet", tone: "stop",
		head: "This device can't open this page",
		next: "Recheck", back: "Go back"},
	DeviceWarning: {name: "device_warning", code: "device_warning", status: http.StatusOK, icon: "clock", tone: "wait",
		head: "This device needs something soon",
		lead: []string{"You can go on working now. Do this in time, or this page won't open here any more."},
		next: "Later"},
	DeviceChanged: {name: "device_changed", code: string(access.DeviceChanged), status: http.StatusOK, icon: "tablet", tone: "ask",
		head: "You were signed out because the device changed",
		lead: []string{"A session stays on the device where it began. Sign in again on this one."},
		next: "Sign in", back: "Cancel"},
	NotAllowed: {name: "not_allowed", code: string(access.NoRole), status: http.StatusForbidden, icon: "stop", tone: "stop",
		head: "This isn't open to you",
		next: "Go back", back: "Go back"},
	Foreign: {name: "foreign", code: "not_allowed", status: http.StatusForbidden, icon: "stop", tone: "stop",
		head: "This didn't come from the application",
		lead: []string{"Nothing was sent. Open the application itself and do it there.", "If this happens again, tell the service desk."},
		next: "Open the application", back: "Go back"},
	StepUpFailed: {name: "step_up_failed", code: "step_up_failed", status: http.StatusForbidden, icon: "key", tone: "stop",
		head: "We couldn't confirm it's you",
		next: "Try again", back: "Go back"},
	SignInFailed: {name: "sign_in_failed", code: "sign_in_failed", status: http.StatusForbidden, icon: "key", tone: "stop",
		head: "Sign-in didn't work",
		lead: []string{"Nobody was signed in. Try once more."},
		next: "Try again", back: "Go back"},
	SignInExpired: {name: "sign_in_expired", code: "sign_in_expired", status: http.StatusBadRequest, icon: "clock", tone: "wait",
		head: "That sign-in is out of date",
		lead: []string{"It took too long, or it was finished in another tab. Start again."},
		next: "Start again", back: "Go back"},
	ProviderDown: {name: "provider_down", code: "provider_unreachable", status: http.StatusServiceUnavailable, icon: "tool", tone: "wait",
		head: "Sign-in isn't working right now",
		lead: []string{"The hospital's sign-in service doesn't answer. Whoever is already signed in can go on working."},
		next: "Try again", back: "Go back"},
	BackendDown: {name: "backend_down", code: "backend_unreachable", status: http.StatusBadGateway, icon: "tool", tone: "wait",
		head: "This application doesn't answer",
		lead: []string{"You are let in, but the application behind this page can't be reached. Wait a moment, then try again."},
		next: "Try again", back: "Go back"},
	BackendSlow: {name: "backend_slow", code: "backend_timeout", status: http.StatusGatewayTimeout, icon: "clock", tone: "wait",
		head: "This application is taking too long",
		lead: []string{"If you were saving something, it may have arrived. Check before you send it again."},
		next: "Try again", back: "Go back"},
	BackendAuth: {name: "backend_auth", code: "backend_auth_unsupported", status: http.StatusBadGateway, icon: "tool", tone: "stop",
		head: "This application asks for a login that can't pass here",
		lead: []string{"Trying again won't help. The service desk has to change how it is connected."},
		next: "Go back", back: "Go back"},
	BadRequest: {name: "bad_request", code: string(access.BadRequest), status: http.StatusBadRequest, icon: "stop", tone: "stop",
		head: "We couldn't read that request",
		lead: []string{"Nothing was opened or sent. Go back and try again."},
		next: "Go to the start page", back: "Go back"},
	WrongHost: {name: "wrong_host", code: "wrong_host", status: http.StatusMisdirectedRequest, icon: "stop", tone: "stop",
		head: "There is no application by this name",
		lead: []string{"Check the address, or open the application from your usual link."}},
	NoRoute: {name: "no_route", code: "no_route", status: http.StatusNotFound, icon: "door", tone: "stop",
		head: "There is nothing at this address",
		lead: []string{"Check the address, or open the application from your usual link."},
		next: "Go to the start page", back: "Go back"},
	MethodNotAllowed: {name: "method_not_allowed", code: "method_not_allowed", status: http.StatusMethodNotAllowed, icon: "stop", tone: "stop",
		head: "That can't be done here",
		lead: []string{"This application doesn't take that kind of request. Nothing was sent."},
		next: "Go to the start page", back: "Go back"},
	TooLarge: {name: "too_large", code: "too_large", status: http.StatusRequestEntityTooLarge, icon: "stop", tone: "stop",
		head: "That's too big to send",
		lead: []string{"Nothing was saved. Send a smaller file, or less at once."},
		next: "Go to the start page", back: "Go back"},
	TooLargeToHold: {name: "too_large_to_hold", code: "too_large", status: http.StatusRequestEntityTooLarge, icon: "key", tone: "wait",
		head: "Sign in first, then send again",
		lead: []string{"What you sent needs a fresh sign-in and is too big to keep meanwhile. Nothing was sent.",
			"Sign in, go back to the form, and send it again."},
		next: "Sign in", back: "Go back"},
	HeadersTooLarge: {name: "headers_too_large", code: "headers_too_large", status: http.StatusRequestHeaderFieldsTooLarge, icon: "stop", tone: "stop",
		head: "The browser sent too much at once",
		lead: []string{"Usually old cookies are the cause. Clear this site's data in the browser's settings, then try again."},
		next: "Try again", back: "Go back"},
	TooMany: {name: "too_many", code: "too_many", status: http.StatusTooManyRequests, icon: "clock", tone: "wait",
		head: "Too many tries in a short time",
		lead: []string{"Wait a moment, then try again."},
		next: "Try again", back: "Go back"},
	Busy: {name: "busy", code: "too_many", status: http.StatusServiceUnavailable, icon: "clock", tone: "wait",
		head: "There is a queue right now",
		lead: []string{"More is asked for than can be answered at once. It isn't your doing, and nothing was sent."},
		next: "Try again", back: "Go back"},
	CannotRecord: {name: "cannot_record", code: "cannot_record", status: http.StatusServiceUnavailable, icon: "tool", tone: "wait",
		head: "This can't be opened right now",
		lead: []string{"Every access has to be recorded, and recording isn't working. Nothing was opened or sent."},
		next: "Try again", back: "Go back"},
	Release: {name: "release", code: "released", status: http.StatusOK, icon: "send", tone: "good",
		head: "Thank you, that's confirmed",
		lead: []string{"What you entered was kept. It will be sent once."}},
	AlreadySent: {name: "already_sent", code: "already_sent", status: http.StatusConflict, icon: "send", tone: "wait",
		head: "This can't be sent again",
		lead: []string{"It was already sent, or its time ran out. Look in the application before you enter it again."},
		next: "Open the application", back: "Go back"},
	NotSent: {name: "not_sent", code: "not_sent", status: http.StatusConflict, icon: "send", tone: "stop",
		head: "This was not sent",
		lead: []string{"What you entered is lost: the sign-in took too long, or too many of them ran at once in this browser.",
			"Open the application and enter it again."},
		next: "Open the application", back: "Go back"},
	ConfirmSignOut: {name: "confirm_sign_out", code: "confirm_sign_out", status: http.StatusOK, icon: "door", tone: "ask",
		head: "Sign out?",
		lead: []string{"You will be signed out of every application here. Save your work first."},
		back: "Stay signed in"},
	SignedOut: {name: "signed_out", code: "signed_out", status: http.StatusOK, icon: "check", tone: "good",
		head: "You're signed out",
		lead: []string{"This device is ready for the next person."},
		next: "Sign in"},
	FrameNotice: {name: "frame_notice", code: string(access.NoSession), status: http.StatusOK, icon: "key", tone: "ask",
		head: "This part needs you to confirm who you are",
		next: "Continue"},
	Done: {name: "done", code: "done", status: http.StatusOK, icon: "check", tone: "good",
		head: "Done",
		lead: []string{"You can close this window and go on where you were."}},
	Choose: {name: "choose", code: "choose", status: http.StatusOK, icon: "door", tone: "ask",
		head: "How do you sign in?",
		lead: []string{"Choose the sign-in that you use at work."}},
	OtherProvider: {name: "other_provider", code: string(access.OtherProvider), status: http.StatusOK, icon: "key", tone: "ask",
		head: "This needs another sign-in",
		next: "Sign in there"},
	Home: {name: "home", code: "home", status: http.StatusOK, icon: "door", tone: "ask",
		head: "Welcome",
		lead: []string{"Open the application you want to use. You'll be asked to sign in when it's needed."},
		next: "Sign in"},
}

// adapt returns the words for p: those of its kind, in the variant that p's own
// values call for.
func adapt(p Page) words {
	w := wordsOf(p.Kind)
	switch p.Kind {
	case StepUp:
		if p.Rule != "" {
			w.head = "Confirm it's you: " + p.Rule
		}
		w.lead = []string{stepUpReason(p.Code), kept(p.Held)}
	case Locked:
		w.lead = []string{"Nobody used this for a while. Unlock to go on where you left off."}
		if p.Held {
			w.lead = append(w.lead, kept(true))
		}
	case SessionEnded, DeviceChanged:
		if p.Held {
			w.lead = append(append([]string(nil), w.lead...), kept(true))
		}
	case NotSent:
		if p.Rule != "" {
			w.head += ": " + p.Rule
		}
	case Release:
		if p.Rule != "" {
			w.head += ": " + p.Rule
		}
	case NotAllowed:
		w.lead = []string{"Your role doesn't include this page.", "If you need it for your work, ask for the right role."}
		if p.Rule != "" {
			w.lead[0] = "Your role doesn't include this: " + p.Rule + "."
		}
	case StepUpFailed:
		what := "this"
		if p.Rule != "" {
			what = "this: " + p.Rule
		}
		w.lead = []string{"Your sign-in wasn't strong or recent enough for " + what + ". Nothing was sent.",
			"Try again, and use your security key or passkey if you have one."}
		if safeLink(p.Continue) == "" {
			w.lead[1] = "Ask for a stronger way to sign in, such as a security key or passkey."
		}
	case SignInFailed:
		if p.Held {
			w.lead = []string{"Nobody was signed in. Nothing was sent, and what you entered wasn't kept."}
		}
		if p.Code == string(access.GroupsLeftOut) {
			why := []string{"The sign-in service can't name them all, so we can't tell what you may open.", "Trying again won't help. The service desk can change what is sent."}
			w.head, w.next = "Your account is in too many groups", ""
			if w.lead = why; p.Held {
				w.lead = append(why, "Nothing was sent, and what you entered wasn't kept.")
			}
		}
		if p.Code == "access_denied" {
			w.tone, w.head, w.next, w.back = "wait", "The sign-in was cancelled", "Back to the application", ""
			w.lead = []string{"Nothing was opened or sent."}
			if p.Held {
				w.lead[0] = "Nothing was sent. What you entered wasn't kept."
			}
			w.lead = append(w.lead, "If you didn't cancel it yourself, ask for help.")
		}
	case TooMany, Busy, ProviderDown, CannotRecord:
		if p.RetryAfter > 0 {
			w.lead = append(append([]string(nil), w.lead...), "Try again in "+seconds(p.RetryAfter)+".")
		}
		if p.Kind == TooMany && p.RetryAfter > 0 {
			w.lead = w.lead[1:]
		}
	case DeviceBlocked:
		switch {
		case final(p.Failed):
			w.next = ""
			if compromised(p.Failed) {
				w.lead = []string{"The security team has been told."}
			}
		case p.RetryAfter > 0:
			w.next = ""
			w.lead = []string{"This was checked a moment ago. Recheck in " + seconds(p.RetryAfter) + "."}
		case unanswered(p.Failed):
			w.head, w.tone, w.icon = "We can't check this device right now", "wait", "clock"
		}
	case OtherProvider:
		w.lead = []string{"Your sign-in doesn't count here. You'll be asked to sign in again.", "That signs you out of what you have open now: save your work first."}
		if len(p.Providers) > 0 {
			w.lead[0] = "Your sign-in doesn't count here. It takes a sign-in at " + strings.Join(p.Providers, " or ") + "."
		}
	case Home:
		if p.Who != "" {
			w.head = "You're signed in"
			w.lead = []string{"Open the application you want to use."}
			w.next = "Go on"
		}
	}
	return w
}

func stepUpReason(code string) string {
	switch access.Reason(code) {
	case access.OldLogin:
		return "You signed in a while ago. For this we need to know it's still you."
	case access.WeakLogin:
		return "This needs a stronger sign-in than the one you used."
	case access.OnceUsed:
		return "This is confirmed every time."
	}
	return "For this we need to know it's really you."
}

func kept(held bool) string {
	if held {
		return "What you entered is kept, and will be sent once when you're back."
	}
	return "You'll come straight back."
}

func seconds(n int) string {
	switch {
	case n == 1:
		return "1 second"
	case n < 120:
		return fmt.Sprintf("%d seconds", n)
	}
	return fmt.Sprintf("%d minutes", (n+59)/60)
}
