package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// hosts are those that a script has started, by script and name.
var hosts sync.Map

type hostKey struct {
	ts   *testscript.TestScript
	name string
}

// A startedHost is a brock serve that a script has started.
type startedHost struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer // complete when it has ended
	ended  error
	once   sync.Once
}

func (h *startedHost) wait() error {
	h.once.Do(func() { h.ended = h.cmd.Wait() })
	return h.ended
}

// serveHost starts brock serve with a free port, and goes on when it answers: then the
// environment variable NAME is its URL.
func serveHost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: serve NAME ARGUMENTS...")
	}
	program, err := exec.LookPath("brock")
	ts.Check(err)
	h := &startedHost{cmd: exec.Command(program, append([]string{"serve", "--http-addr", "127.0.0.1:0"}, args[1:]...)...)}
	h.cmd.Dir = ts.MkAbs(".")
	h.cmd.Env = append(os.Environ(),
		"BROCK_PLUGIN_DIR="+ts.Getenv("BROCK_PLUGIN_DIR"), "XDG_STATE_HOME="+ts.Getenv("XDG_STATE_HOME"), "BROCK_CACHE_DIR="+ts.Getenv("BROCK_CACHE_DIR"))
	h.cmd.Stderr = &h.stderr
	stdout, err := h.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(h.cmd.Start())
	ts.Defer(func() {
		_ = h.cmd.Process.Kill()
		_ = h.wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	_, url, ok := strings.Cut(strings.TrimSpace(line), " at ")
	if err != nil || !ok {
		_ = h.wait()
		ts.Fatalf("brock serve said %q, %v\n%s", line, err, h.stderr.String())
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	hosts.Store(hostKey{ts, args[0]}, h)
	ts.Setenv(args[0], url)
}

// stopHost tells a host to end, or with kill ends it on the spot. What it has logged is then in
// the file NAME.log.
func stopHost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) == 2 && args[1] != "kill" || len(args) > 2 {
		ts.Fatalf("usage: end NAME [kill]")
	}
	v, ok := hosts.LoadAndDelete(hostKey{ts, args[0]})
	if !ok {
		ts.Fatalf("no host %s", args[0])
	}
	h := v.(*startedHost)
	signal := syscall.SIGTERM
	if len(args) == 2 {
		signal = syscall.SIGKILL
	}
	ts.Check(h.cmd.Process.Signal(signal))
	err := h.wait()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".log"), h.stderr.Bytes(), 0o600))
	var exit *exec.ExitError
	if signal == syscall.SIGTERM && err != nil || signal == syscall.SIGKILL && !errors.As(err, &exit) {
		ts.Fatalf("%s ended with %v\n%s", args[0], err, h.stderr.String())
	}
}

// httpRequest sends a request; the answer's body is the standard output. Words before the method
// are the status that is wanted (200 without), headers "Name: value", and cert=FILE and
// key=FILE for TLS, whose server is not verified.
func httpRequest(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! http")
	}
	body := send(ts, args)
	_, err := io.WriteString(ts.Stdout(), body+"\n")
	ts.Check(err)
}

// untilAnswer sends a request again and again until the last word is in its answer.
func untilAnswer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: until HTTP... TEXT")
	}
	args, want := args[:len(args)-1], args[len(args)-1]
	body := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if body = send(ts, args); strings.Contains(body, want) {
			return
		}
	}
	ts.Fatalf("after a minute the answer still is %s", body)
}

// answered compares the data of the last answer with a file.
func answered(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: answered FILE")
	}
	var a struct{ Data json.RawMessage }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &a))
	if got, want := string(a.Data), strings.TrimSpace(ts.ReadFile(args[0])); got != want {
		ts.Fatalf("the answer is\n%s\nand not\n%s", got, want)
	}
}

func send(ts *testscript.TestScript, args []string) (answer string) {
	want, header, cert, key := 200, http.Header{}, "", ""
	for ; len(args) > 0; args = args[1:] {
		word := args[0]
		if n, err := strconv.Atoi(word); err == nil {
			want = n
		} else if name, value, ok := strings.Cut(word, ": "); ok {
			header.Add(name, value)
		} else if file, ok := strings.CutPrefix(word, "cert="); ok {
			cert = ts.MkAbs(file)
		} else if file, ok := strings.CutPrefix(word, "key="); ok {
			key = ts.MkAbs(file)
		} else {
			break
		}
	}
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: http [STATUS] ['HEADER: VALUE'...] METHOD URL [BODY or @FILE]")
	}
	body := ""
	if len(args) == 3 {
		body = args[2]
		if file, ok := strings.CutPrefix(body, "@"); ok {
			body = ts.ReadFile(file)
		}
	}
	config := &tls.Config{InsecureSkipVerify: true}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		ts.Check(err)
		config.Certificates = []tls.Certificate{pair}
	}
	req, err := http.NewRequest(args[0], args[1], strings.NewReader(body))
	ts.Check(err)
	req.Header = header
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	res, err := client.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode != want {
		ts.Fatalf("status %d, want %d: %s", res.StatusCode, want, data)
	}
	return string(data)
}

// certificate writes NAME.crt and NAME.key, signed by itself, for this machine.
func certificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: certificate NAME")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	secret, err := x509.MarshalECPrivateKey(key)
	ts.Check(err)
	for file, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: cert}, ".key": {Type: "EC PRIVATE KEY", Bytes: secret}} {
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+file), pem.EncodeToMemory(block), 0o600))
	}
}
