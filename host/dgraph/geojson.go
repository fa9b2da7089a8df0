package dgraph

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twpayne/go-geom"
	"github.com/twpayne/go-geom/encoding/geojson"
	wellknown "github.com/twpayne/go-geom/encoding/wkb"
)

// parseGeo turns GeoJSON, with " or with ' as Dgraph's exports have it, into WKB.
func parseGeo(text string) ([]byte, error) {
	const deepest = 64 // a collection is read once for each that it is in
	depth := 0
	for _, c := range text {
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth > deepest {
			return nil, fmt.Errorf("GeoJSON is nested deeper than %d", deepest)
		}
	}
	var g geom.T
	if err := geojson.Unmarshal([]byte(strings.ReplaceAll(text, "'", `"`)), &g); err != nil {
		return nil, fmt.Errorf("GeoJSON: %w", err)
	}
	data, err := wellknown.Marshal(g, wellknown.NDR)
	if err != nil {
		return nil, fmt.Errorf("GeoJSON: %w", err)
	}
	if _, err := appendGeo(nil, data); err != nil {
		return nil, errors.New("GeoJSON: a place without coordinates, or at infinity")
	}
	return data, nil
}
