package servers

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"go.uber.org/goleak"
)

// echo is an HTTP server that answers what it is sent, and remembers how much of every body it got.
type echo struct {
	*httptest.Server
	mu  sync.Mutex
	got []int64
}

func newEcho(t *testing.T) *echo {
	e := &echo{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		e.mu.Lock()
		e.got = append(e.got, int64(len(body)))
		e.mu.Unlock()
		if err == nil {
			w.Write(body)
		}
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *echo) bodies() []int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

func (e *echo) addr() string { return strings.TrimPrefix(e.URL, "http://") }

// put sends a body through the proxy, on a connection of its own, and returns the answer.
func put(t *testing.T, f *Fault, body string) (status int, answer string, err error) {
	t.Helper()
	c, err := client("")
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+f.Addr+"/b/k", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func TestProxyPasses(t *testing.T) {
	e := newEcho(t)
	f := Proxy(t, e.addr())
	body := strings.Repeat("x", 3<<20)
	for range 3 {
		if status, got, err := put(t, f, body); status != 200 || got != body || err != nil {
			t.Errorf("status %d, %d bytes, %v", status, len(got), err)
		}
	}
	if n := f.Requests(); n != 3 {
		t.Errorf("%d requests counted; want 3", n)
	}
}

// TestProxyKeepsSignatures uploads to real servers, whose clients sign host and headers.
func TestProxyKeepsSignatures(t *testing.T) {
	for name, server := range map[string]func(testing.TB) S3{"minio": MinIO, "minio-tls": MinIOTLS, "versitygw": Versity} {
		t.Run(name, func(t *testing.T) {
			s := server(t)
			_, b := bucket(t, s)
			f := Proxy(t, s.Endpoint)
			c := s3Client(t, s, f.Addr)
			big := bytes.Repeat([]byte("0123456789abcdef"), 6<<16) // 6 MiB: two parts
			for key, sum := range map[string]miniogo.ChecksumType{"a b/ü+?": miniogo.ChecksumNone, "crc": miniogo.ChecksumCRC32C} {
				opts := miniogo.PutObjectOptions{PartSize: 5 << 20, Checksum: sum}
				if _, err := c.PutObject(t.Context(), b, key, bytes.NewReader(big), -1, opts); err != nil {
					t.Fatal(err)
				}
				o, err := c.GetObject(t.Context(), b, key, miniogo.GetObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, big) {
					t.Errorf("%s: %d bytes, %v", key, len(got), err)
				}
			}
			if n := f.Requests(); s.Secure != (n == 0) {
				t.Errorf("%d requests counted", n)
			}
		})
	}
}

func TestProxyAnswersAShare(t *testing.T) {
	e := newEcho(t)
	f := Proxy(t, e.addr())
	count := func(seed uint64) (refused []int) {
		f.Answer(0.3, seed, Action{Status: 429, Code: "TooMany", Header: http.Header{"retry-after": {"7"}}})
		for i := range 100 {
			status, body, err := put(t, f, "hello")
			switch {
			case status == 429 && strings.Contains(body, "<Code>TooMany</Code>") && err == nil:
				refused = append(refused, i)
			case status != 200 || body != "hello":
				t.Fatalf("status %d, %q, %v", status, body, err)
			}
		}
		return refused
	}
	first, again, other := count(1), count(1), count(2)
	if len(first) < 15 || len(first) > 45 {
		t.Errorf("%d of 100 refused; want about 30", len(first))
	}
	if !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Errorf("seed 1 refuses %v, then %v; seed 2 %v", first, again, other)
	}
	if sent := len(e.bodies()); sent != 300-len(first)-len(again)-len(other) {
		t.Errorf("the server has seen %d requests", sent)
	}
	f.Do(func(r *http.Request) Action {
		if r.Method == http.MethodPut {
			return Action{Status: 503, Header: http.Header{"retry-after": {"7"}}}
		}
		return Action{}
	})
	resp, err := http.Head("http://" + f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("HEAD: %d", resp.StatusCode)
	}
	if status, _, err := put(t, f, "hello"); status != 503 || err != nil {
		t.Errorf("PUT: %d, %v", status, err)
	}
	f.Pass()
	if status, _, err := put(t, f, "hello"); status != 200 || err != nil {
		t.Errorf("PUT after Pass: %d, %v", status, err)
	}
}

func TestProxySlowDownIsS3s(t *testing.T) {
	s := MinIO(t)
	_, b := bucket(t, s)
	f := Proxy(t, s.Endpoint)
	f.Answer(1, 0, SlowDown)
	_, err := s3Client(t, s, f.Addr).PutObject(t.Context(), b, "a", strings.NewReader("hello"), 5, miniogo.PutObjectOptions{})
	if got := miniogo.ToErrorResponse(err); got.Code != "SlowDown" || got.StatusCode != 503 {
		t.Errorf("the client reads %+v", got)
	}
}

func TestProxyCutsRequests(t *testing.T) {
	e := newEcho(t)
	f := Proxy(t, e.addr())
	f.Do(func(*http.Request) Action { return Action{CutRequest: 1000} })
	if status, _, err := put(t, f, strings.Repeat("x", 1000)); status != 200 || err != nil {
		t.Errorf("a body of just that length: %d, %v", status, err)
	}
	if status, _, err := put(t, f, strings.Repeat("x", 1<<20)); err == nil {
		t.Errorf("a longer body: %d", status)
	}
	waitFor(t, func() bool { return len(e.bodies()) == 2 })
	if got := e.bodies(); got[1] != 1000 {
		t.Errorf("the server got %d bytes; want 1000", got[1])
	}
}

func TestProxyLosesAnswers(t *testing.T) {
	e := newEcho(t)
	f := Proxy(t, e.addr())
	f.Do(func(*http.Request) Action { return Action{Lose: true} })
	if status, _, err := put(t, f, "hello"); err == nil {
		t.Errorf("answered %d", status)
	}
	if got := e.bodies(); len(got) != 1 || got[0] != 5 {
		t.Errorf("the server got %v; want the whole request, once", got)
	}
	f.Do(func(*http.Request) Action { return Action{Drop: true} })
	if status, _, err := put(t, f, "hello"); err == nil {
		t.Errorf("answered %d", status)
	}
	if got := e.bodies(); len(got) != 1 {
		t.Errorf("the server got a dropped request: %v", got)
	}
}

func TestProxyCutsResponses(t *testing.T) {
	e := newEcho(t)
	f := Proxy(t, e.addr())
	f.Do(func(*http.Request) Action { return Action{CutResponse: 1000} })
	if _, got, err := put(t, f, strings.Repeat("x", 1000)); len(got) != 1000 || err != nil {
		t.Errorf("a body of just that length: %d bytes, %v", len(got), err)
	}
	if status, got, err := put(t, f, strings.Repeat("x", 1<<20)); status != 200 || len(got) != 1000 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a longer body: %d, %d bytes, %v", status, len(got), err)
	}
}

