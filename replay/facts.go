package replay

// facts are what a record does not hold, tried in every way in turn. A fact is
// found when it is first asked for; one that no way asks for is not tried.
type facts struct {
	all   []fact
	asked int // of all, in the way that is tried now
}

type fact struct {
	key, what string
	value     bool
}

// begin starts a way.
func (f *facts) begin() { f.asked = 0 }

// know returns the fact that key names, and what it is called: the same each
// time in one way.
func (f *facts) know(key, what string) bool {
	for i := range f.all[:f.asked] {
		if f.all[i].key == key {
			return f.all[i].value
		}
	}
	if f.asked == len(f.all) {
		f.all = append(f.all, fact{key: key, what: what})
	}
	// Ways differ in the last fact first, so up to there they ask the same.
	f.asked++
	return f.all[f.asked-1].value
}

// next goes on to another way, and returns false after the last.
func (f *facts) next() bool {
	f.all = f.all[:f.asked]
	for len(f.all) > 0 && f.all[len(f.all)-1].value {
		f.all = f.all[:len(f.all)-1]
	}
	if len(f.all) == 0 {
		return false
	}
	f.all[len(f.all)-1].value = true
	return true
}

// why names the facts that the present way asked for.
func (f *facts) why() []string {
	if f.asked == 0 {
		return nil
	}
	all := make([]string, f.asked)
	for i := range all {
		all[i] = f.all[i].what
	}
	return all
}
