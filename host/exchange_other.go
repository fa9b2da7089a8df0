//go:build !linux

package host

func exchange(string, string) error { return errNotExchanged }
