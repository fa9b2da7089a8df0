package admin_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/admin"
)

// Clients that hold back what they have announced keep nothing for themselves.

func (r *running) dial(text string) net.Conn {
	r.Helper()
	c, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.addr)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		r.Fatal(err)
	}
	return c
}

func TestBodiesThatNobodyReads(t *testing.T) {
	r := serve(t, admin.Config{Patience: 300 * time.Millisecond, Admin: http.NotFoundHandler(), Metrics: http.NotFoundHandler()}, "")
	for _, begin := range []string{
		"POST /nosuch HTTP/1.1\r\nHost: localhost",
		"PUT /alter HTTP/1.1\r\nHost: localhost",
		"POST /alter HTTP/1.1\r\nHost: localhost",
		"POST /alter HTTP/1.1\r\nHost: elsewhere.example",
		"POST //alter HTTP/1.1\r\nHost: localhost",
		"POST /mutate?commitNow=true HTTP/1.1\r\nHost: localhost",
		"GET /health HTTP/1.1\r\nHost: localhost",
		"GET /metrics HTTP/1.1\r\nHost: localhost",
	} {
		c := r.dial(begin + "\r\nContent-Length: 10\r\n\r\n")
		if _, err := io.ReadAll(c); err != nil { // until the server ends the connection
			t.Errorf("%s: the connection stays: %v", begin, err)
		}
	}
}

// A connection that has been idle is as good as a new one.
func TestExpectOnAnOldConnection(t *testing.T) {
	const patience = 100 * time.Millisecond
	r := serve(t, admin.Config{Patience: patience}, "")
	c := r.dial("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	<-time.After(2 * patience) // what was allowed for the first answer has passed
	if _, err := io.WriteString(c, "POST /alter HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestLargeBodiesThatDoNotArrive(t *testing.T) {
	r := serve(t, admin.Config{Patience: time.Hour, Admin: http.NotFoundHandler(), Drain: time.Millisecond}, "")
	for range 5 { // more than all bodies may have together
		r.dial("POST /alter HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n" + strings.Repeat("#", 100_000))
		r.dial("POST /alter HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n####\r\n")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, path := range []string{"/alter", "/mutate?commitNow=true", "/query", "/admin"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		res.Body.Close()
	}
}

// Those that read no answers leave the memory to others.
func TestLargeAnswersThatNobodyReads(t *testing.T) {
	r := serve(t, admin.Config{Patience: time.Hour, Drain: time.Millisecond}, "")
	body := `{"set": [{"uid": "0x1", "text": "` + strings.Repeat("x", 20<<20) + `"}]}`
	if status, answer := r.do("POST", "/mutate?commitNow=true", body, "Content-Type", "application/json"); status != 200 || !strings.Contains(answer, "Success") {
		t.Fatalf("%d %.200s", status, answer)
	}
	refused := 0
	for range 12 { // of 60 MiB each
		const text = `{ q(func: uid(0x1)) { a: text b: text c: text } }`
		in := bufio.NewReader(r.dial(fmt.Sprintf("POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dql\r\nContent-Length: %d\r\n\r\n%s", len(text), text)))
		begin, err := in.Peek(300)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(begin), "other large answers") {
			refused++
		}
	}
	if refused != 8 {
		t.Errorf("%d of 12 answers were refused, want 8", refused)
	}
	status, answer := r.do("POST", "/query", "{ q(func: uid(0x1)) { uid } }", "Content-Type", "application/dql")
	if status != 200 || !strings.Contains(answer, `{"uid":"0x1"}`) {
		t.Errorf("a small answer: %d %.200s", status, answer)
	}
}

// Those that may not call take no place of those that may.
func TestConnectionsOfStrangers(t *testing.T) {
	r := serve(t, admin.Config{Drain: time.Millisecond}, "8.8.8.8")
	const most = 256
	for range most {
		r.dial("")
	}
	if _, err := io.ReadAll(r.dial("")); err != nil {
		t.Errorf("the %dth connection stays: %v", most+1, err)
	}
}
