package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// An ExportRequest says what to write as text: a backup, or a directory that
// was restored.
type ExportRequest struct {
	From   Location // of a backup; or
	Source Source   // of a directory
	Key    *Key
	Series string
	Number int

	JSON   bool            // Dgraph's JSON export instead of N-Quads
	Sort   bool            // lines in byte order, and each type on one: to compare exports
	Compat manifest.Compat // v20: without namespaces; v23 if empty
	Data   io.Writer       // N-Quads or JSON
	Schema io.Writer       // may be nil
}

// An ExportResult counts what was written.
type ExportResult struct {
	Quads  int64 // lines of N-Quads, or JSON objects
	NoText int64 // lists with values that have no text form; Dgraph's own export leaves them out, too
}

// maxNoText is how many of them are warned of one by one.
const maxNoText = 20

// Export writes the text that Dgraph's own export gives for the same data.
func (e *Engine) Export(ctx context.Context, req ExportRequest) (*ExportResult, error) {
	ctx = e.withLog(ctx)
	from, err := e.exported(ctx, req)
	if err != nil {
		return nil, err
	}
	defer from.done()
	compat := req.Compat
	if compat == "" {
		compat = manifest.CompatV23
	}
	x := &exporter{Exporter: dgraph.NewExporter(compat.Form()), req: req, log: e.log(), from: from.form}
	temp, err := os.MkdirTemp(e.TempDir, "brock.export-*")
	if err != nil {
		return nil, fmt.Errorf("temporary directory: %w", err)
	}
	defer os.RemoveAll(temp)
	if req.Sort {
		x.sort = newSorter(temp, e.memory()/2, manifest.KindBadger)
		defer x.sort.close()
	}
	x.out = bufio.NewWriterSize(req.Data, 1<<20)
	if req.JSON {
		x.out.WriteString(dgraph.JSONBegin)
	}
	for _, g := range from.groups {
		if err := from.each(ctx, g, x.emit); err != nil {
			return nil, fmt.Errorf("group %d: %w", g, err)
		}
	}
	return x.finish()
}

var errNoText = usage("a plain Badger database can be restored, but has no text form", "only Dgraph data can be exported")

// An exportable yields, of each of its groups, the entries in key order.
type exportable struct {
	groups []uint32
	form   dgraph.Form
	each   func(context.Context, uint32, emitFunc) error
	done   func()
}

// exported opens what is to be exported.
func (e *Engine) exported(ctx context.Context, req ExportRequest) (*exportable, error) {
	if src := req.Source; src != nil {
		if src.Kind() != manifest.KindDgraph {
			return nil, errNoText
		}
		each := func(ctx context.Context, g uint32, emit emitFunc) error { return readGroup(ctx, src, g, emit) }
		return &exportable{src.Groups(), dgraph.FormV23, each, func() {}}, nil
	}
	s, err := e.state(ctx, req.From, req.Key, req.Series, req.Number)
	if err != nil {
		return nil, err
	}
	done := func() { clear(s.dataKey) }
	if s.newest().Kind != manifest.KindDgraph {
		done()
		return nil, errNoText
	}
	return &exportable{sorted(s.newest().Groups), s.newest().Form, s.group, done}, nil
}

// readGroup reads a directory's group from beginning to end.
func readGroup(ctx context.Context, src Source, group uint32, emit emitFunc) error {
	ranges, err := src.Ranges(group, 0)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		if err := src.Read(ctx, group, r, 0, dgraph.UIDBytes, dgraph.FormV23, emit); err != nil {
			return err
		}
	}
	return nil
}

type exporter struct {
	*dgraph.Exporter
	req  ExportRequest
	log  hclog.Logger
	from dgraph.Form // of the type values
	sort *sorter
	out  *bufio.Writer
	key  dgraph.Key
	buf  []byte
	res  ExportResult
}

func (x *exporter) emit(key []byte, e *backupfile.Entry) (err error) {
	if err := dgraph.ParseKey(dgraph.LayoutV21, key, &x.key); err != nil {
		return err
	}
	switch {
	case x.key.Kind == dgraph.KeySchema:
		return x.AddSchema(x.key.Predicate, e.Value)
	case x.key.Kind == dgraph.KeyType:
		return x.AddType(x.key.Predicate, e.Value, x.from)
	case x.key.Kind != dgraph.KeyData, e.UserMeta == dgraph.MetaEmpty:
		return nil
	}
	if x.req.JSON {
		x.buf, err = x.AppendJSON(x.buf[:0], &x.key, e.Value)
	} else {
		x.buf, err = x.AppendRDF(x.buf[:0], &x.key, e.Value)
	}
	if errors.Is(err, dgraph.ErrNoText) {
		if x.res.NoText++; x.res.NoText <= maxNoText {
			x.log.Warn("a value has no text form and is left out", "error", err)
		}
	} else if err != nil {
		return err
	}
	return x.lines(x.buf)
}

// lines takes N-Quads, or JSON objects of a line each.
func (x *exporter) lines(text []byte) error {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		text = rest
		if x.req.JSON {
			line = bytes.TrimSuffix(line, []byte{','})
		}
		x.res.Quads++
		if x.sort == nil {
			x.write(line, x.res.Quads == 1)
		} else if err := x.sort.add(line, 0, &backupfile.Entry{}); err != nil {
			return err
		}
	}
	return nil
}

// write puts one line into the file. A failure stays with out until finish.
func (x *exporter) write(line []byte, first bool) {
	if x.req.JSON && !first {
		x.out.WriteString(dgraph.JSONSeparator)
	}
	x.out.Write(line)
	if !x.req.JSON {
		x.out.WriteByte('\n')
	}
}

func (x *exporter) finish() (*ExportResult, error) {
	if x.sort != nil {
		if err := x.writeSorted(); err != nil {
			return nil, err
		}
	}
	if x.req.JSON {
		x.out.WriteString(dgraph.JSONEnd)
	}
	if err := x.out.Flush(); err != nil {
		return nil, err
	}
	if x.req.Schema != nil {
		if _, err := x.req.Schema.Write(x.schema()); err != nil {
			return nil, err
		}
	}
	return &x.res, nil
}

// schema is what Dgraph loads or, sorted, one line for each predicate and type.
func (x *exporter) schema() []byte {
	if x.req.Sort {
		return x.AppendSchema(nil)
	}
	return x.AppendSchemaFile(nil)
}

func (x *exporter) writeSorted() error {
	streams, err := x.sort.streams()
	if err != nil {
		return err
	}
	m, err := newMerge(streams)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		it, err := m.next()
		if it == nil || err != nil {
			return err
		}
		x.write(it.key, n == 0)
	}
}
