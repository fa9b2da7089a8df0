package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/plugindir"
	"github.com/brock-backup/brock/host/store"
)

// A desk is a running /admin over a store of its own.
type desk struct {
	*Admin
	t         *testing.T
	url       string
	backups   string // a directory for them, not there yet
	tasksFile string
	logs      *journal
}

// A journal is all that was logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func newDesk(t *testing.T, change ...func(*Operations)) *desk {
	t.Helper()
	d := &desk{t: t, backups: filepath.Join(t.TempDir(), "backups"), tasksFile: filepath.Join(t.TempDir(), "tasks.json"), logs: &journal{}}
	log := hclog.New(&hclog.LoggerOptions{Output: d.logs, Level: hclog.Trace})
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Groups: 2, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	plugins := plugindir.New([]string{realPlugins(t)}, plugindir.Options{Logger: log})
	ops := &Operations{Store: s, Engine: &host.Engine{Logger: log, Memory: 64 << 20}, Plugins: plugins, Logger: log}
	for _, f := range change {
		f(ops)
	}
	tasks, err := OpenTasks(d.tasksFile, log)
	if err != nil {
		t.Fatal(err)
	}
	d.Admin, err = NewAdmin(&Node{Operations: ops, ID: "test", Address: "here", Version: "v0", Started: time.Now()}, tasks, log)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(d.Admin)
	d.url = srv.URL + "/admin"
	t.Cleanup(func() {
		srv.Close()
		for _, err := range []error{tasks.Close(context.Background()), plugins.Close(), s.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return d
}

// ask sends a request and returns the answer, which is always a JSON object.
func (d *desk) ask(method, url, contentType, body string) (status int, text string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// An answer is taken apart.
type answer struct {
	text   string
	Data   map[string]any
	Errors []struct {
		Message    string
		Extensions map[string]any
	}
	Extensions map[string]any
}

func (a *answer) errors() string {
	var all []string
	for _, e := range a.Errors {
		all = append(all, e.Message)
	}
	return strings.Join(all, "; ")
}

// at follows names and indexes into the data, which must lead somewhere.
func (a *answer) at(t *testing.T, path ...any) any {
	t.Helper()
	var v any = a.Data
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				t.Fatalf("%v: no element %d in %s", path, p, a.text)
			}
			v = l[p]
		}
	}
	return v
}

func (d *desk) graphql(query string, variables map[string]any) *answer {
	d.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		d.t.Fatal(err)
	}
	status, text := d.ask(http.MethodPost, d.url, "application/json", string(body))
	a := &answer{text: text}
	if err := json.Unmarshal([]byte(text), a); err != nil || status != http.StatusOK {
		d.t.Fatalf("status %d, %v: %s", status, err, text)
	}
	return a
}

// done sends a request that must succeed.
func (d *desk) done(query string, variables map[string]any) *answer {
	d.t.Helper()
	a := d.graphql(query, variables)
	if len(a.Errors) > 0 {
		d.t.Fatalf("%s: %s", query, a.text)
	}
	return a
}

// task waits for the end of a task.
func (d *desk) task(id any) *answer {
	d.t.Helper()
	for {
		a := d.done(`query($id: String!) { task(input: {id: $id}) { kind status lastUpdated error hint
			progress { op group bytes totalBytes entries } backup { backupId backupNum type path readTs bytes entries warning }
			restore { backup version maxUid groups entries } verify { ok } prune { objects } } }`, map[string]any{"id": id})
		switch a.at(d.t, "task", "status") {
		case "Queued", "Running":
			if d.t.Context().Err() != nil {
				d.t.Fatal("the test has ended")
			}
		default:
			return a
		}
	}
}

// name is a predicate of the store, and set gives it a value at node 1.
var name = dgraph.Predicate{Name: "name"}

