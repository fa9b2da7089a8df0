//go:build unix

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

func vaultOf(p provider) *vault {
	if k, ok := p.(*kv); ok {
		return k.v
	}
	return p.(*transit).v
}

// until waits for something that happens elsewhere.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: it did not happen", what)
		}
	}
}

// isGone tells whether Vault has forgotten a token.
func (l *lab) isGone(token string) bool {
	_, err := l.root.Logical().WriteWithContext(l.t.Context(), "auth/token/lookup", map[string]any{"token": token})
	return err != nil
}

func TestAppRole(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	path := l.kv2(random(32))
	policy := l.policy(leastKV(path)...)
	a := l.approle(policy)
	roundTrip(t, mustOpen(t, l.withKV(a.config(), path)))

	t.Run("newlines at the end of the files are no part of the ids", func(t *testing.T) {
		cfg := l.withKV(a.config(), path)
		cfg.RoleIDFile, cfg.SecretIDFile = file(t, a.roleID+"\n"), file(t, a.secretID+"\r\n")
		mustOpen(t, cfg)
	})
	t.Run("another mount, written as in the API", func(t *testing.T) {
		cfg := l.withKV(a.config(), path)
		cfg.AuthMount = "/auth/" + a.mount + "/"
		mustOpen(t, cfg)
	})
	t.Run("without a secret id", func(t *testing.T) {
		cfg := l.withKV(a.config(), path)
		cfg.SecretIDFile = ""
		_, err := open(t.Context(), cfg)
		refused(t, "open", err, sdk.ErrPermission, "login by approle: missing secret_id (HTTP 400)", "give secret_id_file")

		free := l.approle(policy, "bind_secret_id", false, "token_bound_cidrs", []string{"127.0.0.0/8"})
		mustOpen(t, l.withKV(free.config(), path))
	})
	t.Run("used up", func(t *testing.T) {
		once := l.approle(policy, "secret_id_num_uses", 1)
		p := mustOpen(t, l.withKV(once.config(), path))
		_, err := open(t.Context(), l.withKV(once.config(), path))
		refused(t, "open", err, sdk.ErrPermission, "invalid role or secret ID", "the secret id in "+once.secretFile+" may be used up or expired")
		roundTrip(t, p)
		once.newSecret()
		mustOpen(t, l.withKV(once.config(), path))
	})
	t.Run("expired", func(t *testing.T) {
		brief := l.approle(policy, "secret_id_ttl", "1s")
		until(t, "expiry of the secret id", func() bool {
			l.put("auth/"+brief.mount+"/tidy/secret-id", nil) // which Vault does by itself once a minute
			_, err := l.root.Logical().WriteWithContext(t.Context(), "auth/"+brief.mount+"/login", map[string]any{"role_id": brief.roleID, "secret_id": brief.secretID})
			return err != nil
		})
		_, err := open(t.Context(), l.withKV(brief.config(), path))
		refused(t, "open", err, sdk.ErrPermission, "login by approle", "used up or expired")
	})
	t.Run("wrapped", func(t *testing.T) {
		c, err := l.root.Clone()
		if err != nil {
			t.Fatal(err)
		}
		c.SetToken(l.s.RootToken)
		c.SetWrappingLookupFunc(func(string, string) string { return "1h" })
		s, err := c.Logical().WriteWithContext(t.Context(), "auth/"+a.mount+"/role/brock/secret-id", nil)
		if err != nil {
			t.Fatal(err)
		}
		cfg := l.withKV(a.config(), path)
		cfg.SecretIDFile = file(t, s.WrapInfo.Token)
		_, err = open(t.Context(), cfg)
		refused(t, "open", err, sdk.ErrPermission, "login by approle", "VAULT_TOKEN=$(cat "+cfg.SecretIDFile+") vault unwrap -field=secret_id")
	})
	t.Run("of another role", func(t *testing.T) {
		cfg := l.withKV(a.config(), path)
		cfg.RoleIDFile = l.approle(policy).roleFile
		_, err := open(t.Context(), cfg)
		refused(t, "open", err, sdk.ErrPermission, "invalid role or secret ID", "belong to another role")
	})
	t.Run("locked", func(t *testing.T) {
		locked := l.approle(policy)
		cfg := l.withKV(locked.config(), path)
		cfg.SecretIDFile = file(t, "wrong")
		for range 5 {
			if _, err := open(t.Context(), cfg); err == nil {
				t.Error("a wrong secret id opens")
			}
		}
		_, err := open(t.Context(), l.withKV(locked.config(), path))
		refused(t, "open", err, sdk.ErrPermission, "permission denied (HTTP 403)", "after five logins that failed, Vault refuses all")
		mount, key := l.transit(nil)
		_, err = open(t.Context(), l.withTransit(locked.config(), mount, key))
		refused(t, "open", err, sdk.ErrPermission, "login by approle: permission denied (HTTP 403)", "after five logins that failed")
	})
	t.Run("no such mount", func(t *testing.T) {
		cfg := l.withKV(a.config(), path)
		cfg.AuthMount = "nowhere"
		_, err := open(t.Context(), cfg)
		refused(t, "open", err, sdk.ErrPermission, "login by approle", "is there a login at auth/nowhere?")
	})
}

