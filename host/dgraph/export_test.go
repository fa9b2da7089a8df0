package dgraph

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
)

// A chainManifest is what the model needs of a manifest.
type chainManifest struct {
	Type    string
	Since   uint64
	ReadTs  uint64 `json:"read_ts"`
	Version Form
	Path    string
	Groups  map[uint32][]string
	Drops   []struct {
		Op    int    `json:"drop_op"`
		Value string `json:"drop_value"`
	} `json:"drop_operations"`
}

// readManifests returns the manifests of a location that Dgraph wrote, oldest first.
func readManifests(t testing.TB, dir string) []chainManifest {
	t.Helper()
	var master struct{ Manifests []chainManifest }
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	switch {
	case err == nil:
		if err := json.Unmarshal(data, &master); err != nil {
			t.Fatal(err)
		}
		return master.Manifests
	case !errors.Is(err, fs.ErrNotExist):
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := chainManifest{Path: filepath.Base(filepath.Dir(path))}
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		master.Manifests = append(master.Manifests, m)
	}
	return master.Manifests
}

// A chainModel restores a chain and exports it, with nothing but this package and
// the rules of a restore: what a newer backup says of a key replaces all that older ones
// said; a predicate belongs to the group that the newest manifest gives it to; a backup's
// drops act on older ones; schema and types are the newest's.
type chainModel struct {
	x      *Exporter
	emit   func(k *Key, list []byte) error
	seed   maphash.Seed
	seen   map[uint64]bool // keys that a newer backup has spoken of
	owner  map[Predicate]uint32
	attrs  map[Predicate]bool // dropped by a newer backup
	spaces map[uint64]bool    // emptied by a newer backup
}

func (m *chainModel) restore(dir string, key []byte, manifests []chainManifest) error {
	newest := manifests[len(manifests)-1]
	m.seed, m.seen, m.owner = maphash.MakeSeed(), map[uint64]bool{}, map[Predicate]uint32{}
	m.attrs, m.spaces = map[Predicate]bool{}, map[uint64]bool{}
	for group, names := range newest.Groups {
		for _, s := range names {
			p, err := ParsePredicate(newest.Version, s)
			if err != nil {
				return err
			}
			m.owner[p] = group
		}
	}
	for i, man := range slices.Backward(manifests) {
		for group := range man.Groups {
			var failed error
			path := filepath.Join(dir, man.Path, fmt.Sprintf("r%d-g%d.backup", cmp.Or(man.ReadTs, man.Since), group))
			err := eachKV(path, key, func(kv *pb.KV) {
				failed = cmp.Or(failed, m.entry(kv, group, man.Version, i == len(manifests)-1))
			})
			if err := cmp.Or(err, failed); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		all, err := m.drop(&man)
		if all || err != nil {
			return err
		}
		if man.Type == "full" {
			return nil
		}
	}
	return errors.New("the chain has no full backup")
}

func (m *chainModel) entry(kv *pb.KV, group uint32, form Form, newest bool) error {
	var k Key
	if err := ParseBackupKey(kv.Key, &k); err != nil {
		return err
	}
	switch {
	case k.Kind == KeyType:
		if newest {
			return m.x.AddType(k.Predicate, kv.Value, form)
		}
		return nil
	case m.owner[k.Predicate] != group:
		return nil
	case k.Kind == KeySchema:
		if newest {
			return m.x.AddSchema(k.Predicate, kv.Value)
		}
		return nil
	case k.Kind != KeyData, m.attrs[k.Predicate], m.spaces[k.Namespace]:
		return nil
	}
	id := maphash.Bytes(m.seed, kv.Key)
	if m.seen[id] {
		return nil
	}
	m.seen[id] = true
	return m.emit(&k, kv.Value)
}

// drop takes note of a backup's drops, for older ones. all means that nothing older counts.
func (m *chainModel) drop(man *chainManifest) (all bool, err error) {
	for _, d := range man.Drops {
		switch DropKind(d.Op) {
		case DropAll:
			return true, nil
		case DropData:
			if d.Value == "" {
				return true, nil
			}
			var ns uint64
			if _, err := fmt.Sscanf(d.Value, "0x%x", &ns); err != nil {
				return false, err
			}
			m.spaces[ns] = true
		case DropAttr:
			p, err := ParsePredicate(man.Version, d.Value)
			if err != nil {
				return false, err
			}
			m.attrs[p] = true
		default:
			return false, fmt.Errorf("drop operation %d", d.Op)
		}
	}
	return false, nil
}

// restoreSet exports the state that a set has at a point.
func restoreSet(t testing.TB, dir string, point int, x *Exporter, emit func(k *Key, list []byte) error) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	backup := filepath.Join(dir, "backup")
	if _, err := os.Stat(backup); err != nil {
		backup = dir
	}
	manifests := readManifests(t, backup)
	if point >= len(manifests) {
		t.Fatalf("%s: point %d, but %d manifests", dir, point, len(manifests))
	}
	m := chainModel{x: x, emit: emit}
	if err := m.restore(backup, key, manifests[:point+1]); err != nil {
		t.Fatal(err)
	}
}

