package launch

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// parse understands the JSON lines of hclog and of slog, and marks like [WARN]
// in front of plain text. Whatever is not as it should be is plain text.
func parse(line string) (hclog.Level, string, []any) {
	var fields map[string]any
	if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &fields) == nil {
		if level, text, ok := message(fields); ok {
			return level, text, pairs(fields)
		}
	}
	for mark, level := range marks {
		if text, ok := strings.CutPrefix(line, mark); ok {
			return level, strings.TrimSpace(text), nil
		}
	}
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		return hclog.Error, line, nil
	}
	return hclog.Info, line, nil
}

var marks = map[string]hclog.Level{
	"[TRACE]": hclog.Trace,
	"[DEBUG]": hclog.Debug,
	"[INFO]":  hclog.Info,
	"[WARN]":  hclog.Warn,
	"[ERROR]": hclog.Error,
}

// message takes level and text out of a line's fields, if it has both.
func message(fields map[string]any) (hclog.Level, string, bool) {
	for _, keys := range [][2]string{{"@level", "@message"}, {"level", "msg"}} {
		level, ok1 := fields[keys[0]].(string)
		text, ok2 := fields[keys[1]].(string)
		if l := hclog.LevelFromString(level); ok1 && ok2 && l != hclog.NoLevel {
			delete(fields, keys[0])
			delete(fields, keys[1])
			return l, text, true
		}
	}
	return 0, "", false
}

func pairs(fields map[string]any) []any {
	if module, ok := fields["@module"].(string); ok && fields["module"] == nil {
		fields["module"] = module
	}
	var keys []string
	for k := range fields {
		if !strings.HasPrefix(k, "@") && k != "time" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var args []any
	for _, k := range keys {
		args = append(args, k, fields[k])
	}
	return args
}
