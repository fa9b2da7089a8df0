package nquad_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
	"github.com/brock-backup/brock/host/store/nquad"
)

// The schema and the quads that a real cluster exported, sent to a new database, are
// what it then holds.
func TestAnExportBecomesADatabase(t *testing.T) {
	for _, truth := range []string{"v25-plain/truth/point0", "v25-drops/truth/point5", "v21.03-groups/truth/point1", "v20.11-plain/truth/point3"} {
		t.Run(truth, func(t *testing.T) { exportBecomesDatabase(t, filepath.Join("../../testdata/fixtures", truth)) })
	}
}

func exportBecomesDatabase(t *testing.T, truth string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	schema, err := os.ReadFile(truth + ".schema")
	if err != nil {
		t.Fatal(err)
	}
	predicates, types, err := dgraph.ParseSchemaText(0, string(schema))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Alter(t.Context(), predicates, types); err != nil {
		t.Fatal(err)
	}

	file, err := os.Open(truth + ".rdf.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	want := lines(t, text, " <dgraph.type> ")
	r, err := nquad.ParseRDF([]byte("{ set {\n" + want + "} }"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Mutation(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mutate(t.Context(), m); err != nil {
		t.Fatal(err)
	}

	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	held := map[string]bool{}
	for _, p := range s.Schema() {
		if p.Reserved() && p.Name != "dgraph.type" {
			continue
		}
		for uid, err := range v.UIDs(p.Predicate) {
			if err != nil {
				t.Fatal(err)
			}
			postings, err := v.Postings(p.Predicate, uid)
			if err != nil {
				t.Fatal(err)
			}
			for _, posting := range postings {
				held[fmt.Sprintf("%#x %s %s", uid, p.Name, object(t, posting))] = true
			}
		}
	}
	for _, q := range r.Set {
		posting := dgraph.Posting{Lang: q.Lang}
		if q.Value != nil {
			posting.Kind, posting.Value = dgraph.PostingValue, *q.Value
		} else if _, err := fmt.Sscan(q.Object, &posting.UID); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%s %s %s", q.Subject, q.Predicate, object(t, posting))
		if !held[line] {
			t.Errorf("line %d: the database does not hold %s", q.Line, line)
		}
		delete(held, line)
	}
	for line := range held {
		t.Errorf("the database holds %s", line)
	}
	t.Log(len(r.Set), "quads")
}

// object is an edge's end, or a value with its type.
func object(t *testing.T, p dgraph.Posting) string {
	t.Helper()
	if p.Kind == dgraph.PostingRef {
		return fmt.Sprintf("%#x", p.UID)
	}
	vt := p.Value.Type
	if p.Lang != "" {
		vt = dgraph.ValueString // an export names no type beside a language
	}
	return fmt.Sprintf("%q@%s %s", p.Value.Data, p.Lang, vt)
}

// lines are those that name nothing of Dgraph's own but keep, without facets.
func lines(t *testing.T, r io.Reader, keep string) string {
	t.Helper()
	var b strings.Builder
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		own := strings.Contains(line, "<dgraph.") && (keep == "" || !strings.Contains(line, keep))
		if at := strings.LastIndex(line, " ("); at > 0 && strings.HasSuffix(line, ") .") && !strings.Contains(line, "@index") {
			line = line[:at] + " ."
		}
		if !own {
			b.WriteString(line + "\n")
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
