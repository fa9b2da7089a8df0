package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"

	"github.com/brock-backup/brock/sdk/launch"
)

// hostEnv says that this process is to be a host, and byHandEnv that it is a
// plugin that was started without one.
const (
	hostEnv   = "BROCK_CONFORMANCE_HOST"
	byHandEnv = "BROCK_CONFORMANCE_BY_HAND"
)

var prepared atomic.Bool

// Init is the first thing that a program does which runs checks. One of them
// kills a host, and so the program is started a second time, to be that host:
// then Init does not return. A program that does not call Init has that check
// skipped.
//
// Package sdktest does all this for its callers.
func Init() {
	if os.Getenv(hostEnv) == "" {
		prepared.Store(true)
		return
	}
	if err := beHost(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ByHand reports whether this process was started by a check as a plugin
// without a host. It is for programs, like test binaries, that are a plugin only
// at times.
func ByHand() bool { return os.Getenv(byHandEnv) != "" }

// A job is what a host that is going to be killed does.
type job struct {
	Path     string
	Env      []string
	Settings map[string]any
	Name     string // of the object that a destination is to put, without an end
}

// beHost uses a plugin until it is killed, or until nobody is there any more to
// do so.
func beHost(in io.Reader, out io.Writer) error {
	d := json.NewDecoder(in)
	d.UseNumber()
	var j job
	if err := d.Decode(&j); err != nil {
		return err
	}
	p, err := launch.Start(context.Background(), j.Path, launch.Options{Env: j.Env})
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = p.Close()
		os.Exit(1)
	}()
	if p.Description().Kind == "keyprovider" {
		_, err := p.OpenKeyProvider(context.Background(), j.Settings)
		fmt.Fprintln(out, p.Pid())
		if err == nil {
			select {}
		}
		return err
	}
	dst, err := p.OpenDestination(context.Background(), j.Settings)
	if err != nil {
		return err
	}
	err = dst.Put(context.Background(), j.Name, endless(inFlight, func() error {
		fmt.Fprintln(out, p.Pid())
		select {}
	}))
	return errors.Join(errors.New("an endless Put came to its end"), err)
}

// endless returns a source of size bytes that then does something else.
func endless(size int, then func() error) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		if size <= 0 {
			return 0, then()
		}
		n := min(len(b), size)
		for i := range b[:n] {
			b[i] = byte(size - i)
		}
		size -= n
		return n, nil
	})
}

// endsWithItsHost kills a host with SIGKILL, in the middle of a Put if there are
// any.
func endsWithItsHost(t *trial, l *lab) {
	if !prepared.Load() {
		t.Skipf("the program that runs the checks does not call conformance.Init")
	}
	t.needProc()
	name := newRoot() + "/orphan"
	host, pid := l.startHost(t, name)
	all := family(pid)
	_ = host.Process.Kill()
	_ = host.Wait()
	t.gone("after a SIGKILL of the host", all)
	l.vacant(t, name, "after a SIGKILL of the host")
}

// startHost starts a host, and returns the plugin's process id once it is at
// work.
func (l *lab) startHost(t *trial, name string) (host *exec.Cmd, pid int) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatalf("which program this is: %v", err)
	}
	settings, _ := revealed(l.Settings).(map[string]any)
	data, err := json.Marshal(job{l.Path, l.Env, settings, name})
	if err != nil {
		t.Fatalf("settings: %v", err)
	}
	host = exec.CommandContext(t.ctx, exe)
	host.Args[0] = os.Args[0] // a program may be several, by its name
	host.Env = append(os.Environ(), hostEnv+"=1")
	host.Stderr = l.stderr
	in, err := host.StdinPipe()
	if err != nil {
		t.Fatalf("host: %v", err)
	}
	out, err := host.StdoutPipe()
	if err == nil {
		err = host.Start()
	}
	if err != nil {
		t.Fatalf("host: %v", err)
	}
	t.Cleanup(func() { in.Close() })
	_, _ = in.Write(append(data, '\n'))
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, serr := fmt.Sscan(line, &pid); serr != nil {
		_ = host.Wait()
		t.Fatalf("the host does not get to work: %v, %v: %s", err, serr, lastLine(l.stderr.String()))
	}
	return host, pid
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// vacant starts the plugin anew, and wants nothing at a name, and a Put to
// succeed there.
func (l *lab) vacant(t *trial, name, when string) {
	p := l.own(t)
	if p.Description().Kind == "keyprovider" {
		if _, err := p.OpenKeyProvider(t.ctx, l.Settings); err != nil {
			t.Errorf("%s, a new process cannot be opened: %v", when, err)
		}
		return
	}
	d, err := p.OpenDestination(t.ctx, l.Settings)
	if err != nil {
		t.Fatalf("%s, a new process cannot be opened: %v", when, err)
	}
	root, base, _ := strings.Cut(name, "/")
	at := &place{trial: t, dst: d, home: d, root: root + "/", lab: l}
	defer at.clear()
	at.absent(base, when)
	at.put(base, []byte("whole"))
	at.want(base, []byte("whole"))
}
