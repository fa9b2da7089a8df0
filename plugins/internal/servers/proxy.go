package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A Fault stands between a client and a server and lets everything pass, until it is told otherwise. What it is told
// may change while it is in use, and holds for open connections as well.
//
// Delay, CutAfter, Refuse and BlackHole work on connections, whatever is spoken on them. Do, Answer and Requests are
// about HTTP requests: they see those of plain HTTP only, not what is inside TLS.
type Fault struct {
	Addr string // host:port that clients should use

	t        testing.TB
	upstream string
	http     *http.Server
	forward  *http.Transport
	plain    *handover      // connections on which plain HTTP is spoken
	work     sync.WaitGroup // everything that this started

	mu       sync.Mutex
	listener net.Listener
	conns    map[*faultConn]bool
	changed  chan struct{} // closed when what is below changes
	delay    time.Duration
	cutUp    int64 // negative: never
	cutDown  int64
	hole     bool
	done     bool
	decide   func(*http.Request) Action
	requests int
}

// An Action is what happens to one HTTP request. The zero Action lets it pass.
type Action struct {
	// Delay comes before everything else.
	Delay time.Duration

	// Status, if not 0, is answered without asking the server, when the request's body has been read. With a Code the
	// answer's body is an error as S3 writes it; Azure's code is the header X-Ms-Error-Code.
	Status int
	Header http.Header
	Code   string

	// Drop ends the connection instead of asking the server.
	Drop bool

	// CutRequest, if above 0, is how many bytes of the request's body the server gets; then both connections end. A
	// body that is not longer passes.
	CutRequest int64

	// Lose ends the client's connection when the server has answered: what was asked for was done, and the client
	// cannot know.
	Lose bool

	// CutResponse, if above 0, is how many bytes of the response's body the client gets; then its connection ends. A
	// body that is not longer passes.
	CutResponse int64
}

// Proxy starts a Fault on loopback in front of the server at upstream, which is host:port. It ends with the test.
func Proxy(t testing.TB, upstream string) *Fault {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Fault{
		Addr:     l.Addr().String(),
		t:        t,
		upstream: upstream,
		forward:  &http.Transport{DisableCompression: true, DisableKeepAlives: true}, // with idle ones it would retry
		plain:    &handover{addr: l.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})},
		conns:    map[*faultConn]bool{},
		changed:  make(chan struct{}),
	}
	f.Pass()
	f.http = &http.Server{Handler: http.HandlerFunc(f.serve), ErrorLog: silent}
	f.work.Go(func() { _ = f.http.Serve(f.plain) })
	f.listen(l)
	t.Cleanup(f.close)
	return f
}

// set changes what happens, and tells those who wait.
func (f *Fault) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

// Pass lets everything pass again, as at the start, but for requests that are under way. A Fault that refuses goes on
// refusing.
func (f *Fault) Pass() {
	f.set(func() { f.delay, f.cutUp, f.cutDown, f.hole, f.decide = 0, -1, -1, false, nil })
}

// Delay holds each portion that arrives for a while before it is handed on, in both directions.
func (f *Fault) Delay(d time.Duration) { f.set(func() { f.delay = d }) }

// CutAfter resets every connection that would carry more than so many bytes since it was opened: up to the server, down
// to the client. No more are handed on. A negative number is no limit.
func (f *Fault) CutAfter(up, down int64) { f.set(func() { f.cutUp, f.cutDown = up, down }) }

// BlackHole keeps connections open and hands nothing on, or goes on where it stopped.
func (f *Fault) BlackHole(on bool) { f.set(func() { f.hole = on }) }

// Refuse ends all connections and lets new ones be refused, as when the server is down; or accepts them again.
func (f *Fault) Refuse(on bool) {
	f.t.Helper()
	f.mu.Lock()
	refusing := f.listener == nil
	f.mu.Unlock()
	switch {
	case on && !refusing:
		f.mu.Lock()
		l := f.listener
		f.listener = nil
		f.mu.Unlock()
		l.Close()
		f.Reset()
	case !on && refusing:
		l, err := new(net.ListenConfig).Listen(f.t.Context(), "tcp", f.Addr)
		if err != nil {
			f.t.Fatal(err)
		}
		f.listen(l)
	}
}

