package handshake

import "github.com/brock-backup/brock/sdk/internal/pluginpb"

// The abilities of an instance beyond the common ones, as people read them.
const (
	Replace = "replace"
	Probe   = "probe"
	Export  = "export"
	Rotate  = "rotate"
	Report  = "report"
)

var capabilities = map[string]pluginpb.Capability{
	Replace: pluginpb.Capability_CAPABILITY_REPLACE,
	Probe:   pluginpb.Capability_CAPABILITY_PROBE,
	Export:  pluginpb.Capability_CAPABILITY_EXPORT,
	Rotate:  pluginpb.Capability_CAPABILITY_ROTATE,
	Report:  pluginpb.Capability_CAPABILITY_REPORT,
}

// EncodeCapabilities is for the wire.
func EncodeCapabilities(names []string) []pluginpb.Capability {
	var cs []pluginpb.Capability
	for _, name := range names {
		cs = append(cs, capabilities[name])
	}
	return cs
}

// DecodeCapabilities leaves out what it does not know.
func DecodeCapabilities(cs []pluginpb.Capability) []string {
	var names []string
	for _, c := range cs {
		for name, known := range capabilities {
			if c == known {
				names = append(names, name)
			}
		}
	}
	return names
}
