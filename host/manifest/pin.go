package manifest

import (
	"path"
	"strconv"
	"strings"
	"time"
)

// PinFormat is the format of pins that this package writes.
const PinFormat = 1

// MaxPinSize is the size in bytes of the largest pin that is read, and MaxReason that of
// the largest reason that it may give.
const (
	MaxPinSize = 64 << 10
	MaxReason  = 1 << 10
)

// A Pin keeps a backup, and what must be restored before it, until it is taken away. It is
// an object of its own: neither commit records nor Dgraph's manifests ever change
// for it.
type Pin struct {
	Series  string
	Number  int // 0: the whole series
	Created time.Time
	Reason  string // for people; may be empty
}

const pinPrefix = "pin-"

// PinName returns the name of the pin of a backup, or of a whole series.
func PinName(series string, number int) string {
	return path.Dir(RecordName(series, 1)) + "/" + pinPrefix + strconv.Itoa(number) + ".json"
}

// IsPin reports whether an object of that name is a pin, and of which backup.
func IsPin(name string) (number int, ok bool) {
	return numbered(name, pinPrefix, 0)
}

// numbered takes a name in the directory of a series apart, of which the first is number
// least.
func numbered(name, prefix string, least int) (number int, ok bool) {
	dir, base := path.Split(name)
	digits, ok := strings.CutPrefix(strings.TrimSuffix(base, ".json"), prefix)
	number, err := strconv.Atoi(digits)
	ok = ok && err == nil && number >= least && strings.Count(dir, "/") == 2 && strings.HasPrefix(dir, recordDir+"/") &&
		base == prefix+strconv.Itoa(number)+".json"
	return number, ok
}

// The JSON of a pin, in the order of its keys.
type wirePin struct {
	Format  int       `json:"format"`
	Created time.Time `json:"created"`
	Series  string    `json:"backup_id"`
	Number  int       `json:"backup_num"`
	Reason  string    `json:"reason"`
}

// EncodePin writes a pin, which ends with its digest as a commit record does.
func EncodePin(p *Pin) ([]byte, error) {
	return encodeSmall(wirePin{PinFormat, p.Created.UTC(), p.Series, p.Number, p.Reason}, func(data []byte) error {
		_, err := ParsePin(data)
		return err
	})
}

// ParsePin reads a pin. It returns ErrCorrupt for anything that EncodePin does not
// write, and ErrNewer for a later format.
func ParsePin(data []byte) (*Pin, error) {
	var w wirePin
	if err := parseSmall(data, "pin", PinFormat, MaxPinSize, &w); err != nil {
		return nil, err
	}
	for _, text := range []string{w.Series, w.Reason} {
		if err := checkText("text", text); err != nil {
			return nil, err
		}
	}
	switch {
	case w.Format != PinFormat || w.Series == "" || w.Number < 0:
		return nil, corrupt("it names no backup")
	case len(w.Reason) > MaxReason:
		return nil, corrupt("a reason of %d bytes, of which at most %d are allowed", len(w.Reason), MaxReason)
	}
	return &Pin{w.Series, w.Number, w.Created.UTC(), w.Reason}, nil
}
