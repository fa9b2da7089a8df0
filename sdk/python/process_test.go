//go:build unix

package python_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// patience is for what takes milliseconds on a machine that is not overloaded.
const patience = 30 * time.Second

// A child is a plugin that was started the way go-plugin starts one.
type child struct {
	*exec.Cmd
	dir     string
	address string
	server  *x509.CertPool // who it says it is
	client  tls.Certificate
	alive   *os.File // while it is open, the host lives
	exited  chan struct{}
}

func start(t *testing.T, exe string) *child {
	t.Helper()
	dir, err := os.MkdirTemp("", "bp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &child{dir: filepath.Join(dir, "run"), client: certificate(t), exited: make(chan struct{})}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	pipe, alive, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.alive = alive
	c.Cmd = exec.CommandContext(context.WithoutCancel(t.Context()), exe)
	c.ExtraFiles = []*os.File{pipe}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Stderr = os.Stderr
	c.Env = []string{
		handshake.Config.MagicCookieKey + "=" + handshake.Config.MagicCookieValue,
		handshake.SocketDirEnv + "=" + c.dir,
		handshake.LivenessEnv + "=3",
		"PLUGIN_CLIENT_CERT=" + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.client.Certificate[0]})),
	}
	stdout, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	t.Cleanup(func() {
		c.alive.Close()
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		<-c.exited
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	go func() {
		defer close(c.exited)
		_, _ = io.Copy(io.Discard, stdout)
		_ = c.Wait()
	}()
	if err != nil {
		t.Fatalf("greeting %q: %v", line, err)
	}
	c.understand(t, line)
	return c
}

func (c *child) understand(t *testing.T, line string) {
	t.Helper()
	parts := strings.Split(strings.TrimSpace(line), "|")
	if len(parts) != 6 || strings.Join(parts[:3], "|") != "1|1|unix" || parts[4] != "grpc" {
		t.Fatalf("greeting %q", line)
	}
	c.address = parts[3]
	der, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c.server = x509.NewCertPool()
	c.server.AddCert(cert)
}

// gone fails the test unless the process ends, and its socket with it.
func (c *child) gone(t *testing.T, when string) {
	t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		t.Fatalf("%s, the plugin is still there", when)
	}
	if _, err := os.Stat(c.dir); err == nil {
		t.Errorf("%s, its socket is still there", when)
	}
}

// certificate is made as go-plugin makes one.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		DNSNames:              []string{"localhost"},
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (c *child) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", c.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func (c *child) dialTLS(t *testing.T, certs ...tls.Certificate) net.Conn {
	t.Helper()
	return tls.Client(c.dial(t), &tls.Config{
		Certificates: certs, RootCAs: c.server, ServerName: "localhost", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12,
	})
}

// preface begins every HTTP/2 connection: it ends with empty settings.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

const (
	pingFrame   = 6
	goAwayFrame = 7
)

// frames yields the types of the frames that a server sends, until it hangs up.
func frames(r io.Reader, yield func(kind, flags byte, payload []byte) bool) {
	for {
		var head [9]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		payload := make([]byte, int(head[0])<<16|int(binary.BigEndian.Uint16(head[1:])))
		if _, err := io.ReadFull(r, payload); err != nil || !yield(head[3], head[4], payload) {
			return
		}
	}
}

// The host asks an idle plugin for a sign of life every ten seconds, for hours.
// By default gRPC cuts off whoever does so more than twice in five minutes.
func TestSignsOfLife(t *testing.T) {
	c := start(t, buildTree(t))
	conn := c.dialTLS(t, c.client)
	const pings = 20
	if _, err := io.WriteString(conn, preface); err != nil {
		t.Fatal(err)
	}
	answered := 0
	ping := func() {
		if _, err := conn.Write(append([]byte{0, 0, 8, pingFrame, 0, 0, 0, 0, 0}, "are you?"...)); err != nil {
			t.Error(err)
		}
	}
	ping()
	frames(conn, func(kind, flags byte, payload []byte) bool {
		switch {
		case kind == goAwayFrame:
			t.Errorf("after %d pings the plugin says: %q", answered, payload)
			return false
		case kind == pingFrame && flags == 1:
			if answered++; answered == pings {
				return false
			}
			ping()
		}
		return true
	})
	if answered != pings {
		t.Errorf("%d of %d pings were answered", answered, pings)
	}
}

// Nobody but the host gets a word out of a plugin.
func TestOnlyTheHost(t *testing.T) {
	c := start(t, buildTree(t))
	for who, conn := range map[string]net.Conn{
		"nobody":            c.dialTLS(t),
		"somebody else":     c.dialTLS(t, certificate(t)),
		"one without TLS":   c.dial(t),
		"the host, at last": c.dialTLS(t, c.client),
	} {
		_, _ = io.WriteString(conn, preface) // where it fails, there is nothing to read either
		heard := false
		frames(conn, func(byte, byte, []byte) bool { heard = true; return false })
		if want := strings.HasPrefix(who, "the host"); heard != want {
			t.Errorf("%s is answered: %v, want %v", who, heard, want)
		}
	}
	if info, err := os.Stat(c.address); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("socket: %v, %v, want one for this user alone", info.Mode(), err)
	}
}

// When the host is gone, however that came about, so is the plugin.
func TestEnd(t *testing.T) {
	exe := buildTree(t)
	for how, end := range map[string]func(*child) error{
		"after the host's death": func(c *child) error { return c.alive.Close() },
		"after SIGTERM":          func(c *child) error { return c.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := start(t, exe)
			if err := end(c); err != nil {
				t.Fatal(err)
			}
			c.gone(t, how)
		})
	}
}

// A user who starts the plugin is told what it is, and how to ask for more.
func TestByHand(t *testing.T) {
	exe := buildTree(t)
	if got := run(t, "", exe, "describe", "--json"); !strings.Contains(got, `"schemes": [`) {
		t.Errorf("describe --json: %s", got)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Stderr = &said
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(said.String(), "is a plugin of brock") {
		t.Errorf("by hand: %v, %s", err, &said)
	}
}
