package headers_test

import (
	"testing"

	"github.com/anteroom/anteroom/headers"
)

func TestSkeleton(t *testing.T) {
	for _, name := range []string{"X-Remote-User", "x_remote.user", "XREMOTEUSER", "X--Remote-User", "x-remoteüuser", "X\tRemote\x00User-"} {
		if got := headers.Skeleton([]byte("is "), name); string(got) != "is xremoteuser" {
			t.Errorf("%q: %q", name, got)
		}
	}
	if got := headers.Skeleton(nil, "X-Remote-User2"); string(got) == "xremoteuser" {
		t.Error("a digit is left out")
	}
}

// What is asked beforehand is not asked again, and all else is asked for itself.
func TestVerdict(t *testing.T) {
	var asked []string
	v := headers.NewVerdict(func(name string) int {
		asked = append(asked, name)
		return len(name)
	}, "x-mdm-lost")
	asked = nil
	for name, again := range map[string]bool{"Cookie": false, "X-Mdm-Lost": false, "x-mdm-lost": true, "X-Other": true} {
		asked = nil
		if got := v.On(name); got != len(name) {
			t.Errorf("%s: %d", name, got)
		}
		if len(asked) > 0 != again {
			t.Errorf("%s: asked again: %v", name, asked)
		}
	}
}
