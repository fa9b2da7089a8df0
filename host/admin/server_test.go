package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/admin"
	"github.com/brock-backup/brock/host/store"
)

// A running server, its store, and all that it logs.
type running struct {
	*testing.T
	url   string
	addr  string
	store *store.Store
	log   *lockedBuffer
	stop  func() error // tells it to end, and waits
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve starts a server that c describes, over a new store. Clients seem to come from
// peer, if it is not "".
func serve(t *testing.T, c admin.Config, peer string) *running {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{T: t, store: s, log: &lockedBuffer{}}
	c.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: r.log})
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	r.url = "http://" + r.addr
	if c.TLS != nil {
		r.url = "https://" + r.addr
	}
	if peer != "" {
		ln = elsewhere{ln, &net.TCPAddr{IP: net.ParseIP(peer), Port: 1234}}
	}
	c.Node = &admin.Node{
		Operations: &admin.Operations{Store: s, Engine: &host.Engine{}}, ID: "some-id", Address: r.addr, Version: "v0", Started: time.Now(),
	}
	server, err := admin.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, ln) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("serving ended with %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// elsewhere is a listener whose clients come from another address.
type elsewhere struct {
	net.Listener
	peer net.Addr
}

type connElsewhere struct {
	net.Conn
	peer net.Addr
}

func (e elsewhere) Accept() (net.Conn, error) {
	c, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return connElsewhere{c, e.peer}, nil
}

func (c connElsewhere) RemoteAddr() net.Addr { return c.peer }

// do sends a request; headers are pairs. The answer is the status and the body.
func (r *running) do(method, path, body string, headers ...string) (int, string) {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		r.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// refusal returns an answer's error and code.
func refusal(t *testing.T, body string) (message, code string) {
	t.Helper()
	var a struct {
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || len(a.Errors) != 1 {
		t.Fatalf("no errors in %s: %v", body, err)
	}
	return a.Errors[0].Message, a.Errors[0].Extensions.Code
}

func TestUnknownPathsAndMethods(t *testing.T) {
	r := serve(t, admin.Config{}, "")
	for _, path := range []string{"/", "/nothing", "/admin", "/metrics", "/querys"} {
		status, body := r.do("GET", path, "")
		if message, _ := refusal(t, body); status != 404 || !strings.Contains(message, path) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for path, method := range map[string]string{"/mutate": "GET", "/alter": "PUT", "/query": "GET", "/health": "POST", "/state": "DELETE"} {
		status, body := r.do(method, path, "")
		if message, code := refusal(t, body); status != 405 || message != "Invalid method" || code != "ErrorInvalidMethod" {
			t.Errorf("%s %s: %d %s", method, path, status, body)
		}
	}
}

func TestHealth(t *testing.T) {
	r := serve(t, admin.Config{}, "")
	status, body := r.do("GET", "/health", "")
	var all []map[string]any
	if err := json.Unmarshal([]byte(body), &all); err != nil || status != 200 || len(all) != 1 {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	for key, want := range map[string]any{"instance": "alpha", "address": r.addr, "status": "healthy", "group": "1", "version": "v0"} {
		if all[0][key] != want {
			t.Errorf("%s is %v, want %v", key, all[0][key], want)
		}
	}
	for _, key := range []string{"uptime", "lastEcho", "ongoing", "indexing", "ee_features", "max_assigned"} {
		if _, ok := all[0][key]; !ok {
			t.Errorf("no %s in %s", key, body)
		}
	}
	r.store.SetDraining(true)
	status, body = r.do("GET", "/health", "")
	if status != 503 || !strings.HasPrefix(body, "the server is in draining mode and client requests will only be allowed") {
		t.Errorf("draining: %d %s", status, body)
	}
	if status, _ := r.do("GET", "/health?live", ""); status != 200 {
		t.Errorf("draining, but alive: %d", status)
	}
	r.store.SetDraining(false)
	if status, _ := r.do("GET", "/health", ""); status != 200 {
		t.Errorf("after draining: %d", status)
	}
}

func TestState(t *testing.T) {
	r := serve(t, admin.Config{}, "")
	if _, body := r.do("POST", "/alter?namespace=0x1f", "name: string ."); !strings.Contains(body, "Done") {
		t.Fatal(body)
	}
	_, body := r.do("GET", "/state", "")
	var state struct {
		Groups map[string]struct {
			Members map[string]struct {
				ID, Addr string
				Leader   bool
			}
			Tablets map[string]struct {
				GroupID   int
				Predicate string
				MoveTs    string
			}
		}
		MaxUID, MaxTxnTs, MaxNsID, CID string
	}
	if err := json.Unmarshal([]byte(body), &state); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	tablet := state.Groups["1"].Tablets["1f-name"]
	if tablet.Predicate != "1f-name" || tablet.GroupID != 1 || tablet.MoveTs != "0" || state.CID != "some-id" {
		t.Errorf("state: %s", body)
	}
	if m := state.Groups["1"].Members["1"]; m.ID != "1" || m.Addr != r.addr || !m.Leader {
		t.Errorf("member: %s", body)
	}
	if _, body := r.do("GET", "/state?namespace=2", ""); strings.Contains(body, "1f-name") {
		t.Errorf("namespace 2 has 1f-name: %s", body)
	}
}

func TestTooLarge(t *testing.T) {
	r := serve(t, admin.Config{MutateBytes: 1000, AdminBytes: 100, Admin: http.NotFoundHandler()}, "")
	for path, size := range map[string]int{"/alter": 1001, "/query": 101, "/admin": 101, "/mutate?commitNow=true": 1001} {
		status, body := r.do("POST", path, strings.Repeat("x", size), "Content-Type", "application/json")
		if message, _ := refusal(t, body); status != 413 || !strings.Contains(message, fmt.Sprint(size-1)) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	// Nor when the length is not told in advance.
	for _, path := range []string{"/alter", "/admin"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+path, io.MultiReader(strings.NewReader(strings.Repeat("x", 5000))))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 413 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// A client that sends its header or its body too slowly is cut off, and others are served
// meanwhile.
func TestSlowClients(t *testing.T) {
	r := serve(t, admin.Config{Patience: 300 * time.Millisecond, Admin: http.NotFoundHandler()}, "")
	for name, begin := range map[string]string{
		"header": "POST /alter HTTP/1.1\r\nHost: localhost\r\nX-",
		"alter":  "POST /alter HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\nname",
		"admin":  "POST /admin HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nname\r\n",
	} {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, begin); err != nil {
			t.Fatal(err)
		}
		if status, _ := r.do("GET", "/health", ""); status != 200 {
			t.Errorf("%s: others get %d", name, status)
		}
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(bufio.NewReader(c)) // until the server ends the connection
		if err != nil {
			t.Errorf("%s: the connection stays: %v", name, err)
		}
		if name != "header" && !strings.Contains(string(answer), "408 Request Timeout") {
			t.Errorf("%s: %s", name, answer)
		}
	}
}

// So is one that does not read its answer.
func TestClientThatDoesNotRead(t *testing.T) {
	written := make(chan error, 1)
	r := serve(t, admin.Config{Patience: 300 * time.Millisecond, Admin: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, 64<<20)) // more than the kernel keeps
		written <- err
	})}, "")
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /admin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-written:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("writing ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the answer waits for its reader")
	}
	if status, body := r.do("POST", "/admin", ""); status != 200 || len(body) != 64<<20 {
		t.Errorf("a client that reads gets %d and %d bytes", status, len(body))
	}
}

// What takes long after the body has arrived is not cut off.
func TestPatienceIsForClientsOnly(t *testing.T) {
	const patience = 100 * time.Millisecond
	took := make(chan error, 1)
	r := serve(t, admin.Config{Patience: patience, Admin: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		select {
		case <-req.Context().Done():
			took <- req.Context().Err()
		case <-time.After(4 * patience):
			took <- nil
		}
		w.WriteHeader(http.StatusOK)
	})}, "")
	if status, _ := r.do("POST", "/admin", "{}"); status != 200 {
		t.Errorf("status %d", status)
	}
	if err := <-took; err != nil {
		t.Errorf("the request was ended: %v", err)
	}
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	inside, goOn := make(chan bool), make(chan bool)
	r := serve(t, admin.Config{Admin: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		inside <- true
		<-goOn
		_, _ = io.WriteString(w, "done")
	})}, "")
	answer := make(chan string, 1)
	go func() {
		_, body := r.do("POST", "/admin", "")
		answer <- body
	}()
	<-inside
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	for { // until nothing new is accepted
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	close(goOn)
	if got := <-answer; got != "done" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	inside := make(chan bool)
	r := serve(t, admin.Config{Drain: 50 * time.Millisecond, Admin: http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		close(inside)
		<-req.Context().Done()
	})}, "")
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/admin", nil)
		if err != nil {
			t.Error(err)
			return
		}
		if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
			res.Body.Close()
		}
	}()
	<-inside
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(r.log.String(), "requests did not end in time") {
		t.Errorf("nobody is told: %s", r.log)
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	r := serve(t, admin.Config{Admin: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("canary-of-a-panic") })}, "")
	status, body := r.do("POST", "/admin", "")
	if message, _ := refusal(t, body); status != 500 || strings.Contains(body+r.log.String(), "canary") {
		t.Errorf("%d %s %s: %s", status, message, body, r.log)
	}
	if status, _ := r.do("GET", "/health", ""); status != 200 {
		t.Errorf("after a panic: %d", status)
	}
}
