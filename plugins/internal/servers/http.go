package servers

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// answers returns nil if a GET of url is answered, other than by an error of the server. ca is the PEM file of who
// vouches for it; "" over plain HTTP.
func answers(ctx context.Context, url, ca string) error {
	got, err := request(ctx, http.MethodGet, url, ca, nil)
	if err != nil {
		return err
	}
	if got.status >= http.StatusInternalServerError {
		return fmt.Errorf("%s answers %d", url, got.status)
	}
	return nil
}

type answer struct {
	status int
	body   []byte // its first MiB
}

// request asks a server once. A body is sent as JSON.
func request(ctx context.Context, method, url, ca string, body any) (answer, error) {
	c, err := client(ca)
	if err != nil {
		return answer{}, err
	}
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
	if err != nil {
		return answer{}, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", url, err)
	}
	return answer{resp.StatusCode, data}, nil
}

// client returns an HTTP client for one server, without proxies.
func client(ca string) (*http.Client, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}
