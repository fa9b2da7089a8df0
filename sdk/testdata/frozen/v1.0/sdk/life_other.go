//go:build !unix

package sdk

import "syscall"

func closeOnExec(int) {}

func endGroup(syscall.Signal) {}
