package sdk

import (
	"os"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// Logger returns the plugin's log. Its lines reach the log of the host with
// their level and their keys and values:
//
//	sdk.Logger().Warn("the bucket keeps no versions", "bucket", c.Bucket)
//
// What the host would not show is not written in the first place. A Secret
// among the values is masked. A plugin without a host, in its own tests say,
// logs as text.
func Logger() hclog.Logger { return logger() }

// stderr is the process's own, whatever go-plugin puts in its place.
var stderr = os.Stderr

var logger = sync.OnceValue(func() hclog.Logger {
	return newLogger(os.Getenv(handshake.LogLevelEnv), underHost())
})

func newLogger(level string, json bool) hclog.Logger {
	o := &hclog.LoggerOptions{Level: hclog.LevelFromString(level), Output: stderr, JSONFormat: json}
	if o.Level == hclog.NoLevel {
		o.Level = hclog.Info // the host is older than the variable, or there is none
	}
	return hclog.New(o)
}

// underHost reports whether a host has started this process.
func underHost() bool {
	return os.Getenv(handshake.Config.MagicCookieKey) == handshake.Config.MagicCookieValue
}
