package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brock-backup/brock/host/dgraph"
)

// RecordFormat is the format of commit records that this package writes, and the
// latest one that it reads.
const RecordFormat = 1

// A Record is what a commit record holds beside the manifest's own fields. The
// record is the commit: whoever creates it owns that number of the series.
// Dgraph's manifests can be made again from it.
type Record struct {
	Format      int    // RecordFormat; 0 is taken for it
	Engine      string // version of the program that took the backup
	Created     time.Time
	Compat      string // whose Dgraph the backup is written for: a Compat
	Objects     []Object
	KeyProvider string       // who has the key; "" in a plain backup
	KeyCheck    string       // tells data keys apart without giving them away
	Wrapped     *WrappedKey  // the series' data key, if the provider only wraps
	BadgerDrops []BadgerDrop // what Drops is to a database that is not Dgraph's
	Damaged     string       // name of the list of what could not be read and was left out
}

// An Object is one group's file and the seal that vouches for it.
type Object struct {
	Group      uint32 `json:"group"`
	Ts         uint64 `json:"ts"` // newest timestamp in the group: what is between it and ReadTs may still come
	Name       string `json:"name"`
	Size       int64  `json:"size"`
	SHA256     string `json:"sha256"`
	Seal       string `json:"seal"`
	SealSHA256 string `json:"seal_sha256"`
}

// A WrappedKey is a data key that only its provider can unwrap.
type WrappedKey struct {
	KeyID      string `json:"key_id"`                // of the provider's key
	KeyVersion string `json:"key_version,omitempty"` // of that key, if it has versions
	Ciphertext []byte `json:"ciphertext"`            // what the data key is derived from, wrapped
	AAD        string `json:"aad"`                   // digest of what the key is bound to: see Binding
}

// A BadgerDrop is a DropAll or a DropPrefix. It acts on everything written before the
// backup that carries it.
type BadgerDrop struct {
	All    bool   `json:"all,omitempty"`
	Prefix []byte `json:"prefix,omitempty"`
}

// recordDir holds the commit records: Dgraph looks at no name that ends as theirs do.
const recordDir = "brock"

// RecordName returns the name of a backup's commit record. No series leads out of
// the records' directory, and no two share a name.
func RecordName(series string, number int) string {
	var b strings.Builder
	for i, c := range []byte(series) {
		plain := c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if plain || c == '.' && i > 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return recordDir + "/" + b.String() + "/" + strconv.Itoa(number) + ".json"
}

// The JSON of a record, in the order of its keys. Names are in form V23 whatever the
// version, so that nothing is lost.
type wireRecord struct {
	Format      int                 `json:"format"`
	Engine      string              `json:"engine"`
	Created     time.Time           `json:"created"`
	Compat      string              `json:"compat"`
	Kind        Kind                `json:"kind"`
	Type        string              `json:"type"`
	Since       uint64              `json:"since"`
	ReadTs      uint64              `json:"read_ts"`
	ID          string              `json:"backup_id"`
	Number      int                 `json:"backup_num"`
	Version     dgraph.Form         `json:"version"`
	Path        string              `json:"path"`
	Encrypted   bool                `json:"encrypted"`
	Compression string              `json:"compression"`
	Groups      map[uint32][]string `json:"groups"`
	Drops       []wireDrop          `json:"drop_operations"`
	BadgerDrops []BadgerDrop        `json:"badger_drops"`
	Objects     []Object            `json:"objects"`
	KeyProvider string              `json:"key_provider"`
	KeyCheck    string              `json:"key_check"`
	Wrapped     *WrappedKey         `json:"wrapped_key"`
	Damaged     string              `json:"damaged"`
}

// EncodeRecord writes m's commit record. It refuses a backup that its form cannot tell:
// what is committed can be published.
//
// The record is one JSON object that begins with its format number and ends with
// the key sha256, the digest of all bytes before that key. Later formats keep both.
func EncodeRecord(m *Manifest) ([]byte, error) {
	data, err := m.encodeRecord()
	if err != nil {
		return nil, inside(err, "backup %s", m.ID())
	}
	return sign(data), nil
}

func (m *Manifest) encodeRecord() ([]byte, error) {
	if m.Record == nil {
		return nil, unfit("it has no record")
	}
	if err := m.publishable(); err != nil {
		return nil, err
	}
	groups, err := m.wireGroups(dgraph.FormV23)
	if err != nil {
		return nil, inside(err, "groups")
	}
	drops, err := m.wireDrops(dgraph.FormV23)
	if err != nil {
		return nil, inside(err, "drop_operations")
	}
	r := m.Record
	data, err := json.Marshal(wireRecord{
		RecordFormat, r.Engine, r.Created.UTC(), r.Compat, m.Kind, m.typeName(), m.Since, m.ReadTs, m.Series, m.Number,
		m.Form, m.Path, m.Encrypted, m.Compression, groups, drops, r.BadgerDrops, r.Objects,
		r.KeyProvider, r.KeyCheck, r.Wrapped, r.Damaged,
	})
	if err != nil {
		return nil, unfit("%w", err)
	}
	if _, err := parseRecord(data); err != nil { // whatever is refused later is refused now
		return nil, unfit("%w", err)
	}
	return data, nil
}

// publishable makes sure that Dgraph's manifests can tell m in its form.
func (m *Manifest) publishable() (err error) {
	switch {
	case m.Kind != KindDgraph:
	case m.Form == dgraph.FormV20:
		_, err = m.encodeSingle()
	default:
		_, err = m.encodeEntry()
	}
	return err
}

const digestKey = `,"sha256":"`

// sign ends an object with the digest of what is before.
func sign(object []byte) []byte {
	body := bytes.TrimSuffix(object, []byte{'}'})
	sum := sha256.Sum256(body)
	return slices.Concat(body, []byte(digestKey+hex.EncodeToString(sum[:])+"\"}\n"))
}

// signed returns the object that sign was given.
func signed(data []byte) ([]byte, error) {
	body := data[:max(0, len(data)-len(digestKey)-2*sha256.Size-len("\"}\n"))]
	object := append(bytes.Clone(body), '}')
	if !bytes.Equal(sign(object), data) {
		return nil, corrupt("its digest does not fit: it was changed or cut off after it was written")
	}
	return object, nil
}
