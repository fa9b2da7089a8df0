package plugindir

import (
	"io"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk/launch"
)

func TestLogLevelOfEveryPlugin(t *testing.T) {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: io.Discard, IndependentLevels: true})
	for program, want := range map[string]hclog.Level{
		"brock-destination-nfs":     hclog.Trace,
		"brock-keyprovider-nfs":     hclog.Trace,
		"brock-destination-s3":      hclog.Error,
		"brock-keyprovider-keyfile": hclog.Debug,
		"brock-destination-keyfile": hclog.Error,
	} {
		d := New(nil, Options{Logger: logger, LogLevels: map[string]hclog.Level{
			"": hclog.Error, "nfs": hclog.Trace, "brock-keyprovider-keyfile": hclog.Debug,
		}})
		o := launch.Options{Logger: logger}
		d.setLogLevel(&o, program)
		if o.LogLevel != want || o.Logger.GetLevel() != want {
			t.Errorf("%s logs at %v, and the host shows %v; want %v", program, o.LogLevel, o.Logger.GetLevel(), want)
		}
	}
	if logger.GetLevel() != hclog.Warn {
		t.Errorf("the host's own level is %v now", logger.GetLevel())
	}
}
