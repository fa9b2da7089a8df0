// Package handshake holds what host and plugin must agree on before they speak.
package handshake

import "github.com/hashicorp/go-plugin"

// Protocol is the version of the protocol. It changes only when a plugin of one
// version cannot serve a host of the other.
const Protocol = 1

// Minor is the newest minor version of the protocol: what it can do more than
// when it was first published. Both sides of every minor version can serve each
// other.
const Minor = 2

// Config lets a plugin notice that it was started by hand instead of by a host.
// It is a courtesy to users, no defence.
var Config = plugin.HandshakeConfig{
	ProtocolVersion:  Protocol,
	MagicCookieKey:   "BROCK_PLUGIN",
	MagicCookieValue: "brock.plugin.v1",
}

// Service is the name under which go-plugin dispenses the connection.
const Service = "brock"

// LivenessEnv names the file descriptor from which a plugin learns that its
// host has gone: the host holds the other end, and never writes.
const LivenessEnv = "BROCK_PLUGIN_LIVENESS"

// LogLevelEnv names the level below which the host drops what a plugin logs, so
// that the plugin need not write it.
const LogLevelEnv = "BROCK_PLUGIN_LOG_LEVEL"

// BulkEnv names the file descriptor of a connected socket, over which a plugin
// may serve the bytes of objects without TLS.
const BulkEnv = "BROCK_PLUGIN_BULK"

// LanesEnv names the file descriptor of a connected socket, over which a host
// passes lanes: see package lane.
const LanesEnv = "BROCK_PLUGIN_LANES"

// SocketDirEnv names the directory in which the plugin makes its socket.
const SocketDirEnv = plugin.EnvUnixSocketDir

// The kinds of a plugin, as Description.Kind spells them.
const (
	Destination = "destination"
	KeyProvider = "keyprovider"
)
