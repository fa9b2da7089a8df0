package servers

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// An Own is a server of one test, which may stop it, kill it and start it again: on the same port, with the same
// credentials and data. It ends with the test.
type Own struct {
	S3    S3          // of OwnMinIO
	Vault VaultServer // of OwnVault

	t     testing.TB
	plan  plan
	log   string
	child *child // nil while it does not run
}

// OwnMinIO starts a MinIO that speaks plain HTTP, with lines NAME=value added to its environment.
func OwnMinIO(t testing.TB, env ...string) *Own {
	t.Helper()
	o := own(t, minio, env)
	o.S3 = asS3(o.plan.vars, o.child.pid)
	return o
}

// OwnVault starts a Vault that speaks plain HTTP, with lines NAME=value added to its environment. It is unsealed whenever
// it is started.
func OwnVault(t testing.TB, env ...string) *Own {
	t.Helper()
	o := own(t, vault, env)
	o.Vault = asVault(o.plan.vars, o.child.pid)
	return o
}

// own starts a server in a folder of the test's. The environment's later lines win.
func own(t testing.TB, s *server, env []string) *Own {
	t.Helper()
	program := installed(t, s.name, s.tools[0])
	dir, err := os.MkdirTemp("", "brock-own-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p, err := s.plan(dir, program)
	if err != nil {
		t.Fatal(err)
	}
	p.vars["BINARY"] = program
	p.env = append(p.env, env...)
	o := &Own{t: t, plan: p, log: filepath.Join(dir, "log")}
	t.Cleanup(o.Kill)
	o.Start()
	return o
}

// Start starts the server, and returns when it answers. If it runs already, nothing happens.
func (o *Own) Start() {
	o.t.Helper()
	if o.child != nil {
		return
	}
	c, err := start(o.plan, o.log, diesWithUs())
	if err != nil {
		o.t.Fatal(err)
	}
	o.child, o.S3.PID, o.Vault.PID = c, c.pid, c.pid
	if err := c.settle(o.t.Context(), o.plan); err != nil {
		o.t.Fatal(err)
	}
}

// Stop asks the server to end, and returns when it has.
func (o *Own) Stop() {
	o.t.Helper()
	if o.child == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*stopLimit) // clean-up functions may stop it
	defer cancel()
	if err := o.child.stop(ctx, stopLimit); err != nil {
		o.t.Fatal(err)
	}
	<-o.child.exited
	o.child = nil
}

// Kill ends the server at once, in the middle of whatever it does.
func (o *Own) Kill() {
	o.t.Helper()
	if o.child == nil {
		return
	}
	if err := o.child.signal(syscall.SIGKILL); err != nil {
		o.t.Error(err)
	}
	<-o.child.exited
	o.child = nil
}
