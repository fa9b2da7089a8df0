package dgraph

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// A recording is what an alpha sent of its group: every version of every key up to
// a read timestamp, as they lie in its Badger, and which predicates it owns.
type recording struct {
	versions   map[string][]*pb.KV // newest first
	predicates map[Predicate]bool
}

func readRecording(t testing.TB, path string, form Form) recording {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rec := recording{map[string][]*pb.KV{}, map[Predicate]bool{}}
	for len(data) > 0 {
		n := binary.BigEndian.Uint32(data)
		msg := data[4 : 4+n]
		data = data[4+n:]
		for len(msg) > 0 {
			num, typ, n := protowire.ConsumeTag(msg)
			if typ != protowire.BytesType {
				msg = msg[n+protowire.ConsumeFieldValue(num, typ, msg[n:]):]
				continue
			}
			v, m := protowire.ConsumeBytes(msg[n:])
			if m < 0 {
				t.Fatalf("%s: %v", path, protowire.ParseError(m))
			}
			msg = msg[n+m:]
			switch num {
			case 5:
				rec.add(t, v)
			case 3:
				rec.predicates[recognise(form, string(v), 0)] = true
			}
		}
	}
	for _, versions := range rec.versions {
		slices.SortFunc(versions, func(a, b *pb.KV) int { return -bytes.Compare(bigEndian(a.Version), bigEndian(b.Version)) })
	}
	if len(rec.predicates) == 0 || len(rec.versions) == 0 {
		t.Fatalf("%s: %d predicates, %d keys", path, len(rec.predicates), len(rec.versions))
	}
	return rec
}

func bigEndian(u uint64) []byte { return binary.BigEndian.AppendUint64(nil, u) }

// add reads slices, each behind its length: 4 bytes before Dgraph 24.0.4, 8 since.
func (rec *recording) add(t testing.TB, slices []byte) {
	t.Helper()
	for len(slices) > 0 {
		head, n := 4, uint64(binary.BigEndian.Uint32(slices))
		if n == 0 {
			head, n = 8, binary.BigEndian.Uint64(slices)
		}
		var kv pb.KV
		if err := kv.Unmarshal(slices[head : head+int(n)]); err != nil {
			t.Fatal(err)
		}
		slices = slices[head+int(n):]
		rec.versions[string(kv.Key)] = append(rec.versions[string(kv.Key)], &kv)
	}
}

// What real alphas hold, deltas and all, rolls up to what they export themselves; each
// reverse list to the edges that lead there; and the lists that they rolled up
// are packed here byte for byte as there.
func TestRecordedDatabasesRollUpToTheirExport(t *testing.T) {
	for _, set := range []string{"v21.03-stream", "v25-stream"} {
		t.Run(set, func(t *testing.T) {
			dir := fixture(t, set)
			points, err := filepath.Glob(filepath.Join(dir, "point*"))
			if err != nil || len(points) == 0 {
				t.Fatalf("%d points, %v", len(points), err)
			}
			met := map[byte]int{}
			for _, point := range points {
				t.Run(filepath.Base(point), func(t *testing.T) { rollUpPoint(t, set, point, met) })
			}
			for _, meta := range []byte{MetaDelta, MetaComplete} {
				if met[meta] == 0 {
					t.Errorf("no item with user meta %#02x", meta)
				}
			}
		})
	}
}

func rollUpPoint(t *testing.T, set, point string, met map[byte]int) {
	groups, err := filepath.Glob(filepath.Join(point, "g*-since0.kvs"))
	if err != nil || len(groups) == 0 {
		t.Fatalf("%d groups, %v", len(groups), err)
	}
	var (
		form = setForm(set)
		x    = NewExporter(form)
		r    Roller
		p    Packer
		rdf  []byte
	)
	for _, group := range groups {
		rec := readRecording(t, group, form)
		forward, reverse := map[[2]uint64]bool{}, map[[2]uint64]bool{}
		for key, versions := range rec.versions {
			var k Key
			if err := ParseKey(LayoutV21, []byte(key), &k); err != nil {
				t.Fatal(err)
			}
			newest := versions[0]
			switch {
			case k.Kind == KeyType:
				err = x.AddType(k.Predicate, newest.Value, form)
			case !rec.predicates[k.Predicate]:
				continue
			case k.Kind == KeySchema:
				err = x.AddSchema(k.Predicate, newest.Value)
			}
			if err != nil {
				t.Fatal(err)
			}
			if k.Kind == KeySchema || k.Kind == KeyType {
				continue
			}
			r.Reset()
			for more, i := true, 0; more && i < len(versions); i++ {
				met[versions[i].UserMeta[0]]++
				if more, err = r.Add(versions[i].UserMeta[0], versions[i].Value); err != nil {
					t.Fatalf("%x: %v", key, err)
				}
			}
			list, _, err := r.AppendBackupList(nil, UIDBytes)
			if err != nil {
				t.Fatalf("%x: %v", key, err)
			}
			main, _, err := p.Pack(list)
			if err != nil {
				t.Fatalf("%x: %v", key, err)
			}
			if newest.UserMeta[0] == MetaComplete && !bytes.Equal(main, newest.Value) {
				t.Errorf("%x: packed as %x; Dgraph has %x", key, main, newest.Value)
			}
			if rdf, err = x.AppendRDF(rdf, &k, list); err != nil {
				t.Fatal(err)
			}
			if k.Name == "follows" {
				for uid := range naiveBackup(t, list) {
					switch k.Kind {
					case KeyData:
						forward[[2]uint64{k.UID, uid}] = true
					case KeyReverse:
						reverse[[2]uint64{uid, k.UID}] = true
					}
				}
			}
		}
		for edge := range forward {
			if len(reverse) > 0 && !reverse[edge] {
				t.Errorf("edge %x has no reverse edge", edge)
			}
		}
		for edge := range reverse {
			if !forward[edge] {
				t.Errorf("reverse edge %x has no edge", edge)
			}
		}
	}
	compareLines(t, "quads", string(rdf), readGzip(t, filepath.Join(point, "truth.rdf.gz")))
	truth, err := os.ReadFile(filepath.Join(point, "truth.schema"))
	if err != nil {
		t.Fatal(err)
	}
	compareLines(t, "schema", string(x.AppendSchema(nil)), string(truth))
}
