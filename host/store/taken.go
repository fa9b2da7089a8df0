package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/brock-backup/brock/host/durable"
)

// takenFile lists the backups that were taken of this database, as JSON. It is what a copy
// of the directory that was put back does not have: its timestamps may be given out
// twice, and an incremental backup after the copy's later life would hold half of it.
const takenFile = "backups"

// maxTaken is how many backups are remembered. To continue an older one a full backup must be
// taken.
const maxTaken = 4096

// A taken is one backup.
type taken struct {
	Series string `json:"backup_id"`
	Number int    `json:"backup_num"`
	ReadTs uint64 `json:"read_ts"`
}

// Took remembers a backup that was taken from a [Store.Source], so that an incremental one
// may follow it.
func (s *Store) Took(series string, number int, readTs uint64) error {
	s.takenMu.Lock()
	defer s.takenMu.Unlock()
	all, err := s.taken()
	if err != nil {
		s.opt.Logger.Warn("the list of backups is begun anew", "error", err)
	}
	all = append(all, taken{series, number, readTs})
	b, err := json.Marshal(all[max(0, len(all)-maxTaken):])
	if err != nil {
		return err
	}
	return durable.ReplaceFile(filepath.Join(s.logDir(), takenFile), b)
}

// HasTaken reports whether a backup was taken of this database, in this life of it. Only
// then does an incremental backup that follows hold all that has changed.
func (s *Store) HasTaken(series string, number int, readTs uint64) bool {
	s.takenMu.Lock()
	defer s.takenMu.Unlock()
	all, err := s.taken()
	return err == nil && slices.Contains(all, taken{series, number, readTs})
}

func (s *Store) taken() ([]taken, error) {
	path := filepath.Join(s.logDir(), takenFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []taken
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	return all, nil
}
