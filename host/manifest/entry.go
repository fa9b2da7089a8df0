package manifest

import (
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
)

// An entry is one backup as Dgraph's JSON has it, names in the form that only
// its version tells.
type entry struct {
	typ, id, path, compression     string
	since, readTs, number, version uint64
	encrypted                      bool
	groups                         []group
	drops                          []wireDrop
}

type group struct {
	id    uint32
	names []string
}

// field reads the value of one key of an entry, and reports whether the key is
// one that Dgraph writes. Others are skipped: a later Dgraph may have more.
func (e *entry) field(r *reader, key string) (known bool, err error) {
	switch key {
	case "type":
		err = r.text(&e.typ, maxText)
	case "since":
		err = r.number(&e.since)
	case "read_ts":
		err = r.number(&e.readTs)
	case "groups":
		e.groups, err = r.groups()
	case "backup_id":
		err = r.text(&e.id, maxText)
	case "backup_num":
		err = r.number(&e.number)
	case "version":
		err = r.number(&e.version)
	case "path":
		err = r.text(&e.path, maxText)
	case "encrypted":
		err = r.boolean(&e.encrypted)
	case "compression":
		err = r.text(&e.compression, maxText)
	case "drop_operations":
		e.drops, err = r.drops()
	default:
		return false, r.skip()
	}
	return true, inside(err, "%s", key)
}

// groups reads {"1":["0-name"],"2":[]}.
func (r *reader) groups() (gs []group, err error) {
	err = r.object(func(key string) error {
		id, err := strconv.ParseUint(key, 10, 32)
		if err != nil || id == 0 || strconv.FormatUint(id, 10) != key {
			return corrupt("%s is no group: they are counted from 1", quote(key))
		}
		g := group{id: uint32(id)}
		err = r.array(func(int) error {
			name, err := r.name()
			if err != nil {
				return err
			}
			g.names = append(g.names, name)
			return r.take(48) // here, and as a Predicate
		})
		if err != nil {
			return inside(err, "%d", id)
		}
		gs = append(gs, g)
		return r.take(192)
	})
	return gs, err
}

// blank reports whether the entry names no backup at all. Dgraph takes such
// entries into a master manifest when a directory below the location holds a
// manifest.json of something else, and skips them ever after.
func (e *entry) blank() bool {
	return e.id == "" && e.since == 0 && e.readTs == 0 && len(e.groups) == 0
}

// manifest gives names and numbers their meaning. The path is the caller's affair.
func (e *entry) manifest() (m Manifest, err error) {
	m = Manifest{
		Series: e.id, ReadTs: e.readTs, Encrypted: e.encrypted, Compression: e.compression,
		Kind: KindDgraph, Published: true,
	}
	if e.number > math.MaxInt32 {
		return m, corrupt("backup_num: %d is more than a series can have", e.number)
	}
	m.Number = int(e.number)
	if err := checkText("backup_id", m.Series); err != nil {
		return m, err
	}
	if err := checkText("compression", m.Compression); err != nil {
		return m, err
	}
	if m.Form, err = formOf(e.version); err != nil {
		return m, err
	}
	if m.Compression == "" || m.Form == dgraph.FormV20 {
		m.Compression = "gzip"
	}
	if m.ReadTs == 0 {
		m.ReadTs = e.since
	}
	switch e.typ {
	case "full":
		m.Full = true
	case "incremental":
	default:
		return m, corrupt("type: %s is neither full nor incremental", quote(e.typ))
	}
	if m.Groups, err = predicates(e.groups, m.Form); err != nil {
		return m, inside(err, "groups")
	}
	m.Drops, err = drops(e.drops, m.Form)
	return m, inside(err, "drop_operations")
}

func formOf(version uint64) (dgraph.Form, error) {
	for _, f := range []dgraph.Form{dgraph.FormV20, dgraph.FormV21, dgraph.FormV23} {
		if version == uint64(f) {
			return f, nil
		}
	}
	if version > uint64(dgraph.FormV23) {
		return 0, newer("version: %d is not known, only manifests up to %d are", version, dgraph.FormV23)
	}
	return 0, corrupt("version: %d was never written by Dgraph", version)
}

// predicates reads names in form f. Dgraph lists some names twice.
func predicates(groups []group, f dgraph.Form) (map[uint32][]dgraph.Predicate, error) {
	all := make(map[uint32][]dgraph.Predicate, len(groups))
	for _, g := range groups {
		ps := make([]dgraph.Predicate, 0, len(g.names))
		for _, name := range g.names {
			p, err := dgraph.ParsePredicate(f, name)
			if err != nil {
				return nil, inside(corrupt("%w", err), "%d", g.id)
			}
			ps = append(ps, p)
		}
		slices.SortFunc(ps, comparePredicates)
		all[g.id] = slices.Clip(slices.Compact(ps))
	}
	return all, nil
}

func comparePredicates(a, b dgraph.Predicate) int {
	if a.Namespace != b.Namespace {
		if a.Namespace < b.Namespace {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Name, b.Name)
}

// checkText refuses text that would disturb a terminal or a file system.
func checkText(what, s string) error {
	if i := strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' }); i >= 0 {
		return corrupt("%s: %s has a control character", what, quote(s))
	}
	return nil
}

// cleanPath anchors a path at the location, as Dgraph does since 25.4: no number
// of ".." and no leading slash leads out of it.
func cleanPath(s string) (string, error) {
	if err := checkText("path", s); err != nil {
		return "", err
	}
	if strings.Contains(s, `\`) {
		return "", corrupt("path: %s has a backslash", quote(s))
	}
	if len(s) > maxText {
		return "", corrupt("path: %s is longer than %d bytes", quote(s), maxText)
	}
	return strings.TrimPrefix(path.Clean("/"+s), "/"), nil
}
