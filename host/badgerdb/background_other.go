//go:build !linux

package badgerdb

// Background does nothing here: threads have no priorities of their own.
func Background() {}
