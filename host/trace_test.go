package host

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk/sdktest"
)

var update = flag.Bool("update", false, "rewrite testdata/trace")

// What is asked of a destination, and in which order, is the engine's commit
// protocol. The stories in testdata/trace are the whole of it.
func TestTrace(t *testing.T) {
	f := fixture{name: "v25-drops", dir: "testdata/fixtures/v25-drops"}
	plain := &Engine{}
	from := location(t, filepath.Join(f.dir, "backup"))
	var dirs []string
	for point := range 2 {
		dirs = append(dirs, restore(t, plain, RestoreRequest{From: from, Number: point + 1, KeepVersions: true}))
	}
	for _, compat := range []manifest.Compat{manifest.CompatV23, manifest.CompatV20} {
		t.Run(string(compat), func(t *testing.T) {
			clock := time.Date(2026, 11, 21, 4, 18, 13, 437e6, time.UTC)
			e := &Engine{Now: func() time.Time { return clock }, Workers: 1}
			tr := sdktest.NewTrace(sdktest.NewMemory())
			at := Location{URI: "trace", Destination: tr}
			var story strings.Builder
			tell := func(what string, lines []string) {
				story.WriteString(what + "\n----\n" + masked(lines) + "\n")
				tr.Reset()
			}
			backup(t, e, dirs[0], BackupRequest{To: at, Compat: compat})
			tell("full backup", tr.Lines())
			clock = clock.Add(time.Hour)
			backup(t, e, dirs[1], BackupRequest{To: at, Compat: compat})
			tell("incremental backup", tr.Lines())
			restore(t, e, RestoreRequest{From: at})
			tell("restore of both, whose files are read at once", slices.Sorted(slices.Values(tr.Lines())))
			if _, err := e.List(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			tell("list", tr.Lines())
			golden(t, filepath.Join("testdata", "trace", string(compat)+".txt"), story.String())
		})
	}
}

// masked leaves out what differs from run to run: a series' name, and sizes,
// which the compressor decides.
func masked(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		l = regexp.MustCompile(`brock/[a-z_0-9]+/`).ReplaceAllString(l, "brock/SERIES/")
		l = regexp.MustCompile(` [0-9]+$`).ReplaceAllString(l, "")
		b.WriteString(l + "\n")
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: the story is now\n%s", name, got)
	}
}
