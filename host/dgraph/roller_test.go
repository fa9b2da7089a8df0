package dgraph

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// A version is one item of a key, as Badger has it.
type version struct {
	meta  byte
	value []byte
	parts []Part
}

// roll feeds versions, which are oldest first, to r.
func roll(r *Roller, versions []version, e ListEncoding) ([]byte, error) {
	r.Reset()
	for _, v := range slices.Backward(versions) {
		value := bytes.Clone(v.value)
		more, err := r.Add(v.meta, value)
		if err != nil {
			return nil, err
		}
		for j := range value {
			value[j] = 0xee // Badger's iterator reuses its buffer
		}
		if more {
			continue
		}
		for j, start := range r.Splits() {
			if v.parts[j].StartUID != start {
				return nil, errors.New("wrong splits")
			}
			value := bytes.Clone(v.parts[j].Value)
			if err := r.AddPart(value); err != nil {
				return nil, err
			}
			for j := range value {
				value[j] = 0xee
			}
		}
		break
	}
	out, empty, err := r.AppendBackupList([]byte("before"), e)
	if err == nil && empty != (len(out) == len("before")) {
		return nil, errors.New("empty, but not without bytes")
	}
	return out[len("before"):], err
}

// delta is a pb.PostingList of operations.
func delta(postings ...string) version {
	var b []byte
	for _, p := range postings {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), p)
	}
	return version{meta: MetaDelta, value: b}
}

func TestRollup(t *testing.T) {
	set := func(uid uint64) string { return naivePosting(uid, 0, 1, "", "", false) }
	del := func(uid uint64) string { return naivePosting(uid, 0, 2, "", "", false) }
	val := func(uid, op uint64, v, lang string) string { return naivePosting(uid, 1, op, v, lang, false) }
	star := naivePosting(math.MaxUint64, 0, 2, "_STAR_ALL", "", false)
	whole := version{meta: MetaComplete, value: naiveList{1: "", 2: naivePosting(2, 0, 1, "", "", true), 3: ""}.stored()}
	const scalar = math.MaxUint64
	for _, c := range []struct {
		title    string
		versions []version
		want     naiveList
	}{
		{"nothing", nil, nil},
		{"empty", []version{{meta: MetaEmpty}}, nil},
		{"whole", []version{whole}, naiveList{1: "", 2: naivePosting(2, 0, 1, "", "", true), 3: ""}},
		{"whole but without uids", []version{{meta: MetaComplete}}, nil},
		{"a delta alone", []version{delta(set(5), set(4))}, naiveList{4: "", 5: ""}},
		{"set and delete", []version{whole, delta(set(5), del(1))}, naiveList{2: naivePosting(2, 0, 1, "", "", true), 3: "", 5: ""}},
		{"delete what is not there", []version{whole, delta(del(9))}, naiveList{1: "", 2: naivePosting(2, 0, 1, "", "", true), 3: ""}},
		{"the newest wins", []version{whole, delta(del(1)), delta(set(1)), delta(del(3)), delta(del(1))}, naiveList{2: naivePosting(2, 0, 1, "", "", true)}},
		{"an edge set again loses its facet", []version{whole, delta(set(2))}, naiveList{1: "", 2: "", 3: ""}},
		{"a new value", []version{delta(val(scalar, 1, "old", "")), delta(val(scalar, 1, "new", ""))}, naiveList{scalar: val(scalar, 1, "new", "")}},
		{"an overwritten value", []version{delta(val(scalar, 1, "old", "")), delta(val(scalar, 3, "new", ""))}, naiveList{scalar: val(scalar, 3, "new", "")}},
		{"all deleted", []version{whole, delta(set(7)), delta(star)}, nil},
		{"all deleted, and set in the same commit", []version{whole, delta(star, set(7))}, naiveList{7: ""}},
		{"in another order", []version{whole, delta(set(7), del(6), star)}, naiveList{7: ""}},
		{"set later", []version{whole, delta(star), delta(set(1))}, naiveList{1: ""}},
		{"all deleted twice", []version{whole, delta(star, set(8)), delta(star, set(9))}, naiveList{9: ""}},
		{
			"a value in a language deleted",
			[]version{delta(val(scalar, 1, "x", ""), val(77, 1, "y", "en")), delta(val(77, 2, "_STAR_ALL", "en"))},
			naiveList{scalar: val(scalar, 1, "x", "")},
		},
		{"below an emptied list", []version{whole, {meta: MetaEmpty}, delta(set(4))}, naiveList{4: ""}},
		{"emptied by deletes", []version{whole, delta(del(1), del(2), del(3))}, nil},
		{"the later of two in one commit", []version{delta(set(1), del(1), del(2), set(2))}, naiveList{2: ""}},
	} {
		var r Roller
		for _, e := range []ListEncoding{UIDBytes, UIDs} {
			got, err := roll(&r, c.versions, e)
			if want := c.want.backup(e); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %x, %v; want %x", c.title, got, err, want)
			}
		}
	}
}

