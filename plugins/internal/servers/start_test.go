package servers

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// ownState gives the test a state directory of its own, in which nothing runs afterwards.
func ownState(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	t.Setenv("BROCK_SERVERS", dir)
	t.Cleanup(func() {
		for _, name := range Names() {
			if err := Stop(context.Background(), name); err != nil {
				t.Error(err)
			}
		}
	})
	return dir
}

// mustStart starts a server that is installed.
func mustStart(t *testing.T, name string) Status {
	t.Helper()
	s, err := find(name)
	if err != nil {
		t.Fatal(err)
	}
	installed(t, name, s.tools[0])
	st, err := Start(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestEveryServer(t *testing.T) {
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			dir := ownState(t)
			first := mustStart(t, s.name)
			if first.Was {
				t.Error("ran before it was started")
			}
			v, err := readVars(first.Env)
			if err != nil {
				t.Fatal(err)
			}
			if err := answers(t.Context(), v["HEALTH"], v["CA"]); err != nil {
				t.Errorf("does not answer: %v", err)
			}
			for file, want := range map[string]fs.FileMode{dir: 0o700 | fs.ModeDir, first.Env: 0o600} {
				if fi, err := os.Stat(file); err != nil || fi.Mode() != want {
					t.Errorf("%s: mode %v, %v; want %v", file, fi.Mode(), err, want)
				}
			}
			if again := mustStart(t, s.name); !again.Was || again.PID != first.PID || again.Address != first.Address {
				t.Errorf("started again, it is %+v; want %+v", again, first)
			}

			p, ok := readPID(dir, s.name)
			if !ok || p.pid != first.PID || strconv.Itoa(p.pid) != v["PID"] {
				t.Fatalf("pid file says %+v", p)
			}
			if err := Stop(t.Context(), s.name); err != nil {
				t.Error(err)
			}
			if p.alive() {
				t.Error("runs after Stop")
			}
			left, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range left {
				if f.Name() != "lock" && f.Name() != s.name+".log" {
					t.Errorf("left behind: %s", f.Name())
				}
			}
		})
	}
}

func TestDeadServerIsReplaced(t *testing.T) {
	dir := ownState(t)
	first := mustStart(t, "versitygw")
	old, err := readVars(first.Env)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := readPID(dir, "versitygw")
	if err := p.stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	second := mustStart(t, "versitygw")
	if second.Was || second.PID == first.PID {
		t.Errorf("a dead server was taken for %+v", second)
	}
	now, err := readVars(second.Env)
	if err != nil {
		t.Fatal(err)
	}
	if now["S3_SECRET_KEY"] == old["S3_SECRET_KEY"] {
		t.Error("the new one has the old one's secret")
	}
}

