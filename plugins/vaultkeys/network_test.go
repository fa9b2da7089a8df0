//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

const moment = 300 * time.Millisecond

// What a proxy or another server says is Vault's word for many things.
func TestAnswersThatAreNoHelp(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	path := l.kv2(random(32))
	f, _ := l.proxy()
	cfg := l.withKV(l.config(), path)
	cfg.Addr = "http://" + f.Addr
	for _, c := range []struct {
		action     servers.Action
		kind       error
		text, hint string
		wait       time.Duration
	}{
		{servers.Action{Status: 429, Header: http.Header{"Retry-After": {"30"}}}, sdk.ErrUnavailable, "HTTP 429", "limits the number of requests", 30 * time.Second},
		{servers.Action{Status: 429}, sdk.ErrUnavailable, "HTTP 429", "limits the number of requests", 0},
		{servers.Action{Status: 472}, sdk.ErrUnavailable, "HTTP 472", "is a standby", 0},
		{servers.Action{Status: 473}, sdk.ErrUnavailable, "HTTP 473", "is a standby", 0},
		{servers.Action{Status: 500}, sdk.ErrUnavailable, "HTTP 500", "", 0},
		{servers.Action{Status: 502}, sdk.ErrUnavailable, "not one of Vault's (HTTP 502)", "", 0},
		{servers.Action{Status: 503, Header: http.Header{"Retry-After": {"tomorrow"}}}, sdk.ErrUnavailable, "HTTP 503", "", 0},
		{servers.Action{Status: 200, Code: "Page"}, sdk.ErrInvalid, "not one of Vault's", "something else may listen there", 0},
		{servers.Action{Status: 200}, sdk.ErrInvalid, "not one of Vault's", "something else may listen there", 0},
		{servers.Action{Status: 418}, sdk.ErrInvalid, "HTTP 418", "", 0},
		{servers.Action{Status: 307, Header: http.Header{"Location": {"ftp://127.0.0.1/"}}}, sdk.ErrUnavailable, "", "check addr", 0},
		{servers.Action{Status: 307, Header: http.Header{"Location": {cfg.Addr + "/v1/round"}}}, sdk.ErrInvalid, "redirected too often", "check addr", 0},
		{servers.Action{Drop: true}, sdk.ErrUnavailable, "", "is Vault there?", 0},
		{servers.Action{CutResponse: 20}, sdk.ErrUnavailable, "", "is Vault there?", 0},
	} {
		f.Do(func(*http.Request) servers.Action { return c.action })
		_, err := openImpatient(t, cfg, moment)
		refused(t, fmt.Sprintf("%+v", c.action), err, c.kind, c.text, c.hint)
		if err != nil && (!strings.Contains(err.Error(), cfg.Addr) || sdk.RetryAfter(err) != c.wait) {
			t.Errorf("%+v: %v does not name %s, or another wait than %v", c.action, err, cfg.Addr, sdk.RetryAfter(err))
		}
	}
}

// A short outage is not noticed: whichever request meets it, and whether or not Vault did what it was asked for.
func TestShortOutages(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	mount, key := l.transit(nil)
	a := l.approle(l.policy(leastTransit(mount, key)...))
	f, _ := l.proxy()
	cfg := l.withTransit(a.config(), mount, key)
	cfg.Addr = "http://" + f.Addr
	for name, action := range map[string]servers.Action{
		"503": {Status: 503}, "drop": {Drop: true}, "lost": {Lose: true}, "cut": {CutResponse: 20}, "429": {Status: 429, Header: http.Header{"Retry-After": {"1"}}},
	} {
		for n := range 4 { // login, look at the key, encrypt, decrypt
			i := 0
			f.Do(func(*http.Request) servers.Action {
				i++
				if i == n+1 {
					return action
				}
				return servers.Action{}
			})
			p, err := open(t.Context(), cfg)
			if err != nil {
				t.Errorf("%s at request %d: %v", name, n, err)
				continue
			}
			roundTrip(t, p)
			p.Close()
			if i <= n {
				t.Errorf("%s: only %d requests", name, i)
			}
		}
	}
}

func TestVaultIsStartedAgain(t *testing.T) {
	o := servers.OwnVault(t)
	l := newLab(t, o.Vault)
	mount, key := l.transit(nil)
	cfg := l.withTransit(l.approle(l.policy(leastTransit(mount, key)...)).config(), mount, key)
	p := mustOpen(t, cfg)
	w := roundTrip(t, p)
	hurried, err := openImpatient(t, cfg, moment)
	if err != nil {
		t.Fatal(err)
	}
	o.Stop()
	_, err = hurried.Unwrap(t.Context(), w)
	refused(t, "Unwrap", err, sdk.ErrUnavailable, "connection refused", "is Vault there? check addr")

	vaultOf(p).patience = time.Minute
	done := make(chan error)
	go func() {
		_, err := p.Unwrap(t.Context(), w)
		done <- err
	}()
	o.Start()
	if err := <-done; err != nil {
		t.Errorf("Unwrap across a restart: %v", err)
	}
}

