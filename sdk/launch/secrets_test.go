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
	l.settle(usual, given, &sdk.Description{Settings: []sdk.Setting{
		{Name: "region", Env: "REGION"},
		{Name: "proxy", Env: "HTTPS_PROXY"},
		{Name: "plain"},
		{Name: "key", Env: "KEY", Secret: true},
		{Name: "pin", Env: "PIN", Secret: true},
	}})
	const after = "eu-west-1, [secret], [secret], [secret], 1, http://user:[secret]@proxy:3128, [secret], Europe/Berlin"
	if got := l.safe(text); got != after {
		t.Errorf("after the description:\n%s, want\n%s", got, after)
	}
}

// Of the variables that a plugin names and that give no setting, those are secrets
// that are called like one.
func TestNamedVariablesAreHiddenByTheirNames(t *testing.T) {
	for name, secret := range map[string]bool{
		"AWS_SECRET_ACCESS_KEY": true, "AWS_ACCESS_KEY_ID": true, "AWS_SESSION_TOKEN": true, "MINIO_ROOT_PASSWORD": true,
		"AZURE_STORAGE_CONNECTION_STRING": true, "AZURE_STORAGE_SAS": true, "AWS_CONTAINER_AUTHORIZATION_TOKEN": true,
		"AWS_REGION": false, "AWS_WEB_IDENTITY_TOKEN_FILE": false, "AWS_ROLE_ARN": false, "MINIO_ROOT_USER": false, "AZURE_TENANT_ID": false,
	} {
		l := newLog("p", &Options{Logger: hclog.NewNullLogger()})
		given := []string{name + "=value-of-the-variable"}
		l.hideEnv(nil, given)
		l.settle(nil, given, &sdk.Description{Plugin: sdk.Plugin{Env: []string{name}}})
		if hidden := l.safe("value-of-the-variable") == "[secret]"; hidden != secret {
			t.Errorf("%s is hidden: %v, want %v", name, hidden, secret)
		}
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
