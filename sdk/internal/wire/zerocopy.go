//go:build !brock_nozerocopy

package wire

// zeroCopy is off in a program that is built with -tags brock_nozerocopy: then
// gRPC's own codec does everything. The bytes on the wire are the same.
const zeroCopy = true
