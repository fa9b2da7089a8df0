//go:build !race

package backupfile

const raceEnabled = false
