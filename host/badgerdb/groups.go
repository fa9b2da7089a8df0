package badgerdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v3"
)

// groupFile is where Dgraph keeps the number of the group in its directory.
const groupFile = "group_id"

var groupDir = regexp.MustCompile(`^p([0-9]*)$`)

// FindGroups returns the group directories at postings: p, or p1, p2 and so on below
// it, or the directory itself. The number is that in the directory's group_id file, else the
// one in its name, else 1.
func FindGroups(postings string) (map[uint32]string, error) {
	err := checkDir(postings)
	if err == nil || !errors.Is(err, ErrNotBadger) {
		if err != nil {
			return nil, err
		}
		id, err := groupOf(postings, 1)
		return map[uint32]string{id: postings}, err
	}
	entries, readErr := os.ReadDir(postings)
	if readErr != nil {
		return nil, err
	}
	groups := map[uint32]string{}
	for _, e := range entries {
		name := groupDir.FindStringSubmatch(e.Name())
		dir := filepath.Join(postings, e.Name())
		if fi, err := os.Stat(dir); name == nil || err != nil || !fi.IsDir() {
			continue
		}
		if err := checkDir(dir); err != nil {
			return nil, err
		}
		id := uint64(1)
		if name[1] != "" {
			if id, err = strconv.ParseUint(name[1], 10, 32); err != nil {
				return nil, fmt.Errorf("%s: %w", dir, err)
			}
		}
		gid, err := groupOf(dir, uint32(id))
		if err != nil {
			return nil, err
		}
		if other, ok := groups[gid]; ok {
			return nil, fmt.Errorf("%s and %s are both of group %d", other, dir, gid)
		}
		groups[gid] = dir
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("%s: %w: there is neither a %s in it nor a directory p, p1, p2 with one", postings, ErrNotBadger, badger.ManifestFilename)
	}
	return groups, nil
}

// IsGroupDir reports whether name is that of a group's directory: p, p1, p2 and so on.
func IsGroupDir(name string) bool { return groupDir.MatchString(name) }

// groupOf reads the directory's group_id.
func groupOf(dir string, otherwise uint32) (uint32, error) {
	b, err := os.ReadFile(filepath.Join(dir, groupFile))
	if errors.Is(err, os.ErrNotExist) {
		return otherwise, nil
	}
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("%s: %q is not the number of a group", filepath.Join(dir, groupFile), b)
	}
	return uint32(id), nil
}
