package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/brock-backup/brock/sdk"
)

const (
	patience  = 20 * time.Second // for how long a Vault that is away is asked again
	perTry    = 15 * time.Second // for one request
	answerMax = 1 << 20          // bytes of an answer
)

// A vault is a Vault server, and how this plugin is logged in to it.
//
// It uses the API's raw requests: only there are the bytes of an answer, which may hold a key, in one's own hands and
// can be cleared.
type vault struct {
	cfg       Config
	place     string // for errors
	patience  time.Duration
	transport *http.Transport
	api       *api.Client // sends the token
	anonymous *api.Client // sends none

	turn   chan struct{} // holds a value; who takes it may use what is below, and puts it back
	logins int           // so far
	lease  lease

	veil veil
}

// connect makes the clients. Nothing is sent yet.
func connect(cfg Config) (*vault, error) {
	tlsConfig, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	v := &vault{
		cfg:      cfg,
		place:    "vault " + cfg.Addr,
		patience: patience,
		transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        tlsConfig,
			TLSHandshakeTimeout:    10 * time.Second,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		turn: make(chan struct{}, 1),
	}
	v.turn <- struct{}{}
	if v.api, err = v.client(); err != nil {
		return nil, err
	}
	v.anonymous, err = v.client()
	return v, err
}

// client makes a client without a token that tries everything once, and has no deadline: one of its own would end an
// answer before it is read.
func (v *vault) client() (*api.Client, error) {
	c, err := api.NewClient(&api.Config{
		Address:          v.cfg.Addr,
		DisableRedirects: true, // its own way of following them loses the request's body
		HttpClient: &http.Client{
			Transport:     limited{v.transport},
			CheckRedirect: sameProtocol,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", v.place, err, sdk.ErrInvalid)
	}
	c.ClearToken() // that of the environment
	if v.cfg.Namespace != "" {
		c.SetNamespace(v.cfg.Namespace)
	}
	return c, nil
}

// sameProtocol lets a standby send its clients to the active server, and nobody send them, and their token, into
// plain text.
func sameProtocol(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > 3:
		return errors.New("redirected too often")
	case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("redirected from https to plain text")
	}
	return nil
}

// limited cuts off answers that are too large for Vault's.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, answerMax), resp.Body}
	return resp, nil
}

func (c *Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.TLSServerName}
	if c.CACert != "" {
		pem, err := os.ReadFile(c.CACert)
		if err != nil {
			return nil, fileError("ca_cert", c.CACert, err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_cert %s holds no certificate as PEM: %w", c.CACert, sdk.ErrInvalid)
		}
	}
	if c.ClientCert == "" {
		return t, nil
	}
	for setting, path := range map[string]string{"client_cert": c.ClientCert, "client_key": c.ClientKey} {
		if _, err := os.Stat(path); err != nil {
			return nil, fileError(setting, path, err)
		}
	}
	cert, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
	if err != nil {
		return nil, fmt.Errorf("client_cert %s and client_key %s: %w: %w", c.ClientCert, c.ClientKey, cause(err), sdk.ErrInvalid)
	}
	// Whatever authorities the server names: those that it takes for logins need not be among them.
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	return t, nil
}

// A request is one question to Vault.
type request struct {
	what  string     // for errors, as in "read secret/data/dgraph"
	path  string     // below /v1/
	query url.Values // of a GET
	body  []byte     // JSON, of a PUT; nil is a GET
	hide  []byte     // what else no error may show
}

// put asks with a body.
func put(what, path string, body any) request {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // all are maps of strings
	}
	return request{what: what, path: path, body: data}
}

// do asks with a token: it logs in when that is due, and once more if Vault does not know the token any longer.
// The caller clears the answer if it may hold a key.
func (v *vault) do(ctx context.Context, r request) ([]byte, error) {
	until := time.Now().Add(v.patience)
	login, err := v.ready(ctx, until)
	if err != nil {
		return nil, err
	}
	answer, err := v.persist(ctx, v.api, r, until)
	if err == nil || !v.tokenDied(ctx, err, until) {
		return answer, err
	}
	if err := v.loginAfter(ctx, login, until); err != nil {
		return nil, err
	}
	return v.persist(ctx, v.api, r, until)
}

// persist asks until Vault is there, at longer and longer intervals.
func (v *vault) persist(ctx context.Context, c *api.Client, r request, until time.Time) ([]byte, error) {
	pause := 100 * time.Millisecond
	for first := true; ; first = false {
		answer, err := v.try(ctx, c, r)
		if !errors.Is(err, sdk.ErrUnavailable) || ctx.Err() != nil {
			return answer, err
		}
		wait := max(pause, sdk.RetryAfter(err))
		if time.Now().Add(wait).After(until) {
			return nil, err
		}
		if first {
			sdk.Logger().Warn("Vault is not available, asking again", "for", time.Until(until).Round(time.Second), "error", err)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		pause = min(2*pause, 3*time.Second)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try asks once.
func (v *vault) try(ctx context.Context, c *api.Client, r request) ([]byte, error) {
	tryCtx, cancel := context.WithTimeout(ctx, perTry)
	defer cancel()
	var resp *api.Response
	var err error
	if r.body == nil {
		resp, err = c.Logical().ReadRawWithDataWithContext(tryCtx, r.path, r.query)
	} else {
		resp, err = c.Logical().WriteRawWithContext(tryCtx, r.path, r.body)
	}
	if resp != nil {
		defer resp.Body.Close()
	}
	if err == nil {
		var answer []byte
		if answer, err = readAll(resp.Body, resp.ContentLength); err == nil {
			return answer, nil
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %s: %w", v.place, r.what, ctx.Err())
	}
	return nil, v.failure(r, resp, err)
}

// readAll is io.ReadAll, and leaves nothing behind in smaller buffers.
func readAll(r io.Reader, size int64) ([]byte, error) {
	if size < 0 || size > answerMax {
		size = 16 << 10
	}
	buf := make([]byte, 0, size+1)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			clear(buf)
			return nil, err
		}
		if len(buf) == cap(buf) {
			larger := append(make([]byte, 0, 4*cap(buf)), buf...)
			clear(buf)
			buf = larger
		}
	}
}

// decode reads an answer. Its error shows nothing of it.
func (v *vault) decode(r request, answer []byte, into any) error {
	if json.Unmarshal(answer, into) == nil {
		return nil
	}
	return sdk.WithHint(fmt.Errorf("%s: %s: the answer is not one of Vault's: %w", v.place, r.what, sdk.ErrInvalid),
		"check addr: something else may listen there")
}

// A text is what a string of JSON holds, in bytes that can be cleared.
type text []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *text) UnmarshalText(b []byte) error {
	*t = append(make([]byte, 0, len(b)), b...)
	return nil
}

// close takes leave: a token that was got by a login is of no use to anybody now.
func (v *vault) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	v.logout(ctx)
	v.transport.CloseIdleConnections()
}
