package demo

import "strings"

// A Person is someone who can sign in at the demo's provider. All of them are
// made up.
type Person struct {
	Username string
	Name     string
	Work     string // what they do, for the sign-in form
	Groups   []string
}

// Sub returns the subject identifier, which is not the user name: a person
// who marries keeps it (OpenID Connect Core 1.0, section 5.7).
func (p Person) Sub() string { return "staff-" + p.Username }

// Password is everybody's in the demo, and Code is everybody's one-time code.
const (
	Password = "demo"
	Code     = "123456"
)

// People lists who can sign in.
func People() []Person {
	return []Person{
		{"nora", "Nora Lind", "nurse, ward 4", []string{"ehr-nurses"}},
		{"piet", "Piet Vos", "physician", []string{"ehr-physicians"}},
		{"tess", "Tess Amadi", "telehealth coordinator", []string{"ehr-coordinators"}},
		{"bea", "Bea Castellan", "billing", []string{"ehr-billing"}},
		{"adam", "Adam Ruiz", "runs the gateway", []string{"gateway-admins"}},
		{"eve", "Eve Holm", "visitor, in no group", nil},
	}
}

// personNamed returns the person with this user name, however it is capitalised.
func personNamed(username string) (Person, bool) {
	for _, p := range People() {
		if p.Username == strings.ToLower(strings.TrimSpace(username)) {
			return p, true
		}
	}
	return Person{}, false
}

func personWithSub(sub string) (Person, bool) {
	for _, p := range People() {
		if p.Sub() == sub {
			return p, true
		}
	}
	return Person{}, false
}
