package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/brock-backup/brock/host/durable"
)

const stateVersion = 1

// state is the file that a Scheduler keeps.
type state struct {
	Version   int               `json:"version"`
	Seed      uint64            `json:"seed"` // of jitter, so that no two hosts have the same
	Schedules map[string]record `json:"schedules"`
}

// A record is how far one schedule has come.
type record struct {
	Slot      time.Time `json:"slot"`    // the latest that was begun, or passed over because a run took so long
	Started   time.Time `json:"started"` // of the latest attempt
	Ended     time.Time `json:"ended"`   // of the same; zero: it has not, or nobody lived to write it down
	Succeeded time.Time `json:"succeeded"`
	Done      bool      `json:"done"` // no further attempt is wanted for Slot
	Failures  int       `json:"failures"`
}

// readState returns what the file at path says. One that is not there says nothing.
func readState(path string) (*state, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &state{}, nil
	}
	if err != nil {
		return &state{}, err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return &state{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.Version != stateVersion {
		return &state{}, fmt.Errorf("%s has version %d, not %d", path, s.Version, stateVersion)
	}
	return &s, nil
}

// write replaces the file at path. There never is half of it.
func (s *state) write(path string) error {
	s.Version = stateVersion
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'))
}

// replaceFile brings a file to the disk. A test of thousands of runs does without.
var replaceFile = durable.ReplaceFile
