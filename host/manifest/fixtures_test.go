package manifest

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host/dgraph"
)

// A fixture is what a real Dgraph left in its location: one series.
type fixture struct {
	series    string
	form      dgraph.Form
	groups    []uint32
	encrypted bool
	readTs    []uint64
	drops     map[int][]dgraph.Drop // by number
}

var fixtures = map[string]fixture{
	"v20.11-plain":        {"wizardly_buck0", dgraph.FormV20, []uint32{1}, false, []uint64{22, 60, 99, 138}, nil},
	"v20.11-encrypted-24": {"elegant_jang9", dgraph.FormV20, []uint32{1}, true, []uint64{21, 59}, nil},
	"v20.11-drops": {
		"great_ritchie0", dgraph.FormV20,
		[]uint32{1},
		false,
		[]uint64{23, 66, 112, 156, 193, 232},
		map[int][]dgraph.Drop{2: {attr("0-follows"), attr("0-bio")}, 3: {dropData}, 4: {dropAll}, 6: {attr("0-extra")}},
	},
	"v21.03-plain":  {"trusting_khorana0", dgraph.FormV21, []uint32{1}, false, []uint64{6, 44, 83, 122}, nil},
	"v21.03-groups": {"cocky_dewdney3", dgraph.FormV21, []uint32{1, 2}, false, []uint64{14, 52, 92}, nil},
	"v25-plain":     {"condescending_driscoll4", dgraph.FormV23, []uint32{1}, false, []uint64{8, 126, 1173, 1496}, nil},
	"v25-drops": {
		"hopeful_knuth5", dgraph.FormV23,
		[]uint32{1},
		false,
		[]uint64{10, 112, 156, 516, 576, 615},
		map[int][]dgraph.Drop{
			2: {attr("0-follows"), attr("0-bio")}, 3: {in(dgraph.DropData, 0)}, 4: {dropAll}, 6: {attr("0-extra")},
		},
	},
	"v25-groups":       {"keen_leakey6", dgraph.FormV23, []uint32{1, 2}, false, []uint64{34, 841, 1374}, nil},
	"v25-encrypted-32": {"crazy_beaver7", dgraph.FormV23, []uint32{1}, true, []uint64{8, 829}, nil},
	"v25-resurrect": {
		"thirsty_easley3", dgraph.FormV23,
		[]uint32{1},
		false,
		[]uint64{798, 2538},
		map[int][]dgraph.Drop{1: {dropAll}},
	},
	"v25-large": {"pensive_haibt7", dgraph.FormV23, []uint32{1}, false, []uint64{11821, 75078, 86634}, nil},
	"upstream-v20.11-drops": {
		"jolly_yalow0", dgraph.FormV20,
		[]uint32{1, 2, 3},
		false,
		[]uint64{38, 54, 58},
		map[int][]dgraph.Drop{2: {dropData}, 3: {attr("0-p3")}},
	},
	"upstream-v20.11-three-groups": {"loving_jones5", dgraph.FormV20, []uint32{1, 2, 3}, false, []uint64{68}, nil},
	"upstream-v21.03-acl":          {"vibrant_euclid5", dgraph.FormV21, []uint32{1}, false, []uint64{21}, nil},
}

// location finds a fixture, which may lie outside of the repository.
func location(t *testing.T, name string) string {
	t.Helper()
	roots := []string{filepath.Join("..", "testdata", "fixtures")}
	if strings.HasPrefix(name, "upstream-") || name == "v25-large" {
		roots = []string{os.Getenv("BROCK_FIXTURES"), filepath.Join("..", "..", "..", "shared", "fixtures")}
		if roots[0] == "" {
			roots = roots[1:]
		}
	}
	for _, root := range roots {
		for _, dir := range []string{filepath.Join(root, name, "backup"), filepath.Join(root, name)} {
			if _, err := os.Stat(dir); err == nil {
				return dir
			}
		}
	}
	if os.Getenv("CI") == "true" || !strings.HasPrefix(name, "upstream-") && name != "v25-large" {
		t.Fatalf("fixture %s is not in %q", name, roots)
	}
	t.Skipf("fixture %s is not in %q: set BROCK_FIXTURES", name, roots)
	return ""
}

