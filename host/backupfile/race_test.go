//go:build race

package backupfile

const raceEnabled = true // its pools forget at random
