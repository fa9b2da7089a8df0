package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/durable"
)

// idFile says in the directory of each group which database it belongs to, by an id that every
// start draws anew. Whoever puts another directory in its place, as an offline restore does,
// takes it away, and an earlier copy has an earlier id: the log, and what is known of backups,
// are not those of what is there now.
const idFile = "BROCK-ID"

// renewID gives the database the id of this start. A crash leaves directories with the one
// before and with the next, which the state both knows.
func (s *Store) renewID(saved *savedState) error {
	if saved.Next == "" {
		saved.Next = rand.Text()
		if err := s.saveState(*saved); err != nil {
			return err
		}
	}
	if err := markGroups(s.opt.Dir, saved.Next); err != nil {
		return err
	}
	saved.ID, saved.Next = saved.Next, ""
	return s.saveState(*saved)
}

// known returns the state if it is that of the directories, or nil if it is of no use any more.
func (s *Store) known(saved *savedState) (*savedState, error) {
	if saved == nil || saved.New != 0 {
		return saved, nil
	}
	same, err := s.marked(saved.ID, saved.Next)
	if err != nil || same {
		return saved, err
	}
	logged, err := s.logged()
	if err != nil {
		return nil, err
	}
	if logged {
		return nil, fmt.Errorf("%s: %w: it was replaced after a host was killed whose writes are in %s: move that away to serve what is there now, without them", s.opt.Dir, ErrDamaged, s.logDir())
	}
	s.opt.Logger.Warn("the database was replaced while no host had it open: the next backup is a full one", "dir", s.opt.Dir)
	if err := os.Remove(filepath.Join(s.logDir(), takenFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return nil, nil
}

// marked reports whether all groups have one of the ids.
func (s *Store) marked(ids ...string) (bool, error) {
	dirs, err := badgerdb.FindGroups(s.opt.Dir)
	if err != nil {
		return false, err
	}
	for _, dir := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, idFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if len(b) == 0 || !slices.Contains(ids, string(b)) {
			return false, nil
		}
	}
	return true, nil
}

// logged reports whether the log holds anything.
func (s *Store) logged() (bool, error) {
	l := &log{dir: s.logDir()}
	numbers, err := l.numbers()
	if err != nil {
		return false, err
	}
	for _, n := range numbers {
		if fi, err := os.Stat(l.path(n)); err != nil || fi.Size() > 0 {
			return true, err
		}
	}
	return false, nil
}

// markGroups makes the groups below dir those of the database with that id.
func markGroups(dir, id string) error {
	dirs, err := badgerdb.FindGroups(dir)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := durable.ReplaceFile(filepath.Join(dir, idFile), []byte(id)); err != nil {
			return err
		}
	}
	return nil
}

// Finished returns a [badgerdb.ErrNotClosed] if group is a directory of a host that was killed and
// not started since: its log may hold what the database has not, or half of. Without the log
// nobody can tell what there is.
func Finished(group string) error {
	group, err := filepath.Abs(group)
	if err != nil {
		return err
	}
	for _, dir := range []string{group, filepath.Dir(group)} {
		s := &Store{opt: Options{Dir: dir}}
		saved, err := s.readState()
		if err != nil {
			return err
		}
		if saved == nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join(group, idFile))
		if errors.Is(err, fs.ErrNotExist) || err == nil && string(b) != saved.ID && string(b) != saved.Next {
			continue // it was put there since
		}
		if err != nil {
			return err
		}
		logged, err := s.logged()
		if err != nil {
			return err
		}
		if logged {
			return fmt.Errorf("%s: %w: brock serve was killed, and what is in %s is not all in the database; start and stop it once", group, badgerdb.ErrNotClosed, s.logDir())
		}
	}
	return nil
}
