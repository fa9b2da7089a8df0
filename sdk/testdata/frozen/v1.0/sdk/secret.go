package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
)

// A Secret is a value that prints as "[secret]", whatever prints it: every verb
// of fmt, JSON, text, slog; also as an unexported field of something else. The
// zero Secret is empty.
type Secret struct {
	// fmt looks into unexported fields without asking their type, and follows
	// pointers there, but does not call functions.
	reveal func() string
}

const masked = "[secret]"

// NewSecret returns a Secret with a copy of value.
func NewSecret[T ~string | ~[]byte](value T) Secret {
	text := string(value)
	return Secret{func() string { return text }}
}

// Reveal returns a copy of the value itself, nil if there is none.
func (s Secret) Reveal() []byte {
	if s.IsZero() {
		return nil
	}
	return []byte(s.RevealString())
}

// RevealString returns the value itself.
func (s Secret) RevealString() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether there is no value, or an empty one.
func (s Secret) IsZero() bool { return s.RevealString() == "" }

// String returns "[secret]".
func (s Secret) String() string { return masked }

// Format prints "[secret]" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(masked)) }

// LogValue is "[secret]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText returns "[secret]": what must reach a plugin is sent otherwise.
func (s Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// UnmarshalText takes the value from settings.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(text)
	return nil
}

// UnmarshalJSON takes the value from a JSON string. Its errors never show it.
func (s *Secret) UnmarshalJSON(data []byte) error {
	var v *string
	if json.Unmarshal(data, &v) != nil || v == nil {
		return errors.New("a secret must be a string")
	}
	*s = NewSecret(*v)
	return nil
}