// A job that is longer than every token goes on: tokens are renewed as long as that is possible, and then there is a
// new login.
func TestTokenExpiresInMidJob(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	mount, key := l.transit(nil)
	a := l.approle(l.policy(leastTransit(mount, key)...), "token_ttl", "2s", "token_max_ttl", "4s")
	f, seen := l.proxy()
	cfg := l.withTransit(a.config(), mount, key)
	cfg.Addr = "http://" + f.Addr
	p := mustOpen(t, cfg)
	until(t, "renewal and a second login", func() bool {
		roundTrip(t, p)
		return seen.of("/renew-self") > 0 && seen.of("/login") > 1
	})
	roundTrip(t, p)
}

// Vault may forget a token before its time: somebody has revoked it, or Vault has lost what it knew.
func TestTokenIsRevokedInMidJob(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	mount, key := l.transit(nil)
	policy := l.policy(leastTransit(mount, key)...)
	revoke := func(t *testing.T, p provider) {
		t.Helper()
		l.put("auth/token/revoke", map[string]any{"token": vaultOf(p).api.Token()})
	}
	t.Run("approle logs in again", func(t *testing.T) {
		p := mustOpen(t, l.withTransit(l.approle(policy).config(), mount, key))
		w := roundTrip(t, p)
		revoke(t, p)
		if _, err := p.Unwrap(t.Context(), w); err != nil {
			t.Error(err)
		}
		if n := vaultOf(p).logins; n != 2 {
			t.Errorf("%d logins, want 2", n)
		}
	})
	t.Run("many at once log in once", func(t *testing.T) {
		p := mustOpen(t, l.withTransit(l.approle(policy).config(), mount, key))
		w := roundTrip(t, p)
		revoke(t, p)
		errs := make(chan error)
		for range 16 {
			go func() {
				_, err := p.Unwrap(t.Context(), w)
				errs <- err
			}()
		}
		for range 16 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := vaultOf(p).logins; n != 2 {
			t.Errorf("%d logins, want 2", n)
		}
	})
	t.Run("approle with a used-up secret id", func(t *testing.T) {
		p := mustOpen(t, l.withTransit(l.approle(policy, "secret_id_num_uses", 1).config(), mount, key))
		revoke(t, p)
		_, err := p.Wrap(t.Context(), random(32))
		refused(t, "Wrap", err, sdk.ErrPermission, "invalid role or secret ID", "used up or expired")
	})
	t.Run("a token is good for as long as it lasts, even if nobody can log in any more", func(t *testing.T) {
		p := mustOpen(t, l.withTransit(l.approle(policy, "secret_id_num_uses", 1, "token_type", "batch", "token_ttl", "1h").config(), mount, key))
		v := vaultOf(p)
		if v.lease.renewable || v.lease.short() {
			t.Fatalf("lease %+v", v.lease)
		}
		v.lease.life = 24 * time.Hour
		roundTrip(t, p)
	})
	t.Run("a token of a few uses", func(t *testing.T) {
		p := mustOpen(t, l.withTransit(l.approle(policy, "token_num_uses", 3).config(), mount, key))
		for range 5 {
			roundTrip(t, p)
		}
	})
	t.Run("token", func(t *testing.T) {
		cfg := l.withTransit(l.config(), mount, key)
		cfg.Token = sdk.NewSecret(l.token(policy))
		p := mustOpen(t, cfg)
		revoke(t, p)
		_, err := p.Wrap(t.Context(), random(32))
		refused(t, "Wrap", err, sdk.ErrPermission, "the token is not, or no longer, known to Vault", "role_id_file")
	})
	t.Run("token expires", func(t *testing.T) {
		cfg := l.withTransit(l.config(), mount, key)
		token := l.token(policy, "ttl", "1s", "renewable", false)
		cfg.Token = sdk.NewSecret(token)
		p := mustOpen(t, cfg)
		until(t, "expiry of the token", func() bool { return l.isGone(token) })
		_, err := p.Wrap(t.Context(), random(32))
		refused(t, "Wrap", err, sdk.ErrPermission, "the token is not, or no longer, known to Vault", "role_id_file")
	})
	t.Run("token file", func(t *testing.T) {
		cfg := l.withTransit(l.config(), mount, key)
		cfg.Token, cfg.TokenFile = sdk.Secret{}, file(t, l.token(policy)+"\n")
		p := mustOpen(t, cfg)
		revoke(t, p)
		_, err := p.Wrap(t.Context(), random(32))
		refused(t, "Wrap", err, sdk.ErrPermission, "the token in "+cfg.TokenFile+" is not, or no longer, known", "")
		if err := os.WriteFile(cfg.TokenFile, []byte(l.token(policy)), 0o600); err != nil { // as Vault's agent does
			t.Fatal(err)
		}
		roundTrip(t, p)
	})
}

