//go:build !unix

package launch

import "os"

func lockRunDir(string) *os.File { return nil }
func collectRunDirs()            {}
