package sdk

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

type common struct {
	Region string `json:"region" default:"eu"`
}

type settings struct {
	common
	Embedded
	URI     string         `json:"uri" required:"true" example:"x://y" doc:"where"`
	Key     Secret         `json:"key" env:"SDK_TEST_KEY" required:"true"`
	Secure  bool           `json:"secure" default:"true"`
	Parts   int            `json:"parts" default:"8" example:"16"`
	Ratio   float64        `json:"ratio"`
	Timeout time.Duration  `json:"timeout" default:"30s"`
	Labels  map[string]int `json:"labels"`
	Skipped string         `json:"-"`

	Accounts map[string]account `json:"accounts"`
}

type account struct {
	Token Secret   `json:"token"`
	Next  *account `json:"next"`
}

// Embedded is what two plugins have in common.
type Embedded struct {
	Bucket string `json:"bucket"`
}

func TestDecode(t *testing.T) {
	base := settings{common: common{Region: "eu"}, URI: "u", Key: NewSecret("k"), Secure: true, Parts: 8, Timeout: 30 * time.Second}
	for in, change := range map[string]func(*settings){
		``:                              func(*settings) {},
		`,"secure":"false","parts":"9"`: func(s *settings) { s.Secure, s.Parts = false, 9 },
		`,"secure":false,"parts":9,"ratio":"1.5"`: func(s *settings) { s.Secure, s.Parts, s.Ratio = false, 9, 1.5 },
		`,"timeout":"1m","bucket":"b"`:            func(s *settings) { s.Timeout, s.Bucket = time.Minute, "b" },
		`,"parts":null,"labels":{"a":1}`:          func(s *settings) { s.Labels = map[string]int{"a": 1} },
	} {
		want := base
		change(&want)
		got, err := decode[settings]([]byte(`{"uri":"u","key":"k"` + in + `}`))
		if err != nil || got.Key.RevealString() != "k" {
			t.Errorf("%s: %v", in, err)
		}
		got.Key, want.Key = Secret{}, Secret{}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", in, got, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`[]`:                                                     "settings are no JSON object",
		`{"uri":"u","key":"k"`:                                   "settings are no JSON object",
		`{"key":"k"}`:                                            `setting uri: required, but absent, as in "x://y"`,
		`{"uri":"u"}`:                                            `setting key: required, but absent`,
		`{"uri":"","key":"k"}`:                                   `setting uri: required, but empty`,
		`{"uri":"u","key":12345}`:                                `setting key: a secret must be a string`,
		`{"uri":"u","key":"k","Secure":true}`:                    `unknown setting "Secure", did you mean "secure"?`,
		`{"uri":"u","key":"k","bukket":"b"}`:                     `unknown setting "bukket", did you mean "bucket"?`,
		`{"uri":"u","key":"k","zzz":1}`:                          `unknown setting "zzz" (known: region, bucket, uri,`,
		`{"uri":"u","key":"k","Skipped":"x"}`:                    `unknown setting "Skipped"`,
		`{"uri":"u","key":"k","parts":"many"}`:                   `setting parts: "many" is no int, as in "16"`,
		`{"uri":"u","key":"k","parts":1.5}`:                      `setting parts: 1.5 is no int`,
		`{"uri":"u","key":"k","parts":"1 2"}`:                    `setting parts: "1 2" is no int`,
		`{"uri":"u","key":"k","parts":"5}"}`:                     `setting parts: "5}" is no int`,
		`{"uri":"u","key":"k","parts":"5]"}`:                     `setting parts: "5]" is no int`,
		`{"uri":"u","key":"k","parts":"null"}`:                   `setting parts: "null" is no int`,
		`{"uri":"u","key":"k","parts":"\"5\""}`:                  `setting parts: "\"5\"" is no int`,
		`{"uri":"u","key":"k","ratio":"NaN"}`:                    `setting ratio: "NaN" is no float`,
		`{"uri":"u","key":"k","accounts":{"a":{"token":12345}}}`: `setting accounts: not the json that is wanted`,
		`{"uri":"u","key":"k","accounts":{"a":12345}}`:           `setting accounts: not the json that is wanted`,
		`{"uri":"u","key":"k","secure":"maybe"}`:                 `setting secure: "maybe" is no bool`,
		`{"uri":"u","key":"k","timeout":30}`:                     `setting timeout: 30 is no duration`,
		`{"uri":5,"key":"k"}`:                                    `setting uri: 5 is no string`,
		`{"uri":"u","key":"k","labels":{"a":"b"}}`:               `setting labels: {"a":"b"} is no json`,
	} {
		_, err := decode[settings]([]byte(in))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "12345") {
			t.Errorf("%s: %v; want ErrInvalid with %q", in, err, want)
		}
	}
}

// A color knows what is wrong with it.
type color string

func (c *color) UnmarshalText(text []byte) error {
	*c = color(text)
	if *c != "red" {
		return fmt.Errorf("%q is not red", text)
	}
	return nil
}

func TestDecodeSaysWhatTheTypeSays(t *testing.T) {
	type paint struct {
		Color color `json:"color" example:"red"`
	}
	for in, want := range map[string]string{
		`{"color":"blue"}`: `setting color: "blue" is not red, as in "red": invalid argument`,
		`{"color":5}`:      `setting color: 5 is no string, as in "red": invalid argument`,
	} {
		if _, err := decode[paint]([]byte(in)); !errors.Is(err, ErrInvalid) || err.Error() != want {
			t.Errorf("%s: %v; want %s", in, err, want)
		}
	}
}

func TestSettingFromTheEnvironment(t *testing.T) {
	t.Setenv("SDK_TEST_KEY", "from outside")
	got, err := decode[settings]([]byte(`{"uri":"u"}`))
	if err != nil || got.Key.RevealString() != "from outside" {
		t.Errorf("absent: %q, %v", got.Key.RevealString(), err)
	}
	got, err = decode[settings]([]byte(`{"uri":"u","key":"given"}`))
	if err != nil || got.Key.RevealString() != "given" {
		t.Errorf("given: %q, %v", got.Key.RevealString(), err)
	}
}

func TestSettingsOf(t *testing.T) {
	got := settingsOf(reflect.TypeFor[settings]())
	want := []Setting{
		{Name: "region", Type: "string", Default: "eu"},
		{Name: "bucket", Type: "string"},
		{Name: "uri", Type: "string", Required: true, Example: "x://y", Doc: "where"},
		{Name: "key", Type: "string", Required: true, Secret: true, Env: "SDK_TEST_KEY"},
		{Name: "secure", Type: "bool", Default: "true"},
		{Name: "parts", Type: "int", Default: "8", Example: "16"},
		{Name: "ratio", Type: "float"},
		{Name: "timeout", Type: "duration", Default: "30s"},
		{Name: "labels", Type: "json"},
		{Name: "accounts", Type: "json", Secret: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSettingsMustBeAStruct(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	settingsOf(reflect.TypeFor[map[string]string]())
}

func TestNearest(t *testing.T) {
	names := []string{"endpoint", "region", "secret_key"}
	for name, want := range map[string]string{
		"endpont": "endpoint", "Region": "region", "secretkey": "secret_key", "x": "", "bucket": "", "": "",
	} {
		if got := nearest(name, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