// silent takes what HTTP servers say of connections that were cut on purpose.
var silent = slog.NewLogLogger(slog.DiscardHandler, 0)

// Reset ends all open connections as if their other end had crashed.
func (f *Fault) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.reset()
	}
}

// Do asks decide what to do with every HTTP request from now on; nil lets all pass. Requests are decided on one after
// the other. decide must not read the body.
func (f *Fault) Do(decide func(*http.Request) Action) {
	f.set(func() { f.decide = decide })
}

// Answer does a to the given share of requests, 0 to 1, and lets the others pass. Which they are depends on seed and
// on the number of requests before, only.
func (f *Fault) Answer(share float64, seed uint64, a Action) {
	dice := rand.New(rand.NewPCG(seed, 0))
	f.Do(func(*http.Request) Action {
		if dice.Float64() < share {
			return a
		}
		return Action{}
	})
}

// SlowDown is S3's answer to those who ask too often.
var SlowDown = Action{Status: http.StatusServiceUnavailable, Code: "SlowDown"}

// Requests returns how many HTTP requests have come so far, with those that were answered here.
func (f *Fault) Requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// action counts a request, and tells what to do with it. When it is done, f.work must hear of it.
func (f *Fault) action(r *http.Request) Action {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		panic(http.ErrAbortHandler)
	}
	a := Action{}
	if f.decide != nil {
		a = f.decide(r)
	}
	f.requests++
	f.work.Add(1)
	return a
}

// serve does to one request what was decided.
func (f *Fault) serve(w http.ResponseWriter, r *http.Request) {
	a := f.action(r)
	defer f.work.Done()
	if a.Delay > 0 {
		select {
		case <-time.After(a.Delay):
		case <-r.Context().Done():
		}
	}
	switch {
	case a.Drop:
		panic(http.ErrAbortHandler)
	case a.Status != 0:
		refuse(w, r, a)
		return
	case a.CutRequest > 0:
		r.Body = &cutBody{r.Body, a.CutRequest}
	}
	proxy := &httputil.ReverseProxy{
		Transport: f.forward,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", f.upstream
			p.Out.Host = p.In.Host // it is part of what clients sign
		},
		FlushInterval: -1,
		ErrorLog:      silent,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // a server that is gone does not answer
		},
		ModifyResponse: func(resp *http.Response) error {
			if a.Lose {
				return errCut
			}
			if a.CutResponse > 0 {
				resp.Body = &cutBody{resp.Body, a.CutResponse}
			}
			return nil
		},
	}
	proxy.ServeHTTP(w, r)
}