func (d *desk) set(value string) {
	d.t.Helper()
	_, err := d.node.Operations.Store.Mutate(d.t.Context(), store.Mutation{
		Set: []store.Edge{{UID: 1, Predicate: name, Value: dgraph.Value{Type: dgraph.ValueString, Data: []byte(value)}}},
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// value is what the predicate is at node 1.
func (d *desk) value() string {
	d.t.Helper()
	v, err := d.node.Operations.Store.View()
	if err != nil {
		d.t.Fatal(err)
	}
	defer v.Close()
	list, err := v.Postings(name, 1)
	if err != nil {
		d.t.Fatal(err)
	}
	if len(list) == 0 {
		return ""
	}
	return string(list[0].Value.Data)
}

func (d *desk) backup() *answer {
	d.t.Helper()
	return d.done(backupQuery, map[string]any{"to": d.backups})
}

const backupQuery = `mutation($to: String!) { backup(input: {destination: $to}) { response { message code } taskId } }`

// What Dgraph's documentation of binary backups shows works as it stands there.
func TestTheDocumentedBackup(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	query := `mutation {
  backup(input: {destination: "` + d.backups + `"}) {
    response {
      message
      code
    }
    taskId
  }
}`
	_, text := d.ask(http.MethodPost, d.url, "application/graphql", query)
	var a answer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	id, _ := a.at(t, "backup", "taskId").(string)
	if a.at(t, "backup", "response", "code") != "Success" || a.at(t, "backup", "response", "message") != "Backup queued with ID "+id || !strings.HasPrefix(id, "0x1") {
		t.Fatalf("the answer is %s", text)
	}
	if a.Extensions["tracing"] == nil {
		t.Errorf("no tracing in %s", text)
	}
	b := d.task(id)
	if b.at(t, "task", "kind") != "Backup" || b.at(t, "task", "status") != "Success" || b.at(t, "task", "backup", "type") != "full" {
		t.Errorf("the task is %s", b.text)
	}
	if _, err := time.Parse(time.RFC3339, b.at(t, "task", "lastUpdated").(string)); err != nil {
		t.Error(err)
	}
	d.set("second")
	d.backup()
	l := d.done(`query($at: String!) { listBackups(input: {location: $at}) { backupId backupNum encrypted groups { groupId predicates } path since type readTs } }`,
		map[string]any{"at": d.backups})
	for i, want := range []string{"full", "incremental"} {
		if got := l.at(t, "listBackups", i, "type"); got != want || l.at(t, "listBackups", i, "backupNum") != float64(i+1) {
			t.Errorf("backup %d is %v", i+1, l.text)
		}
	}
	if l.at(t, "listBackups", 0, "since") != nil || l.at(t, "listBackups", 0, "encrypted") != nil || !strings.HasPrefix(l.at(t, "listBackups", 0, "path").(string), "dgraph.") {
		t.Errorf("not as Dgraph lists them: %s", l.text)
	}
	if !strings.Contains(l.text, `"0-name"`) {
		t.Errorf("no predicate 0-name: %s", l.text)
	}
}

// A restore brings back what the backup shows, and its answer is Dgraph's.
func TestRestoreOverGraphQL(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	d.backup()
	d.set("second")
	d.backup()
	d.set("third")
	const query = `mutation($at: String!, $n: Int, $p: Boolean) { restore(input: {location: $at, backupNum: $n, incrementalFrom: 1, isPartial: $p}) { code message taskId } }`
	a := d.done(query, map[string]any{"at": d.backups, "n": 1})
	if a.at(t, "restore", "code") != "Success" || a.at(t, "restore", "message") != "Restore operation started." {
		t.Errorf("the answer is %s", a.text)
	}
	if b := d.task(a.at(t, "restore", "taskId")); b.at(t, "task", "status") != "Success" || d.value() != "first" {
		t.Errorf("restored is %q: %s", d.value(), b.text)
	}
	d.set("fourth")
	d.backup()
	a = d.done(query, map[string]any{"at": d.backups, "p": true})
	d.task(a.at(t, "restore", "taskId"))
	if d.value() != "fourth" || !d.node.Operations.Store.Draining() {
		t.Errorf("restored is %q, draining %v", d.value(), d.node.Operations.Store.Draining())
	}
	a = d.done(`mutation { draining(enable: false) { response { code message } } }`, nil)
	if a.at(t, "draining", "response", "message") != "draining mode has been set to false" || d.node.Operations.Store.Draining() {
		t.Errorf("the answer is %s", a.text)
	}
	d.set("fifth")
}

// What is wrong is said in Dgraph's words, where scripts look for them.
func TestErrorsOverGraphQL(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	d.backup()
	restore := `mutation { restore(input: {location: "` + d.backups + `", `
	for _, c := range []struct{ query, want string }{
		{`mutation { backup(input: {destination: ""}) { taskId } }`, "resolving backup failed because you must specify a 'destination' value"},
		{`mutation { backup(input: {destination: "gopher://x/y"}) { taskId } }`, "resolving backup failed because gopher://x/y: no plugin serves gopher://"},
		{`mutation { restore(input: {location: ""}) { code } }`, "resolving restore failed because you must specify a 'location' value"},
		{`{ listBackups(input: {location: ""}) { path } }`, "resolving listBackups failed because cannot read manifests at location that is given: you must specify a 'location' value"},
		{restore + `backupId: "nope"}) { code } }`, "resolving restore failed because failed to verify backup: No backups with the specified backup ID nope"},
		{restore + `backupNum: 9}) { code } }`, "resolving restore failed because failed to verify backup: while retrieving manifests: not enough backups to restore manifest with backupNum 9"},
		{restore + `backupNum: -1}) { code } }`, "couldn't get input argument because backupNum value should be equal or greater than zero"},
		{restore + `incrementalFrom: -1}) { code } }`, "couldn't get input argument because incrementalFrom value should be equal or greater than zero"},
		{`{ listBackups(input: {location: "/no/such/place"}) { path } }`, "resolving listBackups failed because cannot read manifests at location /no/such/place: "},
		{`{ task(input: {id: ""}) { kind } }`, "resolving task failed because task ID is missing"},
		{`{ task(input: {id: "gopher"}) { kind } }`, "resolving task failed because invalid task ID: gopher"},
		{`{ task(input: {id: "0x1ffffffff"}) { kind } }`, "resolving task failed because task does not exist or has expired"},
		{`mutation { moveTablet(input: {tablet: "nobody", groupId: 1}) { response { code } } }`, "resolving moveTablet failed because there is no tablet 0-nobody"},
		{`mutation { moveTablet(input: {tablet: "name", groupId: 7}) { response { code } } }`, "resolving moveTablet failed because there is no group 7"},
		{`mutation { deleteNamespace(input: {namespaceId: 0}) { message } }`, "resolving deleteNamespace failed because cannot delete default namespace"},
		{`mutation { assign(input: {what: TIMESTAMP, num: 1}) { response { startId } } }`, "resolving assign failed because this server gives out its timestamps"},
		{`{ nobody }`, `Cannot query field "nobody" on type "Query".`},
	} {
		if got := d.graphql(c.query, nil); !strings.HasPrefix(got.errors(), c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.query, got.errors(), c.want)
		}
	}
	a := d.graphql(restore+`backupId: "nope"}) { code message } }`, nil)
	if a.at(t, "restore", "code") != "Failure" {
		t.Errorf("a refused restore answers %s", a.text)
	}
	if d.value() != "first" {
		t.Errorf("the store has %q after all this", d.value())
	}
}

// A variable that is not of its type is named, and nothing of its request is done.
func TestVariablesOfAnotherType(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	for _, c := range []struct{ declared, field, value, at, want string }{
		{"BackupInput!", "backup(input: $v) { taskId }", `{"destination":5}`, "v.destination", "String"},
		{"BackupInput!", "backup(input: $v) { taskId }", `{"destination":["/x"]}`, "v.destination", "String"},
		{"BackupInput!", "backup(input: $v) { taskId }", `{"destination":"/x","secretKey":12}`, "v.secretKey", "String"},
		{"BackupInput!", "backup(input: $v) { taskId }", `{"destination":"/x","forceFull":"true"}`, "v.forceFull", "Boolean"},
		{"RestoreInput!", "restore(input: $v) { code }", `{"location":"/x","backupNum":"1"}`, "v.backupNum", "Int"},
		{"RestoreInput!", "restore(input: $v) { code }", `{"location":"/x","backupNum":1.5}`, "v.backupNum", "Int"},
		{"RestoreInput!", "restore(input: $v) { code }", `{"location":"/x","backupNum":3000000000}`, "v.backupNum", "Int"},
		{"Int = 1", `restore(input: {location: "/x", backupNum: $v}) { code }`, `"1"`, "v", "Int"},
		{"UInt64!", "assign(input: {what: UID, num: $v}) { response { startId } }", `-1`, "v", "UInt64"},
	} {
		var value any
		if err := json.Unmarshal([]byte(c.value), &value); err != nil {
			t.Fatal(err)
		}
		a := d.graphql("mutation($v: "+c.declared+") { draining(enable: true) { response { code } } "+c.field+" }", map[string]any{"v": value})
		if want := `Variable "v" has invalid value at ` + c.at + ": it is no " + c.want; a.errors() != want || a.Data != nil {
			t.Errorf("%s\n got %s\nwant %s", c.value, a.text, want)
		}
	}
	if d.node.Operations.Store.Draining() {
		t.Error("what stands before the variable was done")
	}
	b := map[string]any{"destination": d.backups, "accessKey": nil, "anonymous": false, "forceFull": true, "prove": nil}
	d.done(`mutation($i: BackupInput!) { backup(input: $i) { taskId } }`, map[string]any{"i": b})
	v := map[string]any{"location": d.backups, "mode": nil, "backupNum": 1.0, "backupId": nil}
	if a := d.done(`mutation($i: VerifyInput!) { verify(input: $i) { outcome { ok } } }`, map[string]any{"i": v}); a.at(t, "verify", "outcome", "ok") != true {
		t.Errorf("verify says %s", a.text)
	}
}

// The state is asked for as Dgraph's documentation shows it.
func TestTheDocumentedState(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	a := d.done(`query { state { groups { id members { id groupId addr leader amDead } tablets { predicate groupId space readOnly } }
		zeros { id groupId addr leader } maxUID maxTxnTs maxRaftId cid license { user enabled maxNodes expiryTs } } }`, nil)
	if a.at(t, "state", "groups", 0, "members", 0, "leader") != true || a.at(t, "state", "license") != nil {
		t.Errorf("the state is %s", a.text)
	}
}

// Twenty backups at once: each is taken or refused because too many wait, and those that
// are taken make a series without holes.
func TestTwentyBackupsAtOnce(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	var wg sync.WaitGroup
	ids, refused := make(chan any, 20), make(chan string, 20)
	for range 20 {
		wg.Go(func() {
			a := d.graphql(backupQuery, map[string]any{"to": d.backups})
			if len(a.Errors) > 0 {
				refused <- a.errors()
				return
			}
			ids <- a.at(t, "backup", "taskId")
		})
	}
	wg.Wait()
	close(ids)
	close(refused)
	for text := range refused {
		if text != "resolving backup failed because too many pending tasks, please try again later" {
			t.Error(text)
		}
	}
	taken := map[float64]bool{}
	for id := range ids {
		a := d.task(id)
		if a.at(t, "task", "status") != "Success" {
			t.Fatal(a.text)
		}
		taken[a.at(t, "task", "backup", "backupNum").(float64)] = true
	}
	for n := range len(taken) {
		if !taken[float64(n+1)] {
			t.Errorf("backup %d of %d is not there", n+1, len(taken))
		}
	}
	if len(taken) < tasksWaiting {
		t.Errorf("only %d of 20 backups were taken", len(taken))
	}
}

// One request cannot ask for hundreds of backups, nor be as deep as it likes.
func TestOneRequestIsBounded(t *testing.T) {
	d := newDesk(t)
	var many strings.Builder
	many.WriteString("mutation {")
	for i := range 400 {
		fmt.Fprintf(&many, ` b%d: backup(input: {destination: ""}) { taskId }`, i)
	}
	a := d.graphql(many.String()+"}", nil)
	if n := strings.Count(a.errors(), "must specify"); n != mostOperations {
		t.Errorf("%d of 400 backups were begun, want %d", n, mostOperations)
	}
	if !strings.Contains(a.errors(), "one request may have at most 16 operations") {
		t.Error("the others do not say why")
	}
	deep := "{ __schema { types" + strings.Repeat(" { fields { type", 15) + " { name" + strings.Repeat("}", 33)
	if a := d.graphql(deep, nil); !strings.Contains(a.errors(), "exceeds max depth") {
		t.Errorf("a deep query: %.300s", a.text)
	}
	bomb := "query { ...f0 }"
	for i := range 30 {
		bomb += " fragment f" + string(rune('0'+i)) + " on Query { a: __typename ...f" + string(rune('0'+i+1)) + " ...f" + string(rune('0'+i+1)) + " }"
	}
	if a := d.graphql(bomb, nil); len(a.Errors) == 0 {
		t.Errorf("a bomb of fragments: %.300s", a.text)
	}
	var wide strings.Builder // a short text whose answer would have megabytes
	for i := range 400 {
		fmt.Fprintf(&wide, " s%d: __schema { types { fields { name } } }", i)
	}
	if a := d.graphql("{"+wide.String()+"}", nil); !strings.Contains(a.errors(), "too many selections") {
		t.Errorf("a wide query: %.300s", a.text)
	}
	if status, text := d.ask(http.MethodPost, d.url, "application/json", `{"query":"`+strings.Repeat("#", mostBody)+`"}`); !strings.Contains(text, "larger than") {
		t.Errorf("a large body: %d %.300s", status, text)
	}
	for _, number := range []string{strings.Repeat("9", 40), "1e999", "-1"} {
		if a := d.graphql(`mutation { assign(input: {what: UID, num: `+number+`}) { response { startId } } }`, nil); len(a.Errors) == 0 {
			t.Errorf("num %s: %s", number, a.text)
		}
	}
}
