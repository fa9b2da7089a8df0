// Package access lets the conformance checks, and nobody else, reach through a
// launch.Process to the connections that it keeps to itself: a host that behaves
// badly is a test, and package launch is no such host.
package access

import "google.golang.org/grpc"

// Conns returns the connections of a *launch.Process: that for control, and that
// for the bytes of objects, which is the same if the plugin has no other. Package
// launch sets it.
var Conns func(process any) (control, bulk grpc.ClientConnInterface)
