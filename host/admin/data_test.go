package admin_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/brock-backup/brock/host/admin"
)

// post sends what curl would, and returns the answer's body.
func (r *running) post(path, contentType, body string) string {
	r.Helper()
	status, answer := r.do("POST", path, body, "Content-Type", contentType)
	if status != 200 {
		r.Errorf("%s: status %d: %s", path, status, answer)
	}
	return answer
}

const (
	rdf   = "application/rdf"
	jsonT = "application/json"
	dql   = "application/dql"
)

// data is what an answer's data is.
func data(t *testing.T, body string) string {
	t.Helper()
	var a struct{ Data json.RawMessage }
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.Data == nil {
		t.Fatalf("no data in %s: %v", body, err)
	}
	return string(a.Data)
}

func TestMutate(t *testing.T) {
	r := serve(t, admin.Config{}, "")
	if got, want := r.post("/alter", "", "name: string @lang .\nfriend: [uid] .\nage: int .\ntype Person { name friend age }"), `{"data":{"code":"Success","message":"Done"}}`; got != want {
		t.Fatalf("alter: %s, want %s", got, want)
	}
	body := r.post("/mutate?commitNow=true", rdf, `{ set {
		_:a <name> "Alice" .
		_:a <name> "Alicia"@es .
		_:a <age> "42"^^<xs:int> .
		_:a <dgraph.type> "Person" .
		_:a <friend> _:b .
		_:b <name> "Bob" .
	} }`)
	var a struct {
		Data struct {
			Code, Message string
			Queries       any
			UIDs          map[string]string
		}
		Extensions struct {
			ServerLatency map[string]int64 `json:"server_latency"`
			Txn           struct {
				StartTs  uint64 `json:"start_ts"`
				CommitTs uint64 `json:"commit_ts"`
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	alice, bob := a.Data.UIDs["a"], a.Data.UIDs["b"]
	if a.Data.Code != "Success" || a.Data.Message != "Done" || !strings.Contains(body, `"queries":null`) || !strings.HasPrefix(alice, "0x") || bob == alice {
		t.Fatalf("mutate: %s", body)
	}
	if a.Extensions.Txn.CommitTs <= a.Extensions.Txn.StartTs || a.Extensions.ServerLatency["total_ns"] <= 0 {
		t.Errorf("extensions: %s", body)
	}
	ask := fmt.Sprintf(`{ q(func: uid(%s)) { name name@es age dgraph.type friend { uid name } } }`, alice)
	want := fmt.Sprintf(`{"q":[{"name":"Alice","name@es":"Alicia","age":42,"dgraph.type":["Person"],"friend":[{"uid":%q,"name":"Bob"}]}]}`, bob)
	if got := data(t, r.post("/query", dql, ask)); got != want {
		t.Errorf("query: %s, want %s", got, want)
	}
	asJSON, err := json.Marshal(map[string]any{"query": `query q($n: string) { q(func: eq(name, $n)) { uid } }`, "variables": map[string]string{"$n": "Bob"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := data(t, r.post("/query", jsonT, string(asJSON))), fmt.Sprintf(`{"q":[{"uid":%q}]}`, bob); got != want {
		t.Errorf("query with a variable: %s, want %s", got, want)
	}

	// JSON, and deletes.
	r.post("/mutate?commitNow=true", jsonT, fmt.Sprintf(`{"set":[{"uid":%q,"age":7,"friend":{"name":"Carol"}}],"delete":{"uid":%q,"age":null}}`, bob, alice))
	if got, want := data(t, r.post("/query", dql, fmt.Sprintf(`{ q(func: uid(%s, %s)) { name age friend { name } } }`, alice, bob))),
		`{"q":[{"name":"Alice","friend":[{"name":"Bob"}]},{"name":"Bob","age":7,"friend":[{"name":"Carol"}]}]}`; got != want {
		t.Errorf("after JSON: %s, want %s", got, want)
	}
}

func TestRefusedMutations(t *testing.T) {
	r := serve(t, admin.Config{}, "")
	const quad = `{ set { _:a <name> "x" . } }`
	for _, c := range []struct{ path, contentType, body, part string }{
		{"/mutate", rdf, quad, "commitNow=true"},
		{"/mutate?commitNow=false", rdf, quad, "commitNow=true"},
		{"/mutate?commitNow=true&startTs=5", rdf, quad, "startTs"},
		{"/mutate?commitNow=true&namspace=5", rdf, quad, `"namspace"`},
		{"/mutate?commitNow=true&namespace=x", rdf, quad, "no namespace"},
		{"/mutate?commitNow=true", "", quad, "Unsupported Content-Type. Supported content types are application/json, application/rdf"},
		{"/mutate?commitNow=true", "text/plain", quad, "Unsupported Content-Type. Supported content types are application/json, application/rdf"},
		{"/mutate?commitNow=true", rdf, `{ set { nonsense } }`, "nonsense"},
		{"/mutate?commitNow=true", jsonT, `{`, ""},
		{"/mutate?commitNow=true", rdf, `{ set { <0x1> <dgraph.drop.op> "DROP_ALL;" . } }`, "dgraph.drop.op"},
		{"/query", "text/plain", "{ q(func: uid(1)) { uid } }", "Unsupported Content-Type. Supported content types are application/json, application/graphql+-,application/dql"},
		{"/query", dql, "{ q(func: near(loc, [1,2])) { uid } }", "near"},
		{"/query?timeout=x", dql, "{ q(func: uid(1)) { uid } }", "no time"},
		{"/query?debug=true", dql, "{ q(func: uid(1)) { uid } }", `"debug"`},
		{"/query?timeout=1ns", dql, "{ q(func: has(dgraph.type)) { uid } }", "ended"},
		{"/query?startTs=x", dql, "{ q(func: uid(1)) { uid } }", "startTs"},
		{"/query", jsonT, `{"query":"{ q(func: uid(1)) { uid } }","variables":{"$a":1}}`, "no query"},
		{"/alter", "", `{"drop_all":true,"drop_op":"DATA"}`, "2 things"},
		{"/alter", "", `{"drop_attr":""}`, "0 things"},
		{"/alter", "", ``, "0 things"},
		{"/alter", "", `{"dropp_all":true}`, `"dropp_all"`},
		{"/alter", "", `{"drop_all":"true"}`, "drop_all"},
		{"/alter", "", `{"drop_op":"EVERYTHING"}`, "EVERYTHING"},
		{"/alter", "", `{"drop_op":"TYPE"}`, "drop_value"},
		{"/alter", "", `{"drop_all":true,"drop_value":"x"}`, "drop_value"},
		{"/alter", "", `{"drop_all":true} {"drop_all":true}`, "one JSON object"},
		{"/alter", "", `name: strong .`, "strong"},
		{"/alter?namespace=1", "", `{"drop_all":true}`, "all namespaces"},
		{"/alter", "", `{"drop_attr":"dgraph.drop.op"}`, "dgraph.drop.op"},
	} {
		message, _ := refusal(t, r.post(c.path, c.contentType, c.body))
		if !strings.Contains(message, c.part) {
			t.Errorf("%s %s: %q, want %q in it", c.path, c.body, message, c.part)
		}
	}
	r.store.SetDraining(true)
	for path, body := range map[string]string{"/mutate?commitNow=true": quad, "/alter": "name: string ."} {
		if message, _ := refusal(t, r.post(path, rdf, body)); !strings.Contains(message, "the server is in draining mode") {
			t.Errorf("%s: %q", path, message)
		}
	}
	r.store.SetDraining(false)
}

func TestAlter(t *testing.T) {
	r := serve(t, admin.Config{}, "")
	const all = `{ q(func: has(name)) { name } t(func: has(dgraph.type)) { dgraph.type } n(func: has(nick)) { nick } }`
	fill := func() {
		body := r.post("/alter", jsonT, `{"schema":"name: string @index(exact) .\nnick: [string] .\nboss: uid @reverse .\ntype Person { name nick }"}`)
		if !strings.Contains(body, "no keys are built for them here: boss @reverse, name @index") || !strings.Contains(body, `"warnings":[`) {
			t.Errorf("alter: %s", body)
		}
		r.post("/mutate?commitNow=true", rdf, `{ set { <0x1> <name> "A" . <0x1> <nick> "a" . <0x1> <dgraph.type> "Person" . } }`)
		if got, want := data(t, r.post("/query", dql, all)), `{"q":[{"name":"A"}],"t":[{"dgraph.type":["Person"]}],"n":[{"nick":["a"]}]}`; got != want {
			t.Fatalf("filled: %s, want %s", got, want)
		}
	}
	for _, c := range []struct{ drop, left, schema string }{
		{`{"drop_attr":"nick"}`, `{"q":[{"name":"A"}],"t":[{"dgraph.type":["Person"]}],"n":[]}`, "boss name Person"},
		{`{"drop_op":"ATTR","drop_value":"nick"}`, `{"q":[{"name":"A"}],"t":[{"dgraph.type":["Person"]}],"n":[]}`, "boss name Person"},
		{`{"drop_op":"TYPE","drop_value":"Person"}`, `{"q":[{"name":"A"}],"t":[{"dgraph.type":["Person"]}],"n":[{"nick":["a"]}]}`, "boss name nick"},
		{`{"drop_op":"DATA"}`, `{"q":[],"t":[],"n":[]}`, "boss name nick Person"},
		{`{"drop_op":"data"}`, `{"q":[],"t":[],"n":[]}`, "boss name nick Person"},
		{`{"drop_all":true}`, `{"q":[],"t":[],"n":[]}`, ""},
		{`{"dropOp":"ALL"}`, `{"q":[],"t":[],"n":[]}`, ""},
	} {
		fill()
		if got, want := r.post("/alter", "application/x-www-form-urlencoded", c.drop), `{"data":{"code":"Success","message":"Done"}}`; got != want {
			t.Errorf("%s: %s", c.drop, got)
		}
		if got := data(t, r.post("/query", dql, all)); got != c.left {
			t.Errorf("%s leaves %s, want %s", c.drop, got, c.left)
		}
		if got := schemaNames(t, r.post("/query", dql, "schema { }")); got != c.schema {
			t.Errorf("%s leaves the schema %q, want %q", c.drop, got, c.schema)
		}
	}
}

// schemaNames are the user's predicates and types.
func schemaNames(t *testing.T, answer string) string {
	t.Helper()
	var a struct {
		Schema []struct{ Predicate string }
		Types  []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(data(t, answer)), &a); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	var names []string
	for _, p := range a.Schema {
		names = append(names, p.Predicate)
	}
	for _, x := range a.Types {
		names = append(names, x.Name)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "dgraph.") })
	return strings.Join(names, " ")
}

func TestNamespaces(t *testing.T) {
	r := serve(t, admin.Config{}, "")
	for ns, name := range map[string]string{"": "zero", "1": "one", "0x1f": "thirty-one"} {
		at := "&namespace=" + ns
		r.post("/alter?"+at, "", "name: string .")
		r.post("/mutate?commitNow=true"+at, rdf, `{ set { <0x1> <name> "`+name+`" . } }`)
	}
	for ns, want := range map[string]string{"0": "zero", "0x1": "one", "31": "thirty-one"} {
		if got := data(t, r.post("/query?namespace="+ns, dql, "{ q(func: has(name)) { name } }")); got != `{"q":[{"name":"`+want+`"}]}` {
			t.Errorf("namespace %s: %s", ns, got)
		}
	}
	r.post("/alter?namespace=1", "", `{"drop_op":"DATA"}`)
	for ns, want := range map[string]string{"0": `{"q":[{"name":"zero"}]}`, "1": `{"q":[]}`} {
		if got := data(t, r.post("/query?namespace="+ns, dql, "{ q(func: has(name)) { name } }")); got != want {
			t.Errorf("namespace %s after the drop: %s", ns, got)
		}
	}
}

// zip packs text with gzip.
func zip(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGzip(t *testing.T) {
	r := serve(t, admin.Config{MutateBytes: 2000, Admin: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})}, "")
	for _, c := range []struct{ path, contentType, body, want string }{
		{"/alter", "", "name: string .", `"Success"`},
		{"/mutate?commitNow=true", rdf, `{ set { <1> <name> "Alice" . } }`, `"Success"`},
		{"/query", dql, `{ q(func: has(name)) { name } }`, `{"q":[{"name":"Alice"}]}`},
		{"/admin", "", "what was sent", "what was sent"},
	} {
		if _, body := r.do("POST", c.path, zip(t, c.body), "Content-Type", c.contentType, "Content-Encoding", "gzip"); !strings.Contains(body, c.want) {
			t.Errorf("%s: %s", c.path, body)
		}
		if c.path == "/admin" {
			continue
		}
		_, body := r.do("POST", c.path, c.body, "Content-Type", c.contentType, "Accept-Encoding", "gzip")
		z, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			t.Errorf("%s: %v: %s", c.path, err, body)
			continue
		}
		if data, err := io.ReadAll(z); err != nil || !strings.Contains(string(data), c.want) {
			t.Errorf("%s: %v: %s", c.path, err, data)
		}
	}
	for _, c := range []struct {
		encoding, body string
		status         int
		want           string
	}{
		{"gzip", zip(t, strings.Repeat(" ", 2001)), 413, "larger than 2000 bytes"},
		{"gzip", "{ set { } }", 400, "gzip: invalid header"},
		{"gzip", zip(t, "{ set { } }")[:20], 400, "unexpected EOF"},
		{"br", "?", 415, `unsupported Content-Encoding "br"`},
	} {
		status, body := r.do("POST", "/mutate?commitNow=true", c.body, "Content-Type", rdf, "Content-Encoding", c.encoding)
		if message, _ := refusal(t, body); status != c.status || !strings.Contains(message, c.want) {
			t.Errorf("%s of %d bytes: %d %s; want %d and %q", c.encoding, len(c.body), status, body, c.status, c.want)
		}
	}
}

// Nodes that many clients make at once are different ones.
func TestMutateAtOnce(t *testing.T) {
	r := serve(t, admin.Config{}, "")
	const clients, times = 8, 20
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range times {
				if body := r.post("/mutate?commitNow=true", rdf, fmt.Sprintf(`{ set { _:n <name> "%d-%d" . } }`, c, i)); !strings.Contains(body, "Success") {
					t.Error(body)
				}
			}
		})
	}
	wg.Wait()
	if got, want := data(t, r.post("/query", dql, "{ q(func: has(name)) { count(uid) } }")), fmt.Sprintf(`{"q":[{"count":%d}]}`, clients*times); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What clients send may be secret: nothing of it is logged, and a refusal to parse it
