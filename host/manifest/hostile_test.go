package manifest

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
)

const good = `{"type":"full","since":22,"groups":{"1":["age"]},"backup_id":"a","backup_num":1,"encrypted":false,"drop_operations":null}`

// Every line of what could be wrong says where it is and what.
func TestHostileSingle(t *testing.T) {
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for name, c := range map[string]struct{ from, to, text string }{
		"empty":                    {good, ``, "ends in the middle"},
		"cut off":                  {`null}`, `nu`, "ends in the middle"},
		"not JSON":                 {`"since":22`, `"since":}`, "not JSON at byte"},
		"not an object":            {good, `[]`, "an object expected"},
		"null":                     {good, `null`, "neither a master manifest nor that of a backup"},
		"something else":           {good, `{"a":1}`, "neither a master manifest nor that of a backup"},
		"two documents":            {good, good + good, "something follows its end"},
		"not UTF-8":                {"age", "a\xffe", "not UTF-8"},
		"a key twice":              {`"since":22`, `"since":22,"since":23`, `key "since" comes twice`},
		"groups twice":             {`"groups":{"1":["age"]}`, `"groups":{"1":["age"],"1":[]}`, `groups: corrupt manifest: key "1" comes twice`},
		"master and single":        {`"since":22`, `"since":22,"Manifests":[]`, "both"},
		"another type":             {`"full"`, `"fool"`, `type: "fool" is neither`},
		"a type that is a number":  {`"full"`, `7`, "type: corrupt manifest: text expected, and number \"7\" found"},
		"a negative number":        {`22`, `-22`, `since: corrupt manifest: "-22" is not a whole number`},
		"a fraction":               {`22`, `22.5`, "not a whole number"},
		"an exponent":              {`22`, `2e1`, "not a whole number"},
		"more than 64 bits":        {`22`, `18446744073709551616`, "at most 64 bits"},
		"a number as text":         {`22`, `"22"`, `a number expected, and text "22" found`},
		"a huge backup number":     {`"backup_num":1`, `"backup_num":4294967296`, "backup_num: 4294967296 is more"},
		"group 0":                  {`"1"`, `"0"`, `"0" is no group`},
		"group 01":                 {`"1"`, `"01"`, `"01" is no group`},
		"group -1":                 {`"1"`, `"-1"`, `"-1" is no group`},
		"group 2^32":               {`"1"`, `"4294967296"`, "is no group"},
		"group of objects":         {`["age"]`, `{"age":1}`, "groups: 1: corrupt manifest: a list expected"},
		"a name that is null":      {`"age"`, `null`, "a name expected, and null found"},
		"a name without a name":    {`"age"`, `""`, "has no name"},
		"a long name":              {`age`, strings.Repeat("n", maxName+1), "is longer than 65535 bytes"},
		"a long ID":                {`"a"`, `"` + strings.Repeat("n", maxText+1) + `"`, "backup_id: corrupt manifest: text"},
		"an ID with a newline":     {`"a"`, `"a\nb"`, "backup_id: \"a\\nb\" has a control character"},
		"an ID with NUL":           {`"a"`, `"a\u0000"`, "control character"},
		"an ID with an escape":     {`"a"`, `"\u001b[2J"`, "control character"},
		"encrypted as text":        {`false`, `"no"`, "encrypted: corrupt manifest: true or false expected"},
		"version of tomorrow":      {`"since"`, `"version":2200,"since"`, "version: 2200 is not known"},
		"version of nobody":        {`"since"`, `"version":7,"since"`, "version: 7 was never written"},
		"an unknown drop":          {`null}`, `[{"drop_op":4}]}`, "drop_operations: 1: corrupt manifest: operation 4 is not known"},
		"a drop of no predicate":   {`null}`, `[{},{"drop_op":2}]}`, "drop_operations: 2: corrupt manifest"},
		"a drop of no namespace":   {`null}`, `[{"drop_op":3}]}`, "DROP_NS: \"\" is not a namespace"},
		"a drop of a bad one":      {`null}`, `[{"drop_op":1,"drop_value":"17"}]}`, "DROP_DATA: \"17\" is not a namespace"},
		"a drop that is no object": {`null}`, `["DROP_ALL"]}`, "an object expected"},
		"deep nesting":             {`"since"`, `"x":` + deep + `,"since"`, "nested more than 32 deep"},
		"very deep nesting":        {`"since"`, `"x":` + strings.Repeat("[", 1<<20), "nested more than 32 deep"},
	} {
		bad := strings.Replace(good, c.from, c.to, 1)
		_, err := ParseSingle("d", []byte(bad))
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v; want %s", name, err, c.text)
		}
		if len(err.Error()) > 400 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestPathsStayInTheLocation(t *testing.T) {
	for in, want := range map[string]string{
		"a":             "a",
		"a/b":           "a/b",
		"/a":            "a",
		"//a//b/":       "a/b",
		"../../etc":     "etc",
		"a/../../../b":  "b",
		"./a/./b":       "a/b",
		"a/...":         "a/...",
		"/var/backup/x": "var/backup/x",
	} {
		data := `{"Manifests":[` + strings.Replace(entryOf("a", 1, "PATH"), "PATH", in, 1) + `]}`
		ms, err := ParseMaster([]byte(data))
		if err != nil || ms[0].Path != want {
			t.Errorf("%q: got %+v, %v; want %q", in, ms, err, want)
		}
		if m, err := ParseSingle(in, []byte(good)); err != nil || m.Path != want {
			t.Errorf("%q as a directory: got %q, %v", in, m.Path, err)
		}
	}
	for _, in := range []string{``, `.`, `..`, `/`, `a/..`, `a\\b`, `..\\..\\x`, `a\u0000b`, `a\nb`, `a\u007f`, strings.Repeat("a/", 600)} {
		data := `{"Manifests":[` + entryOf("b", 1, "x") + "," + strings.Replace(entryOf("a", 1, "PATH"), "PATH", in, 1) + `]}`
		_, err := ParseMaster([]byte(data))
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "entry 2: ") || !strings.Contains(err.Error(), "path: ") {
			t.Errorf("%q: got %v", in, err)
		}
	}
	if _, err := ParseSingle("a\x00b", []byte(good)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("NUL in a directory: %v", err)
	}
}

