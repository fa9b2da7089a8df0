package sdk

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"
)

const canary = "canary"

func TestSecretIsNeverShown(t *testing.T) {
	s := NewSecret(canary)
	for _, v := range []any{
		s, &s,
		[]Secret{s},
		map[string]Secret{"k": s},
		struct{ S Secret }{s},
		struct{ s Secret }{s},
		struct{ s *Secret }{&s},
		struct{ a any }{s},
		Secret{},
		fmt.Errorf("with %v", s),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%o", "%U"} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) || strings.Contains(text, "99 97 110") {
				t.Errorf("Sprintf(%q, %T) = %s", verb, v, text)
			}
		}
	}
	if got := fmt.Sprintf("%v %x %#v", s, s, s); got != "[secret] [secret] [secret]" {
		t.Errorf("got %q", got)
	}
}

func TestSecretIsNeverEncoded(t *testing.T) {
	s := NewSecret([]byte(canary))
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "s", s, "g", struct{ S Secret }{s})
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "s", s, "g", struct{ S Secret }{s})
	_ = json.NewEncoder(&b).Encode(map[string]any{"s": s, "p": &s})
	_ = xml.NewEncoder(&b).Encode(s)
	_ = template.Must(template.New("").Parse("{{.}}")).Execute(&b, s)
	if text := b.String(); strings.Contains(text, canary) || strings.Count(text, masked) < 8 {
		t.Errorf("encoded: %s", text)
	}
}

func TestSecretReveals(t *testing.T) {
	s := NewSecret(canary)
	s.Reveal()[0] = 'x'
	if s.RevealString() != canary || string(s.Reveal()) != canary || s.IsZero() {
		t.Errorf("got %q", s.RevealString())
	}
	var zero Secret
	if zero.RevealString() != "" || len(zero.Reveal()) != 0 || !zero.IsZero() || !NewSecret("").IsZero() {
		t.Errorf("zero Secret: %q", zero.RevealString())
	}
	var read struct{ S Secret }
	if err := json.Unmarshal([]byte(`{"S":"read"}`), &read); err != nil || read.S.RevealString() != "read" {
		t.Errorf("Unmarshal: %q, %v", read.S.RevealString(), err)
	}
	if err := json.Unmarshal([]byte(`{"S":12345}`), &read); err == nil || strings.Contains(err.Error(), "12345") {
		t.Errorf("Unmarshal of a number: %v", err)
	}
}
