//go:build race

package main

func init() { memoryAllowed *= 2 } // its own memory comes on top