// refuse answers in the server's place.
func refuse(w http.ResponseWriter, r *http.Request, a Action) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	for k, v := range a.Header {
		w.Header()[http.CanonicalHeaderKey(k)] = v
	}
	var body string
	if a.Code != "" {
		w.Header().Set("Content-Type", "application/xml")
		body = fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>%s</Code><Message>said by the fault proxy</Message><Resource>%s</Resource><RequestId>FAULT</RequestId></Error>`,
			a.Code, r.URL.EscapedPath())
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, body)
	}
}

var errCut = errors.New("cut by the fault proxy")

// A cutBody fails after so many bytes.
type cutBody struct {
	io.ReadCloser
	left int64
}

func (b *cutBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		// One more byte decides whether there is anything to cut.
		if n, err := b.ReadCloser.Read(p[:min(len(p), 1)]); n == 0 {
			return 0, err
		}
		return 0, errCut
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// listen accepts connections until l is closed.
func (f *Fault) listen(l net.Listener) {
	f.mu.Lock()
	f.listener = l
	f.mu.Unlock()
	f.work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c := &faultConn{Conn: conn, f: f}
			c.open, c.end = context.WithCancel(context.Background())
			f.mu.Lock()
			f.conns[c] = true
			late := f.done || f.listener != l
			f.mu.Unlock()
			if late {
				c.reset()
			}
			f.work.Go(func() { f.sort(c) })
		}
	})
}

// sort hands a connection to those who know what is spoken on it.
func (f *Fault) sort(c *faultConn) {
	first := bufio.NewReader(c)
	b, err := first.Peek(1)
	if err != nil {
		c.Close()
		return
	}
	c.first = first
	if b[0] >= 'A' && b[0] <= 'Z' { // a method; TLS begins with a 22
		f.plain.hand(c)
		return
	}
	f.pipe(c)
}

// pipe carries bytes both ways until both sides have ended, or one has failed.
func (f *Fault) pipe(c *faultConn) {
	defer c.Close()
	conn, err := new(net.Dialer).DialContext(c.open, "tcp", f.upstream)
	if err != nil {
		c.reset()
		return
	}
	up := conn.(*net.TCPConn)
	defer up.Close()
	defer context.AfterFunc(c.open, func() { reset(up) })()
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := io.Copy(struct{ io.Writer }{up}, struct{ io.Reader }{c}); err != nil {
			c.reset()
			return
		}
		_ = up.CloseWrite()
	})
	both.Go(func() {
		if _, err := io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{up}); err != nil {
			c.reset()
			return
		}
		_ = c.Conn.(*net.TCPConn).CloseWrite()
	})
	both.Wait()
}

// A faultConn is a client's connection: reading from it is the way up, writing to it the way down.
type faultConn struct {
	net.Conn
	f     *Fault
	open  context.Context // until it is closed
	end   func()
	first *bufio.Reader // holds what was read to see what is spoken

	up, down int64 // bytes so far, each known to those who read or write only
}

// wait returns when bytes may go on, and how many in all may go either way.
func (c *faultConn) wait() (up, down int64, err error) {
	f := c.f
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-c.open.Done():
			return 0, 0, net.ErrClosed
		}
	}
	for {
		f.mu.Lock()
		up, down, hole, changed := f.cutUp, f.cutDown, f.hole, f.changed
		f.mu.Unlock()
		if !hole {
			return up, down, nil
		}
		select {
		case <-changed:
		case <-c.open.Done():
			return 0, 0, net.ErrClosed
		}
	}
}

func (c *faultConn) Read(p []byte) (int, error) {
	if c.first != nil && c.first.Buffered() > 0 {
		return c.first.Read(p)
	}
	n, err := c.Conn.Read(p)
	if n == 0 {
		return 0, err
	}
	limit, _, werr := c.wait()
	if werr != nil {
		return 0, werr
	}
	if limit >= 0 && c.up+int64(n) > limit {
		n, err = int(max(0, limit-c.up)), errCut
		c.reset()
	}
	c.up += int64(n)
	return n, err
}

func (c *faultConn) Write(p []byte) (int, error) {
	_, limit, err := c.wait()
	if err != nil {
		return 0, err
	}
	cut := limit >= 0 && c.down+int64(len(p)) > limit
	if cut {
		p = p[:max(0, limit-c.down)]
	}
	n, err := c.Conn.Write(p)
	c.down += int64(n)
	if cut {
		c.reset()
		return n, errCut
	}
	return n, err
}

// Close ends the connection in good order. Whoever has it last calls it.
func (c *faultConn) Close() error {
	c.end()
	c.f.mu.Lock()
	delete(c.f.conns, c)
	c.f.mu.Unlock()
	return c.Conn.Close()
}

// reset ends it in disorder.
func (c *faultConn) reset() {
	reset(c.Conn)
	c.end()
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// close ends everything, and returns when it has ended.
func (f *Fault) close() {
	f.mu.Lock()
	f.done = true
	if f.listener != nil {
		f.listener.Close()
	}
	f.mu.Unlock()
	f.Reset()
	f.plain.Close()
	_ = f.http.Close()
	f.work.Wait()
}

// A handover is a listener whose connections somebody else has accepted.
type handover struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (h *handover) hand(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		c.Close()
	}
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handover) Addr() net.Addr { return h.addr }