func TestSizesAreBounded(t *testing.T) {
	big := bytes.Repeat([]byte{' '}, MaxSingleSize+1)
	if _, err := ParseSingle("d", big); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "67108865 bytes, of which at most 67108864") {
		t.Errorf("a manifest: %v", err)
	}
	if _, err := ParseRecord(big); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a record: %v", err)
	}
	r := reader{}
	if err := r.take(maxMemory); err != nil {
		t.Error(err)
	}
	if err := r.take(1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("more memory than allowed: %v", err)
	}
}

// Many short entries and names are what takes most memory for its size.
func TestMemoryIsBounded(t *testing.T) {
	for name, data := range map[string]string{
		"entries":    `{"Manifests":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`,
		"names":      `{"groups":{"1":[` + strings.Repeat(`"a",`, 1<<20) + `"a"]},"backup_id":"a","since":1,"type":"full"}`,
		"operations": `{"type":"full","since":1,"drop_operations":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`,
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		ms, err := ParseMaster([]byte(data))
		runtime.GC()
		runtime.ReadMemStats(&after)
		kept := int64(after.HeapAlloc) - int64(before.HeapAlloc)
		if err != nil || kept > 96<<20 {
			t.Errorf("%s: %d bytes became %d: %v", name, len(data), kept, err)
		}
		runtime.KeepAlive(ms)
	}
}