func TestSealedVault(t *testing.T) {
	o := servers.OwnVault(t)
	l := newLab(t, o.Vault)
	path := l.kv2(random(32))
	cfg := l.withKV(l.approle(l.policy(leastKV(path)...)).config(), path)
	if err := l.root.Sys().SealWithContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := openImpatient(t, cfg, moment)
	refused(t, "open", err, sdk.ErrUnavailable, "Vault is sealed (HTTP 503)", "vault operator unseal")
	done := make(chan error)
	go func() {
		_, err := openImpatient(t, cfg, time.Minute)
		done <- err
	}()
	if _, err := l.root.Sys().UnsealWithContext(t.Context(), o.Vault.UnsealKey); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("open while it is unsealed: %v", err)
	}
}

func TestRateLimit(t *testing.T) {
	o := servers.OwnVault(t)
	l := newLab(t, o.Vault)
	path := l.kv2(random(32))
	p, err := openImpatient(t, l.withKV(l.config(), path), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	l.put("sys/quotas/config", map[string]any{"enable_rate_limit_response_headers": true})
	store, _, _ := strings.Cut(path, "/")
	quota := func(interval string) {
		l.put("sys/quotas/rate-limit/"+l.name, map[string]any{"path": store + "/", "rate": 1, "interval": interval})
	}
	quota("1s")
	for range 3 { // one of them waits
		if _, err := p.KeyStatus(t.Context()); err != nil {
			t.Errorf("KeyStatus: %v", err)
		}
	}
	quota("1h")
	for range 3 { // not one of them waits
		if _, e := p.KeyStatus(t.Context()); e != nil {
			err = e
		}
	}
	refused(t, "KeyStatus", err, sdk.ErrUnavailable, "HTTP 429", "limits the number of requests")
	if wait := sdk.RetryAfter(err); wait < time.Minute {
		t.Errorf("wait %v, want most of an hour", wait)
	}
}

// A standby sends its clients to the active server, and the request's body goes with them.
func TestRedirect(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	mount, key := l.transit(nil)
	f, _ := l.proxy()
	f.Do(func(r *http.Request) servers.Action {
		return servers.Action{Status: 307, Header: http.Header{"Location": {l.s.Addr + r.URL.RequestURI()}}}
	})
	cfg := l.withTransit(l.approle(l.policy(leastTransit(mount, key)...)).config(), mount, key)
	cfg.Addr = "http://" + f.Addr
	roundTrip(t, mustOpen(t, cfg))
}

// Vault without namespaces takes no notice of the header, so that this looks at the requests.
func TestNamespaceIsSent(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	path := l.kv2(random(32))
	a := l.approle(l.policy(leastKV(path)...))
	f, _ := l.proxy()
	for _, namespace := range []string{"", "team/backup"} {
		var headers []string
		f.Do(func(r *http.Request) servers.Action {
			headers = append(headers, strings.Join(r.Header.Values("X-Vault-Namespace"), ","))
			return servers.Action{}
		})
		cfg := l.withKV(a.config(), path)
		cfg.Addr, cfg.Namespace = "http://"+f.Addr, namespace
		mustOpen(t, cfg)
		f.Do(nil)
		if len(headers) < 2 {
			t.Errorf("%d requests", len(headers))
		}
		for _, h := range headers {
			if h != namespace {
				t.Errorf("namespace %q, want %q", h, namespace)
			}
		}
	}
}

// The environment of the plugin does not replace a setting, nor add a token to a login.
func TestEnvironmentOfOthers(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	path := l.kv2(random(32))
	t.Setenv("VAULT_TOKEN", "hvs.of-somebody-else")
	t.Setenv("VAULT_NAMESPACE", "of-somebody-else")
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
	f, seen := l.proxy()
	cfg := l.withKV(l.approle(l.policy(leastKV(path)...)).config(), path)
	cfg.Addr = "http://" + f.Addr
	f.Do(func(r *http.Request) servers.Action {
		a := seen.count(r)
		if strings.HasSuffix(r.URL.Path, "/login") && r.Header.Get("X-Vault-Token") != "" {
			t.Error("a login carries a token")
		}
		return a
	})
	mustOpen(t, cfg)
}

func TestCancelIsPrompt(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	path := l.kv2(random(32))
	f, _ := l.proxy()
	cfg := l.withKV(l.config(), path)
	cfg.Addr = "http://" + f.Addr
	p := mustOpen(t, cfg)
	f.BlackHole(true)
	ctx, cancel := context.WithTimeout(t.Context(), moment)
	defer cancel()
	began := time.Now()
	if _, err := p.KeyStatus(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("KeyStatus: %v, want the context's error", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestNobodyIsThere(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	cfg := l.config()
	cfg.Addr = "http://127.0.0.1:1"
	_, err := openImpatient(t, cfg, moment)
	refused(t, "open", err, sdk.ErrUnavailable, "vault http://127.0.0.1:1: ", "vault status -address=http://127.0.0.1:1")
	cfg.Addr = "http://vault.invalid:8200"
	_, err = openImpatient(t, cfg, moment)
	if !errors.Is(err, sdk.ErrInvalid) && !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("open: %v", err)
	}
}