func TestPIDFileOfAnotherProcess(t *testing.T) {
	dir := ownState(t)
	if _, err := StateDir(); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	_, started, err := stat(other.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	now := process{other.Process.Pid, started}
	if !now.alive() {
		t.Fatal("a living process is taken for dead")
	}
	before := process{other.Process.Pid, "1"} // the number was another's, right after boot
	if err := before.write(dir, "versitygw"); err != nil {
		t.Fatal(err)
	}
	if err := (vars{"BINARY": "/bin/sleep"}).write(envFile(dir, "versitygw")); err != nil {
		t.Fatal(err)
	}
	if st := mustStart(t, "versitygw"); st.Was || st.PID == before.pid {
		t.Errorf("another's process was taken for the server: %+v", st)
	}
	if !now.alive() {
		t.Error("another's process was ended")
	}
}

func TestTwoStartsAtOnce(t *testing.T) {
	ownState(t)
	s, _ := find("versitygw")
	installed(t, s.name, s.tools[0])
	var both sync.WaitGroup
	var pids [2]int
	for i := range pids {
		both.Go(func() {
			st, err := Start(t.Context(), "versitygw")
			if err != nil {
				t.Error(err)
			}
			pids[i] = st.PID
		})
	}
	both.Wait()
	if pids[0] != pids[1] {
		t.Errorf("two servers run: %v", pids)
	}
}

func TestServerThatDiesTellsWhy(t *testing.T) {
	dir := t.TempDir()
	c, err := start(plan{dir: dir, args: []string{"/bin/sh", "-c", "echo no such drive; exit 1"}}, filepath.Join(dir, "log"), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.ready(t.Context(), func(context.Context) error { return errors.New("no answer") })
	if err == nil || !strings.Contains(err.Error(), "no such drive") || !strings.Contains(err.Error(), "it ended") {
		t.Errorf("got %v; want the end of its log", err)
	}
}

func TestStateDirOfAnother(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BROCK_SERVERS", link)
	if dir, err := StateDir(); err == nil {
		t.Errorf("%s, a symbolic link, was taken", dir)
	}
	if os.Geteuid() != 0 {
		return // cannot make a directory of another's
	}
	theirs := t.TempDir()
	if err := os.Chown(theirs, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BROCK_SERVERS", theirs)
	if dir, err := StateDir(); err == nil {
		t.Errorf("%s, of another user, was taken", dir)
	}
}

func TestInstall(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	cache, err := cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	broken := tool{name: "broken", version: "v1", program: "broken", build: func(_ context.Context, dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "broken"), []byte("half"), 0o700), errors.New("out of memory"))
	}}
	if err := broken.install(t.Context()); err == nil {
		t.Error("a failed build is a success")
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) > 0 {
		t.Errorf("a failed build left %v, %v", left, err)
	}

	// Both builders are at work before either ends.
	var working, done sync.WaitGroup
	working.Add(2)
	good := tool{name: "good", version: "v1", program: "good", build: func(_ context.Context, dir string) error {
		working.Done()
		working.Wait()
		return os.WriteFile(filepath.Join(dir, "good"), []byte("whole"), 0o700)
	}}
	for range 2 {
		done.Go(func() {
			if err := good.install(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if got, err := os.ReadFile(filepath.Join(cache, "good-v1", "good")); err != nil || string(got) != "whole" {
		t.Errorf("got %q, %v", got, err)
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v; want good-v1", left, err)
	}
	good.build = func(context.Context, string) error { return errors.New("built again") }
	if err := good.install(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEnvFileIsForShells(t *testing.T) {
	want := vars{"PLAIN": "/tmp/a-b_c:1", "KEY": "ab+/=", "ODD": `it's $HOME, "quoted" \`, "EMPTY": ""}
	file := filepath.Join(t.TempDir(), "x.env")
	if err := want.write(file); err != nil {
		t.Fatal(err)
	}
	got, err := readVars(file)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: read %q; want %q", k, got[k], v)
		}
		out, err := exec.Command("sh", "-c", `. "$0"; printf %s "$`+k+`"`, file).Output()
		if err != nil || string(out) != v {
			t.Errorf("%s: the shell reads %q, %v; want %q", k, out, err, v)
		}
	}
}

func TestWithoutServers(t *testing.T) {
	if os.Getenv("BROCK_WITHOUT_SERVERS") != "" {
		MinIO(t)
		t.Error("went on")
		return
	}
	run := func(ci string) (out, left string, err error) {
		file := filepath.Join(t.TempDir(), "left-out")
		cmd := exec.Command(os.Args[0], "-test.run=^TestWithoutServers$", "-test.v")
		cmd.Env = append(os.Environ(), "BROCK_WITHOUT_SERVERS=1", "BROCK_SERVERS="+filepath.Join(t.TempDir(), "none"),
			"CI="+ci, leftOut+"="+file)
		text, err := cmd.CombinedOutput()
		line, _ := os.ReadFile(file)
		return string(text), string(line), err
	}
	out, left, err := run("")
	if err != nil || !strings.Contains(out, "--- SKIP") || !strings.Contains(out, "NEEDS SERVER minio: run make servers") {
		t.Errorf("%v; want a skipped test:\n%s", err, out)
	}
	if want := "plugins/internal/servers: NEEDS SERVER minio\n"; left != want {
		t.Errorf("left out: %q; want %q", left, want)
	}
	out, _, err = run("true")
	if err == nil || !strings.Contains(out, "--- FAIL") || !strings.Contains(out, "NEEDS SERVER minio: run make servers") {
		t.Errorf("in CI: %v; want a failed test:\n%s", err, out)
	}
}
