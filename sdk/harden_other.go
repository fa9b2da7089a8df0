//go:build !unix

package sdk

func harden(string) {}
