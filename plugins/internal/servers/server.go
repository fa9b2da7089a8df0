package servers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// A server is one that `make servers` starts.
type server struct {
	name  string
	tools []tool // the first is its program
	plan  func(dir, program string) (plan, error)
}

// A plan is how to start a server once: on ports that were free, in an empty folder, with credentials made for it.
type plan struct {
	dir   string   // its home and working directory, and where its data is
	args  []string // the program first
	env   []string // all of its environment but HOME and PATH
	vars  vars     // what clients must know
	ready func(ctx context.Context) error
	after func(ctx context.Context, v vars) error // what remains to be done to a ready server; may be nil
}

// all are the servers there are, in the order in which they are started: what takes long to build comes last.
var all = []*server{minio, minioTLS, versitygw, azurite, azuriteTLS, vault, vaultTLS}

// Names returns the names of all servers.
func Names() []string {
	var names []string
	for _, s := range all {
		names = append(names, s.name)
	}
	return names
}

func find(name string) (*server, error) {
	for _, s := range all {
		if s.name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("no server is called %s; there are %v", name, Names())
}

// A Status tells where a server is.
type Status struct {
	Address string // a URL
	PID     int
	Env     string // path of the env file
	Was     bool   // it ran before
}

// Start sees to it that a server runs: one that runs and answers is left alone, anything else is replaced by a new one
// with new credentials and without data.
func Start(ctx context.Context, name string) (Status, error) {
	s, err := find(name)
	if err != nil {
		return Status{}, err
	}
	for _, t := range s.tools {
		if err := t.install(ctx); err != nil {
			return Status{}, err
		}
	}
	dir, err := StateDir()
	if err != nil {
		return Status{}, err
	}
	unlock, err := lock(dir)
	if err != nil {
		return Status{}, err
	}
	defer unlock()
	program, err := s.tools[0].path()
	if err != nil {
		return Status{}, err
	}
	if st, ok := s.runs(ctx, dir, program); ok {
		return st, nil
	}
	if err := stop(ctx, dir, name); err != nil {
		return Status{}, err
	}
	if err := os.Remove(logFile(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Status{}, err
	}
	return s.start(ctx, dir, program)
}

// runs tells whether the server runs, from the program wanted, and answers.
func (s *server) runs(ctx context.Context, dir, program string) (Status, bool) {
	p, ok := readPID(dir, s.name)
	if !ok || !p.alive() {
		return Status{}, false
	}
	v, err := readVars(envFile(dir, s.name))
	if err != nil || v["BINARY"] != program {
		return Status{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if poll(ctx, func(ctx context.Context) error { return answers(ctx, v["HEALTH"], v["CA"]) }) != nil {
		return Status{}, false
	}
	return Status{Address: v["URL"], PID: p.pid, Env: envFile(dir, s.name), Was: true}, true
}

// start starts the server. Somebody else may take one of its ports before it does: then it gets others.
func (s *server) start(ctx context.Context, dir, program string) (Status, error) {
	var failed error
	for range 3 {
		home := filepath.Join(dir, s.name)
		if err := os.RemoveAll(home); err != nil {
			return Status{}, err
		}
		if err := os.MkdirAll(home, 0o700); err != nil {
			return Status{}, err
		}
		p, err := s.plan(home, program)
		if err != nil {
			return Status{}, err
		}
		c, err := start(p, logFile(dir, s.name), &syscall.SysProcAttr{Setsid: true})
		if err != nil {
			return Status{}, err
		}
		if err := c.write(dir, s.name); err != nil {
			return Status{}, errors.Join(err, c.stop(ctx, 0))
		}
		if failed = c.settle(ctx, p); failed == nil {
			p.vars["BINARY"], p.vars["PID"] = program, strconv.Itoa(c.pid)
			env := envFile(dir, s.name)
			return Status{Address: p.vars["URL"], PID: c.pid, Env: env}, p.vars.write(env)
		}
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		err = stop(stopping, dir, s.name)
		cancel()
		if err != nil || ctx.Err() != nil {
			return Status{}, errors.Join(failed, err)
		}
	}
	return Status{}, failed
}

// settle waits until a started server can be used.
func (c *child) settle(ctx context.Context, p plan) error {
	if err := c.ready(ctx, p.ready); err != nil || p.after == nil {
		return err
	}
	return p.after(ctx, p.vars)
}

// stopLimit is how long a server may take to end when it is asked, before it is killed.
const stopLimit = 20 * time.Second

// Stop ends a server, and forgets it. One that does not run is fine. Its log stays.
func Stop(ctx context.Context, name string) error {
	if _, err := find(name); err != nil {
		return err
	}
	dir, err := StateDir()
	if err != nil {
		return err
	}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	return stop(ctx, dir, name)
}

func stop(ctx context.Context, dir, name string) error {
	if p, ok := readPID(dir, name); ok {
		if err := p.stop(ctx, stopLimit); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return errors.Join(os.RemoveAll(envFile(dir, name)), os.RemoveAll(pidFile(dir, name)), os.RemoveAll(filepath.Join(dir, name)))
}

// freePorts returns ports of 127.0.0.1 that nobody listened on a moment ago.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end: no port twice
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}

// with returns v and more.
func (v vars) with(more vars) vars {
	v = maps.Clone(v)
	maps.Copy(v, more)
	return v
}
