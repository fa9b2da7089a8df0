package launch

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestPluginSeesOnlyTheAllowedEnvironment(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hosts-own")
	t.Setenv("https_proxy", "http://proxy:1")
	t.Setenv("TZ", "UTC")
	p := start(t, "memory", Options{Env: []string{"EXTRA=permitted"}})
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for v := range strings.SplitSeq(string(raw), "\x00") {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	for name, want := range map[string]string{
		"https_proxy": "http://proxy:1", "TZ": "UTC", "HOME": os.Getenv("HOME"), "EXTRA": "permitted",
		"AWS_SECRET_ACCESS_KEY": "", "PATH": "", "TMPDIR": "",
	} {
		if env[name] != want {
			t.Errorf("plugin sees %s=%q, want %q", name, env[name], want)
		}
	}
	if stdin, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", p.Pid())); stdin != os.DevNull {
		t.Errorf("standard input is %s, %v; want %s", stdin, err, os.DevNull)
	}
	if group, err := syscall.Getpgid(p.Pid()); group != p.Pid() {
		t.Errorf("process group is %d, %v; want the plugin's own %d", group, err, p.Pid())
	}
}
