package admin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TLSFiles say with which certificate a host answers, and which it wants. They may be
// replaced while it runs: new connections see the new ones.
type TLSFiles struct {
	Cert, Key string
	CA        string // of clients
	// ClientAuth is REQUEST, REQUIREANY, VERIFYIFGIVEN or REQUIREANDVERIFY, as Dgraph has
	// them. Default: REQUIREANDVERIFY with CA, and no client certificate without.
	ClientAuth string
}

var clientAuths = map[string]tls.ClientAuthType{
	"REQUEST": tls.RequestClientCert, "REQUIREANY": tls.RequireAnyClientCert,
	"VERIFYIFGIVEN": tls.VerifyClientCertIfGiven, "REQUIREANDVERIFY": tls.RequireAndVerifyClientCert,
}

// NewTLS reads the files once, and again when they have changed. If they cannot be read then,
// what was read before is used further on.
func NewTLS(files TLSFiles, log hclog.Logger) (*tls.Config, error) {
	if files.Cert == "" || files.Key == "" {
		return nil, hinted("name both, as in \"server-cert=node.crt; server-key=node.key\"", "TLS needs a certificate and its key")
	}
	auth := tls.NoClientCert
	if files.CA != "" {
		auth = tls.RequireAndVerifyClientCert
	}
	if files.ClientAuth != "" {
		var ok bool
		if auth, ok = clientAuths[strings.ToUpper(files.ClientAuth)]; !ok {
			return nil, hinted("there are REQUEST, REQUIREANY, VERIFYIFGIVEN and REQUIREANDVERIFY", "%s is no client-auth-type", cut(files.ClientAuth))
		}
		if auth >= tls.VerifyClientCertIfGiven && files.CA == "" {
			return nil, hinted("name it with ca-cert", "%s needs the certificate of an authority", strings.ToUpper(files.ClientAuth))
		}
	}
	if log == nil {
		log = hclog.NewNullLogger()
	}
	l := &loaded{files: files, auth: auth, log: log}
	if err := l.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.current(), nil },
		GetCertificate:     func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &l.current().Certificates[0], nil },
		NextProtos:         []string{"h2", "http/1.1"},
	}, nil
}

// loaded is what the files held when they were last read.
type loaded struct {
	files TLSFiles
	auth  tls.ClientAuthType
	log   hclog.Logger

	mu     sync.Mutex
	looked time.Time // when the files were last looked at
	seen   [3]stamp
	config *tls.Config
}

type stamp struct {
	modified time.Time
	size     int64
}

const lookEvery = time.Second

func (l *loaded) current() *tls.Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.looked) < lookEvery {
		return l.config
	}
	l.looked = time.Now()
	if l.stamps() != l.seen {
		if err := l.load(); err != nil {
			l.log.Warn("the new certificate cannot be used: the one before stays", "error", err)
		} else {
			l.log.Info("the certificate was replaced")
		}
	}
	return l.config
}

func (l *loaded) load() error {
	l.seen = l.stamps()
	cert, err := tls.LoadX509KeyPair(l.files.Cert, l.files.Key)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", l.files.Cert, err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientAuth: l.auth,
		NextProtos: []string{"h2", "http/1.1"},
	}
	if l.files.CA != "" {
		pem, err := os.ReadFile(l.files.CA)
		if err != nil {
			return err
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s: %w", l.files.CA, errors.New("no certificate in it"))
		}
	}
	l.config = config
	return nil
}

// stamps tell whether a file is another one. Its time alone does not: files are renamed.
func (l *loaded) stamps() (s [3]stamp) {
	for i, file := range []string{l.files.Cert, l.files.Key, l.files.CA} {
		if info, err := os.Stat(file); file != "" && err == nil {
			s[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return s
}
