package launch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
)

// alive reports whether there is a process that is more than a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// ends waits until a process, or a thread, has ended.
func ends(d time.Duration, pid int) bool {
	for start := time.Now(); alive(pid); time.Sleep(5 * time.Millisecond) { //nolint:forbidigo // a stranger's end sends nothing
		if time.Since(start) > d {
			return false
		}
	}
	return true
}

// halted waits until a process that was sent SIGSTOP has stopped.
func halted(t *testing.T, pid int) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) { //nolint:forbidigo // as above
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, rest, _ := strings.Cut(string(stat), ") "); err == nil && strings.HasPrefix(rest, "T") {
			return
		}
	}
	t.Fatal("the process does not stop")
}

// gone fails the test if one of the processes does not end in time.
func gone(t *testing.T, d time.Duration, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if !ends(d, pid) {
			t.Errorf("process %d is still there after %v", pid, d)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// startHost starts a host with a plugin, and returns the first line it prints.
func startHost(t *testing.T, role string) (*exec.Cmd, string) {
	t.Helper()
	return startHostAs(t, "host", role)
}

func startHostAs(t *testing.T, host, role string, env ...string) (*exec.Cmd, string) {
	t.Helper()
	tmp, err := os.MkdirTemp("", "t") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+host, "BROCK_TEST_PLUGIN="+role, "TMPDIR="+tmp)
	cmd.Env = append(cmd.Env, env...)
	if _, err := cmd.StdinPipe(); err != nil { // that of go test is what a plugin's should be
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("host: %q, %v", line, err)
	}
	return cmd, strings.TrimSpace(line)
}

func TestKilledHostLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	host, line := startHost(t, "hostile")
	fields := strings.Fields(line)
	if len(fields) != 3 {
		t.Fatal(line)
	}
	_ = host.Process.Kill()
	_ = host.Wait()
	gone(t, soon, number(t, fields[0]), number(t, fields[1]))
	if _, err := os.Stat(fields[2]); !os.IsNotExist(err) {
		t.Errorf("run directory: %v; want none", err)
	}
}

// The plugin's end of the pipe reads EOF also where no signal comes.
func TestPluginEndsWithTheLivenessPipe(t *testing.T) {
	t.Parallel()
	p, d := open(t, "hostile", nil)
	child := number(t, say(t.Context(), d, "fork"))
	p.runner.liveness.Close()
	gone(t, soon, p.Pid(), child)
}

// A Put that is under way when the host dies removes what it has stored so far.
func TestPluginCleansUpBeforeItEnds(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(*Process){
		"liveness": func(p *Process) { p.runner.liveness.Close() },
		"SIGTERM":  func(p *Process) { _ = syscall.Kill(p.Pid(), syscall.SIGTERM) },
		"Close":    func(p *Process) { p.Close() },
	} {
		marker := t.TempDir() + "/tidy"
		p, d := open(t, "hostile", map[string]any{"uri": marker})
		zeros := readerFunc(func(p []byte) (int, error) { return len(p), nil })
		r := io.MultiReader(io.LimitReader(zeros, 4*frame.Size), readerFunc(func([]byte) (int, error) {
			end(p)
			<-p.runner.exited
			return 0, io.ErrClosedPipe
		}))
		if err := d.Put(t.Context(), "tidy", r); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: Put: %v", what, err)
		}
		if _, err := os.Stat(marker); err != nil {
			t.Errorf("%s: the Put did not return: %v", what, err)
		}
	}
}

// The signal comes also to a plugin that knows of no pipe.
func TestPluginEndsWithItsParent(t *testing.T) {
	t.Parallel()
	host, line := startHost(t, "pid")
	_ = host.Process.Kill()
	_ = host.Wait()
	gone(t, soon, number(t, line))
}

