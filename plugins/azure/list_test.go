package main

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// raw puts a blob into the container, whatever its name.
func (p *place) raw(t *testing.T, blob string) {
	t.Helper()
	if _, err := p.client.NewBlockBlobClient(blob).UploadBuffer(t.Context(), []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
}

// Neither the blobs of siblings nor those of others are objects, and pages do not
// matter.
func TestListOfPages(t *testing.T) {
	p := onAzurite(t)
	d := p.open(t)
	var want []string
	for i := range 20 {
		name := fmt.Sprintf("%c/%02d", 'a'+i%3, i)
		put(t, d, name, []byte(name))
		want = append(want, name)
	}
	slices.Sort(want)
	for _, blob := range []string{
		"pre/fix", "pre/fixed", "pre/fixed/object", "pre/fi", "pre/fix.x", "z", "a", "PRE/FIX/object",
		"pre/fix/.brock-probe", "pre/fix/a/.brock-x", "pre/fix/a[b", "pre/fix/a//b", "pre/fix/b/",
	} {
		p.raw(t, blob)
	}
	for _, size := range []int32{0, 1, 3, 7, 100} {
		d.pageSize = size
		if got := names(t, d, ""); !slices.Equal(got, want) {
			t.Errorf("List in pages of %d = %q, want %q", size, got, want)
		}
	}
	d.pageSize = 2
	if got := names(t, d, "a/"); len(got) != 7 {
		t.Errorf("List(%q) = %q, want 7 names", "a/", got)
	}
}

// A list that breaks off is no shorter list.
func TestListThatFails(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	for i := range 10 {
		put(t, d, fmt.Sprint(i), nil)
	}
	d.pageSize = 3
	n := 0
	f.Do(func(*http.Request) servers.Action {
		if n++; n > 2 {
			return servers.Action{Status: 500, Header: http.Header{"X-Ms-Error-Code": {"InternalError"}}}
		}
		return servers.Action{}
	})
	var got []string
	var last error
	for o, err := range d.List(t.Context(), "") {
		if last = err; err == nil {
			got = append(got, o.Name)
		}
	}
	if !errors.Is(last, sdk.ErrUnavailable) || len(got) != 6 {
		t.Errorf("List = %q, %v; want two pages and ErrUnavailable", got, last)
	}
}

// entries are what an account lists, folders with a slash at their end.
func entries(names ...string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for _, name := range names {
			e := entry{folder: strings.HasSuffix(name, "/")}
			e.Name = strings.TrimSuffix(name, "/")
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Accounts with hierarchical namespaces list folder by folder.
func TestListOrder(t *testing.T) {
	var got []string
	for o, err := range inOrder(entries("A", "a/", "a/1", "a/b/", "a/b/1", "a/b.x", "a.x", "ab", "b")) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o.Name)
	}
	if want := []string{"A", "a.x", "a/1", "a/b.x", "a/b/1", "ab", "b"}; !slices.Equal(got, want) {
		t.Errorf("List = %q, want %q", got, want)
	}
	var last error
	for _, last = range inOrder(entries("a/1", "a.x")) {
	}
	if !errors.Is(last, sdk.ErrUnsupported) {
		t.Errorf("List of what is out of order: %v, want ErrUnsupported", last)
	}
}

// What is said of objects is said in headers, and never of those that will be
// replaced or are for trying out.
func TestHeaders(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t, func(c *Config) {
		c.Tier, c.Immutability, c.EncryptionScope = "Archive", immutability{30, "Locked"}, "scope-1"
	})
	sent := map[string]http.Header{}
	f.Do(func(r *http.Request) servers.Action {
		if isWhole(r) || isCommit(r) {
			sent[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]] = r.Header
		}
		if r.Header.Get("X-Ms-Encryption-Scope") != "" && r.Method == http.MethodPut {
			return servers.Action{Status: 201, Header: http.Header{"Etag": {`"0x1"`}}} // there are no scopes in Azurite
		}
		return servers.Action{}
	})
	for _, size := range []int{10, 3 * minBlockSize} {
		put(t, d, fmt.Sprintf("dgraph.1/%d.backup", size), pattern(size))
		put(t, d, fmt.Sprintf("brock/s/%d.json", size), pattern(size))
		if _, err := d.Replace(t.Context(), fmt.Sprintf("manifest%d.json", size), bytes.NewReader(pattern(size)), ""); err != nil {
			t.Fatal(err)
		}
	}
	if len(sent) != 6 {
		t.Fatalf("%d requests made objects visible, want 6", len(sent))
	}
	for name, h := range sent {
		data, replaced := strings.HasSuffix(name, ".backup"), strings.HasPrefix(name, "manifest")
		if got := h.Get("X-Ms-Access-Tier"); (got == "Archive") != data {
			t.Errorf("%s goes into the tier %q", name, got)
		}
		until, err := http.ParseTime(h.Get("X-Ms-Immutability-Policy-Until-Date"))
		if replaced && err == nil || !replaced && (err != nil || time.Until(until).Round(24*time.Hour) != 30*24*time.Hour || !strings.EqualFold(h.Get("X-Ms-Immutability-Policy-Mode"), "locked")) {
			t.Errorf("%s is immutable until %q, in the mode %q", name, h.Get("X-Ms-Immutability-Policy-Until-Date"), h.Get("X-Ms-Immutability-Policy-Mode"))
		}
		if got := h.Get("X-Ms-Encryption-Scope"); got != "scope-1" {
			t.Errorf("%s is encrypted with the scope %q", name, got)
		}
	}
}

// A place that cannot be deleted from is still one to write to: what was written
// to try it out is no object, and is written once.
func TestProbeWithoutDelete(t *testing.T) {
	p := onAzurite(t)
	d := p.open(t, func(c *Config) { c.AccountKey, c.SAS = sdk.Secret{}, p.sas(t, "rwl", time.Hour) })
	for range 2 {
		if err := d.Probe(t.Context()); err != nil {
			t.Errorf("Probe: %v; hint: %s", err, sdk.Hint(err))
		}
	}
	if got := names(t, d, ""); len(got) > 0 {
		t.Errorf("List = %q, want nothing", got)
	}
	if err := p.open(t).Probe(t.Context()); err != nil {
		t.Errorf("Probe by somebody who may delete: %v", err)
	}
}