// TestExportEqualsDgraph: every state that Dgraph exported itself has the same text here,
// line for line, in every version.
func TestExportEqualsDgraph(t *testing.T) {
	for _, set := range smallSets {
		dir := fixture(t, set)
		truths, err := filepath.Glob(filepath.Join(dir, "truth", "point*.rdf.gz"))
		if err != nil || len(truths) == 0 {
			t.Fatalf("%s: %d truths, %v", set, len(truths), err)
		}
		for point := range truths {
			t.Run(fmt.Sprintf("%s/%d", set, point), func(t *testing.T) {
				x := NewExporter(setForm(set))
				var rdf []byte
				restoreSet(t, dir, point, x, func(k *Key, list []byte) (err error) {
					rdf, err = x.AppendRDF(rdf, k, list)
					return err
				})
				truth := filepath.Join(dir, "truth", fmt.Sprintf("point%d", point))
				compareLines(t, "quads", string(rdf), readGzip(t, truth+".rdf.gz"))
				schema, err := os.ReadFile(truth + ".schema")
				if err != nil {
					t.Fatal(err)
				}
				compareLines(t, "schema", string(x.AppendSchema(nil)), string(schema))
			})
		}
	}
}

// compareLines compares sorted lines, without those about reserved predicates and types.
func compareLines(t *testing.T, what, got, want string) {
	t.Helper()
	g, w := userLines(got), userLines(want)
	if len(w) == 0 {
		t.Fatalf("no %s to compare with", what)
	}
	if what == "schema" && !slices.IsSorted(strings.Split(strings.TrimSuffix(got, "\n"), "\n")) {
		t.Errorf("schema is not sorted")
	}
	slices.Sort(g)
	slices.Sort(w)
	missing, extra, shown := 0, 0, 0
	for len(g) > 0 || len(w) > 0 {
		switch {
		case len(g) > 0 && len(w) > 0 && g[0] == w[0]:
			g, w = g[1:], w[1:]
			continue
		case len(w) == 0 || len(g) > 0 && g[0] < w[0]:
			extra++
			if shown++; shown < 10 {
				t.Logf("+ %s", g[0])
			}
			g = g[1:]
		default:
			missing++
			if shown++; shown < 10 {
				t.Logf("- %s", w[0])
			}
			w = w[1:]
		}
	}
	if missing+extra > 0 {
		t.Errorf("%s: %d lines missing, %d too many", what, missing, extra)
	}
}

func userLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, "<dgraph.") && !strings.Contains(line, "<dgraph.type>") {
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

func readGzip(t testing.TB, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if _, err := bufio.NewReader(r).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestExportUpstream: Dgraph's own samples hold what its own tests find in them after
// a restore.
func TestExportUpstream(t *testing.T) {
	for _, c := range []struct {
		set  string
		want map[string]int // values of a predicate
		line string
	}{
		{"upstream-v20.11-three-groups", map[string]int{"Author.name": 1}, ""},
		{"upstream-v20.11-drops", map[string]int{"p1": 0, "p2": 2, "p3": 0, "p4": 2}, ""},
		{"upstream-v21.03-acl", nil, `"MinhajSh"^^<xs:string> <0x0> .`},
	} {
		t.Run(c.set, func(t *testing.T) {
			dir := fixture(t, c.set)
			x := NewExporter(setForm(c.set))
			got, text := map[string]int{}, []byte{}
			restoreSet(t, dir, len(readManifests(t, dir))-1, x, func(k *Key, list []byte) (err error) {
				n := len(text)
				text, err = x.AppendRDF(text, k, list)
				got[k.Name] += strings.Count(string(text[n:]), "\n")
				return err
			})
			for name, n := range c.want {
				if got[name] != n {
					t.Errorf("%s has %d values, want %d", name, got[name], n)
				}
			}
			if !strings.Contains(string(text), c.line) {
				t.Errorf("no %s in\n%s", c.line, text)
			}
		})
	}
}

// TestExportLarge: the large set has as many quads of each predicate at each point as
// the server that made it counted.
func TestExportLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 2.7 million quads three times")
	}
	dir := fixture(t, "v25-large")
	readme, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	points := 0
	for line := range strings.Lines(string(readme)) {
		var point int
		if _, err := fmt.Sscanf(line, "- point %d:", &point); err != nil {
			continue
		}
		points++
		_, table, _ := strings.Cut(strings.TrimSpace(line), ": ")
		want := map[string]int{}
		for pair := range strings.SplitSeq(table, ", ") {
			name, n := "", 0
			if _, err := fmt.Sscan(pair, &name, &n); err != nil {
				t.Fatalf("%q: %v", pair, err)
			}
			want[name] = n
		}
		got := map[string]int{}
		x, buf := NewExporter(FormV23), []byte(nil)
		restoreSet(t, dir, point, x, func(k *Key, list []byte) (err error) {
			buf, err = x.AppendRDF(buf[:0], k, list)
			if n := bytes.Count(buf, []byte(" .\n")); n > 0 {
				got[k.Name] += n
			}
			return err
		})
		for name := range got {
			if strings.HasPrefix(name, "dgraph.") && name != typePredicate {
				delete(got, name)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("point %d: got  %v\nwant %v", point, got, want)
		}
	}
	if points != 3 {
		t.Errorf("the README counts %d points, want 3", points)
	}
}

// BenchmarkAppendRDF exports lists of the kinds that a social graph is made of.
func BenchmarkAppendRDF(b *testing.B) {
	for _, format := range []string{"rdf", "json"} {
		b.Run(format, func(b *testing.B) {
			x, k, buf := NewExporter(FormV23), Key{Kind: KeyData, Predicate: Predicate{Name: "name"}, UID: 0x12345}, []byte(nil)
			lists := [][]byte{
				backupList(testPost{uid: ^uint64(0), kind: 1, ValueType: 9, value: "golf bravo 10@example.org"}),
				backupList(testPost{uid: ^uint64(0), kind: 1, ValueType: 2, value: "\x2a\x00\x00\x00\x00\x00\x00\x00"}),
				backupList(testPost{uid: 0x1001}, testPost{uid: 0x1002, facets: []testFacet{{"by", 0, "kilo"}, {"stars", 1, "\x05\x00\x00\x00\x00\x00\x00\x00"}}}),
			}
			b.ReportAllocs()
			quads := 0
			for i := 0; b.Loop(); i++ {
				for _, list := range lists {
					var err error
					if format == "rdf" {
						buf, err = x.AppendRDF(buf[:0], &k, list)
					} else {
						buf, err = x.AppendJSON(buf[:0], &k, list)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				quads += 4
			}
			b.ReportMetric(float64(quads)/b.Elapsed().Seconds(), "quads/s")
		})
	}
}

// FuzzExport: no bytes make an export panic; it gives whole lines and valid JSON, or
// nothing and an error of a known kind.
func FuzzExport(f *testing.F) {
	f.Add(backupList(testPost{uid: 2, kind: 2, ValueType: 9, value: "v", lang: "ru", facets: []testFacet{{"k", 2, "12345678"}}}))
	for t := range uint64(14) {
		f.Add(backupList(testPost{uid: 2, kind: 1, ValueType: t, value: "\x01\x01\x00\x00\x00aaaaaaaabbbbbbbb"}))
	}
	f.Add(backupList(testPost{uid: 2, kind: 1, ValueType: 6, value: "\x01\x07\x00\x00\x00\x01\x00\x00\x00\x01\x06\x00\x00\x00\x00\x00\x00\x00"}))
	f.Add(backupList(testPost{uid: 2, kind: 1, ValueType: 11, value: "1e99999999"}))
	f.Fuzz(func(t *testing.T, list []byte) {
		k := Key{Kind: KeyData, Predicate: Predicate{Name: "p"}, UID: 1}
		for _, form := range []Form{FormV20, FormV23} {
			x := NewExporter(form)
			rdf, err := x.AppendRDF([]byte("x\n"), &k, list)
			if err != nil && !errors.Is(err, ErrNoText) && (!errors.Is(err, ErrCorrupt) || string(rdf) != "x\n") {
				t.Fatalf("RDF %q, %v", rdf, err)
			}
			if !bytes.HasPrefix(rdf, []byte("x\n")) || !bytes.HasSuffix(rdf, []byte("\n")) {
				t.Fatalf("RDF %q", rdf)
			}
			objects, err2 := x.AppendJSON([]byte("["), &k, list)
			if (err == nil) != (err2 == nil) {
				t.Fatalf("RDF %v, JSON %v", err, err2)
			}
			if !json.Valid(append(objects, ']')) {
				t.Fatalf("JSON %q", objects)
			}
			_ = x.AddSchema(k.Predicate, list)
			_ = x.AddType(k.Predicate, list, form)
			_ = x.AppendSchemaFile(x.AppendSchema(nil))
		}
	})
}
