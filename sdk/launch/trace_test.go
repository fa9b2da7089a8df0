//go:build unix

package launch

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk"
)

// readTrace returns the lines of the one trace in dir, and its whole text.
func readTrace(t *testing.T, dir string) ([]traceLine, string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d traces, %v; want one: %v", len(files), err, files)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the trace's mode is %v, %v; want 0600", info.Mode(), err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var lines []traceLine
	for text := range bytes.Lines(data) {
		var l traceLine
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines, string(data)
}

// ended returns how every call of a method ended.
func ended(lines []traceLine, method string) (all []traceEnd) {
	for _, l := range lines {
		if l.Event == "end" && strings.HasSuffix(l.Method, "/"+method) {
			all = append(all, *l.End)
		}
	}
	return all
}

func TestTraceHasEveryCallAndNoSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trace")
	const token, password, inEnv, content = "canary-token", "canary/password", "canary-env", "canary-content"
	p := start(t, "hostile", Options{TraceDir: dir, Env: []string{"TEST_TOKEN=" + inEnv}})
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory's mode is %v, %v; want 0700", info.Mode(), err)
	}
	if _, err := p.OpenDestination(t.Context(), map[string]any{"uri": "refused", "token": sdk.NewSecret(token)}); err == nil {
		t.Error("the place that refuses was opened")
	}
	d := openDestination(t, p, map[string]any{"uri": "mem://user:canary%2Fpassword@host/x", "token": token, "number": 7})
	if err := d.Put(t.Context(), "a/"+token, strings.NewReader(strings.Repeat(content, 100_000))); err != nil {
		t.Fatal(err)
	}
	r, err := d.Get(t.Context(), "a/"+token, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	r.Close()
	for _, err := range d.List(t.Context(), "a/") {
		if err != nil {
			t.Fatal(err)
		}
		break // before the stream's end
	}
	if _, err := d.Get(t.Context(), "absent "+inEnv, 0); err == nil {
		t.Error("Get of what is absent worked")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}

	lines, text := readTrace(t, dir)
	for _, canary := range []string{token, password, "canary%2F", inEnv, content, base64.StdEncoding.EncodeToString([]byte(content))[:12]} {
		if strings.Contains(text, canary) {
			t.Errorf("the trace shows %q:\n%s", canary, text)
		}
	}
	for method, want := range map[string][]string{
		"Describe": {"OK"}, "Open": {"PermissionDenied", "OK"}, "Put": {"OK"}, "Get": {"OK", "NotFound"}, "Close": {"OK"},
	} {
		var got []string
		for _, e := range ended(lines, method) {
			got = append(got, e.Status)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s ended with %v, want %v", method, got, want)
		}
	}
	if list := ended(lines, "List"); len(list) != 1 {
		t.Errorf("List ended %d times, want once: %v", len(list), list)
	}
	if put := ended(lines, "Put")[0]; put.SentBytes < 1_400_000 || put.Sent < 4 || put.Received != 1 {
		t.Errorf("Put ended as %+v, want an open, two frames or more, a commit, and one answer", put)
	}
	for _, want := range []string{`"uri":"mem://host/x"`, `"number":7`, `"token":"[secret]"`, `"condition":"CONDITION_CREATE_ONLY"`, `"offset":"1048576"`, ` bytes, crc32c `} {
		if !strings.Contains(text, want) {
			t.Errorf("the trace does not show %s:\n%s", want, text)
		}
	}
}

func TestTraceHasNoKeys(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "keys", Options{TraceDir: dir})
	k, err := p.OpenKeyProvider(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("0123456789abcdef")
	w, err := k.Wrap(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Unwrap(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := k.(sdk.KeyExporter).ExportKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	lines, text := readTrace(t, dir)
	for _, method := range []string{"Wrap", "Unwrap", "ExportKey"} {
		if n := len(ended(lines, method)); n != 1 {
			t.Errorf("%d calls of %s were traced, want 1", n, method)
		}
	}
	if n := strings.Count(text, `"dataKey":"[secret]"`); n != 2 || !strings.Contains(text, `"key":"[secret]"`) {
		t.Errorf("the keys are not hidden, but missing:\n%s", text)
	}
	slices.Reverse(key)
	for _, b := range [][]byte{[]byte("0123456789abcdef"), key, bytes.Repeat([]byte{0xff}, 32)} {
		for _, form := range []string{string(b), hex.EncodeToString(b), base64.StdEncoding.EncodeToString(b)} {
			if strings.Contains(text, form) {
				t.Errorf("the trace shows a key, %q", form)
			}
		}
	}
}

// A plugin that dies leaves a trace that says so.
func TestTraceOfACrash(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "hostile", Options{TraceDir: dir})
	d := openDestination(t, p, map[string]any{"uri": "x"})
	say(t.Context(), d, "exit")
	_ = p.Close() // the plugin's end is no news
	lines, text := readTrace(t, dir)
	open := map[int]bool{}
	for _, l := range lines {
		switch l.Event {
		case "begin":
			open[l.Call] = true
		case "end":
			delete(open, l.Call)
		}
	}
	if len(open) != 0 {
		t.Errorf("calls without an end:\n%s", text)
	}
}

func TestNoTraceWhereNoneCanBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, "memory", Options{TraceDir: file}); err == nil || !strings.Contains(err.Error(), "trace: ") {
		t.Errorf("Start with a trace in a file: %v, want an error that says so", err)
	}
}
