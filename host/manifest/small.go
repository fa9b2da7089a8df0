package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// encodeSmall writes and signs a small document, and refuses one that could not be read
// again.
func encodeSmall(w any, parse func([]byte) error) ([]byte, error) {
	data, err := json.Marshal(w)
	if err != nil {
		return nil, unfit("%w", err)
	}
	data = sign(data)
	if err := parse(data); err != nil {
		return nil, unfit("%w", err)
	}
	return data, nil
}

// parseSmall is the inverse of encodeSmall.
func parseSmall(data []byte, what string, format, most int, w any) error {
	if len(data) > most {
		return corrupt("%d bytes, of which at most %d are allowed", len(data), most)
	}
	object, err := signed(data)
	if err != nil {
		return err
	}
	var later struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(object, &later) == nil && later.Format > format {
		return newer("%s of format %d, and this Brock reads formats up to %d", what, later.Format, format)
	}
	d := json.NewDecoder(bytes.NewReader(object))
	d.DisallowUnknownFields()
	if err := d.Decode(w); err != nil {
		return corrupt("%v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return corrupt("more than one object")
	}
	return nil
}
