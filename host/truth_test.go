package host

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A fixture is a location that a real Dgraph wrote, and what its cluster held
// at each backup.
type fixture struct {
	name   string
	dir    string
	key    []byte
	points int
}

// compat is the form of the Dgraph that made the fixture.
func (f fixture) compat() manifest.Compat {
	switch f.name[:3] {
	case "v20":
		return manifest.CompatV20
	case "v21":
		return manifest.CompatV21
	}
	return manifest.CompatV23
}

// exportCompat is the form of the fixture's truth: without namespaces up to
// 20.11.
func (f fixture) exportCompat() manifest.Compat {
	if strings.HasPrefix(f.name, "v20.") {
		return manifest.CompatV20
	}
	return manifest.CompatV23
}

func fixtures(t testing.TB) []fixture {
	t.Helper()
	dirs, err := filepath.Glob("testdata/fixtures/*/truth")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	var all []fixture
	for _, d := range dirs {
		f := fixture{dir: filepath.Dir(d)}
		f.name = filepath.Base(f.dir)
		f.key, _ = os.ReadFile(filepath.Join(f.dir, "key"))
		points, _ := filepath.Glob(filepath.Join(d, "point*.rdf.gz"))
		f.points = len(points)
		all = append(all, f)
	}
	return all
}

// location loads a directory into a destination.
func location(t testing.TB, dir string) Location {
	t.Helper()
	mem := sdktest.NewMemory()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		return mem.Put(context.Background(), filepath.ToSlash(name), bytes.NewReader(data))
	})
	if err != nil {
		t.Fatal(err)
	}
	return Location{URI: dir, Destination: mem}
}

// A rawKey is a key provider that hands out its key, as the key file does.
type rawKey []byte

func (k rawKey) ExportKey(context.Context) (sdk.Secret, error) { return sdk.NewSecret(k), nil }
func (k rawKey) Wrap(context.Context, []byte) (sdk.WrappedKey, error) {
	return sdk.WrappedKey{}, sdk.ErrUnsupported
}

func (k rawKey) Unwrap(context.Context, sdk.WrappedKey) ([]byte, error) {
	return nil, sdk.ErrUnsupported
}

func keyOf(raw []byte) *Key {
	if raw == nil {
		return nil
	}
	return &Key{Name: "raw", Provider: rawKey(raw)}
}

func source(t testing.TB, postings string) *badgerdb.Source {
	t.Helper()
	dirs, err := badgerdb.FindGroups(postings)
	if err != nil {
		t.Fatal(err)
	}
	src, err := badgerdb.OpenSource(dirs, badgerdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// exported is a directory's text, sorted, without what is Dgraph's own.
func exported(t testing.TB, e *Engine, postings string, compat manifest.Compat) (quads, schema []string) {
	t.Helper()
	src := source(t, postings)
	defer src.Close()
	var data, text bytes.Buffer
	if _, err := e.Export(t.Context(), ExportRequest{Source: src, Compat: compat, Sort: true, Data: &data, Schema: &text}); err != nil {
		t.Fatal(err)
	}
	return userLines(data.String()), userLines(text.String())
}

// userLines leaves out reserved predicates and types, as the truth's README
// says, but keeps the types of users' nodes.
func userLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		reserved := strings.Contains(line, "<dgraph.") && (!strings.Contains(line, " <dgraph.type> ") || strings.Contains(line, `"dgraph.`))
		if line != "" && !reserved {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

func truth(t testing.TB, f fixture, point int) (quads, schema []string) {
	t.Helper()
	file, err := os.Open(filepath.Join(f.dir, "truth", fmt.Sprintf("point%d.rdf.gz", point)))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(f.dir, "truth", fmt.Sprintf("point%d.schema", point)))
	if err != nil {
		t.Fatal(err)
	}
	return userLines(string(data)), userLines(string(text))
}

// sameLines reports what one list has and the other lacks.
func sameLines(t testing.TB, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	count := map[string]int{}
	for _, l := range got {
		count[l]++
	}
	for _, l := range want {
		count[l]--
	}
	shown := 0
	for _, l := range sorted(count) {
		if n := count[l]; n != 0 && shown < 8 {
			t.Errorf("%s: %+d of %s", what, n, l)
			shown++
		}
	}
	t.Errorf("%s: %d lines, want %d", what, len(got), len(want))
}

func TestRestoreEqualsTruth(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			e := &Engine{}
			loc := location(t, filepath.Join(f.dir, "backup"))
			for point := range f.points {
				dir := filepath.Join(t.TempDir(), "out")
				_, err := e.Restore(t.Context(), RestoreRequest{From: loc, Key: keyOf(f.key), Number: point + 1, Postings: dir})
				if err != nil {
					t.Fatalf("point %d: %v", point, err)
				}
				quads, schema := exported(t, e, dir, f.exportCompat())
				wantQuads, wantSchema := truth(t, f, point)
				sameLines(t, fmt.Sprintf("point %d", point), quads, wantQuads)
				sameLines(t, fmt.Sprintf("point %d schema", point), schema, wantSchema)
			}
		})
	}
}
