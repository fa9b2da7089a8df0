//go:build unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// clientCert makes a client's certificate, signed by itself.
func clientCert(t *testing.T) (certFile, keyFile, certPEM string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "backup"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return file(t, certPEM), file(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))), certPEM
}

func TestTLS(t *testing.T) {
	l := newLab(t, servers.VaultTLS(t))
	path := l.kv2(random(32))
	cfg := l.withKV(l.approle(l.policy(leastKV(path)...)).config(), path)
	if !strings.HasPrefix(cfg.Addr, "https://") || cfg.CACert == "" {
		t.Fatalf("addr %s, ca %s", cfg.Addr, cfg.CACert)
	}
	roundTrip(t, mustOpen(t, cfg))
	for name, c := range map[string]struct {
		set        func(*Config)
		kind       error
		text, hint string
	}{
		"no ca":       {func(c *Config) { c.CACert = "" }, sdk.ErrInvalid, "certificate signed by unknown authority", "in ca_cert, or VAULT_CACERT"},
		"wrong name":  {func(c *Config) { c.TLSServerName = "vault.example.com" }, sdk.ErrInvalid, "vault.example.com", "tls_server_name"},
		"plain http":  {func(c *Config) { c.Addr = "http" + strings.TrimPrefix(c.Addr, "https") }, sdk.ErrInvalid, "the server wants https", "https://"},
		"no such ca":  {func(c *Config) { c.CACert += ".not" }, sdk.ErrInvalid, "ca_cert " + cfg.CACert + ".not: no such file", "ca_cert"},
		"ca is no ca": {func(c *Config) { c.CACert = file(t, "text") }, sdk.ErrInvalid, "holds no certificate as PEM", ""},
		"https to http": {
			func(c *Config) { c.Addr = "https" + strings.TrimPrefix(servers.Vault(t).Addr, "http") }, sdk.ErrInvalid,
			"HTTP response to HTTPS client", "http://",
		},
	} {
		other := cfg
		c.set(&other)
		_, err := openImpatient(t, other, moment)
		refused(t, name, err, c.kind, c.text, c.hint)
	}
	named := cfg
	named.TLSServerName = "localhost"
	roundTrip(t, mustOpen(t, named))
}

func TestClientCertificate(t *testing.T) {
	l := newLab(t, servers.VaultTLS(t))
	path := l.kv2(random(32))
	certFile, keyFile, certPEM := clientCert(t)
	mount := l.auth("cert")
	l.put("auth/"+mount+"/certs/backup", map[string]any{"certificate": certPEM, "token_policies": l.policy(leastKV(path)...)})
	cfg := l.withKV(l.config(), path)
	cfg.Token = sdk.Secret{}
	cfg.Auth, cfg.AuthMount, cfg.ClientCert, cfg.ClientKey = "cert", mount, certFile, keyFile
	roundTrip(t, mustOpen(t, cfg))
	cfg.Role = "backup"
	roundTrip(t, mustOpen(t, cfg))

	otherCert, otherKey, _ := clientCert(t)
	for name, c := range map[string]struct {
		set        func(*Config)
		kind       error
		text, hint string
	}{
		"another certificate": {func(c *Config) { c.ClientCert, c.ClientKey = otherCert, otherKey }, sdk.ErrPermission, "login by cert", "vault write auth/" + mount + "/certs/NAME"},
		"another role":        {func(c *Config) { c.Role = "other" }, sdk.ErrPermission, "login by cert", ""},
		"another key":         {func(c *Config) { c.ClientKey = otherKey }, sdk.ErrInvalid, "client_cert " + certFile, ""},
		"no key":              {func(c *Config) { c.ClientKey = "" }, sdk.ErrInvalid, "needed together", ""},
		"no such key":         {func(c *Config) { c.ClientKey = filepath.Join(t.TempDir(), "missing") }, sdk.ErrInvalid, "client_key", "client_key"},
		"not a certificate":   {func(c *Config) { c.ClientCert = file(t, "canary") }, sdk.ErrInvalid, "client_cert", ""},
	} {
		other := cfg
		c.set(&other)
		_, err := openImpatient(t, other, moment)
		refused(t, name, err, c.kind, c.text, c.hint)
	}
}
