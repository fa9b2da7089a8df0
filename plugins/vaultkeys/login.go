package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// A lease is how long the token lasts. The zero lease never ends.
type lease struct {
	life      time.Duration // of the whole token, or of its last renewal
	expires   time.Time
	renewable bool
}

// short reports whether less than a third is left: there is time for more than one try then.
func (l lease) short() bool { return !l.expires.IsZero() && time.Until(l.expires) < l.life/3 }

func (l lease) over() bool { return !l.expires.IsZero() && time.Now().After(l.expires) }

// ready sees to it that the token lasts a while longer, and returns the number of its login.
func (v *vault) ready(ctx context.Context, until time.Time) (int, error) {
	if err := v.take(ctx); err != nil {
		return 0, err
	}
	defer v.give()
	if v.logins > 0 && !v.lease.short() {
		return v.logins, nil
	}
	if v.logins > 0 && v.lease.renewable && !v.lease.over() {
		if v.renew(ctx); !v.lease.short() {
			return v.logins, nil
		}
	}
	err := v.login(ctx, until)
	if err != nil && ctx.Err() == nil && v.logins > 0 && !v.lease.over() {
		sdk.Logger().Warn("the token expires soon, and a new login failed", "in", time.Until(v.lease.expires).Round(time.Second), "error", err)
		return v.logins, nil
	}
	return v.logins, err
}

// loginAfter logs in anew, unless that was done since.
func (v *vault) loginAfter(ctx context.Context, login int, until time.Time) error {
	if err := v.take(ctx); err != nil {
		return err
	}
	defer v.give()
	if v.logins != login {
		return nil
	}
	return v.login(ctx, until)
}

