//go:build unix

package launch

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
)

func init() {
	roles["talkative"] = func() {
		serveMemory(func(context.Context, config) (*talkative, error) { return &talkative{}, nil })
	}
}

// A talkative destination says the same at every level, and then once more as a
// plugin that heeds no level does.
type talkative struct{ memory }

func (*talkative) Version(_ context.Context, what string) (string, error) {
	for _, level := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		sdk.Logger().Named("part").Log(level, what+" "+level.String(), "token", sdk.NewSecret("hunter2"), "n", 1)
		fmt.Fprintf(os.Stderr, `{"@level":"%v","@message":"heedless %v"}`+"\n", level, level)
	}
	fmt.Fprintln(os.Stderr, "[ERROR] the end")
	return "", nil
}

func TestPluginLogsWhatTheHostShows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ shown, asked, want hclog.Level }{
		{hclog.Trace, hclog.NoLevel, hclog.Trace},
		{hclog.Warn, hclog.NoLevel, hclog.Warn},
		{hclog.Trace, hclog.Error, hclog.Error},
		{hclog.Off, hclog.NoLevel, hclog.Off},
	} {
		t.Run(c.shown.String()+" "+c.asked.String(), func(t *testing.T) {
			t.Parallel()
			var written, logged buffer
			logger := hclog.New(&hclog.LoggerOptions{Output: &logged, Level: c.shown})
			d := openDestination(t, start(t, "talkative", Options{Stderr: &written, Logger: logger, LogLevel: c.asked}), nil)
			if _, err := d.(sdk.Replacer).Version(t.Context(), "says"); err != nil {
				t.Fatal(err)
			}
			lines := written.await(t, "the end")
			if c.want < hclog.Off {
				logged.await(t, "the end")
			}
			for _, level := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
				want := level >= c.want
				if got := strings.Contains(lines, "says "+level.String()); got != want {
					t.Errorf("%v: the plugin wrote it: %v; want %v", level, got, want)
				}
				for _, text := range []string{"heedless " + level.String(), "says " + level.String() + ": module=part n=1 token=[secret]"} {
					if got := strings.Contains(logged.String(), text); got != want {
						t.Errorf("%v: the host shows %q: %v; want %v; it shows %s", level, text, got, want, logged.String())
					}
				}
			}
			if mark := "[" + strings.ToUpper(c.want.String()) + "]"; c.want < hclog.Off && !strings.Contains(logged.String(), mark) {
				t.Errorf("nothing is marked %s: %s", mark, logged.String())
			}
		})
	}
}

func TestParseKeepsTheModule(t *testing.T) {
	for line, want := range map[string]string{
		`{"@level":"info","@message":"x","@module":"a.b","@caller":"f.go:1","@timestamp":"t"}`: "info x [module a.b]",
		`{"@level":"info","@message":"x","@module":5,"b":true,"a":null}`:                       "info x [a <nil> b true]",
		`{"@level":"info","@message":"x","@module":"a","module":"b"}`:                          "info x [module b]",
		`{"level":"DEBUG","msg":"x","time":"t"}`:                                               "debug x []",
		`[WARN] x`:                                                                             "warn x []",
		`panic: x`:                                                                             "error panic: x []",
	} {
		level, text, args := parse(line)
		if got := fmt.Sprint(level, " ", text, " ", args); got != want {
			t.Errorf("%s is parsed as %s, want %s", line, got, want)
		}
	}
}
