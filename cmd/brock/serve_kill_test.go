package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestServeKilled writes to a live host from many clients, with backups beside, kills it on the
// spot, and starts it again: nothing that was acknowledged is lost, and every backup that a
// client was told of can be restored.
func TestServeKilled(t *testing.T) {
	plugins := buildPlugins(t)
	dir := t.TempDir()
	brock := filepath.Join(dir, "brock")
	if out, err := exec.Command("go", "build", "-o", brock, ".").CombinedOutput(); err != nil {
		t.Fatalf("building brock: %v\n%s", err, out)
	}
	run := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		var stderr bytes.Buffer
		cmd := exec.Command(brock, args...)
		cmd.Dir, cmd.Stderr = dir, &stderr
		cmd.Env = append(os.Environ(), "BROCK_PLUGIN_DIR="+plugins, "XDG_STATE_HOME="+dir, "BROCK_CACHE_DIR="+filepath.Join(dir, "cache"))
		return cmd, &stderr
	}
	start := func(database string) (url string, cmd *exec.Cmd) {
		cmd, stderr := run("serve", "-p", database, "--http-addr", "127.0.0.1:0")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		line, err := bufio.NewReader(stdout).ReadString('\n')
		_, url, ok := strings.Cut(strings.TrimSpace(line), " at ")
		if err != nil || !ok {
			_ = cmd.Wait()
			t.Fatalf("brock serve: %q, %v\n%s", line, err, stderr)
		}
		return url, cmd
	}

	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var backups atomic.Int64
	backedUp := map[string]bool{} // what was acknowledged before the latest of them began
	const rounds, clients = 3, 6
	for round := range rounds {
		url, cmd := start("live")
		missing(t, url, acknowledged)
		ctx, cancel := context.WithCancel(t.Context())
		var done atomic.Int64
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					name := fmt.Sprintf("%d-%d-%d", round, c, i)
					body, err := post(ctx, url+"/mutate?commitNow=true", "application/rdf", fmt.Sprintf(`{ set { _:n <name> %q . } }`, name))
					if err != nil {
						return // killed
					}
					if !strings.Contains(body, "Success") {
						t.Errorf("%s: %s", name, body)
						return
					}
					mu.Lock()
					acknowledged[name] = true
					mu.Unlock()
					done.Add(1)
				}
			})
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				before := maps.Clone(acknowledged)
				mu.Unlock()
				body, err := post(ctx, url+"/admin/backup", "application/x-www-form-urlencoded", "destination="+filepath.Join(dir, "backups"))
				if err != nil {
					return
				}
				if !strings.Contains(body, "Success") {
					t.Errorf("backup: %s", body)
					return
				}
				backedUp = before
				backups.Add(1)
			}
		})
		wg.Go(func() { // not before there is something to lose
			for (done.Load() < 200 || backups.Load() == 0) && ctx.Err() == nil && !t.Failed() {
				if _, err := post(ctx, url+"/query", "application/dql", "{ q(func: uid(1)) { uid } }"); err != nil {
					break
				}
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			cancel()
		})
		wg.Wait()
	}
	url, _ := start("live")
	missing(t, url, acknowledged)

	restore, stderr := run("restore", "-l", "backups", "-p", "restored")
	if err := restore.Run(); err != nil {
		t.Fatalf("restoring: %v\n%s", err, stderr)
	}
	url, _ = start("restored")
	missing(t, url, backedUp)
	t.Logf("%d writes and %d backups were acknowledged", len(acknowledged), backups.Load())
}

func post(ctx context.Context, url, contentType, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return string(data), err
}

// namesAt are all that a host has.
func namesAt(t *testing.T, url string) map[string]bool {
	t.Helper()
	body, err := post(t.Context(), url+"/query", "application/dql", "{ q(func: has(name)) { name } }")
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		Data struct{ Q []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	all := map[string]bool{}
	for _, n := range a.Data.Q {
		all[n.Name] = true
	}
	return all
}

func missing(t *testing.T, url string, acknowledged map[string]bool) {
	t.Helper()
	have, lost := namesAt(t, url), 0
	for name := range acknowledged {
		if !have[name] {
			lost++
		}
	}
	if lost > 0 {
		t.Fatalf("%d of %d writes are lost", lost, len(acknowledged))
	}
}
