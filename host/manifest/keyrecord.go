package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
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
	return numbered(name, keyPrefix, 1)
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
	return encodeSmall(wireKeyRecord{KeyFormat, k.Created.UTC(), k.Series, k.Provider, k.KeyCheck, k.Wrapped}, func(data []byte) error {
		_, err := ParseKeyRecord(data)
		return err
	})
}

// ParseKeyRecord reads a key record. It returns ErrCorrupt for anything that
// EncodeKeyRecord does not write, and ErrNewer for a later format.
func ParseKeyRecord(data []byte) (*KeyRecord, error) {
	var w wireKeyRecord
	if err := parseSmall(data, "key record", KeyFormat, MaxKeyRecordSize, &w); err != nil {
		return nil, err
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
