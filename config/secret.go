package config

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is text that is never printed: every way of formatting it shows
// [secret]. The zero Secret is empty.
type Secret struct{ value string }

const hidden = "[secret]"

// Reveal returns the text itself.
func (s Secret) Reveal() string { return s.value }

// String returns [secret].
func (Secret) String() string { return hidden }

// GoString returns [secret].
func (Secret) GoString() string { return hidden }

// Format writes [secret] for every verb: %d would otherwise show the field.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// MarshalText returns [secret].
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON returns "[secret]".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// LogValue returns [secret].
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