func (v *vault) take(ctx context.Context) error {
	select {
	case <-v.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *vault) give() { v.turn <- struct{}{} }

// tokenDied tells whether a request was refused because of its token, and not because of what it asked for.
func (v *vault) tokenDied(ctx context.Context, err error, until time.Time) bool {
	r, ok := errors.AsType[*refusal](err)
	if !ok || r.status != 403 {
		return false
	}
	if strings.Contains(r.text, "invalid token") {
		return true
	}
	_, err = v.persist(ctx, v.api, lookup, until) // an older Vault gives no reason
	r, ok = errors.AsType[*refusal](err)
	return ok && r.status == 403
}

var lookup = request{what: "look at the token", path: "auth/token/lookup-self"}

// auth is what Vault says of a token that it has made or renewed.
type auth struct {
	Auth struct {
		Token     string `json:"client_token"`
		Seconds   int64  `json:"lease_duration"`
		Renewable bool   `json:"renewable"`
	} `json:"auth"`
}

// renew asks for more time. If there is none to be had, the lease is as short as before.
func (v *vault) renew(ctx context.Context) {
	r := put("renew the token", "auth/token/renew-self", map[string]string{})
	answer, err := v.try(ctx, v.api, r)
	if err != nil {
		return // whatever the reason: the next thing is a login, which gives its own
	}
	defer clear(answer)
	var a auth
	if v.decode(r, answer, &a) == nil && a.Auth.Seconds > 0 {
		v.lease.expires = time.Now().Add(time.Duration(a.Auth.Seconds) * time.Second)
	}
}

// login gets a token, or takes the one that was given.
func (v *vault) login(ctx context.Context, until time.Time) error {
	if v.cfg.Auth == "token" {
		return v.useToken(ctx, until)
	}
	credentials, err := v.credentials()
	if err != nil {
		return err
	}
	body := map[string]string{}
	for name, s := range credentials {
		body[name] = s.RevealString()
		if name != "role" && name != "name" {
			v.veil.hide(s)
		}
	}
	r := put("login by "+v.cfg.Auth, "auth/"+v.cfg.AuthMount+"/login", body)
	defer clear(r.body)
	answer, err := v.persist(ctx, v.anonymous, r, until)
	if err != nil {
		return v.loginFailure(err, credentials)
	}
	defer clear(answer)
	var a auth
	if err := v.decode(r, answer, &a); err != nil {
		return err
	}
	if a.Auth.Token == "" {
		return fmt.Errorf("%s: %s: Vault gave no token, it may want a second factor: %w", v.place, r.what, sdk.ErrPermission)
	}
	v.veil.hide(sdk.NewSecret(a.Auth.Token))
	v.api.SetToken(a.Auth.Token)
	v.logins++
	v.lease = lease{}
	if life := time.Duration(a.Auth.Seconds) * time.Second; life > 0 {
		v.lease = lease{life, time.Now().Add(life), a.Auth.Renewable}
	}
	return nil
}

// credentials are what the login sends. Files are read anew each time: something may have renewed them.
func (v *vault) credentials() (map[string]sdk.Secret, error) {
	sent := map[string]sdk.Secret{}
	var err error
	file := func(name, setting, path string) {
		if path != "" && err == nil {
			sent[name], err = readSecret(setting, path)
		}
	}
	role := "role"
	switch v.cfg.Auth {
	case "approle":
		role = ""
		file("role_id", "role_id_file", v.cfg.RoleIDFile)
		file("secret_id", "secret_id_file", v.cfg.SecretIDFile)
	case "kubernetes", "jwt":
		file("jwt", "jwt_file", v.cfg.JWTFile)
	case "cert":
		role = "name"
	}
	if role != "" && v.cfg.Role != "" {
		sent[role] = sdk.NewSecret(v.cfg.Role)
	}
	return sent, err
}

// useToken takes a token that somebody else has got, and finds out how long it lasts.
func (v *vault) useToken(ctx context.Context, until time.Time) error {
	token, source := v.cfg.Token, "the token"
	if v.cfg.TokenFile != "" {
		var err error
		if token, err = readSecret("token_file", v.cfg.TokenFile); err != nil {
			return err
		}
		source = "the token in " + v.cfg.TokenFile
	}
	if strings.IndexFunc(token.RevealString(), func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return fmt.Errorf("%s holds a character that no token has: %w", source, sdk.ErrInvalid)
	}
	v.veil.hide(token)
	v.api.SetToken(token.RevealString())
	answer, err := v.persist(ctx, v.api, lookup, until)
	if r, ok := errors.AsType[*refusal](err); ok && r.status == 403 {
		if strings.Contains(r.text, "invalid token") {
			return sdk.WithHint(fmt.Errorf("%s: %s is not, or no longer, known to Vault: %w", v.place, source, sdk.ErrPermission),
				"give a new one, or let this plugin log in by itself: with role_id_file and secret_id_file, say")
		}
		v.logins, v.lease = v.logins+1, lease{} // it may not look at itself
		return nil
	}
	if err != nil {
		return err
	}
	defer clear(answer)
	var t struct {
		Data struct {
			Seconds   int64 `json:"ttl"`
			Life      int64 `json:"creation_ttl"`
			Renewable bool  `json:"renewable"`
		} `json:"data"`
	}
	if err := v.decode(lookup, answer, &t); err != nil {
		return err
	}
	v.logins, v.lease = v.logins+1, lease{}
	if left := time.Duration(t.Data.Seconds) * time.Second; left > 0 {
		life := max(left, time.Duration(t.Data.Life)*time.Second)
		v.lease = lease{life, time.Now().Add(left), t.Data.Renewable}
	}
	return nil
}

// logout gives a token back that this plugin has got itself. If it fails, the token expires.
func (v *vault) logout(ctx context.Context) {
	if v.take(ctx) != nil {
		return
	}
	defer v.give()
	if v.logins == 0 || v.cfg.Auth == "token" || v.lease.over() {
		return
	}
	_, _ = v.try(ctx, v.api, put("revoke the token", "auth/token/revoke-self", map[string]string{}))
	v.api.ClearToken()
	v.logins = 0
}

// loginFailure explains why Vault does not let this plugin in.
func (v *vault) loginFailure(err error, sent map[string]sdk.Secret) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok || r.foreign || errors.Is(err, sdk.ErrUnavailable) {
		return err
	}
	mount := v.cfg.AuthMount
	r = r.as(sdk.ErrPermission)
	r.login = true
	if r.status == 403 || r.status == 404 { // ids that are not good are 400
		return sdk.WithHint(r, fmt.Sprintf("is there a login at auth/%s? check auth_mount and namespace, and whether it may be used from this address; "+
			"after five logins that failed, Vault refuses all for a quarter of an hour", mount))
	}
	switch v.cfg.Auth {
	case "approle":
		role := fmt.Sprintf("vault write -f auth/%s/role/ROLE/secret-id", mount)
		id, given := sent["secret_id"]
		switch {
		case !given:
			return sdk.WithHint(r, "this AppRole demands a secret id: give secret_id_file")
		case wrapping(id):
			return sdk.WithHint(r, fmt.Sprintf("%s seems to hold a wrapping token instead of the secret id; unwrap it, which is possible once: "+
				"VAULT_TOKEN=$(cat %[1]s) vault unwrap -field=secret_id > NEWFILE", v.cfg.SecretIDFile))
		}
		return sdk.WithHint(r, fmt.Sprintf("the secret id in %s may be used up or expired, or belong to another role than the id in %s; a new one is made with: %s",
			v.cfg.SecretIDFile, v.cfg.RoleIDFile, role))
	case "cert":
		return sdk.WithHint(r, fmt.Sprintf("Vault must know who signed client_cert: vault write auth/%s/certs/NAME certificate=@ca.pem", mount))
	}
	return sdk.WithHint(r, fmt.Sprintf("check role, and what the JWT in %s is for: vault read auth/%s/role/ROLE", v.cfg.JWTFile, mount))
}

