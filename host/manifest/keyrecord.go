package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"
)

// KeyFormat is the format of key records that this package writes, and of data
// keys that are wrapped.
const KeyFormat = 1

// MaxKeyRecordSize is the size in bytes of the largest key record that is read.
const MaxKeyRecordSize = 64 << 10

// A KeyRecord holds the data key of a series, wrapped again: by a later version of
// the provider's key, or by another provider. The one with the highest number counts. It
// is an object of its own, so that neither data nor commit records ever change.
type KeyRecord struct {
	Series   string
	Created  time.Time
	Provider string // who wrapped it
	KeyCheck string // of the data key, as in the commit records
	Wrapped  WrappedKey
}

// Binding returns what the data key of a series is bound to, as the context from
// which it is derived, and the digest of that, as WrappedKey.AAD has it. A wrapped key that
// is moved to another series, or to data of another kind, becomes another data key.
func Binding(series string, kind Kind) (context, digest string) {
	context = fmt.Sprintf("brock data key %d\x00%s\x00%s", KeyFormat, series, kind)
	sum := sha256.Sum256([]byte(context))
	return context, hex.EncodeToString(sum[:])
}

const keyPrefix = "key-"

// KeyRecordName returns the name of a series' key record. They are numbered from 1.
func KeyRecordName(series string, number int) string {
	return path.Dir(RecordName(series, 1)) + "/" + keyPrefix + strconv.Itoa(number) + ".json"
}

// IsKeyRecord reports whether an object of that name is a key record, and which.
func IsKeyRecord(name string) (number int, ok bool) {
	dir, base := path.Split(name)
	digits, isKey := strings.CutPrefix(strings.TrimSuffix(base, ".json"), keyPrefix)
	number, err := strconv.Atoi(digits)
	ok = isKey && err == nil && number > 0 && strings.Count(dir, "/") == 2 && strings.HasPrefix(dir, recordDir+"/") &&
		base == keyPrefix+strconv.Itoa(number)+".json"
	return number, ok
}

// The JSON of a key record, in the order of its keys.
type wireKeyRecord struct {
	Format   int        `json:"format"`
	Created  time.Time  `json:"created"`
	Series   string     `json:"backup_id"`
	Provider string     `json:"key_provider"`
	KeyCheck string     `json:"key_check"`
	Wrapped  WrappedKey `json:"wrapped_key"`
}

// EncodeKeyRecord writes a key record, which ends with its digest as a commit
// record does. It refuses what ParseKeyRecord would: the wrapping before may be given
// up as soon as this one is stored.
func EncodeKeyRecord(k *KeyRecord) ([]byte, error) {
	data, err := json.Marshal(wireKeyRecord{KeyFormat, k.Created.UTC(), k.Series, k.Provider, k.KeyCheck, k.Wrapped})
	if err != nil {
		return nil, err
	}
	data = sign(data)
	if _, err := ParseKeyRecord(data); err != nil {
		return nil, unfit("%w", err)
	}
	return data, nil
}

// ParseKeyRecord reads a key record. It returns ErrCorrupt for anything that
// EncodeKeyRecord does not write, and ErrNewer for a later format.
func ParseKeyRecord(data []byte) (*KeyRecord, error) {
	if len(data) > MaxKeyRecordSize {
		return nil, corrupt("%d bytes, of which at most %d are allowed", len(data), MaxKeyRecordSize)
	}
	object, err := signed(data)
	if err != nil {
		return nil, err
	}
	var w wireKeyRecord
	if json.Unmarshal(object, &w) == nil && w.Format > KeyFormat {
		return nil, newer("key record of format %d, and this Brock reads formats up to %d", w.Format, KeyFormat)
	}
	w = wireKeyRecord{}
	d := json.NewDecoder(bytes.NewReader(object))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return nil, corrupt("%v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, corrupt("more than one object")
	}
	for _, text := range []string{w.Series, w.Provider, w.KeyCheck, w.Wrapped.KeyID, w.Wrapped.KeyVersion, w.Wrapped.AAD} {
		if err := checkText("text", text); err != nil {
			return nil, err
		}
	}
	if w.Format != KeyFormat || w.Series == "" || w.KeyCheck == "" || len(w.Wrapped.Ciphertext) == 0 {
		return nil, corrupt("it names no series, or no key")
	}
	return &KeyRecord{w.Series, w.Created.UTC(), w.Provider, w.KeyCheck, w.Wrapped}, nil
}
