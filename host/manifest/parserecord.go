package manifest

import (
	"encoding/base64"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/brock-backup/brock/host/dgraph"
)

// ParseRecord reads a commit record. A flipped bit is ErrCorrupt, a format
// that a later Brock writes is ErrNewer. The caller compares the name that it read
// with [RecordName].
func ParseRecord(data []byte) (*Manifest, error) {
	if len(data) > MaxRecordSize {
		return nil, corrupt("%d bytes, of which at most %d are allowed", len(data), MaxRecordSize)
	}
	object, err := signed(data)
	if err != nil {
		return nil, err
	}
	return parseRecord(object)
}

// parseRecord reads a record without its digest.
func parseRecord(object []byte) (*Manifest, error) {
	r, err := newReader(object, MaxRecordSize)
	if err != nil {
		return nil, err
	}
	d := recordDecoder{reader: r, rec: &Record{}}
	if err := r.object(d.field); err != nil {
		return nil, err
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	if d.keys != recordKeys {
		return nil, corrupt("it has %d of the %d keys of a commit record", d.keys, recordKeys)
	}
	return d.manifest()
}

// recordKeys is the number of keys in a record of format 1: every one is there.
const recordKeys = 22

type recordDecoder struct {
	*reader
	entry entry
	kind  string
	rec   *Record
	keys  int
}

func (d *recordDecoder) field(key string) error {
	d.keys++
	if d.keys == 1 && key != "format" {
		return corrupt("it begins with %s, not with its format", quote(key))
	}
	var err error
	switch key {
	case "format":
		return d.format()
	case "engine":
		err = d.text(&d.rec.Engine, maxText)
	case "created":
		err = d.time(&d.rec.Created)
	case "compat":
		err = d.text(&d.rec.Compat, maxText)
	case "kind":
		err = d.text(&d.kind, maxText)
	case "badger_drops":
		d.rec.BadgerDrops, err = d.badgerDrops()
	case "objects":
		d.rec.Objects, err = d.objects()
	case "key_provider":
		err = d.text(&d.rec.KeyProvider, maxText)
	case "key_check":
		err = d.text(&d.rec.KeyCheck, maxText)
	case "wrapped_key":
		d.rec.Wrapped, err = d.wrapped()
	case "damaged":
		err = d.text(&d.rec.Damaged, maxText)
	default:
		known, err := d.entry.field(d.reader, key)
		if err == nil && !known {
			err = corrupt("key %s is not known", quote(key))
		}
		return err
	}
	return inside(err, "%s", key)
}

func (d *recordDecoder) format() error {
	var n uint64
	if err := d.number(&n); err != nil {
		return inside(err, "format")
	}
	if n > RecordFormat {
		return newer("commit record of format %d, and this Brock reads formats up to %d: use the one that wrote it", n, RecordFormat)
	}
	if n < 1 {
		return corrupt("format %d was never written", n)
	}
	d.rec.Format = int(n)
	return nil
}

func (d *recordDecoder) time(t *time.Time) error {
	var s string
	if err := d.text(&s, maxText); err != nil {
		return err
	}
	var err error
	if *t, err = time.Parse(time.RFC3339Nano, s); err != nil {
		return corrupt("%s is not a time", quote(s))
	}
	*t = t.UTC()
	return nil
}

func (d *recordDecoder) bytes(b *[]byte) error {
	var s string
	if err := d.text(&s, maxBytes); err != nil {
		return err
	}
	var err error
	if *b, err = base64.StdEncoding.DecodeString(s); err != nil {
		return corrupt("%s is not base64", quote(s))
	}
	return nil
}

// maxBytes bounds keys of a Badger database and wrapped keys, in base64.
const maxBytes = 128 << 10

func (d *recordDecoder) badgerDrops() (ds []BadgerDrop, err error) {
	err = d.array(func(i int) error {
		var b BadgerDrop
		err := d.object(func(key string) error {
			switch key {
			case "all":
				return d.boolean(&b.All)
			case "prefix":
				return d.bytes(&b.Prefix)
			}
			return corrupt("key %s is not known", quote(key))
		})
		if err == nil && b.All == (len(b.Prefix) > 0) {
			err = corrupt("a drop is either of everything or of a prefix")
		}
		if err != nil {
			return inside(err, "%d", i+1)
		}
		ds = append(ds, b)
		return d.take(64)
	})
	return ds, err
}

func (d *recordDecoder) objects() (os []Object, err error) {
	err = d.array(func(i int) error {
		var o Object
		var group, size uint64
		err := d.object(func(key string) error {
			switch key {
			case "group":
				return d.number(&group)
			case "ts":
				return d.number(&o.Ts)
			case "name":
				return d.text(&o.Name, 2*maxText)
			case "size":
				return d.number(&size)
			case "sha256":
				return d.text(&o.SHA256, maxText)
			case "seal":
				return d.text(&o.Seal, 2*maxText)
			case "seal_sha256":
				return d.text(&o.SealSHA256, maxText)
			}
			return corrupt("key %s is not known", quote(key))
		})
		if err == nil && (group > math.MaxUint32 || size > math.MaxInt64) {
			err = corrupt("group %d or size %d is too large", group, size)
		}
		if err != nil {
			return inside(err, "%d", i+1)
		}
		o.Group, o.Size = uint32(group), int64(size)
		os = append(os, o)
		return d.take(256)
	})
	return os, err
}

func (d *recordDecoder) wrapped() (*WrappedKey, error) {
	var w WrappedKey
	var there bool
	err := d.object(func(key string) error {
		there = true
		switch key {
		case "key_id":
			return d.text(&w.KeyID, maxText)
		case "key_version":
			return d.text(&w.KeyVersion, maxText)
		case "ciphertext":
			return d.bytes(&w.Ciphertext)
		case "aad":
			return d.text(&w.AAD, maxText)
		}
		return corrupt("key %s is not known", quote(key))
	})
	if err != nil || !there {
		return nil, err
	}
	return &w, nil
}

// manifest puts together what was read, and refuses what EncodeRecord never writes.
func (d *recordDecoder) manifest() (*Manifest, error) {
	form, err := formOf(d.entry.version)
	if err != nil {
		return nil, err
	}
	if c := Compat(d.rec.Compat); c != CompatV20 && c != CompatV21 && c != CompatV23 || c.Form() != form {
		return nil, corrupt("compat: %s does not go with version %d", quote(d.rec.Compat), form)
	}
	d.entry.version = uint64(dgraph.FormV23) // as a record's names are written
	m, err := d.entry.manifest()
	if err != nil {
		return nil, err
	}
	if m.Path, err = cleanPath(d.entry.path); err != nil || m.Path == "" || m.Path != d.entry.path {
		return nil, corrupt("path: %s is not a directory of the location", quote(d.entry.path))
	}
	m.Form, m.Kind, m.Since, m.Published, m.Record = form, Kind(d.kind), d.entry.since, false, d.rec
	return &m, checkRecord(&m)
}

func checkRecord(m *Manifest) error {
	r := m.Record
	if err := sound(m); err != nil {
		return err
	}
	switch {
	case m.Full && m.Since != 0, !m.Full && (m.Since == 0 || m.Since >= m.ReadTs):
		return corrupt("since: %d does not go with read timestamp %d of a backup that is %s", m.Since, m.ReadTs, m.typeName())
	case m.Kind == KindDgraph && r.BadgerDrops != nil:
		return corrupt("badger_drops: it holds data of kind %s", m.Kind)
	case m.Kind == KindBadger && m.Drops != nil:
		return corrupt("drop_operations: it holds data of kind %s", m.Kind)
	case m.Kind != KindDgraph && m.Kind != KindBadger:
		return corrupt("kind: %s is not known", quote(string(m.Kind)))
	}
	seen := map[uint32]bool{}
	for _, o := range r.Objects {
		if _, ok := m.Groups[o.Group]; !ok || seen[o.Group] {
			return corrupt("objects: group %d is not listed, or twice", o.Group)
		}
		seen[o.Group] = true
		if err := checkObject(m.Path, o); err != nil {
			return inside(err, "objects: group %d", o.Group)
		}
	}
	for _, g := range slices.Sorted(maps.Keys(m.Groups)) {
		if !seen[g] {
			return corrupt("objects: group %d has none", g)
		}
	}
	for _, text := range []string{r.Engine, r.KeyProvider, r.KeyCheck, r.Damaged} {
		if err := checkText("record", text); err != nil {
			return err
		}
	}
	return nil
}

// checkObject makes sure that an object and its seal lie in dir.
func checkObject(dir string, o Object) error {
	names, sums := []string{o.Name}, []string{o.SHA256}
	if o.Seal != "" || o.SealSHA256 != "" {
		names, sums = append(names, o.Seal), append(sums, o.SealSHA256)
	}
	for i, name := range names {
		clean, err := cleanPath(name)
		if err != nil {
			return err
		}
		if clean != name || !strings.HasPrefix(name, dir+"/") {
			return corrupt("%s is not in directory %s", quote(name), quote(dir))
		}
		if len(sums[i]) != 64 || strings.Trim(sums[i], "0123456789abcdef") != "" {
			return corrupt("%s is not a digest", quote(sums[i]))
		}
	}
	return nil
}