// read lists a location's backups.
func read(t *testing.T, dir string) []Manifest {
	t.Helper()
	var published []Manifest
	if data, err := os.ReadFile(filepath.Join(dir, MasterName)); err == nil {
		if published, err = ParseMaster(data); err != nil {
			t.Fatal(err)
		}
	}
	own, err := filepath.Glob(filepath.Join(dir, "*", MasterName))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range own {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseSingle(filepath.Base(filepath.Dir(file)), data)
		if err != nil {
			t.Fatal(err)
		}
		published = append(published, m)
	}
	all, err := Merge(published, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRealLocations(t *testing.T) {
	for name, want := range fixtures {
		t.Run(name, func(t *testing.T) {
			dir := location(t, name)
			chain, err := Chain(read(t, dir), "", 0)
			if err != nil || len(chain) != len(want.readTs) {
				t.Fatalf("got a chain of %d, %v; want %d", len(chain), err, len(want.readTs))
			}
			for i, m := range chain {
				var since uint64
				if i > 0 {
					since = want.readTs[i-1]
				}
				if m.Series != want.series || m.Number != i+1 || m.Since != since || m.ReadTs != want.readTs[i] || m.Full != (i == 0) ||
					m.Encrypted != want.encrypted || m.Form != want.form || !reflect.DeepEqual(m.Drops, want.drops[i+1]) {
					t.Errorf("backup %d: %+v", i+1, m)
				}
				for _, g := range want.groups {
					if _, err := os.Stat(filepath.Join(dir, m.Object(g))); err != nil || len(m.Groups) != len(want.groups) {
						t.Errorf("backup %d: group %d of %d: %v", i+1, g, len(m.Groups), err)
					}
				}
				if !slices.Contains(m.Groups[1], preds("0-dgraph.type")[0]) {
					t.Errorf("backup %d: group 1 has %v", i+1, m.Groups[1])
				}
			}
		})
	}
}

// Real Dgraph's bytes come out of the encoders again, but for the order of the
// predicates, which Dgraph leaves to chance.
func TestRealBytes(t *testing.T) {
	for name, f := range fixtures {
		if strings.HasPrefix(name, "upstream-") { // reformatted by hand
			continue
		}
		t.Run(name, func(t *testing.T) {
			dir := location(t, name)
			all := read(t, dir)
			if f.form != dgraph.FormV20 {
				got, err := AppendMaster(nil, pointers(all)...)
				sameBytes(t, filepath.Join(dir, MasterName), got, err)
				return
			}
			for i := range all {
				got, err := EncodeSingle(&all[i])
				sameBytes(t, filepath.Join(dir, all[i].Path, MasterName), got, err)
			}
		})
	}
}

func pointers(ms []Manifest) []*Manifest {
	ps := make([]*Manifest, len(ms))
	for i := range ms {
		ps[i] = &ms[i]
	}
	return ps
}

var nameList = regexp.MustCompile(`\["[^\]]*"\]`)

func sameBytes(t *testing.T, file string, got []byte, err error) {
	t.Helper()
	data, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatal(readErr)
	}
	want := nameList.ReplaceAllStringFunc(string(data), func(list string) string {
		names := strings.Split(strings.Trim(list, "[]"), ",")
		slices.Sort(names)
		return "[" + strings.Join(names, ",") + "]"
	})
	if err != nil || string(got) != want {
		t.Errorf("%s:\ngot  %s%v\nwant %s", file, got, err, want)
	}
}

// The summary that Dgraph 25 keeps tells of the same backups, without their groups.
func TestRealSummary(t *testing.T) {
	dir := location(t, "v25-drops")
	data, err := os.ReadFile(filepath.Join(dir, SummaryName))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseMaster(data)
	want := read(t, dir)
	for i := range want {
		want[i].Groups, want[i].Drops = groups{}, nil
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}
