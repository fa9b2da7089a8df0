//go:build brock_nozerocopy

package wire

const zeroCopy = false
