package admin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/admin"
)

// An authority signs certificates for this machine.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	file string
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool(), file: filepath.Join(dir, name+".crt")}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	write(t, a.file, "CERTIFICATE", der)
	return a
}

// sign writes NAME.crt and NAME.key, each at once.
func (a *authority) sign(t *testing.T, dir, name string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	write(t, key, "EC PRIVATE KEY", secret)
	write(t, cert, "CERTIFICATE", der)
	return cert, key
}

func write(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// handshake returns the serial number of the server's certificate, when the server has
// accepted the client's.
func handshake(t *testing.T, addr string, c *tls.Config) (serial int64, err error) {
	t.Helper()
	conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := conn.Write([]byte("GET /health HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n")); err != nil {
		return 0, err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // TLS 1.3 refuses a client here
		return 0, err
	}
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func serveTLS(t *testing.T, files admin.TLSFiles) *running {
	t.Helper()
	c, err := admin.NewTLS(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, admin.Config{TLS: c}, "")
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other")
	cert, key := ca.sign(t, dir, "server", 7)
	pair := func(a *authority, name string) []tls.Certificate {
		c, err := tls.LoadX509KeyPair(a.sign(t, dir, name, 8))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{c}
	}
	mine, foreign := pair(ca, "client"), pair(other, "stranger")

	for _, c := range []struct {
		name, auth, ca         string
		none, theirs, stranger bool // who may come: without a certificate, with one, with another authority's
	}{
		{"no client certificates", "", "", true, true, true},
		{"an authority", "", ca.file, false, true, false},
		{"REQUIREANDVERIFY", "REQUIREANDVERIFY", ca.file, false, true, false},
		{"verifyifgiven", "verifyifgiven", ca.file, true, true, false},
		{"REQUIREANY", "REQUIREANY", "", false, true, true},
		{"REQUEST", "REQUEST", "", true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := serveTLS(t, admin.TLSFiles{Cert: cert, Key: key, CA: c.ca, ClientAuth: c.auth})
			for _, client := range []struct {
				who   string
				certs []tls.Certificate
				may   bool
			}{{"nobody", nil, c.none}, {"theirs", mine, c.theirs}, {"a stranger", foreign, c.stranger}} {
				config := &tls.Config{RootCAs: ca.pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if len(client.certs) == 0 {
						return &tls.Certificate{}, nil
					}
					return &client.certs[0], nil
				}}
				if _, err := handshake(t, r.addr, config); (err == nil) != client.may {
					t.Errorf("%s: %v", client.who, err)
				}
			}
			if _, err := handshake(t, r.addr, &tls.Config{RootCAs: ca.pool, Certificates: mine, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
				t.Error("TLS 1.1 is spoken")
			}
		})
	}
}

func TestCertificateIsReplaced(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	cert, key := ca.sign(t, dir, "server", 1)
	r := serveTLS(t, admin.TLSFiles{Cert: cert, Key: key})
	client := &tls.Config{RootCAs: ca.pool}
	serial := func() int64 {
		n, err := handshake(t, r.addr, client)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := serial(); n != 1 {
		t.Fatalf("certificate %d, want 1", n)
	}
	if err := os.WriteFile(cert, []byte("half a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
		if n := serial(); n != 1 {
			t.Fatalf("certificate %d, want 1: the new one is none", n)
		}
	}
	ca.sign(t, dir, "server", 2)
	for end := time.Now().Add(20 * time.Second); serial() != 2; {
		if time.Now().After(end) {
			t.Fatal("the new certificate is not used")
		}
	}
}

func TestTLSThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	cert, key := ca.sign(t, dir, "server", 1)
	_, wrong := ca.sign(t, dir, "wrong", 2)
	for _, files := range []admin.TLSFiles{
		{Cert: cert},
		{Key: key},
		{CA: ca.file},
		{Cert: cert, Key: wrong},
		{Cert: cert, Key: dir + "/none"},
		{Cert: cert, Key: key, CA: key},
		{Cert: cert, Key: key, CA: dir + "/none"},
		{Cert: cert, Key: key, ClientAuth: "PLEASE", CA: ca.file},
		{Cert: cert, Key: key, ClientAuth: "REQUIREANDVERIFY"},
	} {
		if _, err := admin.NewTLS(files, nil); err == nil {
			t.Errorf("%+v is taken", files)
		}
	}
}
