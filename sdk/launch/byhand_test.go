//go:build unix

package launch

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk"
)

// byHand runs a plugin as a user does who found the file.
func byHand(role string, args ...string) (stdout, stderr string, code int) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), string(exit.Stderr), exit.ExitCode()
	}
	return string(out), "", 0
}

func TestPluginRunByHandSaysWhatItIs(t *testing.T) {
	out, text, code := byHand("memory")
	if out != "" || code != 2 {
		t.Errorf("exit code %d, %q on standard output; want 2 and nothing", code, out)
	}
	for _, want := range []string{"brock-destination-memory 1.2.3 is a plugin of brock", "Forgets.", "mem://", "Install:", "Test:", "token"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	if out, _, code := byHand("memory", "describe"); code != 0 || !strings.Contains(out, "Forgets.") {
		t.Errorf("describe: exit code %d, %q", code, out)
	}
}

func TestDescribeByHandIsWhatTheHostHears(t *testing.T) {
	for _, role := range []string{"memory", "keys"} {
		out, _, code := byHand(role, "describe", "--json")
		var got sdk.Description
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
			t.Fatalf("describe --json: %v, exit code %d: %s", err, code, out)
		}
		want := start(t, role, Options{}).Description()
		if len(got.Settings) == 0 {
			got.Settings = want.Settings
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("by hand %+v, to the host %+v", got, want)
		}
	}
}
