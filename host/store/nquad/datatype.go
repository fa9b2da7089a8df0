package nquad

import (
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
)

// datatypes are the names of RDF's types that stand after xs: or the address of XML
// Schema.
var datatypes = map[string]dgraph.ValueType{
	"string":          dgraph.ValueString,
	"int":             dgraph.ValueInt,
	"integer":         dgraph.ValueInt,
	"positiveInteger": dgraph.ValueInt,
	"boolean":         dgraph.ValueBool,
	"float":           dgraph.ValueFloat,
	"double":          dgraph.ValueFloat,
	"decimal":         dgraph.ValueBigFloat,
	"date":            dgraph.ValueDatetime,
	"dateTime":        dgraph.ValueDatetime,
	"gYear":           dgraph.ValueDatetime,
	"gYearMonth":      dgraph.ValueDatetime,
	"password":        dgraph.ValuePassword,
	"base64Binary":    dgraph.ValueBinary,
	"float32vector":   dgraph.ValueVector,
	"[]float32":       dgraph.ValueVector,
}

// datatype returns what <iri> after ^^ means.
func datatype(iri string) (dgraph.ValueType, bool) {
	if iri == "geo:geojson" {
		return dgraph.ValueGeo, true
	}
	for _, prefix := range []string{"xs:", "xsd:", "http://www.w3.org/2001/XMLSchema#"} {
		if name, ok := strings.CutPrefix(iri, prefix); ok {
			t, ok := datatypes[name]
			return t, ok
		}
	}
	t, ok := datatypes[iri]
	return t, ok && t == dgraph.ValueVector // Dgraph's own text has no prefix for it
}
