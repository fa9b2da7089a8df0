package admin

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host"
)

// keyed gives the host a key file for its backups, or the one that a request names.
func keyed(file *string) func(*Operations) {
	return func(o *Operations) {
		o.Key = func(ctx context.Context, r *KeyRequest) (*host.Key, error) {
			path := *file
			if r != nil {
				path = r.EncryptionKeyFile
			}
			if path == "" {
				return nil, nil
			}
			p, err := o.Plugins.OpenKeyProvider(ctx, "keyfile", map[string]any{"path": path})
			if err != nil {
				return nil, err
			}
			return &host.Key{Name: "keyfile", Provider: p}, nil
		}
	}
}

// A series that is encrypted while the host is not, or the other way round, is refused in
// the words that scripts know, and forceFull begins another one.
func TestEncryptionIsTurnedOnAndOff(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, bytes.Repeat([]byte("k"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	var key string
	d := newDesk(t, keyed(&key))
	d.set("plain")
	d.backup()
	const full = `mutation($to: String!) { backup(input: {destination: $to, forceFull: true}) { taskId } }`
	to := map[string]any{"to": d.backups}
	refused := func(want string) {
		t.Helper()
		if a := d.graphql(backupQuery, to); !strings.HasPrefix(a.errors(), "resolving backup failed because "+want) {
			t.Errorf("got %s\nwant %s", a.errors(), want)
		}
	}
	key = file
	refused(`latest manifest indicates the last backup was not encrypted but this instance has encryption turned on. Try "forceFull" flag.`)
	d.set("encrypted")
	d.done(full, to)
	key = ""
	refused(`latest manifest indicates the last backup was encrypted but this instance has encryption turned off. Try "forceFull" flag.`)
	d.set("later")

	restore := `mutation($to: String!, $k: String) { restore(input: {location: $to, encryptionKeyFile: $k}) { code taskId } }`
	if a := d.graphql(restore, to); !strings.Contains(a.errors(), "is encrypted and no key was given") {
		t.Errorf("a restore without the key: %s", a.text)
	}
	a := d.done(restore, map[string]any{"to": d.backups, "k": file})
	if b := d.task(a.at(t, "restore", "taskId")); d.value() != "encrypted" {
		t.Errorf("restored is %q: %s", d.value(), b.text)
	}
	l := d.done(`query($to: String!) { listBackups(input: {location: $to}) { encrypted type } }`, to)
	if l.at(t, "listBackups", 0, "encrypted") != nil || l.at(t, "listBackups", 1, "encrypted") != true {
		t.Errorf("the list is %s", l.text)
	}
}

// A backup that is damaged is not restored, and the store keeps what it has.
func TestADamagedBackupIsNotRestored(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	d.backup()
	d.set("second")
	d.backup()
	files, err := filepath.Glob(filepath.Join(d.backups, "*", "*.backup"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	restore := `mutation($at: String!) { restore(input: {location: $at, isPartial: true}) { code taskId } }`
	at := map[string]any{"at": d.backups}

	data[len(data)/2] ^= 1 // which shows when it is read
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if a := d.graphql(restore, at); !strings.HasPrefix(a.errors(), "resolving restore failed because ") || d.value() != "second" {
		t.Errorf("the store has %q: %s", d.value(), a.text)
	}
	v := d.done(`mutation($at: String!) { verify(input: {location: $at}) { response { code } taskId outcome { ok backups { id problems { object text } } } } }`, at)
	if v.at(t, "verify", "outcome", "ok") != false || v.at(t, "verify", "outcome", "backups", 0, "problems", 0, "object") == nil {
		t.Errorf("verify says %s", v.text)
	}
	if err := os.Remove(files[0]); err != nil { // which shows at once
		t.Fatal(err)
	}
	if a := d.graphql(restore, at); !strings.Contains(a.errors(), "failed to verify backup: ") || d.value() != "second" {
		t.Errorf("the store has %q: %s", d.value(), a.text)
	}
	if d.node.Operations.Store.Draining() {
		t.Error("the store refuses writes")
	}
	d.set("third")
}

// What Dgraph has not is there too: verifications, prunes, plugins.
func TestBrocksOwnFields(t *testing.T) {
	d := newDesk(t)
	for _, value := range []string{"first", "second", "third"} {
		d.set(value)
		d.done(`mutation($to: String!) { backup(input: {destination: $to, forceFull: true}) { taskId } }`, map[string]any{"to": d.backups})
	}
	at := map[string]any{"at": d.backups}
	v := d.done(`mutation($at: String!) { verify(input: {location: $at, mode: RESTORE}) { taskId outcome { ok proved doubt backups { id sealed entries } } } }`, at)
	if b := d.task(v.at(t, "verify", "taskId")); b.at(t, "task", "verify", "ok") != true || b.at(t, "task", "kind") != "Verify" {
		t.Errorf("verify says %s", b.text)
	}
	if v.at(t, "verify", "outcome", "proved") != true {
		t.Errorf("verify says %s", v.text)
	}
	elsewhere := map[string]any{"at": d.backups + "-proved"}
	for _, value := range []string{"fourth", "fifth"} { // a full one, and an incremental one that can be proved
		d.set(value)
		b := d.done(`mutation($at: String!) { backup(input: {destination: $at, prove: true}) { taskId } }`, elsewhere)
		d.task(b.at(t, "backup", "taskId"))
	}
	v = d.done(`mutation($at: String!) { verify(input: {location: $at, mode: RESTORE}) { taskId outcome { ok proved doubt } } }`, elsewhere)
	if v.at(t, "verify", "outcome", "proved") != true {
		t.Errorf("verify says %s", v.text)
	}
	const prune = `mutation($at: String!, $dry: Boolean) { prune(input: {location: $at, keepLast: 2, dryRun: $dry}) { taskId outcome { dryRun series { backupId backups last bytes } kept { reasons } objects } } }`
	for _, dry := range []bool{true, false} {
		at["dry"] = dry
		p := d.done(prune, at)
		if series, _ := p.at(t, "prune", "outcome", "series").([]any); len(series) != 1 || p.at(t, "prune", "outcome", "dryRun") != dry {
			t.Errorf("prune says %s", p.text)
		}
		if kept, _ := p.at(t, "prune", "outcome", "kept").([]any); len(kept) != 2 {
			t.Errorf("prune says %s", p.text)
		}
	}
	if all, err := d.node.Operations.List(t.Context(), LocationRequest{URI: d.backups}); err != nil || len(all) != 2 {
		t.Errorf("%d backups, %v; want 2", len(all), err)
	}
	for _, in := range []string{`keep: -1`, `keepLast: -1`, `keepWithin: "soon"`} {
		if a := d.graphql(`mutation { prune(input: {location: "`+d.backups+`", `+in+`}) { taskId } }`, nil); len(a.Errors) == 0 {
			t.Errorf("prune with %s: %s", in, a.text)
		}
	}
	p := d.done(`{ plugins { name kind schemes state trust error path version } }`, nil)
	if !strings.Contains(p.text, `"name":"nfs"`) || !strings.Contains(p.text, `"kind":"keyprovider"`) {
		t.Errorf("plugins are %s", p.text)
	}
}

// health, state and config have the fields that Dgraph's clients ask for.
func TestHealthStateAndConfig(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	h := d.done(`{ health { instance address version lastEcho group status uptime ongoing indexing ee_features } config { cacheMb } }`, nil)
	if h.at(t, "health", 0, "instance") != "alpha" || h.at(t, "health", 0, "status") != "healthy" || h.at(t, "config", "cacheMb") != float64(64) {
		t.Errorf("health is %s", h.text)
	}
	const state = `{ state { counter groups { id members { id groupId addr leader amDead lastUpdate clusterInfoOnly forceGroupId }
		tablets { groupId predicate force space remove readOnly moveTs } snapshotTs checksum } zeros { id } maxUID maxNsID maxTxnTs maxRaftId removed { id } cid namespaces } }`
	s := d.done(state, nil)
	groups, _ := s.at(t, "state", "groups").([]any)
	if len(groups) != 2 || s.at(t, "state", "cid") != "test" {
		t.Errorf("state is %s", s.text)
	}
	from := "1"
	if strings.Index(s.text, `"0-name"`) > strings.Index(s.text, `"id":2,`) {
		from = "2"
	}
	to := map[string]string{"1": "2", "2": "1"}[from]
	m := d.done(`mutation { moveTablet(input: {namespace: 0, tablet: "name", groupId: `+to+`}) { response { code message } } }`, nil)
	if m.at(t, "moveTablet", "response", "code") != "Success" || !strings.Contains(d.done(state, nil).text, `{"groupId":`+to+`,"predicate":"0-name"`) {
		t.Errorf("after the move: %s", d.done(state, nil).text)
	}
	if d.value() != "first" {
		t.Errorf("the value is %q", d.value())
	}
	a := d.done(`mutation($n: UInt64!) { assign(input: {what: UID, num: $n}) { response { startId endId } } }`, map[string]any{"n": 100})
	b := d.done(`mutation { assign(input: {what: UID, num: "1"}) { response { startId endId } } }`, nil)
	start, _ := a.at(t, "assign", "response", "startId").(float64)
	if a.at(t, "assign", "response", "endId") != start+99 || b.at(t, "assign", "response", "startId").(float64) <= start+99 {
		t.Errorf("assigned are %s and %s", a.text, b.text)
	}
	d.done(`mutation { deleteNamespace(input: {namespaceId: 5}) { namespaceId message } }`, nil)
	d.done(`mutation { draining(enable: true) { response { code } } }`, nil)
	if !d.node.Operations.Store.Draining() {
		t.Error("the store still takes writes")
	}
}

// Lists are cut by the day on which backups were taken.
func TestPeriods(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		since, until string
		days         int32
		from, to     string // within
		out          string // without
	}{
		{since: "2026-11-01", from: "2026-11-01T00:00:00Z", to: "2026-11-30T00:00:00Z", out: "2026-10-31T23:59:59Z"},
		{until: "2026-11-01", from: "2026-01-01T00:00:00Z", to: "2026-11-01T23:59:59Z", out: "2026-11-02T00:00:00Z"},
		{until: "2026-11-01T12:00:00Z", from: "2026-01-01T00:00:00Z", to: "2026-11-01T12:00:00Z", out: "2026-11-01T12:00:01Z"},
		{days: 2, from: "2026-11-19T12:00:00Z", to: "2026-11-21T12:00:00Z", out: "2026-11-19T11:59:59Z"},
	} {
		in := &ListBackupsInput{SinceDate: &c.since, UntilDate: &c.until, LastNDays: &c.days}
		since, until, err := in.period(now)
		if err != nil {
			t.Fatal(err)
		}
		within := func(text string) bool {
			at, _ := time.Parse(time.RFC3339, text)
			return !at.Before(since) && (until.IsZero() || at.Before(until))
		}
		if !within(c.from) || !within(c.to) || within(c.out) {
			t.Errorf("%+v: from %v to %v", c, since, until)
		}
	}
	for _, in := range []*ListBackupsInput{
		{SinceDate: new("soon")}, {UntilDate: new("01.11.2026")}, {LastNDays: new(int32(-1))}, {LastNDays: new(int32(1)), SinceDate: new("2026-11-01")},
	} {
		if _, _, err := in.period(now); err == nil {
			t.Errorf("%+v is accepted", in)
		}
	}
}

// One that waits for its turn gives up with its context, and what is under way is told.
func TestOperationsTakeTurns(t *testing.T) {
	o := &Operations{}
	done, err := o.takeTurn(t.Context(), "opBackup")
	if err != nil {
		t.Fatal(err)
	}
	if got := o.Ongoing(); len(got) != 1 || got[0] != "opBackup" {
		t.Errorf("under way is %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.takeTurn(ctx, "opRestore"); !errors.Is(err, context.Canceled) {
		t.Errorf("the other one: %v", err)
	}
	done()
	if got := o.Ongoing(); len(got) != 0 {
		t.Errorf("under way is %q", got)
	}
	if done, err = o.takeTurn(t.Context(), "opRestore"); err != nil {
		t.Fatal(err)
	}
	done()
}
