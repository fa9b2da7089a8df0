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

// ableDestination gives d the abilities named, and none besides.
func ableDestination(d closingDestination, names []string, r sdk.Replacer, p sdk.Prober) sdk.Destination {
	replace, probe := slices.Contains(names, handshake.Replace), slices.Contains(names, handshake.Probe)
	switch {
	case replace && probe:
		return struct {
			closingDestination
			sdk.Replacer
			sdk.Prober
		}{d, r, p}
	case replace:
		return struct {
			closingDestination
			sdk.Replacer
		}{d, r}
	case probe:
		return struct {
			closingDestination
			sdk.Prober
		}{d, p}
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
	if _, ok := v.(sdk.KeyExporter); ok {
		names = append(names, handshake.Export)
	}
	if _, ok := v.(sdk.KeyRotator); ok {
		names = append(names, handshake.Rotate)
	}
	return names
}
