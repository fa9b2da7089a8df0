package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/manifest"
)

// backupOptions are the flags of brock backup.
type backupOptions struct {
	source        sourceFlags
	location      locationFlag
	key           keyFlags
	kind          string
	compat        string
	compression   string
	forceFull     bool
	autoFull      bool
	prove         bool
	acceptDamaged bool
}

func (a *app) backup() *cobra.Command {
	var o backupOptions
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Back up a database directory",
		Long: `Backup reads Badger directories that no other process has open and writes one
backup of them: an incremental one if the location holds a series to continue,
else a full one. The backup appears all at once when it is complete; one that
fails or is interrupted leaves nothing visible.

Without --kind, a Dgraph postings directory is recognised as such and its backup
can be restored by Dgraph itself. Any other Badger database is kept as it is,
with deletes, expiry times and versions.`,
		Example: `  brock backup -p ./data -l ./backups
  brock backup -p ./data -l ./encrypted --encryption_key_file ./key
  brock backup --group 1=./data/p1 -l ./one-group --compat v21`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	f := cmd.Flags()
	o.source.add(cmd)
	o.location.add(cmd)
	o.key.add(cmd)
	f.StringVar(&o.kind, "kind", "", "the database is of this `KIND`: dgraph or badger (default: look)")
	f.StringVar(&o.compat, "compat", "v23", "write what this `VERSION` of Dgraph restores: v23 (to 25), v21 or v20")
	f.StringVar(&o.compression, "compression", "", "compress with this `CODEC`: snappy, gzip, s2 (Dgraph 25 only) or zstd (Brock only); default: what --compat reads")
	f.BoolVar(&o.forceFull, "force-full", false, "begin a new series with a full backup")
	f.BoolVar(&o.autoFull, "auto-full", false, "take a full backup where an incremental one would be unsound")
	f.BoolVar(&o.prove, "prove", false, "let an incremental backup carry a fingerprint of the whole database, too")
	f.BoolVar(&o.acceptDamaged, "accept-damaged", false, "leave out what cannot be read, name it, and exit with 3")
	cmd.PreRunE = exclusive("postings", "group")
	return cmd
}

func (o *backupOptions) run(ctx context.Context, a *app) error {
	req, err := o.request()
	if err != nil {
		return err
	}
	if err := o.outside(); err != nil {
		return err
	}
	source, err := o.source.open(ctx, a, badgerdb.Options{
		Kind: manifest.Kind(o.kind), AcceptDamaged: o.acceptDamaged,
	})
	if err != nil {
		return err
	}
	defer source.Close()
	req.Source = source
	if req.To, err = o.location.open(ctx, a); err != nil {
		return err
	}
	if req.Key, err = o.key.open(ctx, a); err != nil {
		return err
	}
	res, err := a.engine.Backup(ctx, req)
	if err != nil {
		return err
	}
	if err := o.show(a, req.To, res); err != nil {
		return err
	}
	if n := len(res.Damaged); n > 0 {
		return &problem{fmt.Sprintf("%d places could not be read and are not in the backup", n), "", exitDamage}
	}
	return nil
}

// outside refuses a location within the database: the backup would be part of what it
// saves, and be lost with it.
func (o *backupOptions) outside() error {
	if err := o.source.there(); err != nil {
		return err
	}
	dirs, err := o.source.dirs()
	if err != nil {
		return err
	}
	return within(slices.Collect(maps.Values(dirs)), o.location.uri)
}

// within refuses a location in one of a database's directories.
func within(dirs []string, location string) error {
	at := location
	if u, err := url.Parse(at); err == nil && u.Scheme == "file" {
		at = u.Path
	} else if strings.Contains(at, "://") {
		return nil
	}
	for _, dir := range dirs {
		rel, err := filepath.Rel(resolved(dir), resolved(at))
		if err == nil && filepath.IsLocal(rel) {
			return usageError("choose a place outside of it, best on another disk", "the location %s is inside the database directory %s", location, dir)
		}
	}
	return nil
}

// request checks what can be checked before anything is opened.
func (o *backupOptions) request() (host.BackupRequest, error) {
	compat, err := manifest.ParseCompat(o.compat)
	if err != nil {
		return host.BackupRequest{}, usageError("", "--compat: %v", err)
	}
	if err := cmp.Or(o.source.check(), o.location.check()); err != nil {
		return host.BackupRequest{}, err
	}
	if o.forceFull && o.autoFull {
		return host.BackupRequest{}, usageError("keep one of them", "--force-full and --auto-full exclude each other")
	}
	switch manifest.Kind(o.kind) {
	case "", manifest.KindDgraph, manifest.KindBadger:
	default:
		return host.BackupRequest{}, usageError("", "--kind %s: there are dgraph and badger", o.kind)
	}
	return host.BackupRequest{ForceFull: o.forceFull, AutoFull: o.autoFull, Compat: compat, Codec: o.compression, Prove: o.prove}, nil
}

func (o *backupOptions) show(a *app, to host.Location, res *host.BackupResult) error {
	m := res.Manifest
	type result struct {
		Location string   `json:"location"`
		Backup   summary  `json:"backup"`
		Entries  int64    `json:"entries"`
		Damaged  []string `json:"damaged,omitempty"`
		Warning  string   `json:"warning,omitempty"`
	}
	v := result{to.URI, summarize(m, res.Bytes), res.Entries, res.Damaged, res.Warning}
	return a.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "backup %s is complete: %s, read timestamp %d, %s, %s, %s entries\n",
			m.ID(), fullOrIncremental(m), m.ReadTs, count(len(m.Groups), "group"), size(res.Bytes), comma(res.Entries))
		fmt.Fprintf(w, "%s/%s\n", strings.TrimSuffix(to.URI, "/"), m.Path)
		for _, key := range res.Damaged {
			fmt.Fprintf(w, "left out: %s\n", key)
		}
	})
}

// groupNumbers returns a manifest's groups in order.
func groupNumbers(m *manifest.Manifest) []uint32 { return slices.Sorted(maps.Keys(m.Groups)) }
