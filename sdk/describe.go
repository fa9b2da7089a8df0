package sdk

import (
	"math"

	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// Plugin is what a plugin says of itself.
type Plugin struct {
	Name    string   `json:"name"` // as in "nfs"
	Version string   `json:"version"`
	Doc     string   `json:"doc"`               // what it is for, in a sentence
	Schemes []string `json:"schemes,omitempty"` // of a destination's URIs; "" is a plain path
	Limits  Limits   `json:"limits,omitzero"`   // of a destination; none if zero

	// Env names the variables of the environment that it reads besides those of
	// its settings. The host shows a plugin no variable that it has not named.
	Env []string `json:"env,omitempty"`
}

// Limits are what a destination takes at once. The host keeps to them: it
// makes further Puts wait, and refuses an object that is too large. The zero
// value sets no limits.
type Limits struct {
	// ConcurrentPuts is how many calls of Put and Replace may be under way at
	// once, counted over all instances in the process.
	ConcurrentPuts int `json:"concurrent_puts,omitempty"`

	// ObjectSize is the size of the largest object, in bytes.
	ObjectSize int64 `json:"object_size,omitempty"`

	// PartSize is where the storage divides an object, in bytes: the
	// conformance kit stores objects of about that size.
	PartSize int64 `json:"part_size,omitempty"`
}

// A Description is all that a host knows of a plugin before opening it.
type Description struct {
	Plugin
	Kind          string    `json:"kind"` // "destination" or "keyprovider"
	Protocol      int       `json:"protocol"`
	ProtocolMinor int       `json:"protocol_minor"` // the newest minor version of the protocol that it knows
	Settings      []Setting `json:"settings"`
	Capabilities  []string  `json:"capabilities"` // "replace", "probe", "report", "export", "rotate"
}

// A Setting describes one setting of a plugin: a field of its settings struct.
type Setting struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // "string", "bool", "int", "float", "duration", or "json" for all else
	Required bool   `json:"required,omitempty"`
	Secret   bool   `json:"secret,omitempty"`
	Default  string `json:"default,omitempty"`
	Env      string `json:"env,omitempty"` // environment variable that gives its value if it is absent
	Example  string `json:"example,omitempty"`
	Doc      string `json:"doc,omitempty"`
}

func (d *Description) proto() *pluginpb.DescribeResponse {
	res := &pluginpb.DescribeResponse{
		Name:         d.Name,
		Version:      d.Version,
		Doc:          d.Doc,
		Kind:         pluginpb.Kind_KIND_DESTINATION,
		Schemes:      d.Schemes,
		Capabilities: handshake.EncodeCapabilities(d.Capabilities),

		ProtocolMinor: uint32(d.ProtocolMinor),
		Environment:   d.Env,
	}
	if l := d.Limits; l != (Limits{}) {
		res.Limits = &pluginpb.Limits{
			ConcurrentPuts: uint32(min(l.ConcurrentPuts, math.MaxInt32)),
			ObjectSize:     l.ObjectSize,
			PartSize:       l.PartSize,
		}
	}
	if d.Kind == handshake.KeyProvider {
		res.Kind = pluginpb.Kind_KIND_KEY_PROVIDER
	}
	for _, s := range d.Settings {
		res.Settings = append(res.Settings, &pluginpb.Setting{
			Name: s.Name, Type: s.Type, Doc: s.Doc, Required: s.Required, Secret: s.Secret,
			Default: s.Default, Env: s.Env, Example: s.Example,
		})
	}
	return res
}
