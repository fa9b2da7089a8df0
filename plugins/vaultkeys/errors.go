package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/brock-backup/brock/sdk"
)

// A refusal is what Vault answered instead of what it was asked for.
type refusal struct {
	place, what string
	status      int    // of HTTP
	text        string // in Vault's words, without secrets
	foreign     bool   // it was not Vault that answered
	login       bool   // it is the login that was refused
	kind        error
	answer      []byte // of a 404: a deleted secret has a description
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s: %s: %s (HTTP %d)", r.place, r.what, r.text, r.status)
}

func (r *refusal) Unwrap() error { return r.kind }

// as returns the same of another kind.
func (r *refusal) as(kind error) *refusal {
	other := *r
	other.kind = kind
	return &other
}

// failure says what went wrong with a request. resp may be nil.
func (v *vault) failure(r request, resp *api.Response, err error) error {
	said, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		return v.networkFailure(r, err)
	}
	f := &refusal{place: v.place, what: r.what, status: said.StatusCode, kind: kinds[said.StatusCode], foreign: said.RawError}
	switch {
	case said.RawError && strings.Contains(strings.Join(said.Errors, ""), "HTTP request to an HTTPS server"):
		f.text = "the server wants https"
		return sdk.WithHint(f.as(sdk.ErrInvalid), "write addr with https://")
	case said.RawError:
		f.text = "the answer is not one of Vault's" // and nobody knows what is in it
	default:
		f.text = v.veil.scrub(plain(said.Errors), r.hide)
	}
	if strings.Contains(f.text, "failed to determine alias name") {
		f.kind = sdk.ErrInvalid // a login of another method, which an AppRole answers with 500
	}
	if f.kind == nil && f.status >= 500 {
		f.kind = sdk.ErrUnavailable
	}
	if f.kind == nil {
		f.kind = sdk.ErrInvalid
	}
	if f.text == "" {
		f.text = strings.ToLower(http.StatusText(f.status))
	}
	if f.status == http.StatusNotFound {
		f.answer, _ = readAll(resp.Body, -1)
	}
	err = f
	if hint := f.hint(r); hint != "" {
		err = sdk.WithHint(err, hint)
	}
	if wait := waitOf(resp.Header); wait > 0 {
		err = sdk.WithRetryAfter(err, wait)
	}
	return err
}

// Answers of HTTP, where Vault's own meaning is not that of the class. A 500 is mostly a node that is starting or has
// lost its leader.
var kinds = map[int]error{
	http.StatusForbidden:          sdk.ErrPermission,
	http.StatusUnauthorized:       sdk.ErrPermission,
	http.StatusNotFound:           sdk.ErrNotExist,
	http.StatusRequestTimeout:     sdk.ErrUnavailable,
	http.StatusPreconditionFailed: sdk.ErrUnavailable, // a replica that is behind
	http.StatusTooManyRequests:    sdk.ErrUnavailable,
	472:                           sdk.ErrUnavailable, // a standby for disaster recovery
	473:                           sdk.ErrUnavailable, // a standby for performance
	http.StatusNotImplemented:     sdk.ErrInvalid,
}

func (r *refusal) hint(req request) string {
	switch {
	case r.status == http.StatusServiceUnavailable && strings.Contains(r.text, "sealed"):
		return "somebody who has the keys must unseal it: vault operator unseal"
	case r.status == http.StatusTooManyRequests:
		return "Vault limits the number of requests: see vault list sys/quotas/rate-limit"
	case r.status == 472 || r.status == 473:
		return "this server is a standby: give the address of the active one in addr"
	case r.status == http.StatusNotFound && strings.Contains(r.text, "no handler for route"):
		return "no secrets engine is mounted there: check the path and the namespace"
	case r.status == http.StatusForbidden && !strings.Contains(r.text, "invalid token"):
		capability := "read"
		if req.body != nil {
			capability = "update"
		}
		return fmt.Sprintf("the token needs a policy with: path %q { capabilities = [%q] }", req.path, capability)
	}
	return ""
}

// waitOf reads the header Retry-After, in seconds: Vault writes no dates.
func waitOf(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// plain turns Vault's lists of errors into a line.
func plain(said []string) string {
	var parts []string
	for line := range strings.Lines(strings.Join(said, "\n")) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "* ")
		if line != "" && !strings.HasSuffix(line, "occurred:") && !slices.Contains(parts, line) {
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, ", ")
}

// networkFailure is for requests that nobody answered. What is no fault of the settings may pass.
func (v *vault) networkFailure(r request, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the address, which the place has
	}
	kind, hint := sdk.ErrUnavailable, ""
	switch text := err.Error(); {
	case isA[*tls.CertificateVerificationError](err), isA[x509.UnknownAuthorityError](err):
		kind, hint = sdk.ErrInvalid, "give the certificates that vouch for the server in ca_cert, or VAULT_CACERT"
		if isA[x509.HostnameError](err) {
			hint = "the certificate is for another name: write that in addr, or in tls_server_name"
		}
	case strings.Contains(text, "gave HTTP response to HTTPS client"):
		kind, hint = sdk.ErrInvalid, "write addr with http://, if plain text is meant"
	case strings.Contains(text, "remote error: tls: certificate required"), strings.Contains(text, "remote error: tls: bad certificate"),
		strings.Contains(text, "remote error: tls: unknown certificate"):
		kind, hint = sdk.ErrPermission, "the server demands a client certificate of its own authority: give client_cert and client_key"
	case strings.Contains(text, "redirected"), strings.Contains(text, "no such host"):
		kind, hint = sdk.ErrInvalid, "check addr"
	default:
		hint = "is Vault there? check addr: vault status -address=" + v.cfg.Addr
	}
	if d, ok := errors.AsType[*net.DNSError](err); ok && d.IsTemporary {
		kind = sdk.ErrUnavailable
	}
	err = fmt.Errorf("%s: %s: %s: %w", v.place, r.what, v.veil.scrub(err.Error(), r.hide), kind)
	return sdk.WithHint(err, hint)
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// A veil hides what no error may show: Vault quotes what it does not understand.
type veil struct {
	mu      sync.Mutex
	secrets []sdk.Secret // the last few
}

func (v *veil) hide(s sdk.Secret) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := func(o sdk.Secret) bool { return o.RevealString() == s.RevealString() }
	if s.IsZero() || slices.ContainsFunc(v.secrets, known) {
		return
	}
	v.secrets = append(v.secrets, s)
	v.secrets = v.secrets[max(0, len(v.secrets)-16):]
}

// scrub masks secrets in a text of somebody else's, and keeps it short.
func (v *veil) scrub(text string, more []byte) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	values := []string{string(more)}
	for _, s := range v.secrets {
		values = append(values, s.RevealString())
	}
	for _, value := range values {
		if value == "" {
			continue
		}
		for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value)), strings.Trim(strconv.Quote(value), `"`)} {
			text = strings.ReplaceAll(text, form, "[secret]")
		}
	}
	const limit = 300
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}
