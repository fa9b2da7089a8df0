package admin

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/manifest"
)

// quads is the text of one backup, without what the database keeps for itself.
func (d *desk) quads(at string, key *host.Key, number int) []string {
	d.t.Helper()
	loc, closeLocation, err := d.node.Operations.open(d.t.Context(), LocationRequest{URI: at})
	if err != nil {
		d.t.Fatal(err)
	}
	defer closeLocation()
	var b bytes.Buffer
	req := host.ExportRequest{From: loc, Key: key, Number: number, Compat: manifest.CompatV23, Data: &b, Schema: io.Discard}
	if _, err := d.node.Operations.Engine.Export(d.t.Context(), req); err != nil {
		d.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(b.String()) {
		if !strings.Contains(line, "<dgraph.") || strings.Contains(line, " <dgraph.type> ") && !strings.Contains(line, `"dgraph.`) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// Backups that real clusters have made are restored into the running store, one moment
// after the other, and the incremental backup after each shows that moment.
func TestDgraphsBackupsAreRestoredOnline(t *testing.T) {
	for _, name := range []string{"v20.11-drops", "v21.03-groups", "v25-drops", "v25-encrypted-32"} {
		t.Run(name, func(t *testing.T) {
			fixture := filepath.Join("..", "testdata", "fixtures", name)
			from := filepath.Join(t.TempDir(), "from")
			if err := os.CopyFS(from, os.DirFS(filepath.Join(fixture, "backup"))); err != nil {
				t.Fatal(err)
			}
			var none, file string
			if key := filepath.Join(fixture, "key"); strings.Contains(name, "encrypted") {
				var err error
				if file, err = filepath.Abs(key); err != nil {
					t.Fatal(err)
				}
			}
			d := newDesk(t, keyed(&none))
			key, closeKey, err := d.node.Operations.key(t.Context(), &KeyRequest{EncryptionKeyFile: file})
			if err != nil {
				t.Fatal(err)
			}
			defer closeKey()
			all, err := d.node.Operations.List(t.Context(), LocationRequest{URI: from})
			if err != nil {
				t.Fatal(err)
			}
			for n := len(all); n > 0; n-- { // back in time, which no incremental of the cluster's goes
				a := d.done(`mutation($at: String!, $n: Int, $k: String) { restore(input: {location: $at, backupNum: $n, encryptionKeyFile: $k}) { taskId } }`,
					map[string]any{"at": from, "n": n, "k": file})
				if b := d.task(a.at(t, "restore", "taskId")); b.at(t, "task", "status") != "Success" {
					t.Fatal(b.text)
				}
				b := d.task(d.backup().at(t, "backup", "taskId"))
				if kind := b.at(t, "task", "backup", "type"); kind != "incremental" && n < len(all) {
					t.Errorf("the backup after the restore of %d is %v: %s", n, kind, b.text)
				}
				got, want := d.quads(d.backups, nil, 0), d.quads(from, key, n)
				if !slices.Equal(got, want) || len(want) == 0 {
					t.Errorf("after the restore of %d: %d quads, want %d", n, len(got), len(want))
				}
			}
		})
	}
}
