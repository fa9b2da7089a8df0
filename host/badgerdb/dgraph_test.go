package badgerdb

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3"
	"github.com/dgraph-io/badger/v3/pb"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// fixture is a folder of what real servers wrote that is too large for the repository.
func fixture(t testing.TB, set string) string {
	t.Helper()
	root := os.Getenv("BROCK_FIXTURES")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "fixtures")
	}
	dir := filepath.Join(root, set)
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("fixture %s: %v", set, err)
		}
		t.Skipf("fixture %s is not there (BROCK_FIXTURES says where): %v", set, err)
	}
	return dir
}

// recorded reads the items that a real alpha sent of its group: every version as it
// lies in its Badger. Each message is behind its length; field 5 holds items, each
// behind its length, of 4 bytes or, where these are zero, of 8.
func recorded(t testing.TB, path string) []*pb.KV {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []*pb.KV
	for len(data) > 0 {
		n := binary.BigEndian.Uint32(data)
		msg := data[4 : 4+n]
		data = data[4+n:]
		for len(msg) > 0 {
			num, typ, n := protowire.ConsumeTag(msg)
			if num != 5 || typ != protowire.BytesType {
				msg = msg[n+protowire.ConsumeFieldValue(num, typ, msg[n:]):]
				continue
			}
			items, m := protowire.ConsumeBytes(msg[n:])
			msg = msg[n+m:]
			for len(items) > 0 {
				head, n := 4, uint64(binary.BigEndian.Uint32(items))
				if n == 0 {
					head, n = 8, binary.BigEndian.Uint64(items)
				}
				kv := &pb.KV{}
				if err := kv.Unmarshal(items[head : head+int(n)]); err != nil {
					t.Fatal(err)
				}
				items = items[head+int(n):]
				out = append(out, kv)
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s holds nothing", path)
	}
	return out
}

// alpha makes a p directory of the items, as an alpha's Badger would have it.
func alpha(t testing.TB, items []*pb.KV) string {
	t.Helper()
	dir := t.TempDir()
	db := open(t, badgerOptions(dir).WithNamespaceOffset(1))
	slices.SortStableFunc(items, func(a, b *pb.KV) int { return int(a.Version) - int(b.Version) })
	for _, kv := range items {
		e := badger.NewEntry(kv.Key, kv.Value).WithMeta(kv.UserMeta[0])
		if kv.UserMeta[0] != dgraph.MetaDelta {
			e.WithDiscard()
		}
		set(t, db, kv.Version, e)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A state is what a backup of all groups shows: key to value.
type state map[string][]byte

func (s state) apply(t testing.TB, src *Source, since uint64) {
	t.Helper()
	drops, _, err := src.Drops(context.Background(), 1, since)
	if err != nil {
		t.Fatal(err)
	}
	var k dgraph.Key
	for key := range s {
		if err := dgraph.ParseBackupKey([]byte(key), &k); err != nil {
			t.Fatal(err)
		}
		for _, d := range drops {
			data := k.Kind != dgraph.KeySchema && k.Kind != dgraph.KeyType
			if d.Kind == dgraph.DropAll || d.Kind == dgraph.DropData && data && (d.WholeCluster || d.Namespace == k.Namespace) ||
				d.Kind == dgraph.DropAttr && d.Predicate == k.Predicate && k.Kind != dgraph.KeyType {
				delete(s, key)
			}
		}
		if k.Kind == dgraph.KeySchema || k.Kind == dgraph.KeyType {
			delete(s, key) // always there in full
		}
	}
	for _, id := range src.Groups() {
		for _, e := range readAll(t, src, id, since) {
			if e.UserMeta == dgraph.MetaEmpty {
				delete(s, string(e.Key))
				continue
			}
			s[string(e.Key)] = e.Value
		}
	}
}

// What real alphas held, written into Badger directories, comes out of a source as
// their own export has it; and each increment takes the backup before to the state of
// a full one.
func TestRecordedDirectories(t *testing.T) {
	for set, form := range map[string]dgraph.Form{"v21.03-stream": dgraph.FormV21, "v25-stream": dgraph.FormV23} {
		t.Run(set, func(t *testing.T) {
			dir := fixture(t, set)
			var points []struct {
				Point  int
				ReadTs uint64 `json:"read_ts"`
				Since  uint64
			}
			index, err := os.ReadFile(filepath.Join(dir, "index.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(index, &points); err != nil {
				t.Fatal(err)
			}
			chain := state{}
			for _, p := range points {
				point := filepath.Join(dir, fmt.Sprintf("point%d", p.Point))
				streams, err := filepath.Glob(filepath.Join(point, "g*-since0.kvs"))
				if err != nil || len(streams) == 0 {
					t.Fatalf("%d streams, %v", len(streams), err)
				}
				dirs := map[uint32]string{}
				for i, s := range streams {
					dirs[uint32(i)+1] = alpha(t, recorded(t, s))
				}
				src, err := OpenSource(dirs, Options{ReadTs: p.ReadTs})
				if err != nil {
					t.Fatal(err)
				}
				if src.Kind() != manifest.KindDgraph {
					t.Errorf("kind %s", src.Kind())
				}
				full := state{}
				full.apply(t, src, 0)
				chain.apply(t, src, p.Since)
				owned := predicates{}
				for _, id := range src.Groups() {
					ps, err := src.Predicates(id)
					if err != nil {
						t.Fatal(err)
					}
					for _, pr := range ps {
						owned[pr] = true
					}
				}
				src.Close()
				export(t, point, form, full)
				export(t, point, form, owned.of(chain))
				compareStates(t, p.Point, chain, full, owned)
			}
		})
	}
}

type predicates map[dgraph.Predicate]bool

// of leaves out the predicates that no group owns any more, as a restore does.
func (ps predicates) of(s state) state {
	out := state{}
	var k dgraph.Key
	for key, v := range s {
		if _ = dgraph.ParseBackupKey([]byte(key), &k); k.Kind == dgraph.KeyType || ps[k.Predicate] {
			out[key] = v
		}
	}
	return out
}

// withoutCommits takes the commit timestamps out of a list: Dgraph adds them when it rolls up.
func withoutCommits(t *testing.T, list []byte) []byte {
	t.Helper()
	fields := func(msg []byte, do func(num protowire.Number, raw, v []byte)) {
		for len(msg) > 0 {
			num, typ, n := protowire.ConsumeTag(msg)
			m := protowire.ConsumeFieldValue(num, typ, msg[n:])
			if n < 0 || m < 0 {
				t.Fatalf("list %x", list)
			}
			var v []byte
			if typ == protowire.BytesType {
				v, _ = protowire.ConsumeBytes(msg[n:])
			}
			do(num, msg[:n+m], v)
			msg = msg[n+m:]
		}
	}
	var out []byte
	fields(list, func(num protowire.Number, raw, v []byte) {
		switch num {
		case 2:
			fields(v, func(num protowire.Number, raw, _ []byte) {
				if num != 14 {
					out = append(out, raw...)
				}
			})
		case 3:
		default:
			out = append(out, raw...)
		}
	})
	return out
}

// compareStates compares what a chain of increments amounts to with a full backup.
func compareStates(t *testing.T, point int, chain, full state, owned predicates) {
	t.Helper()
	var k dgraph.Key
	for key, v := range full {
		_ = dgraph.ParseBackupKey([]byte(key), &k)
		got, ok := chain[key]
		if k.Kind != dgraph.KeySchema && k.Kind != dgraph.KeyType {
			got, v = withoutCommits(t, got), withoutCommits(t, v)
		}
		if !ok || !bytes.Equal(got, v) {
			t.Errorf("point %d: %s: the chain has %x (%t), a full backup %x", point, describe(&k), got, ok, v)
		}
	}
	for key := range chain {
		if _, ok := full[key]; ok {
			continue
		}
		_ = dgraph.ParseBackupKey([]byte(key), &k)
		if k.Kind == dgraph.KeyData && owned[k.Predicate] {
			t.Errorf("point %d: %s: only the chain has it", point, describe(&k))
		}
	}
}

// export compares the state as RDF and schema with what the cluster itself said.
func export(t *testing.T, point string, form dgraph.Form, s state) {
	t.Helper()
	x := dgraph.NewExporter(form)
	var k dgraph.Key
	for key, v := range s {
		if err := dgraph.ParseBackupKey([]byte(key), &k); err != nil {
			t.Fatal(err)
		}
		var err error
		switch k.Kind {
		case dgraph.KeySchema:
			err = x.AddSchema(k.Predicate, v)
		case dgraph.KeyType:
			err = x.AddType(k.Predicate, v, dgraph.FormV23)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var rdf []byte
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if err := dgraph.ParseBackupKey([]byte(key), &k); err != nil {
			t.Fatal(err)
		}
		var err error
		if rdf, err = x.AppendRDF(rdf, &k, s[key]); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(filepath.Join(point, "truth.rdf.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var truth []string
	for sc := bufio.NewScanner(gz); sc.Scan(); {
		truth = append(truth, sc.Text())
	}
	got := strings.Split(strings.TrimSuffix(string(rdf), "\n"), "\n")
	diff(t, "quads", got, truth)
	schema, err := os.ReadFile(filepath.Join(point, "truth.schema"))
	if err != nil {
		t.Fatal(err)
	}
	// Every group exports all types.
	truth = strings.Split(strings.TrimSuffix(string(schema), "\n"), "\n")
	slices.Sort(truth)
	diff(t, "schema", strings.Split(strings.TrimSuffix(string(x.AppendSchema(nil)), "\n"), "\n"), slices.Compact(truth))
}

// diff compares lines without their order.
func diff(t *testing.T, what string, got, want []string) {
	t.Helper()
	count := map[string]int{}
	for _, l := range want {
		count[l]++
	}
	for _, l := range got {
		count[l]--
	}
	shown := 0
	for _, l := range slices.Sorted(maps.Keys(count)) {
		if n := count[l]; n != 0 {
			if shown++; shown < 10 {
				t.Errorf("%s: %+d: %s", what, -n, l)
			}
		}
	}
}

// A list so long that it is stored in parts is read with them, as they were when it was
// written; older parts, and parts without their list, are nobody's.
func TestSplitList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	long := func(n int) []byte {
		uid := uint64(0)
		var deltas []byte
		for range n {
			step := 1 + rnd.Uint64N(1<<28)
			uid += step
			deltas = binary.AppendUvarint(deltas, step)
		}
		return protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), deltas)
	}
	k := dgraph.Key{Kind: dgraph.KeyData, Predicate: dgraph.Predicate{Name: "follows"}, UID: 7}
	dir := t.TempDir()
	db := open(t, badgerOptions(dir))
	var p dgraph.Packer
	put := func(version uint64, list []byte) int {
		main, parts, err := p.Pack(list)
		if err != nil {
			t.Fatal(err)
		}
		key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &k)
		if err != nil {
			t.Fatal(err)
		}
		set(t, db, version, badger.NewEntry(key, main).WithMeta(dgraph.MetaComplete))
		for _, part := range parts {
			pk := k
			pk.StartUID = part.StartUID
			key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &pk)
			if err != nil {
				t.Fatal(err)
			}
			set(t, db, version, badger.NewEntry(key, part.Value).WithMeta(dgraph.MetaComplete))
		}
		return len(parts)
	}
	schema, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeySchema, Predicate: k.Predicate})
	if err != nil {
		t.Fatal(err)
	}
	set(t, db, 1, badger.NewEntry(schema, nil).WithMeta(dgraph.MetaSchema))
	older, newer := long(400_000), long(700_000)
	if n := put(10, older); n < 2 {
		t.Fatalf("%d parts", n)
	}
	put(20, newer)
	stray := k
	stray.StartUID = 1
	strayKey, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &stray)
	if err != nil {
		t.Fatal(err)
	}
	set(t, db, 12, badger.NewEntry(strayKey, nil).WithMeta(dgraph.MetaComplete))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for readTs, want := range map[uint64][]byte{15: older, 20: newer} {
		s := source(t, dir, Options{ReadTs: readTs})
		for _, since := range []uint64{0, 9, 19} {
			var lists [][]byte
			for _, e := range readAll(t, s, 1, since) {
				if e.UserMeta == dgraph.MetaComplete {
					lists = append(lists, e.Value)
				}
			}
			if since >= readTs {
				if len(lists) != 0 {
					t.Errorf("read at %d since %d: %d lists, want none", readTs, since, len(lists))
				}
				continue
			}
			if len(lists) != 1 || !bytes.Equal(lists[0], want) {
				t.Errorf("read at %d since %d: %d lists, or another one", readTs, since, len(lists))
			}
		}
		s.Close()
	}

	// Without a part the list is damaged, and says so.
	db = open(t, badgerOptions(dir))
	main, parts, err := p.Pack(newer)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := dgraph.AppendKey(nil, dgraph.LayoutV21, &k)
	set(t, db, 30, badger.NewEntry(key, main).WithMeta(dgraph.MetaComplete))
	pk := k
	pk.StartUID = parts[1].StartUID
	partKey, _ := dgraph.AppendKey(nil, dgraph.LayoutV21, &pk)
	remove(t, db, 30, partKey)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := source(t, dir, Options{})
	_, err = readErr(s, 1, 0)
	wantError(t, err, ErrDamaged, "data 0-follows of uid 0x7", "part from")
}

// wantError checks the kind of an error, and that its text says what it must.
func wantError(t testing.TB, err, kind error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v", kind)
	}
	if !isError(err, kind) {
		t.Errorf("error %q is not %q", err, kind)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

// Deleted and emptied lists are left out of a full backup and are tombstones in an
// increment; keys of uid 0, of banned namespaces and Badger's own are nowhere; of the schema only
// the newest counts, whatever since is.
func TestLists(t *testing.T) {
	for _, layout := range []dgraph.Layout{dgraph.LayoutV21, dgraph.LayoutV20} {
		dir := t.TempDir()
		opt := badgerOptions(dir)
		if layout == dgraph.LayoutV21 {
			opt = opt.WithNamespaceOffset(1)
		}
		db := open(t, opt)
		key := func(k dgraph.Key) []byte {
			b, err := dgraph.AppendKey(nil, layout, &k)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		var p dgraph.Packer
		list := func(uid byte) []byte {
			main, _, err := p.Pack([]byte{5<<3 | 2, 1, uid})
			if err != nil {
				t.Fatal(err)
			}
			return bytes.Clone(main)
		}
		name := dgraph.Predicate{Name: "name"}
		data := func(uid uint64) []byte { return key(dgraph.Key{Kind: dgraph.KeyData, Predicate: name, UID: uid}) }
		schema := key(dgraph.Key{Kind: dgraph.KeySchema, Predicate: name})
		gone := key(dgraph.Key{Kind: dgraph.KeySchema, Predicate: dgraph.Predicate{Name: "gone"}})
		kind := key(dgraph.Key{Kind: dgraph.KeyType, Predicate: dgraph.Predicate{Name: "Person"}})
		set(t, db, 1, badger.NewEntry(schema, []byte{10, 3, 'o', 'l', 'd'}).WithMeta(1), badger.NewEntry(gone, nil).WithMeta(1), badger.NewEntry(kind, nil).WithMeta(1))
		set(t, db, 2, badger.NewEntry(schema, nil).WithMeta(1))
		remove(t, db, 2, gone)
		for uid := range uint64(5) {
			set(t, db, 5, badger.NewEntry(data(uid), list(byte(uid)+1)).WithMeta(dgraph.MetaComplete))
		}
		remove(t, db, 7, data(1))
		set(t, db, 8, badger.NewEntry(data(2), nil).WithMeta(dgraph.MetaEmpty))
		set(t, db, 9, badger.NewEntry(data(3), list(99)).WithMeta(dgraph.MetaComplete))
		if layout == dgraph.LayoutV21 {
			set(t, db, 6, badger.NewEntry(key(dgraph.Key{Kind: dgraph.KeyData, Predicate: dgraph.Predicate{Namespace: 5, Name: "x"}, UID: 1}), list(1)).WithMeta(dgraph.MetaComplete))
			if err := db.BanNamespace(5); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s := source(t, dir, Options{})
		for since, want := range map[uint64][]string{
			0: {"data 0-name of uid 0x3 @9 8", "data 0-name of uid 0x4 @5 8", "schema 0-name @1 1", "type 0-Person @1 1"},
			5: {"data 0-name of uid 0x1 @7 10", "data 0-name of uid 0x2 @8 10", "data 0-name of uid 0x3 @9 8", "schema 0-name @1 1", "type 0-Person @1 1"},
			8: {"data 0-name of uid 0x3 @9 8", "schema 0-name @1 1", "type 0-Person @1 1"},
			9: {"schema 0-name @1 1", "type 0-Person @1 1"},
		} {
			var got []string
			var last []byte
			ranges, err := s.Ranges(1, since)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range ranges {
				err := s.Read(context.Background(), 1, r, since, dgraph.UIDBytes, dgraph.FormV23, func(sortKey []byte, e *backupfile.Entry) error {
					var k, sk dgraph.Key
					if err := dgraph.ParseBackupKey(e.Key, &k); err != nil {
						return err
					}
					if err := dgraph.ParseKey(dgraph.LayoutV21, sortKey, &sk); err != nil || describe(&sk) != describe(&k) {
						t.Errorf("sort key %x of %s: %v", sortKey, describe(&k), err)
					}
					if bytes.Compare(last, sortKey) >= 0 {
						t.Errorf("sort key %x after %x", sortKey, last)
					}
					last = bytes.Clone(sortKey)
					got = append(got, fmt.Sprintf("%s @%d %x", describe(&k), e.Version, e.UserMeta))
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("layout %d since %d:\n got %q\nwant %q", layout, since, got, want)
			}
		}
		ps, err := s.Predicates(1)
		if err != nil || !slices.Equal(ps, []dgraph.Predicate{name}) {
			t.Errorf("predicates %v, %v", ps, err)
		}
		s.Close()
	}
}

// A predicate that has data counts as the group's even without a schema; one that has only
// tombstones does not.
func TestPredicatesOfData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p1")
	w, err := Create(dir, WriterOptions{Kind: manifest.KindDgraph, Group: 1})
	if err != nil {
		t.Fatal(err)
	}
	var want []dgraph.Predicate
	for ns := range uint64(2) {
		for i := range uint64(5) {
			p := dgraph.Predicate{Namespace: ns, Name: fmt.Sprintf("p%d__vector_", i)}
			meta := byte(dgraph.MetaEmpty)
			for uid := uint64(1); uid < 4; uid++ {
				if uid == 3 && i != 2 {
					meta = dgraph.MetaComplete
				}
				key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyData, Predicate: p, UID: uid})
				if err != nil {
					t.Fatal(err)
				}
				if err := w.Write(key, nil, meta, 0, 1, 0); err != nil {
					t.Fatal(err)
				}
			}
			if i != 2 {
				want = append(want, p)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := source(t, dir, Options{}).Predicates(1); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// Each namespace's drop records are found, within their time.
func TestDgraphDrops(t *testing.T) {
	dir := t.TempDir()
	db := open(t, badgerOptions(dir).WithNamespaceOffset(1))
	var p dgraph.Packer
	put := func(version, ns, uid uint64, value string) {
		posting := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.MaxUint64)
		posting = protowire.AppendBytes(protowire.AppendTag(posting, 2, protowire.BytesType), []byte(value))
		posting = protowire.AppendVarint(protowire.AppendTag(posting, 4, protowire.VarintType), 1)
		list := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), posting)
		list = protowire.AppendBytes(protowire.AppendTag(list, 5, protowire.BytesType), binary.AppendUvarint(nil, math.MaxUint64))
		main, _, err := p.Pack(list)
		if err != nil {
			t.Fatal(err)
		}
		key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyData, UID: uid, Predicate: dgraph.Predicate{Namespace: ns, Name: dgraph.DropPredicate}})
		if err != nil {
			t.Fatal(err)
		}
		set(t, db, version, badger.NewEntry(key, bytes.Clone(main)).WithMeta(dgraph.MetaComplete))
	}
	schema, _ := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeySchema, Predicate: dgraph.Predicate{Name: dgraph.DropPredicate}})
	set(t, db, 1, badger.NewEntry(schema, nil).WithMeta(1))
	put(5, 0, 1, "DROP_ATTR;0-a")
	put(6, 0x10, 2, "DROP_DATA;0x10")
	put(7, 0, 3, "DROP_ALL;")
	put(9, 0x500, 4, "DROP_ATTR;500-b")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := source(t, dir, Options{ReadTs: 8})
	for since, want := range map[uint64]string{0: "[DROP_ATTR 0-a DROP_ALL DROP_DATA 0x10]", 5: "[DROP_ALL DROP_DATA 0x10]", 6: "[DROP_ALL]", 7: "[]"} {
		drops, _, err := s.Drops(context.Background(), 1, since)
		if err != nil || fmt.Sprint(drops) != want {
			t.Errorf("since %d: %v, %v; want %s", since, drops, err, want)
		}
	}
	late := source(t, dir, Options{})
	if drops, _, err := late.Drops(context.Background(), 1, 7); err != nil || fmt.Sprint(drops) != "[DROP_ATTR 500-b]" {
		t.Errorf("at the end: %v, %v", drops, err)
	}
}
