package main

import (
	"strings"

	"github.com/hashicorp/go-hclog"
)

// logLevels understands what --plugin-log-level says: [NAME=]LEVEL. A level
// without a name is that of all plugins that are not named.
func logLevels(given []string) (map[string]hclog.Level, error) {
	levels := map[string]hclog.Level{}
	for _, g := range given {
		name, text, named := strings.Cut(g, "=")
		if !named {
			name, text = "", g
		}
		level := hclog.LevelFromString(text)
		if level == hclog.NoLevel || named && name == "" {
			return nil, usageError("for example debug, or nfs=debug; there are trace, debug, info, warn, error and off",
				"--plugin-log-level %s is not [NAME=]LEVEL", g)
		}
		if _, twice := levels[name]; twice {
			return nil, usageError("keep one of them", "--plugin-log-level %s: there is another for the same plugin", g)
		}
		levels[name] = level
	}
	return levels, nil
}