func TestProxyCutsConnections(t *testing.T) {
	e := newEcho(t)
	f := Proxy(t, e.addr())
	body := strings.Repeat("x", 1<<20)
	f.CutAfter(100_000, -1)
	if status, _, err := put(t, f, body); err == nil {
		t.Errorf("cut up: answered %d", status)
	}
	waitFor(t, func() bool { return len(e.bodies()) == 1 })
	if got := e.bodies()[0]; got >= 100_000 {
		t.Errorf("the server got %d bytes", got)
	}
	f.CutAfter(-1, 100_000)
	if _, got, err := put(t, f, body); err == nil || len(got) >= 100_000 {
		t.Errorf("cut down: %d bytes, %v", len(got), err)
	}
	f.CutAfter(-1, -1)
	if _, got, err := put(t, f, body); err != nil || got != body {
		t.Errorf("cut no more: %d bytes, %v", len(got), err)
	}
}

// TestProxyCutsTLS cuts what it cannot read.
func TestProxyCutsTLS(t *testing.T) {
	s := MinIOTLS(t)
	_, b := bucket(t, s)
	f := Proxy(t, s.Endpoint)
	c := s3Client(t, s, f.Addr)
	put := func() error {
		_, err := c.PutObject(t.Context(), b, "a", bytes.NewReader(make([]byte, 1<<20)), 1<<20, miniogo.PutObjectOptions{})
		return err
	}
	f.CutAfter(100_000, -1)
	if err := put(); err == nil {
		t.Error("an upload that was cut has no error")
	}
	f.Pass()
	if err := put(); err != nil {
		t.Error(err)
	}
	f.CutAfter(-1, 100_000)
	o, err := c.GetObject(t.Context(), b, "a", miniogo.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, o); err == nil || n >= 100_000 {
		t.Errorf("a download that was cut: %d bytes, %v", n, err)
	}
}