// A random history of one list, rolled up at every moment of it, is what a map says.
func TestRollupsAgreeWithAModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var (
		r Roller
		p Packer
	)
	for history := range 500 {
		var (
			l        = naiveList{}
			versions []version
			space    = []uint64{4, 600, 1 << 20, 1 << 34}[random.IntN(4)]
		)
		for step := range 1 + random.IntN(24) {
			switch random.IntN(8) {
			case 0: // Dgraph rolls the list up
				versions = append(versions, rolled(random, l))
			default:
				var postings []string
				postings, l = randomCommit(random, l, space)
				versions = append(versions, delta(postings...))
			}
			for _, e := range []ListEncoding{UIDBytes, UIDs} {
				got, err := roll(&r, versions, e)
				if want := l.backup(e); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("history %d, step %d: %x, %v; want %x", history, step, got, err, want)
				}
				if _, _, back := repack(t, &p, &r, got, e); !bytes.Equal(back, got) {
					t.Fatalf("history %d, step %d: %x came back as %x", history, step, got, back)
				}
			}
		}
	}
}

// rolled is l as one item, at times cut into parts.
func rolled(random *rand.Rand, l naiveList) version {
	if len(l) == 0 {
		return version{meta: MetaEmpty}
	}
	if random.IntN(3) > 0 {
		return version{meta: MetaComplete, value: l.stored()}
	}
	v := version{meta: MetaComplete}
	var splits []byte
	part, start := naiveList{}, uint64(1)
	end := func() {
		v.parts = append(v.parts, Part{start, part.stored()})
		splits = protowire.AppendVarint(splits, start)
		part = naiveList{}
	}
	for i, uid := range l.uids() {
		if i > 0 && random.IntN(1+len(l)/3) == 0 {
			end()
			start = uid
		}
		part[uid] = l[uid]
	}
	end()
	v.value = protowire.AppendBytes([]byte{4<<3 | 2}, splits)
	return v
}

// randomCommit returns the postings of one transaction and the list after it.
func randomCommit(random *rand.Rand, l naiveList, space uint64) ([]string, naiveList) {
	after := maps.Clone(l)
	var postings []string
	if random.IntN(10) == 0 {
		postings = append(postings, naivePosting(math.MaxUint64, 0, 2, "_STAR_ALL", "", false))
		after = naiveList{}
	}
	seen := map[uint64]bool{}
	n := 1 + random.IntN(6)
	if random.IntN(10) == 0 {
		n = 700
	}
	for range n {
		uid := 1 + random.Uint64N(space)
		if random.IntN(20) == 0 {
			uid = math.MaxUint64
		}
		if seen[uid] {
			continue
		}
		seen[uid] = true
		kind, value, lang, op := uint64(0), "", "", uint64(1)
		facet := random.IntN(4) == 0
		if random.IntN(2) == 0 {
			kind, value = 1, strconv.Itoa(random.IntN(1000))
			if random.IntN(3) == 0 {
				kind, lang = 2, "en"
			}
		}
		if random.IntN(3) == 0 {
			op = 2
			delete(after, uid)
		} else {
			if _, ok := after[uid]; ok && random.IntN(2) == 0 {
				op = 3
			}
			after[uid] = ""
			if kind != 0 || facet {
				after[uid] = naivePosting(uid, kind, op, value, lang, facet)
			}
		}
		postings = append(postings, naivePosting(uid, kind, op, value, lang, facet))
	}
	random.Shuffle(len(postings), func(i, j int) { postings[i], postings[j] = postings[j], postings[i] })
	return postings, after
}

