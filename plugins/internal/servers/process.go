package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is known by its number and the moment it started, in ticks since boot: numbers are used again.
type process struct {
	pid     int
	started string
}

// alive tells whether that very process still runs.
func (p process) alive() bool {
	state, started, err := stat(p.pid)
	return err == nil && started == p.started && state != "Z"
}

// stop asks the process to end, and ends it after a while. It returns when the process is gone.
func (p process) stop(ctx context.Context, grace time.Duration) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	polite, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if p.gone(polite) == nil {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	return p.gone(ctx)
}

func (p process) signal(sig syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("process %d: %w", p.pid, err)
	}
	return nil
}

func (p process) gone(ctx context.Context) error {
	return poll(ctx, func(context.Context) error {
		if p.alive() {
			return fmt.Errorf("process %d still runs", p.pid)
		}
		return nil
	})
}

// stat returns the state and the start time of a process, from Linux's /proc/PID/stat: "pid (name) state ...", the
// start time being the 22nd field.
func stat(pid int) (state, started string, err error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", "", err
	}
	_, rest, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')'):]), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return "", "", fmt.Errorf("process %d: unexpected stat %q", pid, data)
	}
	return fields[0], fields[19], nil
}

// readPID returns the process that a pid file names.
func readPID(dir, name string) (process, bool) {
	data, err := os.ReadFile(pidFile(dir, name))
	if err != nil {
		return process{}, false
	}
	pid, started, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	n, err := strconv.Atoi(pid)
	return process{n, started}, err == nil && n > 0
}

func (p process) write(dir, name string) error {
	return os.WriteFile(pidFile(dir, name), fmt.Appendf(nil, "%d %s\n", p.pid, p.started), 0o600)
}

// A child is a process that this one has started.
type child struct {
	process
	log    string
	exited chan struct{} // closed when it has been waited for
}

// start runs a plan. What the process prints goes to the file log.
func start(p plan, log string, attr *syscall.SysProcAttr) (*child, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(p.args[0], p.args[1:]...) // it outlives every context
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir}, p.env...)
	cmd.Dir = p.dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{process: process{pid: cmd.Process.Pid}, log: log, exited: make(chan struct{})}
	_, c.started, err = stat(c.pid) // not reaped yet: there, even if it died at once
	go func() {
		defer close(c.exited)
		_ = cmd.Wait()
	}()
	return c, err
}

// startLimit is how long a server may take from its start to its first answer. A machine that is ten times slower
// than usual needs it; a server that dies is not waited for.
const startLimit = 3 * time.Minute

// ready waits until the server answers. If it does not, or has ended, the error quotes the end of its log.
func (c *child) ready(ctx context.Context, answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		select {
		case <-c.exited:
			end(errors.New("it ended"))
		case <-ctx.Done():
		}
	}()
	if err := poll(ctx, answers); err != nil {
		return fmt.Errorf("%w; %s ends with:\n%s", err, c.log, tail(c.log))
	}
	return nil
}

// poll calls f until it returns nil, ten times a second. When ctx ends first, the error says why, and what f said last.
func poll(ctx context.Context, f func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

func tail(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}