func TestTokens(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	path := l.kv2(random(32))
	policy := l.policy(leastKV(path)...)
	try := func(token string) error {
		cfg := l.withKV(l.config(), path)
		cfg.Token = sdk.NewSecret(token)
		p, err := open(t.Context(), cfg)
		if err == nil {
			roundTrip(t, p)
			err = p.Close()
		}
		return err
	}
	if err := try(l.token(policy, "no_default_policy", true)); err != nil {
		t.Errorf("a token that may not look at itself: %v", err)
	}
	renewable := l.token(policy, "ttl", "1h")
	if err := try(renewable); err != nil {
		t.Errorf("a token that expires: %v", err)
	}
	if l.isGone(renewable) {
		t.Error("a token that was given was revoked")
	}
	refused(t, "no token of Vault's", try("hvs.nonsense"), sdk.ErrPermission, "not, or no longer, known to Vault", "give a new one")
	refused(t, "no token at all", try("hvs.non sense"), sdk.ErrInvalid, "the token holds a character that no token has", "")
	refused(t, "no policy", try(l.token("default")), sdk.ErrPermission, "permission denied", path+`" { capabilities = ["read"] }`)
}

// What a login has got is given back.
func TestCloseRevokesItsToken(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	path := l.kv2(random(32))
	p := mustOpen(t, l.withKV(l.approle(l.policy(leastKV(path)...)).config(), path))
	token := vaultOf(p).api.Token()
	if l.isGone(token) {
		t.Fatal("the token is not known")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if !l.isGone(token) {
		t.Error("the token is still good after Close")
	}
}

// A JWT by a static key stands in for Kubernetes as well: the request is the same, and only the server's way to look at
// the JWT, which needs a cluster, is not.
func TestJWT(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	path := l.kv2(random(32))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	mount := l.auth("jwt")
	l.put("auth/"+mount+"/config", map[string]any{"jwt_validation_pubkeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}})
	l.put("auth/"+mount+"/role/backup", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"brock"}, "token_policies": []string{l.policy(leastKV(path)...)}, "token_ttl": "1h",
	})
	good := file(t, jwt(t, key, "brock")+"\n")
	for _, method := range []string{"jwt", "kubernetes"} {
		cfg := l.withKV(l.config(), path)
		cfg.Token = sdk.Secret{}
		cfg.Auth, cfg.AuthMount, cfg.Role, cfg.JWTFile = method, mount, "backup", good
		p := mustOpen(t, cfg)
		w := roundTrip(t, p)
		l.put("auth/token/revoke", map[string]any{"token": vaultOf(p).api.Token()})
		if _, err := p.KeyStatus(t.Context()); err != nil {
			t.Errorf("%s does not log in again: %v", method, err)
		}
		if _, err := p.Unwrap(t.Context(), w); err != nil {
			t.Error(err)
		}
		cfg.JWTFile = file(t, jwt(t, key, "somebody else"))
		_, err := open(t.Context(), cfg)
		refused(t, method, err, sdk.ErrPermission, "login by "+method, "check role, and what the JWT in "+cfg.JWTFile+" is for")
		cfg.JWTFile = filepath.Join(t.TempDir(), "missing")
		_, err = open(t.Context(), cfg)
		refused(t, method, err, sdk.ErrInvalid, "jwt_file "+cfg.JWTFile+": no such file", "jwt_file")
	}
}

// jwt signs a JWT with ES256: RFC 7515 and 7518, section 3.4.
func jwt(t *testing.T, key *ecdsa.PrivateKey, audience string) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(map[string]any{"sub": "backup", "aud": audience, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	signed := enc([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + enc(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return signed + "." + enc(sig)
}