func TestVersionsThatAreNoneAreRefused(t *testing.T) {
	block := func(s string) []byte {
		pack := protowire.AppendString([]byte("\x08\x80\x02\x12"), s)
		return protowire.AppendBytes([]byte{1<<3 | 2}, pack)
	}
	for title, v := range map[string]version{
		"a schema":                  {meta: MetaSchema},
		"user meta of 21.12":        {meta: 0x30},
		"a bitmap":                  {meta: MetaComplete, value: []byte("\x2a\x01\x00")},
		"a torn list":               {meta: MetaComplete, value: []byte("\x0a\x05\x00")},
		"a torn pack":               {meta: MetaComplete, value: []byte("\x0a\x02\x12\x05")},
		"more uids than deltas":     {meta: MetaComplete, value: block("\x08\x01\x12\x05\x00\x01\x01\x01\x01\x18\x06")},
		"a billion uids":            {meta: MetaComplete, value: block("\x08\x01\x18\xff\xff\xff\xff\x0f")},
		"deltas cut short":          {meta: MetaComplete, value: block("\x08\x01\x12\x05\xff\x01\x01\x01\x01\x18\x03")},
		"deltas of one byte":        {meta: MetaComplete, value: block("\x08\x01\x12\x01\x00\x18\x02")},
		"a delta of zero":           {meta: MetaComplete, value: block("\x08\x01\x12\x05\x00\x01\x00\x01\x01\x18\x05")},
		"overflow":                  {meta: MetaComplete, value: block("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\x05\x00\x01\x00\x00\x00\x18\x02")},
		"descending blocks":         {meta: MetaComplete, value: []byte("\x0a\x1d\x08\x80\x02\x12\x0b\x08\x09\x12\x05\x00\x00\x00\x00\x00\x18\x01\x12\x0b\x08\x08\x12\x05\x00\x00\x00\x00\x00\x18\x01")},
		"postings without uids":     {meta: MetaComplete, value: []byte("\x12\x00")},
		"descending splits":         {meta: MetaComplete, value: []byte("\x22\x02\x05\x04")},
		"a delta with a pack":       {meta: MetaDelta, value: block("\x08\x01\x12\x05\x00\x00\x00\x00\x00\x18\x01")},
		"a torn posting":            {meta: MetaDelta, value: []byte("\x12\x02\x09\x01")},
		"an operation of no kind":   delta(naivePosting(1, 0, 4, "", "", false)),
		"a part that never came":    {meta: MetaComplete, value: []byte("\x22\x02\x01\x05"), parts: nil},
		"a part with its own parts": {meta: MetaComplete, value: []byte("\x22\x01\x01"), parts: []Part{{1, []byte("\x22\x01\x01")}}},
	} {
		var r Roller
		var err error
		if title == "a part that never came" {
			if _, err = r.Add(v.meta, v.value); err == nil {
				_, _, err = r.AppendBackupList(nil, UIDBytes)
			}
		} else {
			_, err = roll(&r, []version{v}, UIDBytes)
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v; want ErrCorrupt", title, err)
		}
		// Nor with a delta above, which takes another way.
		if v.meta == MetaComplete && len(v.parts) == 0 && title != "a part that never came" {
			if _, err := roll(&r, []version{v, delta(naivePosting(9, 0, 1, "", "", false))}, UIDBytes); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, with a delta: %v; want ErrCorrupt", title, err)
			}
		}
	}
	var r Roller
	if _, err := r.Add(MetaEmpty, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Add(MetaDelta, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Add below an empty list: %v; want ErrCorrupt", err)
	}
	if err := r.AddPart(nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("AddPart without splits: %v; want ErrCorrupt", err)
	}
}

func TestCommitTimestampsAndOldSplitsStay(t *testing.T) {
	withTs := append(naiveList{7: naivePosting(7, 1, 1, "x", "", false)}.backup(UIDBytes), "\x18\x05"...)
	want, err := ReencodeList(nil, withTs, UIDBytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, back := repack(t, new(Packer), new(Roller), withTs, UIDBytes); !bytes.Equal(back, want) || !bytes.Contains(back, []byte("\x18\x05")) {
		t.Errorf("%x came back as %x; want %x", withTs, back, want)
	}
	// Very old backups hold the parts of long lists as entries of their own.
	main, parts, err := new(Packer).Pack([]byte("\x22\x02\x01\x05"))
	if err != nil || string(main) != "\x22\x02\x01\x05" || len(parts) != 0 {
		t.Errorf("a list of splits: %x, %d parts, %v", main, len(parts), err)
	}
	for _, e := range []ListEncoding{UIDBytes, UIDs} {
		if got, err := ReencodeList(nil, []byte("\x22\x02\x01\x05"), e); err != nil || string(got) != "\x22\x02\x01\x05" {
			t.Errorf("a list of splits, re-encoded: %x, %v", got, err)
		}
	}
}

func TestACompleteListAllocatesNothing(t *testing.T) {
	var (
		r   Roller
		p   Packer
		out []byte
	)
	stored := naiveList{1: "", 2: naivePosting(2, 1, 1, "x", "", false), 1 << 40: ""}.stored()
	run := func() {
		r.Reset()
		if _, err := r.Add(MetaComplete, stored); err != nil {
			t.Fatal(err)
		}
		var err error
		if out, _, err = r.AppendBackupList(out[:0], UIDBytes); err != nil {
			t.Fatal(err)
		}
		if _, _, err = p.Pack(out); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations for each list", n)
	}
}
