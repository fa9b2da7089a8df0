package plugindir

import (
	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk/launch"
)

// setLogLevel gives the log of one program the level that is meant for it: the
// one under its own name, or the one under "".
func (d *Dirs) setLogLevel(o *launch.Options, program string) {
	level := d.opts.LogLevels[""]
	for _, prefix := range prefixes {
		for name, l := range d.opts.LogLevels {
			if name != "" && (prefix+name == program || name == program) {
				level = l
			}
		}
	}
	if level == hclog.NoLevel || o.Logger == nil {
		return
	}
	o.LogLevel = level
	o.Logger = o.Logger.With() // one whose level is nobody else's
	o.Logger.SetLevel(level)
}