// shows little of it.
func TestNothingIsLogged(t *testing.T) {
	const canary = "canary-0123456789abcdef"
	r := serve(t, admin.Config{}, "")
	long := strings.Repeat("x", 500) + canary
	for _, c := range []struct{ path, contentType, body string }{
		{"/mutate?commitNow=true", rdf, `{ set { _:a <name> "` + canary + `" . } }`},
		{"/mutate?commitNow=true", rdf, `{ set { _:a <name> "` + long + ` . } }`},
		{"/mutate?commitNow=true&" + canary + "=1", rdf, `{}`},
		{"/mutate?commitNow=true", jsonT, `{"set":{"name":"` + long},
		{"/query", dql, `{ q(func: eq(name, "` + canary + `")) { name } }`},
		{"/query", dql, `{ q(func: eq(name, ` + long + `)) ( name } }`},
		{"/alter", "", `{"secret":"` + canary + `"}`},
		{"/admin?query=" + canary, jsonT, canary},
	} {
		_, body := r.do("POST", c.path, c.body, "Content-Type", c.contentType)
		if strings.Contains(c.body, long) && strings.Contains(body, canary) {
			t.Errorf("%s shows what was sent: %s", c.path, body)
		}
	}
	if strings.Contains(r.log.String(), "canary") {
		t.Errorf("logged: %s", r.log)
	}
	if !strings.Contains(r.log.String(), "/mutate") {
		t.Errorf("requests are not logged at all: %s", r.log)
	}
}

// Large mutations wait for each other, whatever their number.
func TestLargeMutationsAtOnce(t *testing.T) {
	const size = 100_000
	r := serve(t, admin.Config{MutateBytes: size}, "")
	quads := func(c int) string {
		var b strings.Builder
		for i := 0; b.Len() < size-200; i++ {
			fmt.Fprintf(&b, "_:n%d <name> \"%d-%d\" .\n", i, c, i)
		}
		return "{ set { " + b.String() + " } }"
	}
	var wg sync.WaitGroup
	for c := range 6 {
		wg.Go(func() {
			if body := r.post("/mutate?commitNow=true", rdf, quads(c)); !strings.Contains(body, "Success") {
				t.Error(cutText(body))
			}
		})
	}
	wg.Wait()
	if got, want := data(t, r.post("/query", dql, "{ q(func: has(name)) { count(uid) } }")), fmt.Sprintf(`{"q":[{"count":%d}]}`, 6*strings.Count(quads(0), "\n")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func cutText(text string) string { return text[:min(len(text), 300)] }