// wrapping recognises a token, which a secret id, a UUID by default, never looks like.
func wrapping(s sdk.Secret) bool {
	return strings.HasPrefix(s.RevealString(), "hvs.") || strings.HasPrefix(s.RevealString(), "s.")
}

// readSecret returns what a file holds, without the newline that an editor leaves behind.
func readSecret(setting, path string) (none sdk.Secret, err error) {
	fi, err := os.Stat(path)
	if err != nil {
		return none, fileError(setting, path, err)
	}
	if !fi.Mode().IsRegular() {
		return none, fmt.Errorf("%s %s is no regular file: %w", setting, path, sdk.ErrInvalid)
	}
	f, err := os.Open(path)
	if err != nil {
		return none, fileError(setting, path, err)
	}
	defer f.Close()
	const limit = 64 << 10
	data, err := io.ReadAll(io.LimitReader(f, limit))
	defer clear(data)
	if err != nil {
		return none, fileError(setting, path, err)
	}
	if len(data) == limit {
		return none, fmt.Errorf("%s %s is too large: %w", setting, path, sdk.ErrInvalid)
	}
	value := bytes.TrimRight(data, "\r\n")
	if len(value) < len(data) {
		sdk.Logger().Info("the newline at the end of a file is no part of what it holds", setting, path)
	}
	if len(value) == 0 {
		return none, fmt.Errorf("%s %s is empty: %w", setting, path, sdk.ErrInvalid)
	}
	private := setting == "secret_id_file" || setting == "token_file"
	if m := fi.Mode().Perm(); private && m&0o077 != 0 && runtime.GOOS != "windows" {
		sdk.Logger().Warn("a file with a secret can be read or changed by other users, make it 0600", setting, path, "mode", fmt.Sprintf("%04o", m))
	}
	return sdk.NewSecret(value), nil
}

// fileError says which setting names a file that cannot be read.
func fileError(setting, path string, err error) error {
	kind := sdk.ErrInvalid // also if it is not there: absent is what Vault does not have
	switch {
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE):
		kind = sdk.ErrUnavailable
	case errors.Is(err, fs.ErrPermission):
		kind = sdk.ErrPermission
	}
	return sdk.WithHint(fmt.Errorf("%s %s: %s: %w", setting, path, cause(err).Error(), kind), "check the setting "+setting)
}

// cause leaves out the path, which the message has already.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return cmp.Or(p.Err, err)
	}
	return err
}
