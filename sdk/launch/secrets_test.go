package launch

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
)

// Which variables are secrets, the plugin says: until then, all are.
func TestVariablesAreHiddenUntilThePluginSaysWhichAreSecrets(t *testing.T) {
	l := newLog("p", &Options{Logger: hclog.NewNullLogger()})
	usual := []string{"HTTPS_PROXY=http://user:p%40ss@proxy:3128", "TZ=Europe/Berlin"}
	given := []string{"REGION=eu-west-1", "KEY=key in a variable", "PIN=123", "LIBRARY=of the storage", "DEBUG=1", "EMPTY="}
	const text = "eu-west-1, key in a variable, 123, of the storage, 1, http://user:p%40ss@proxy:3128, p@ss, Europe/Berlin"
	l.hideEnv(usual, given)
	const before = "[secret], [secret], 123, [secret], 1, http://user:[secret]@proxy:3128, [secret], Europe/Berlin"
	if got := l.safe(text); got != before {
		t.Errorf("before the description:\n%s, want\n%s", got, before)
	}
	l.settle(usual, given, []sdk.Setting{
		{Name: "region", Env: "REGION"},
		{Name: "proxy", Env: "HTTPS_PROXY"},
		{Name: "plain"},
		{Name: "key", Env: "KEY", Secret: true},
		{Name: "pin", Env: "PIN", Secret: true},
	})
	const after = "eu-west-1, [secret], [secret], [secret], 1, http://user:[secret]@proxy:3128, [secret], Europe/Berlin"
	if got := l.safe(text); got != after {
		t.Errorf("after the description:\n%s, want\n%s", got, after)
	}
}

func TestSecretsOfEverySettingAreHidden(t *testing.T) {
	described := []sdk.Setting{{Name: "token", Secret: true}, {Name: "accounts", Secret: true}, {Name: "region"}}
	for what, c := range map[string]struct {
		settings   map[string]any
		text, want string
	}{
		"plain":     {map[string]any{"token": "abc", "region": "eu-west"}, "abc in eu-west", "[secret] in eu-west"},
		"nested":    {map[string]any{"accounts": map[string]any{"a": []any{"abcdef", "eu", 3.0, nil}}}, "abcdef eu 3", "[secret] eu 3"},
		"typed":     {map[string]any{"accounts": map[string]string{"a": "abcdef"}}, "abcdef", "[secret]"},
		"a URI":     {map[string]any{"uri": "x://u:pass%2fword@h/p"}, "pass/word pass%2fword pass%2Fword", "[secret] [secret] [secret]"},
		"an at":     {map[string]any{"uri": "x://u:pa@ss@h/p@q"}, "x://u:pa@ss@h/p@q", "x://u:[secret]@h/p@q"},
		"no URI":    {map[string]any{"uri": "x://u:pass word@h/p"}, "pass word", "[secret]"},
		"no secret": {map[string]any{"uri": "x://user@h:80/p", "region": "eu-west"}, "x://user@h:80/p", "x://user@h:80/p"},
	} {
		l := newLog("p", &Options{Logger: hclog.NewNullLogger()})
		l.hideSettings(described, c.settings)
		if got := l.safe(c.text); got != c.want {
			t.Errorf("%s: %q is shown as %q, want %q", what, c.text, got, c.want)
		}
	}
}