// The kernel takes the end of the thread that started a process for that of the
// parent.
func TestPluginOutlivesTheThreadThatStartedIt(t *testing.T) {
	t.Parallel()
	var p *Process
	tid := onThread(t, func() {
		var err error
		if p, err = Start(context.Background(), os.Args[0], Options{Env: []string{roleEnv + "=memory"}}); err != nil {
			t.Error(err)
		}
	})
	if p == nil {
		return
	}
	defer p.Close()
	if !ends(5*time.Second, tid) {
		t.Fatal("the thread is still there")
	}
	if p.runner.gone(300*time.Millisecond) || !alive(p.Pid()) {
		t.Error("the plugin ended with a thread of the host")
	}
}

// A plugin's timers need not be exact: see timerSlack. Those of the host must.
func TestTimerSlack(t *testing.T) {
	p, _ := open(t, "memory", nil)
	for pid, want := range map[int]bool{p.Pid(): true, os.Getpid(): false} {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			slack, err := os.ReadFile(fmt.Sprintf("/proc/%s/timerslack_ns", task.Name()))
			if err == nil && (strings.TrimSpace(string(slack)) == strconv.Itoa(timerSlack)) != want {
				t.Errorf("thread %s of %d has %s", task.Name(), pid, slack)
			}
		}
	}
}

// onThread runs f on a thread that ends soon afterwards, and returns its id.
func onThread(t *testing.T, f func()) int {
	t.Helper()
	done := make(chan int)
	var thread func()
	thread = func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		tid := syscall.Gettid()
		if tid == os.Getpid() { // the one thread that does not
			go thread()
			<-t.Context().Done()
			runtime.UnlockOSThread()
			return
		}
		f()
		done <- tid
	}
	go thread()
	return <-done
}

func TestCloseEndsAStoppedPlugin(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"hostile", "memory"} {
		p, d := open(t, role, nil)
		if role == "hostile" {
			defer gone(t, soon, number(t, say(t.Context(), d, "fork")))
		}
		_ = syscall.Kill(p.Pid(), syscall.SIGSTOP)
		p.options.StopTimeout = 500 * time.Millisecond
		within(t, soon, "Close", func() { p.Close() })
		gone(t, soon, p.Pid())
	}
}

func TestStartEndsAPluginThatIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	within(t, soon, "Start", func() {
		if _, err := try(t, "stubborn", Options{StartTimeout: time.Second}); err == nil {
			t.Error("Start: no error")
		}
	})
}

func TestCloseEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	p, d := open(t, "hostile", nil)
	child := number(t, say(t.Context(), d, "fork"))
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error("second Close:", err)
	}
	gone(t, soon, p.Pid(), child)
}

// A process that left the group holds the plugin's standard error open, which
// go-plugin reads to its end.
func TestCloseDoesNotWaitForStrangers(t *testing.T) {
	t.Parallel()
	p, d := open(t, "hostile", nil)
	child := number(t, say(t.Context(), d, "fork away"))
	defer syscall.Kill(child, syscall.SIGKILL)
	within(t, soon, "Close", func() { p.Close() })
	gone(t, soon, p.Pid())
	if !closedWithin(p.runner.drained, 0) {
		t.Error("somebody still reads what the plugin wrote")
	}
}

// Keepalive finds it after 13 s.
func TestStoppedPluginFailsACall(t *testing.T) {
	t.Parallel()
	w := supervise(t, "memory")
	d := w.open(t, nil)
	halted(t, w.signal(syscall.SIGSTOP).p.Pid())
	within(t, 25*time.Second, "List", func() {
		_, err := listAll(d, "")
		if err == nil || errors.Is(err, sdk.ErrUnavailable) || sdk.Hint(err) == "" ||
			!strings.Contains(err.Error(), "does not answer any more, and is killed: ") {
			t.Errorf("List: %v, hint %q", err, sdk.Hint(err))
		}
	})
	if _, err := listAll(d, ""); err != nil || w.count(t) != 2 {
		t.Errorf("List afterwards: %v, after %d starts; want none, after 2", err, w.count(t))
	}
}
