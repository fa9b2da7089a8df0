package manifest

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func seed(f *testing.F, prefixes ...string) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		for _, p := range prefixes {
			if strings.HasPrefix(filepath.Base(file), p) {
				data, err := os.ReadFile(file)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(data)
			}
		}
	}
}

// checkPath makes sure that what a parser returned lies in the location.
func checkPath(t *testing.T, m *Manifest) {
	t.Helper()
	for g := range m.Groups {
		name := m.Object(g)
		if strings.HasPrefix(name, "/") || strings.HasPrefix(name, "..") || strings.ContainsAny(name, "\\\x00") || g == 0 {
			t.Fatalf("object %q of group %d", name, g)
		}
	}
}

func FuzzParseMaster(f *testing.F) {
	seed(f, "v2", "mixed")
	m := of("fuzz", 1, 10)
	m.Path = "dgraph.20300101.000000.000"
	f.Fuzz(func(t *testing.T, data []byte) {
		ms, err := ParseMaster(data)
		if err != nil {
			return
		}
		for i := range ms {
			checkPath(t, &ms[i])
		}
		if all, err := Merge(ms, nil); err == nil {
			for i := range all {
				_, _ = Chain(all, all[i].Series, all[i].Number)
			}
		}
		got, err := AppendMaster(data, &m)
		if err != nil {
			return
		}
		more, err := ParseMaster(got)
		if err != nil || len(more) < len(ms) || len(ms) > 0 && !reflect.DeepEqual(more[:len(ms)], ms) {
			t.Fatalf("added to %q: %q, %v", data, got, err)
		}
		if len(more) > len(ms) && more[len(ms)].ID() != m.ID() {
			t.Fatalf("added to %q: %q", data, got)
		}
	})
}

func FuzzParseSingle(f *testing.F) {
	seed(f, "v20", "v25")
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseSingle("d", data)
		if err != nil {
			return
		}
		checkPath(t, &m)
		out, err := EncodeSingle(&m)
		if err != nil {
			return
		}
		again, err := ParseSingle("d", out)
		if err != nil || difference(&m, &again) != "" && m.Form == again.Form {
			t.Fatalf("%q became %q, %v: %s", data, out, err, difference(&m, &again))
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	files, err := filepath.Glob("testdata/record-*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		object, err := signed(data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		_, _ = ParseRecord(object)
		m, err := ParseRecord(sign(object))
		if err != nil {
			return
		}
		checkPath(t, m)
		data, err := EncodeRecord(m)
		if err != nil {
			return // a name that its form cannot tell
		}
		again, err := ParseRecord(data)
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%q became %+v, %v\nfrom %+v", object, again, err, m)
		}
		if more, err := EncodeRecord(again); err != nil || !bytes.Equal(more, data) {
			t.Fatalf("%q became %q, %v", data, more, err)
		}
	})
}
