package host

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk/sdktest"
)

// shared is a set that is too large, or not ours, to be kept in the repository.
func shared(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(sharedFixtures(), name)
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: CI needs the shared fixtures, in BROCK_FIXTURES", err)
		}
		t.Skipf("left out: %v (BROCK_FIXTURES says where the shared fixtures are)", err)
	}
	return dir
}

// counts are the quads per predicate of an export, in any order.
func counts(t testing.TB, e *Engine, postings string) map[string]int {
	t.Helper()
	src := source(t, postings)
	defer src.Close()
	c := predicateCounter{n: map[string]int{}}
	if _, err := e.Export(t.Context(), ExportRequest{Source: src, Data: &c}); err != nil {
		t.Fatal(err)
	}
	return c.n
}

// A predicateCounter reads N-Quads: <subject> <predicate> ...
type predicateCounter struct {
	n    map[string]int
	rest []byte // of the last write: the beginning of a line
}

func (c *predicateCounter) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	for {
		line, rest, whole := bytes.Cut(c.rest, []byte{'\n'})
		if !whole {
			c.rest = append(c.rest[:0], line...)
			return len(p), nil
		}
		_, after, _ := bytes.Cut(line, []byte("> <"))
		name, _, _ := bytes.Cut(after, []byte{'>'})
		c.n[string(name)]++
		c.rest = rest
	}
}

// largeCounts reads the table of the fixtures' README.
func largeCounts(t testing.TB) []map[string]int {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(sharedFixtures(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var points []map[string]int
	for line := range strings.Lines(string(readme)) {
		if !strings.HasPrefix(line, "- point ") {
			continue
		}
		_, list, _ := strings.Cut(line, ": ")
		point := map[string]int{}
		for f := range strings.SplitSeq(strings.TrimSpace(list), ", ") {
			name, n, _ := strings.Cut(f, " ")
			point[name], _ = strconv.Atoi(n)
		}
		points = append(points, point)
	}
	if len(points) != 3 {
		t.Fatalf("%d points in the README", len(points))
	}
	return points
}

// The big set restores to its three points, and so does a chain that Brock makes
// of them.
func TestLarge(t *testing.T) {
	from := location(t, shared(t, "v25-large"))
	e := &Engine{TempDir: t.TempDir()}
	again := Location{URI: "memory", Destination: sdktest.NewMemory()}
	want := largeCounts(t)
	for point := range want {
		dir := restore(t, e, RestoreRequest{From: from, Number: point + 1, KeepVersions: true})
		sameCounts(t, "Dgraph's", point, counts(t, e, dir), want[point])
		backup(t, e, dir, BackupRequest{To: again})
		os.RemoveAll(dir)
	}
	for point := range want {
		dir := restore(t, e, RestoreRequest{From: again, Number: point + 1})
		sameCounts(t, "Brock's", point, counts(t, e, dir), want[point])
		os.RemoveAll(dir)
	}
}

func sameCounts(t testing.TB, whose string, point int, got, want map[string]int) {
	t.Helper()
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s point %d: %d quads of %s, want %d", whose, point, got[name], name, n)
		}
	}
	for name, n := range got {
		if want[name] == 0 && !strings.HasPrefix(name, "dgraph.") {
			t.Errorf("%s point %d: %d quads of %s, want none", whose, point, n, name)
		}
	}
}

// Dgraph's own old samples hold what their README says.
func TestUpstream(t *testing.T) {
	e := &Engine{}
	for name, want := range map[string]map[string]int{
		"upstream-v20.11-three-groups": {"Author.name": 1},
		"upstream-v20.11-drops":        {"p1": 0, "p2": 2, "p3": 0, "p4": 2},
		"upstream-v21.03-acl":          {"Person.name": 1, "Person.age": 1},
	} {
		dir := restore(t, e, RestoreRequest{From: location(t, shared(t, name))})
		got := counts(t, e, dir)
		for predicate, n := range want {
			if got[predicate] != n {
				t.Errorf("%s: %d values of %s, want %d (of %v)", name, got[predicate], predicate, n, got)
			}
		}
	}
}
