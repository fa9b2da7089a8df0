package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/s3store"
	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// plugin returns the process of a command's plugin.
func (r *running) plugin(name string) int {
	r.b.t.Helper()
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if exe, err := os.Readlink(link); err != nil || filepath.Base(exe) != name {
			continue
		}
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "stat"))
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(r.cmd.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			return pid
		}
	}
	r.b.t.Fatalf("%s has no plugin %s", r.cmd, name)
	return 0
}

// gone waits until a process has ended.
func (b *bench) gone(pid int, limit time.Duration) {
	b.t.Helper()
	for deadline := time.Now().Add(limit); ; {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Errorf("%v after its host's death the plugin is running", limit)
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// pluginIsKilled in the middle of an object.
func pluginIsKilled(t *testing.T, l *lab) {
	x := l.line(t, servers.MinIO(t))
	at := x.location("dr", "part_size=5MiB")
	r, key := x.until("4", "backup", "-p", l.big, "-l", x.through(x.Addr, "dr", "part_size=5MiB"))
	if n := x.unfinished(key); n != 1 {
		t.Fatalf("in the middle of it %s has %d uploads", key, n)
	}
	if err := syscall.Kill(r.plugin("brock-destination-minio"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	x.Pass()
	got := r.end()
	if got.code != 1 || !strings.Contains(got.stderr, "killed") {
		t.Errorf("the plugin was killed: %v", got)
	}
	x.lists(at, 0)
	if left := x.objects("dr"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	x.noUploads("dr", []string{strings.TrimPrefix(key, "dr/")}) // brock has started another one, which removed them
	if !x.attempt("dr", l.big) {
		t.Error("the next backup failed")
	}
	x.whole("dr")
}

// commandIsKilled in the middle of an object: its plugin cleans up, and ends.
func commandIsKilled(t *testing.T, l *lab) {
	x := l.line(t, servers.MinIO(t))
	r, key := x.until("4", "backup", "-p", l.big, "-l", x.through(x.Addr, "dr", "part_size=5MiB"))
	plugin := r.plugin("brock-destination-minio")
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	x.Pass()
	if got := r.end(); got.code != -1 {
		t.Fatalf("it was killed: %v", got)
	}
	x.gone(plugin, 10*time.Second)
	x.noUploads("dr", []string{strings.TrimPrefix(key, "dr/")})
	x.lists(x.location("dr"), 0)
	if left := x.objects("dr"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

// bothAreKilled in the middle of an object, as when the power fails. What is left
// over is not to be seen, and goes: with the object's name, or when it is old. Of
// MinIO nobody learns it otherwise.
func bothAreKilled(t *testing.T, l *lab) {
	interrupted := func(x *line, at string) string {
		r, key := x.until("4", "backup", "-p", l.big, "-l", at)
		plugin := r.plugin("brock-destination-" + at[:strings.Index(at, ":")])
		for _, s := range []struct {
			pid    int
			signal syscall.Signal
		}{{plugin, syscall.SIGSTOP}, {r.cmd.Process.Pid, syscall.SIGKILL}, {plugin, syscall.SIGKILL}} {
			if err := syscall.Kill(s.pid, s.signal); err != nil {
				t.Fatal(err)
			}
		}
		r.end()
		x.gone(plugin, time.Minute)
		x.Pass()
		if left := x.objects("dr"); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
		if n := x.unfinished(key); n != 1 {
			t.Fatalf("%s has %d unfinished uploads, want 1", key, n)
		}
		return key
	}

	x := l.line(t, servers.MinIO(t))
	key := interrupted(x, x.through(x.Addr, "dr", "part_size=5MiB"))
	x.lists(x.location("dr"), 0)
	d, err := open(t.Context(), Config{URI: "minio://" + x.Endpoint + "/" + x.bucket + "/dr", Config: s3store.Config{
		AccessKey: sdk.NewSecret(x.AccessKey), SecretKey: sdk.NewSecret(x.SecretKey), PartSize: 5 << 20, Checksum: "auto", AbortAfter: time.Hour,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Delete(t.Context(), strings.TrimPrefix(key, "dr/")); err != nil {
		t.Error(err)
	}
	x.noUploads("dr", []string{strings.TrimPrefix(key, "dr/")})

	x = l.line(t, servers.Versity(t))
	x.bench = l.bench(t, "AWS_ACCESS_KEY_ID="+x.AccessKey, "AWS_SECRET_ACCESS_KEY="+x.SecretKey)
	scheme := func(at string) string { return strings.Replace(at, "minio://", "s3://", 1) }
	key = interrupted(x, scheme(x.through(x.Addr, "dr", "part_size=5MiB")))
	at := scheme(x.location("dr"))
	x.lists(at, 0)
	if found := x.brock("plugin", "doctor", at); !strings.Contains(found, "1 unfinished, the oldest of 20") {
		t.Errorf("doctor does not tell of the unfinished upload:\n%s", found)
	}
	x.backup(at, 1)
	if x.unfinished(key) != 1 {
		t.Error("an upload that may be somebody's was removed at once")
	}
	for n := 2; x.unfinished(key) > 0; n++ {
		if n == 20 {
			t.Fatal("the upload is still there")
		}
		x.backup(scheme(x.location("dr", "abort_uploads_after=1s")), 1, "--force-full")
	}
	x.brock("verify", "-l", at, "--restore")
}
