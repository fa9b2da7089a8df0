package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/manifest"
)

// exportOptions are the flags of brock export.
type exportOptions struct {
	location locationFlag
	backup   backupFlags
	key      keyFlags
	source   sourceFlags
	output   string
	schema   string
	json     bool
	sort     bool
	compat   string
}

func (a *app) export() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a backup or a restored directory as RDF or JSON",
		Long: `Export writes the data of a backup, or of a restored directory, as the same text
that Dgraph's own export gives: RDF N-Quads, or with --json its JSON objects, and
the schema. Data goes to standard output unless -o names a file.`,
		Example: `  brock export -l ./backups --schema ./schema.txt > ./data.rdf
  brock export -p ./data --sort -o ./sorted.rdf
  brock export -l ./backups --backup_num 1 --json -o ./data.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	f := cmd.Flags()
	o.location.add(cmd)
	o.backup.add(cmd)
	o.key.add(cmd)
	o.source.add(cmd)
	f.StringVarP(&o.output, "output", "o", "-", "write the data to `FILE` (- is standard output)")
	f.StringVar(&o.schema, "schema", "", "write the schema to `FILE`")
	f.BoolVar(&o.json, "json", false, "write Dgraph's JSON instead of RDF")
	f.BoolVar(&o.sort, "sort", false, "sort the lines")
	f.StringVar(&o.compat, "compat", "v23", "write as this `VERSION` of Dgraph does: v23 (to 25), v21 or v20, which has no namespaces")
	cmd.PreRunE = exclusive("location", "postings", "group")
	return cmd
}

func (o *exportOptions) run(ctx context.Context, a *app) error {
	req, err := o.request(ctx, a)
	if err != nil {
		return err
	}
	if o.source.given() {
		source, err := o.source.open(ctx, a, badgerdb.Options{})
		if err != nil {
			return err
		}
		defer source.Close()
		req.Source = source
	}
	data, err := o.create(a, o.output)
	if err != nil {
		return err
	}
	defer data.abort()
	schema, err := o.create(a, o.schema)
	if err != nil {
		return err
	}
	defer schema.abort()
	req.Data, req.Schema = data, schema
	res, err := a.engine.Export(ctx, req)
	if err != nil {
		return err
	}
	if err := data.commit(); err != nil {
		return err
	}
	if err := schema.commit(); err != nil {
		return err
	}
	if res.NoText > 0 {
		a.logger.Warn("values without a text form are left out, as in Dgraph's own export", "lists", res.NoText)
	}
	if o.output != "-" {
		fmt.Fprintf(a.screen, "exported %s %s to %s\n", comma(res.Quads), o.unit(), o.output)
	}
	return nil
}

func (o *exportOptions) unit() string {
	if o.json {
		return "objects"
	}
	return "quads"
}

func (o *exportOptions) request(ctx context.Context, a *app) (host.ExportRequest, error) {
	req := host.ExportRequest{Series: o.backup.series, Number: o.backup.number, JSON: o.json, Sort: o.sort}
	if err := o.backup.check(); err != nil {
		return req, err
	}
	if sameOutput(o.output, o.schema) {
		return req, usageError("give the schema a file of its own", "-o and --schema name the same file, %s", o.schema)
	}
	var err error
	if req.Compat, err = manifest.ParseCompat(o.compat); err != nil {
		return req, usageError("", "--compat: %v", err)
	}
	if o.source.given() {
		return req, nil
	}
	if o.location.uri == "" {
		return req, usageError("for example -l ./backups, or -p ./data", "nothing to export: name a location with -l or a directory with -p")
	}
	if req.From, err = o.location.open(ctx, a); err != nil {
		return req, err
	}
	req.Key, err = o.key.open(ctx, a)
	return req, err
}

// sameOutput reports whether two names stand for one file, so that the one written last
// would be all there is. A device takes both.
func sameOutput(a, b string) bool {
	if a == "" || b == "" || a == "-" || b == "-" {
		return a == b && a != ""
	}
	a, b = resolved(a), resolved(b)
	if a != b {
		return false
	}
	info, err := os.Stat(a)
	return err != nil || info.Mode().IsRegular()
}

// resolved is the absolute path that name leads to, as far as it is there.
func resolved(name string) string {
	abs, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	rest := ""
	for dir := abs; ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return abs
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// create opens an output: nothing for "", standard output for "-".
func (o *exportOptions) create(a *app, name string) (*outFile, error) {
	switch name {
	case "":
		return &outFile{Writer: io.Discard}, nil
	case "-":
		return &outFile{Writer: a.stdout}, nil
	}
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real // what a link points to is written, not the link
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0) // a device or a pipe stays what it is
		if err != nil {
			return nil, err
		}
		return &outFile{Writer: f, stream: f}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-*")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError("make it, or name another", "%s: no such directory: %s", name, filepath.Dir(name))
	}
	if err != nil {
		return nil, err
	}
	return &outFile{Writer: f, file: f, name: name}, nil
}

// An outFile appears under its name when it is complete, and not before.
type outFile struct {
	io.Writer
	file   *os.File
	name   string
	stream *os.File // instead of file: something that is not replaced
}

func (f *outFile) commit() error {
	if f.stream != nil {
		return f.stream.Close()
	}
	if f.file == nil {
		return nil
	}
	if err := f.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.file.Name(), f.name); err != nil {
		return err
	}
	f.file = nil
	return nil
}

func (f *outFile) abort() {
	if f.file != nil {
		f.file.Close()
		os.Remove(f.file.Name())
	}
}