// A backup's name cannot be told from its neighbour's when one bit of a commit
// record has changed; so every such change is noticed.
func TestRecordNoticesEveryFlippedBit(t *testing.T) {
	data := golden(t, "record-dgraph.json")
	for i := range data {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << bit
			if _, err := ParseRecord(bad); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
		}
		if _, err := ParseRecord(data[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	if _, err := ParseRecord(append(bytes.Clone(data), '\n')); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a line more: %v", err)
	}
}

// A record whose digest fits but whose content no Brock writes.
func TestHostileRecord(t *testing.T) {
	object, err := signed(golden(t, "record-dgraph.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from, to, text string
		kind           error
	}{
		"a newer format":            {`"format":1`, `"format":2`, "format 2, and this Brock reads formats up to 1", ErrNewer},
		"a newer format's keys":     {`"format":1`, `"format":9,"x":{}`, "format 9", ErrNewer},
		"format 0":                  {`"format":1`, `"format":0`, "format 0 was never", ErrCorrupt},
		"no format":                 {`"format":1,`, ``, "not with its format", ErrCorrupt},
		"a key more":                {`"engine"`, `"motor":1,"engine"`, `key "motor" is not known`, ErrCorrupt},
		"a key less":                {`"damaged":`, `"damages":`, `key "damages" is not known`, ErrCorrupt},
		"no drops":                  {`"drop_operations":[{},{"drop_op":1},{"drop_op":2,"drop_value":"0-age"},{"drop_op":3,"drop_value":"0x3"}],`, ``, "21 of the 22 keys", ErrCorrupt},
		"another compat":            {`"v21"`, `"v20"`, `compat: "v20" does not go with version 2103`, ErrCorrupt},
		"an unknown compat":         {`"v21"`, `"v9"`, "compat", ErrCorrupt},
		"an unknown kind":           {`"kind":"dgraph"`, `"kind":"redis"`, `kind: "redis" is not known`, ErrCorrupt},
		"badger with Dgraph's drop": {`"kind":"dgraph"`, `"kind":"badger"`, "drop_operations: it holds data of kind badger", ErrCorrupt},
		"Dgraph with Badger's drop": {`"badger_drops":null`, `"badger_drops":[{"all":true}]`, "badger_drops: it holds data of kind dgraph", ErrCorrupt},
		"a drop of nothing":         {`"badger_drops":null`, `"badger_drops":[{}]`, "either of everything or of a prefix", ErrCorrupt},
		"bad base64":                {`"AAH/"`, `"A"`, "not base64", ErrCorrupt},
		"a bad time":                {`2026-11-21T`, `2026-13-21T`, "is not a time", ErrCorrupt},
		"since ahead":               {`"since":8`, `"since":126`, "since: 126 does not go with read timestamp 126", ErrCorrupt},
		"since 0":                   {`"since":8`, `"since":0`, "since: 0", ErrCorrupt},
		"full, of number 2":         {`"incremental"`, `"full"`, "only the first", ErrCorrupt},
		"no series":                 {`"patient_dewey7"`, `""`, "backup_id is empty", ErrCorrupt},
		"a path that leads out":     {`"path":"`, `"path":"../`, "path", ErrCorrupt},
		"no path":                   {`"path":"` + dir1 + `"`, `"path":""`, "path", ErrCorrupt},
		"an object elsewhere":       {dir1 + `/r126-g1.backup`, `elsewhere/r126-g1.backup`, "is not in directory", ErrCorrupt},
		"an object outside":         {dir1 + `/r126-g1.backup`, dir1 + `/../x`, "is not in directory", ErrCorrupt},
		"a seal elsewhere":          {dir1 + `/r126-g1.seal`, `x.seal`, "is not in directory", ErrCorrupt},
		"no digest":                 {strings.Repeat("0f", 32), "", "is not a digest", ErrCorrupt},
		"a digest in capitals":      {strings.Repeat("0f", 32), strings.Repeat("0F", 32), "is not a digest", ErrCorrupt},
		"a group's object twice":    {`"group":2`, `"group":1`, "group 1 is not listed, or twice", ErrCorrupt},
		"an object of no group":     {`"group":2`, `"group":3`, "group 3 is not listed", ErrCorrupt},
		"a group without object":    {`"2":[]`, `"2":[],"3":[]`, "group 3 has none", ErrCorrupt},
		"a negative size":           {`"size":123`, `"size":-1`, "whole number", ErrCorrupt},
		"a huge size":               {`"size":123`, `"size":9223372036854775808`, "is too large", ErrCorrupt},
		"names of another form":     {`"0-age","0-name"`, `"age"`, "groups: 1:", ErrCorrupt},
		"an engine with an escape":  {`"0.1.0"`, `"\u001b"`, "control character", ErrCorrupt},
	} {
		if !bytes.Contains(object, []byte(c.from)) {
			t.Errorf("%s: there is no %s", name, c.from)
		}
		bad := bytes.Replace(object, []byte(c.from), []byte(c.to), 1)
		_, err := ParseRecord(sign(bad))
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v; want %s", name, err, c.text)
		}
	}
}

// What could not be read back is not written.
func TestEncodeRecordRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Manifest)
		text   string
	}{
		"no record":             {func(m *Manifest) { m.Record = nil }, "it has no record"},
		"no object":             {func(m *Manifest) { m.Record.Objects = nil }, "group 1 has none"},
		"no read timestamp":     {func(m *Manifest) { m.ReadTs = 0 }, "read timestamp"},
		"no kind":               {func(m *Manifest) { m.Kind = "" }, "kind"},
		"what 21.03 cannot say": {func(m *Manifest) { m.Groups[1] = preds("80-x") }, "JSON would damage the namespace"},
		"an unclean path":       {func(m *Manifest) { m.Path = "/x" }, "path"},
		"a long series":         {func(m *Manifest) { m.Series = strings.Repeat("s", 2000) }, "longer than 1024"},
	} {
		m := records["record-dgraph.json"]
		rec := *m.Record
		m.Record, m.Groups = &rec, groups{1: m.Groups[1], 2: m.Groups[2]}
		c.change(&m)
		data, err := EncodeRecord(&m)
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %s, %v; want %s", name, data, err, c.text)
		}
	}
}
