package dgraph

import (
	"errors"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
)

func TestDropRecordsOfEveryVersion(t *testing.T) {
	for _, c := range []struct {
		ns    uint64
		value string
		f     Form
		want  Drop
	}{
		{0, "DROP_ALL;", FormV20, Drop{Kind: DropAll}},
		{0, "DROP_DATA;", FormV21, Drop{Kind: DropData, WholeCluster: true}},
		{2, "DROP_DATA;0x2", FormV23, Drop{Kind: DropData, Predicate: Predicate{Namespace: 2}}},
		{0, "DROP_DATA;0x0", FormV23, Drop{Kind: DropData}},
		{0, "DROP_ATTR;name", FormV20, Drop{Kind: DropAttr, Predicate: name}},
		{0, "DROP_ATTR;0-name", FormV20, Drop{Kind: DropAttr, Predicate: Predicate{Name: "0-name"}}},
		{0, "DROP_ATTR;" + ns0 + "name", FormV21, Drop{Kind: DropAttr, Predicate: name}},
		{3, "DROP_ATTR;\x00\x00\x00\x00\x00\x00\x00\x3bname", FormV21, Drop{Kind: DropAttr, Predicate: Predicate{0x3b, "name"}}},
		{0, "DROP_ATTR;1f-a-b", FormV23, Drop{Kind: DropAttr, Predicate: Predicate{0x1f, "a-b"}}},
		{0, "DROP_ATTR;0-a;b", FormV23, Drop{Kind: DropAttr, Predicate: Predicate{0, "a;b"}}},
		// A database that has been upgraded holds records of its past.
		{0, "DROP_ATTR;" + ns0 + "name", FormV23, Drop{Kind: DropAttr, Predicate: name}},
		{5, "DROP_ATTR;5-name", FormV21, Drop{Kind: DropAttr, Predicate: Predicate{5, "name"}}},
		{5, "DROP_ATTR;name", FormV23, Drop{Kind: DropAttr, Predicate: Predicate{5, "name"}}},
		{0, "DROP_NS;0x1f", FormV23, Drop{Kind: DropNamespace, Predicate: Predicate{Namespace: 0x1f}}},
	} {
		got, err := ParseDropValue(c.ns, c.value, c.f)
		if err != nil || got != c.want {
			t.Errorf("ParseDropValue(%d, %q, %s) = %+v, %v; want %+v", c.ns, c.value, c.f, got, err, c.want)
		}
	}
	for _, value := range []string{"", "DROP_ALL", "DROP_ATTR;", "DROP_DATA;x", "DROP_NS;", "DROP_TYPE;x"} {
		if got, err := ParseDropValue(0, value, FormV23); !errors.Is(err, ErrCorrupt) {
			t.Errorf("ParseDropValue(%q) = %+v, %v; want ErrCorrupt", value, got, err)
		}
	}
}

// The records of the sets with drops, as the manifests beside them also say.
func TestRealDropRecords(t *testing.T) {
	for set, want := range map[string][]string{
		"v20.11-drops": {"DROP_ALL", "DROP_ATTR 0-bio", "DROP_ATTR 0-extra", "DROP_ATTR 0-follows", "DROP_DATA"},
		"v25-drops":    {"DROP_ALL", "DROP_ATTR 0-bio", "DROP_ATTR 0-extra", "DROP_ATTR 0-follows", "DROP_DATA 0x0"},
		"v25-plain":    nil,
	} {
		var got []string
		var k Key
		eachEntry(t, set, func(file string, kv *pb.KV) {
			if err := ParseBackupKey(kv.Key, &k); err != nil {
				t.Fatal(err)
			}
			if k.Kind != KeyData || k.Name != DropPredicate {
				return
			}
			values, err := DropRecords(kv.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				d, err := ParseDropValue(k.Namespace, v, setForm(set))
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				got = append(got, d.String())
			}
		})
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q; want %q", set, got, want)
		}
	}
}
