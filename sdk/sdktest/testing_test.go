package sdktest

import (
	"reflect"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
)

func TestSettingsOf(t *testing.T) {
	type embedded struct {
		Deep int `json:"deep"`
	}
	got := settingsOf(&struct {
		embedded
		URI    string        `json:"uri"`
		Empty  string        `json:"empty"`
		Wait   time.Duration `json:"wait,omitempty"`
		Token  sdk.Secret    `json:"token"`
		Plain  bool
		hidden int
	}{embedded: embedded{5}, URI: "/x", Wait: time.Minute, Token: sdk.NewSecret("x"), Plain: true, hidden: 1})
	token, ok := got["token"].(sdk.Secret)
	if !ok || token.RevealString() != "x" {
		t.Errorf("the secret has become %v", got["token"])
	}
	delete(got, "token")
	want := map[string]any{"deep": 5, "uri": "/x", "wait": "1m0s", "Plain": true}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("settingsOf = %v, want %v", got, want)
	}
}
