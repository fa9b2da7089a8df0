package handshake

// An Attachment is what a plugin that was started by hand, to be debugged, says
// of itself in a file, for a host to connect to it.
type Attachment struct {
	Protocol int    `json:"protocol"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Network  string `json:"network"` // "unix"
	Address  string `json:"address"`
	Pid      int    `json:"pid"`
}
