package mtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/credentials"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHost makes a host's certificate as go-plugin does, and what the plugin hears
// of it.
func newHost(t *testing.T) (config *tls.Config, heard string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ServerName:   name, MinVersion: tls.VersionTLS12,
	}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// trust makes a host trust the certificate in a greeting.
func trust(t *testing.T, config *tls.Config, greeting string) *tls.Config {
	t.Helper()
	der, err := base64.RawStdEncoding.DecodeString(greeting)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AddCert(cert)
	return config
}

// connect returns both ends of a connection. A server learns of a client that it
// does not trust only when it reads, and so does the client.
func connect(t *testing.T, c, s credentials.TransportCredentials) (near, far net.Conn, err error) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type end struct {
		net.Conn
		err error
	}
	accepted := make(chan end, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			accepted <- end{nil, err}
			return
		}
		far, _, err := s.ServerHandshake(raw)
		if err != nil {
			raw.Close()
		}
		accepted <- end{far, err}
	}()
	raw, err := new(net.Dialer).DialContext(t.Context(), "unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, _, err = c.ClientHandshake(t.Context(), name, raw)
	if err != nil {
		raw.Close()
	} else {
		t.Cleanup(func() { near.Close() })
	}
	f := <-accepted
	if f.err == nil {
		t.Cleanup(func() { f.Close() })
	}
	return near, f.Conn, errors.Join(err, f.err)
}

func TestBytesArrive(t *testing.T) {
	config, heard := newHost(t)
	serve, greeting, err := NewServerConfig(heard)
	if err != nil {
		t.Fatal(err)
	}
	late := &tls.Config{} // go-plugin completes it after the credentials are made
	c := Client(func() *tls.Config { return late }).Clone()
	late = trust(t, config, greeting)
	near, far, err := connect(t, c, Server(serve).Clone())
	if err != nil {
		t.Fatal(err)
	}
	sent := make([]byte, 3<<20+17)
	random := mathrand.NewChaCha8([32]byte{1})
	_, _ = random.Read(sent)
	for _, way := range []struct {
		name     string
		from, to net.Conn
	}{{"to the plugin", near, far}, {"to the host", far, near}} {
		failed := make(chan error, 1)
		go func() {
			rest := sent
			for size := 1; len(rest) > 0; size = size*3 + 1 { // below and above a record, and a portion
				n, err := way.from.Write(rest[:min(size, len(rest))])
				if err != nil || n == 0 {
					failed <- err
					return
				}
				rest = rest[n:]
			}
			failed <- nil
		}()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(way.to, got); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: %v; the same bytes: %v", way.name, err, bytes.Equal(got, sent))
		}
	}
}

func TestWriteIsOnePortion(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	s := newSocket(a)
	s.hold()
	for range 5 {
		if _, err := s.Write([]byte("record")); err != nil {
			t.Fatal(err)
		}
	}
	released := make(chan error, 1)
	go func() { released <- s.release() }()
	got := make([]byte, 100)
	if n, err := b.Read(got); err != nil || n != 30 {
		t.Errorf("%d bytes arrive at once, %v; want 30", n, err)
	}
	if err := <-released; err != nil {
		t.Error(err)
	}
}

// What has come is read at once, and nothing else is waited for.
func TestReadIsOnePortion(t *testing.T) {
	config, heard := newHost(t)
	serve, greeting, err := NewServerConfig(heard)
	if err != nil {
		t.Fatal(err)
	}
	config = trust(t, config, greeting)
	near, far, err := connect(t, Client(func() *tls.Config { return config }), Server(serve))
	if err != nil {
		t.Fatal(err)
	}
	const size = 80 << 10
	if _, err := near.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2*size)
	n, err := far.Read(buf)
	if err != nil || n <= maxRecord {
		t.Errorf("Read = %d bytes of %d, %v; want more than a record", n, size, err)
	}
	for n < size { // it does not wait for more than there is
		m, err := far.Read(buf[n:])
		if n += m; err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseWhileTheOtherEndDoesNotRead(t *testing.T) {
	config, heard := newHost(t)
	serve, greeting, err := NewServerConfig(heard)
	if err != nil {
		t.Fatal(err)
	}
	config = trust(t, config, greeting)
	near, _, err := connect(t, Client(func() *tls.Config { return config }), Server(serve))
	if err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() {
		for {
			if _, err := near.Write(make([]byte, 1<<20)); err != nil {
				wrote <- err
				return
			}
		}
	}()
	near.Close()
	if err := <-wrote; err == nil {
		t.Error("a write to a closed connection succeeds")
	}
}

func TestStrangersStayOut(t *testing.T) {
	_, heard := newHost(t)
	stranger, _ := newHost(t)
	serve, greeting, err := NewServerConfig(heard)
	if err != nil {
		t.Fatal(err)
	}
	stranger = trust(t, stranger, greeting)
	if _, _, err := connect(t, Client(func() *tls.Config { return stranger }), Server(serve)); err == nil {
		t.Error("a plugin lets in a host that did not start it")
	}
	host, heard := newHost(t)
	_, other, err := NewServerConfig(heard)
	if err != nil {
		t.Fatal(err)
	}
	serve, _, err = NewServerConfig(heard)
	if err != nil {
		t.Fatal(err)
	}
	host = trust(t, host, other)
	if _, _, err := connect(t, Client(func() *tls.Config { return host }), Server(serve)); err == nil {
		t.Error("a host talks to a plugin that another line greeted for")
	}
	if _, _, err := NewServerConfig("nonsense"); err == nil {
		t.Error("nonsense is a host's certificate")
	}
}