func TestProxyRefuses(t *testing.T) {
	e := newEcho(t)
	f := Proxy(t, e.addr())
	open, err := net.Dial("tcp", f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	for range 3 {
		f.Refuse(true)
		if _, _, err := put(t, f, "hello"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refusing: %v", err)
		}
		f.Refuse(false)
		if status, _, err := put(t, f, "hello"); status != 200 || err != nil {
			t.Errorf("accepting again: %d, %v", status, err)
		}
	}
	_ = open.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := open.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that was open: %v", err)
	}
}

func TestProxyBlackHole(t *testing.T) {
	e := newEcho(t)
	f := Proxy(t, e.addr())
	f.BlackHole(true)
	answered := make(chan error, 1)
	go func() {
		_, _, err := put(t, f, "hello")
		answered <- err
	}()
	conn, err := net.Dial("tcp", f.Addr) // somebody else may still connect
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || !isTimeout(err) {
		t.Errorf("out of a black hole: %d bytes, %v", n, err)
	}
	if n := len(e.bodies()); n != 0 {
		t.Errorf("the server got %d requests", n)
	}
	select {
	case err := <-answered:
		t.Errorf("answered: %v", err)
	default:
	}
	f.BlackHole(false)
	if err := <-answered; err != nil {
		t.Errorf("when it is closed: %v", err)
	}
}

// TestProxyEnds leaves nothing behind, in whatever state it is.
func TestProxyEnds(t *testing.T) {
	e := newEcho(t)
	before := goleak.IgnoreCurrent()
	t.Run("under load", func(t *testing.T) {
		f := Proxy(t, e.addr())
		for _, hello := range []string{"", "GET ", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello", "\x16\x03"} {
			conn, err := net.Dial("tcp", f.Addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() }) // before the proxy ends
			_, _ = io.WriteString(conn, hello)
		}
		waitFor(t, func() bool { return f.Requests() == 1 })
		f.BlackHole(true)
		conn, err := net.Dial("tcp", f.Addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		f.close() // with that one open
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("an answer out of a black hole")
		}
		conn.Close()
	})
	goleak.VerifyNone(t, before)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestProxyDelays(t *testing.T) {
	e := newEcho(t)
	f := Proxy(t, e.addr())
	const wait = 100 * time.Millisecond
	f.Delay(wait)
	started := time.Now()
	if status, _, err := put(t, f, "hello"); status != 200 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	if took := time.Since(started); took < 2*wait {
		t.Errorf("there and back took %v; want %v or more", took, 2*wait)
	}
	f.Pass()
	f.Do(func(*http.Request) Action { return Action{Delay: wait} })
	started = time.Now()
	if status, _, err := put(t, f, "hello"); status != 200 || err != nil || time.Since(started) < wait {
		t.Errorf("%d, %v after %v", status, err, time.Since(started))
	}
}

// waitFor waits for what another goroutine does.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-limit:
			t.Fatal("waited for a minute")
		case <-tick.C:
		}
	}
}
