package launch

import (
	"io"
	"slices"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// What a destination and a key provider can do in any case.
type (
	closingDestination interface {
		sdk.Destination
		io.Closer
	}
	closingKeyProvider interface {
		sdk.KeyProvider
		io.Closer
	}
)

// A destination that can do more.
type (
	replacer struct {
		closingDestination
		sdk.Replacer
	}
	prober struct {
		closingDestination
		sdk.Prober
	}
	both struct {
		replacer
		sdk.Prober
	}
)

// ableDestination gives d the abilities named, and none besides.
func ableDestination(d closingDestination, names []string, r sdk.Replacer, p sdk.Prober, w sdk.Reporter) sdk.Destination {
	replace, probe := slices.Contains(names, handshake.Replace), slices.Contains(names, handshake.Probe)
	if slices.Contains(names, handshake.Report) {
		switch {
		case replace && probe:
			return struct {
				both
				sdk.Reporter
			}{both{replacer{d, r}, p}, w}
		case replace:
			return struct {
				replacer
				sdk.Reporter
			}{replacer{d, r}, w}
		case probe:
			return struct {
				prober
				sdk.Reporter
			}{prober{d, p}, w}
		}
		return struct {
			closingDestination
			sdk.Reporter
		}{d, w}
	}
	switch {
	case replace && probe:
		return both{replacer{d, r}, p}
	case replace:
		return replacer{d, r}
	case probe:
		return prober{d, p}
	}
	return d
}

// ableKeyProvider gives k the abilities named, and none besides.
func ableKeyProvider(k closingKeyProvider, names []string, e sdk.KeyExporter, r sdk.KeyRotator) sdk.KeyProvider {
	export, rotate := slices.Contains(names, handshake.Export), slices.Contains(names, handshake.Rotate)
	switch {
	case export && rotate:
		return struct {
			closingKeyProvider
			sdk.KeyExporter
			sdk.KeyRotator
		}{k, e, r}
	case export:
		return struct {
			closingKeyProvider
			sdk.KeyExporter
		}{k, e}
	case rotate:
		return struct {
			closingKeyProvider
			sdk.KeyRotator
		}{k, r}
	}
	return k
}

// abilities names what v can do besides.
func abilities(v any) (names []string) {
	if _, ok := v.(sdk.Replacer); ok {
		names = append(names, handshake.Replace)
	}
	if _, ok := v.(sdk.Prober); ok {
		names = append(names, handshake.Probe)
	}
	if _, ok := v.(sdk.Reporter); ok {
		names = append(names, handshake.Report)
	}
	if _, ok := v.(sdk.KeyExporter); ok {
		names = append(names, handshake.Export)
	}
	if _, ok := v.(sdk.KeyRotator); ok {
		names = append(names, handshake.Rotate)
	}
	return names
}
