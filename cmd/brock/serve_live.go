package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/brock-backup/brock/host/admin"
	"github.com/brock-backup/brock/host/schedule"
)

// taskTime is what tasks under way have when the host is to end. Then they are stopped,
// and what they have not completed is not visible.
const taskTime = 10 * time.Second

// live is a host that runs.
type live struct {
	app        *app
	o          *serveOptions
	config     *schedule.Config // nil: nothing is scheduled
	operations *admin.Operations
}

// serve answers on ln until ctx ends, or the listener fails. Then nothing of it runs any more.
func (l *live) serve(ctx context.Context, ln net.Listener, conf admin.Config) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conf.Metrics = l.operations.Metrics.Handler()
	conf.Node = &admin.Node{
		Operations: l.operations, ID: databaseID(l.o.postings), Address: ln.Addr().String(), Version: versionString(), Started: time.Now(),
	}
	tasks, err := admin.OpenTasks(l.o.stateFile("tasks.json"), l.app.logger) //nolint:contextcheck // tasks outlive ctx for a while
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTime)
		defer cancel()
		if stopped := tasks.Close(ctx); stopped != nil {
			l.app.logger.Warn("a task did not end in time, and was stopped", "waited", taskTime)
		}
	}()
	if conf.Admin, err = admin.NewAdmin(conf.Node, tasks, l.app.logger); err != nil {
		return err
	}
	server, err := admin.New(conf)
	if err != nil {
		return err
	}
	scheduled := l.schedule(ctx)
	defer func() {
		cancel()
		err = errors.Join(err, <-scheduled)
	}()
	if err := l.ready(ln.Addr(), conf); err != nil {
		return err
	}
	return server.Serve(ctx, ln)
}

// schedule does what the configuration schedules until ctx ends. The channel tells when nothing
// of it is under way.
func (l *live) schedule(ctx context.Context) <-chan error {
	ended := make(chan error, 1)
	if l.config == nil || len(l.config.Schedules) == 0 {
		ended <- nil
		return ended
	}
	go func() { ended <- admin.RunSchedule(ctx, l.operations, l.config, l.o.stateFile("")) }()
	return ended
}

// ready says where the host answers: one line, when it does.
func (l *live) ready(at net.Addr, conf admin.Config) error {
	scheme := "http"
	if conf.TLS != nil {
		scheme = "https"
	} else if tcp, ok := at.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		l.app.screen.warn("others on the network can read what is sent, the token too", "give a certificate with --tls, or let a proxy on this machine have one, and name it in --trusted-proxies: else all that it passes on count as local")
	}
	v := struct {
		URL      string `json:"url"`
		Address  string `json:"address"`
		Postings string `json:"postings"`
	}{scheme + "://" + at.String(), at.String(), l.o.postings}
	return l.app.result(v, func(w io.Writer) { fmt.Fprintf(w, "serving %s at %s\n", v.Postings, v.URL) })
}

// databaseID tells databases of this machine apart, in the form of a UUID.
func databaseID(dir string) string {
	name, _ := os.Hostname() // "" is a name, too
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	sum := sha256.Sum256([]byte(name + "\x00" + dir))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8: of our own making
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
