package manifest

import (
	"encoding/json"
	"time"
)

// ClosingFormat is the format of closings that this package writes.
const ClosingFormat = 1

// A Closing ends a series before it is removed. It takes the name of the commit record
// that would come next: a backup that has looked at the series before, and would continue
// it now, finds its place taken.
type Closing struct {
	Series  string
	Number  int // the place in the series that it takes
	Created time.Time
	Paths   []string // directories of the backups that are going to be removed
}

// The JSON of a closing, in the order of its keys. No commit record has the second one.
type wireClosing struct {
	Format int       `json:"format"`
	Closed time.Time `json:"closed"`
	Series string    `json:"backup_id"`
	Number int       `json:"backup_num"`
	Paths  []string  `json:"paths"`
}

// IsClosing reports whether data, found under the name of a commit record, is meant to
// be a closing.
func IsClosing(data []byte) bool {
	var w struct {
		Closed *json.RawMessage `json:"closed"`
	}
	return json.Unmarshal(data, &w) == nil && w.Closed != nil
}

// EncodeClosing writes a closing, which ends with its digest as a commit record does.
func EncodeClosing(c *Closing) ([]byte, error) {
	return encodeSmall(wireClosing{ClosingFormat, c.Created.UTC(), c.Series, c.Number, c.Paths}, func(data []byte) error {
		_, err := ParseClosing(data)
		return err
	})
}

// ParseClosing reads a closing. It returns ErrCorrupt for anything that EncodeClosing does
// not write, and ErrNewer for a later format.
func ParseClosing(data []byte) (*Closing, error) {
	var w wireClosing
	if err := parseSmall(data, "closing", ClosingFormat, MaxRecordSize, &w); err != nil {
		return nil, err
	}
	for _, text := range append(w.Paths, w.Series) {
		if err := checkText("text", text); err != nil {
			return nil, err
		}
	}
	if w.Format != ClosingFormat || w.Series == "" || w.Number < 1 {
		return nil, corrupt("it names no place in a series")
	}
	return &Closing{w.Series, w.Number, w.Closed.UTC(), w.Paths}, nil
}
