package manifest

import (
	"errors"
	"strings"
	"testing"
)

func TestRemoveMaster(t *testing.T) {
	const (
		a = `{"type":"full","since":0,"read_ts":5,"groups":{"1":[]},"backup_id":"a","backup_num":1,"version":2105,"path":"dgraph.20260101.000000.000","encrypted":false,"drop_operations":null,"compression":"snappy"}`
		b = `{"type":"incremental","since":0,"read_ts":9,"groups":{"1":[]},"backup_id":"a","backup_num":2,"version":2105,"path":"dgraph.20260102.000000.000","encrypted":false,"drop_operations":null,"compression":"snappy"}`
		c = `{"type":"full","since":0,"read_ts":12,"groups":{"1":[]},"backup_id":"c","backup_num":1,"version":2105,"path":"dgraph.20260103.000000.000","encrypted":false,"drop_operations":null,"compression":"snappy"}`
	)
	for _, tt := range []struct{ old, gone, want string }{
		{`{"Manifests":[` + a + `,` + b + `,` + c + `]}` + "\n", "1 2", `{"Manifests":[` + c + `]}` + "\n"},
		{`{"Manifests":[` + a + `,` + b + `,` + c + `]}`, "2", `{"Manifests":[` + a + `,` + c + `]}`},
		{`{"Manifests":[` + a + `,` + b + `,` + c + `]}`, "3", `{"Manifests":[` + a + `,` + b + `]}`},
		{`{"Manifests":[` + a + `]}`, "1", `{"Manifests":[]}`},
		{"{ \"Manifests\" : [\n " + a + " ,\n " + b + "\n] , \"other\": 1 }", "1", "{ \"Manifests\" : [\n " + b + "\n] , \"other\": 1 }"},
		{`{"Manifests":[` + a + `]}`, "7", `{"Manifests":[` + a + `]}`},
		{`{"Manifests":[]}`, "1", `{"Manifests":[]}`},
		{`{"Manifests":null}`, "1", `{"Manifests":null}`},
	} {
		got, err := RemoveMaster([]byte(tt.old), func(path string) bool {
			return strings.Contains(tt.gone, path[len("dgraph.2026010"):len("dgraph.20260101")])
		})
		if err != nil || string(got) != tt.want {
			t.Errorf("without %s:\n got %s, %v\nwant %s", tt.gone, got, err, tt.want)
		}
	}
	if _, err := RemoveMaster([]byte(strings.Replace(a, `"path":"dgraph.20260101.000000.000",`, "", 1)), func(string) bool { return true }); !errors.Is(err, ErrUnfit) {
		t.Errorf("the manifest of one backup: %v; want ErrUnfit", err)
	}
}
