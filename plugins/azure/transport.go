package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/brock-backup/brock/sdk"
)

const (
	dialTime = 10 * time.Second

	// stallTime is how long a connection may carry nothing while somebody waits
	// for it. Azure takes up to a minute for a long list of blocks.
	stallTime = 75 * time.Second
)

// newTransport returns the connections of one destination. They use TLS 1.2 or
// newer, trust the system's authorities and those in a file, take the proxy from
// the environment, and fail when they stall.
func newTransport(caFile string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dial,
		TLSHandshakeTimeout:   dialTime,
		MaxIdleConnsPerHost:   concurrentPuts * blocksPerPut,
		IdleConnTimeout:       stallTime / 2,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // objects come as they are
		ReadBufferSize:        64 << 10,
		WriteBufferSize:       64 << 10,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("setting ca_file: %s: %w", err.Error(), sdk.ErrInvalid)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("setting ca_file: %s has no certificates in PEM: %w", caFile, sdk.ErrInvalid)
	}
	t.TLSClientConfig.RootCAs = pool
	return t, nil
}

func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTime, KeepAlive: 30 * time.Second}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &patientConn{c}, nil
}

// A patientConn fails when nothing arrives for a while, unless something is
// being sent meanwhile.
type patientConn struct{ net.Conn }

func (c *patientConn) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(stallTime))
	return c.Conn.Read(p)
}

func (c *patientConn) Write(p []byte) (int, error) {
	_ = c.SetDeadline(time.Now().Add(stallTime))
	return c.Conn.Write(p)
}

// A wire carries requests. What they are signed with, if it is a SAS, is added
// here and nowhere else, so that no address with it in it can end up in an
// error or a log. Redirects are not followed.
type wire struct {
	conns http.RoundTripper
	sas   sdk.Secret
	skew  atomic.Pointer[time.Duration] // of Azure's clock to this one's
	tls   atomic.Uint32                 // version of the last answer's connection; 0: there was none
}

// Do implements policy.Transporter.
func (w *wire) Do(req *http.Request) (*http.Response, error) {
	signed := req
	if !w.sas.IsZero() {
		u := *req.URL
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += w.sas.RevealString()
		signed = req.WithContext(req.Context())
		signed.URL = &u
	}
	resp, err := w.conns.RoundTrip(signed)
	if err != nil {
		return nil, err
	}
	resp.Request = req
	if resp.TLS != nil {
		w.tls.Store(uint32(resp.TLS.Version))
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		skew := time.Until(date).Round(time.Second)
		w.skew.Store(&skew)
	}
	return resp, nil
}

// clockSkew returns how far Azure's clock is ahead of this one, as of the last
// answer; ok is false if there was none.
func (w *wire) clockSkew() (skew time.Duration, ok bool) {
	s := w.skew.Load()
	if s == nil {
		return 0, false
	}
	return *s, true
}

// answered reports whether there ever was an answer.
func (w *wire) answered() bool {
	_, ok := w.clockSkew()
	return ok
}
