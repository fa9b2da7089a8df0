package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// Config is what a user writes for this key provider. What Dgraph has too has Dgraph's name and default.
type Config struct {
	Addr string `json:"addr" env:"VAULT_ADDR" default:"http://localhost:8200" doc:"address of the Vault server" example:"https://vault.example.com:8200"`

	RoleIDFile   string `json:"role_id_file"   doc:"file with the role id, for a login by AppRole"        example:"/etc/brock/role_id"`
	SecretIDFile string `json:"secret_id_file" doc:"file with the secret id, if the AppRole demands one" example:"/etc/brock/secret_id"`

	Path      string `json:"path"       default:"secret/data/dgraph" doc:"path of the secret that holds the key; the data/ of KV version 2 may be left out"`
	Field     string `json:"field"      default:"enc_key"            doc:"field of the secret that holds the key"`
	Format    string `json:"format"     default:"base64"             doc:"base64 or raw: how the field holds the key"`
	KVVersion int    `json:"kv_version"                              doc:"1 or 2: the version of the KV store; 0 finds out"`
	Version   int    `json:"version"                                 doc:"version of the secret, where the store keeps versions; 0 is the newest"`

	TransitKey   string `json:"transit_key"                     doc:"name of a key in the transit engine: used instead of a key in the KV store" example:"brock"`
	TransitMount string `json:"transit_mount" default:"transit" doc:"path of the transit engine"`

	Namespace     string `json:"namespace"       env:"VAULT_NAMESPACE"       doc:"namespace of everything above" example:"team/backup"`
	CACert        string `json:"ca_cert"         env:"VAULT_CACERT"          doc:"file with the certificates that vouch for the server, as PEM; without it, those of the system do"`
	ClientCert    string `json:"client_cert"     env:"VAULT_CLIENT_CERT"     doc:"file with the client's certificate, as PEM"`
	ClientKey     string `json:"client_key"      env:"VAULT_CLIENT_KEY"      doc:"file with the key of the client's certificate, as PEM"`
	TLSServerName string `json:"tls_server_name" env:"VAULT_TLS_SERVER_NAME" doc:"name that the server's certificate must be for, if it is not that in addr"`

	Auth      string     `json:"auth"                        doc:"login: approle, token, kubernetes, jwt or cert; without it approle if there is a role_id_file, or else token"`
	AuthMount string     `json:"auth_mount"                  doc:"path of the login, if it is not the name of the method" example:"approle-prod"`
	Token     sdk.Secret `json:"token"     env:"VAULT_TOKEN" doc:"a token, for the login token"`
	TokenFile string     `json:"token_file"                  doc:"file with a token, for the login token; it is read again when the token is no longer good" example:"/run/vault-agent/token"`
	Role      string     `json:"role"                        doc:"role, for the logins kubernetes, jwt and cert"`
	JWTFile   string     `json:"jwt_file"                    doc:"file with the JWT, for the logins jwt and kubernetes; the latter's default is the service account of the pod"`
}

// A provider is what both ways have in common. KV alone hands out its key.
type provider interface {
	sdk.KeyProvider
	sdk.KeyRotator
	Close() error
}

// open logs in and sees whether the key is there, so that what is wrong is known before a backup begins.
func open(ctx context.Context, cfg Config) (provider, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	v, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	p, err := v.open(ctx)
	if err != nil {
		v.close(context.WithoutCancel(ctx))
		return nil, err
	}
	return p, nil
}

func (v *vault) open(ctx context.Context) (provider, error) {
	if v.cfg.TransitKey != "" {
		return openTransit(ctx, v)
	}
	return openKV(ctx, v)
}

// check refuses what can never work, and fills in what depends on something else.
func (c *Config) check() error {
	if err := c.checkAddr(); err != nil {
		return err
	}
	for _, path := range []*string{&c.Path, &c.TransitMount, &c.AuthMount} {
		*path = strings.Trim(*path, "/")
	}
	switch {
	case c.Format != "base64" && c.Format != "raw":
		return fmt.Errorf("format is %q, want base64 or raw: %w", c.Format, sdk.ErrInvalid)
	case c.KVVersion < 0 || c.KVVersion > 2:
		return fmt.Errorf("kv_version is %d, want 1, 2, or 0 to find out: %w", c.KVVersion, sdk.ErrInvalid)
	case c.Version < 0:
		return fmt.Errorf("version is %d, want a version of the secret, or 0 for the newest: %w", c.Version, sdk.ErrInvalid)
	case c.TransitKey == "" && (c.Path == "" || c.Field == ""):
		return fmt.Errorf("path and field are needed, or a transit_key: %w", sdk.ErrInvalid)
	case strings.ContainsAny(c.TransitKey, "/\\") || c.TransitKey == "." || c.TransitKey == "..":
		return fmt.Errorf("transit_key %q is no name of a key: %w", c.TransitKey, sdk.ErrInvalid)
	case c.TransitKey != "" && c.TransitMount == "":
		return fmt.Errorf("transit_mount is empty: %w", sdk.ErrInvalid)
	case (c.ClientCert == "") != (c.ClientKey == ""):
		return fmt.Errorf("client_cert and client_key are needed together: %w", sdk.ErrInvalid)
	}
	return c.checkAuth()
}

func (c *Config) checkAddr() error {
	u, err := url.Parse(c.Addr)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return sdk.WithHint(
			fmt.Errorf("addr is no http:// or https:// URL: %w", sdk.ErrInvalid), // which may hold a password
			"write it as in https://vault.example.com:8200")
	}
	if u.User != nil {
		return sdk.WithHint(fmt.Errorf("addr holds a user name or a password: %w", sdk.ErrInvalid), "leave out what is before the @")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		sdk.Logger().Warn("keys and tokens cross the network in plain text, give Vault a certificate and use https", "addr", c.Addr)
	}
	if skip, _ := strconv.ParseBool(os.Getenv("VAULT_SKIP_VERIFY")); skip && u.Scheme == "https" {
		sdk.Logger().Warn("VAULT_SKIP_VERIFY has no effect here, the server's certificate is always verified")
	}
	return nil
}

func loopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// checkAuth finds the login that is meant, and refuses one that lacks something.
func (c *Config) checkAuth() error {
	hasToken := !c.Token.IsZero() || c.TokenFile != ""
	if c.Auth == "" && c.RoleIDFile == "" && !hasToken {
		return sdk.WithHint(fmt.Errorf("no login: %w", sdk.ErrInvalid),
			"give role_id_file and secret_id_file for AppRole, or token or token_file, or name another login in auth: kubernetes, jwt or cert")
	}
	if c.Auth == "" {
		c.Auth = "token"
		if c.RoleIDFile != "" {
			c.Auth = "approle"
		}
	}
	missing := ""
	switch c.Auth {
	case "approle":
		missing = absent("role_id_file", c.RoleIDFile)
	case "token":
		if !hasToken {
			missing = "token or token_file"
		}
	case "kubernetes":
		c.JWTFile = cmp.Or(c.JWTFile, "/var/run/secrets/kubernetes.io/serviceaccount/token")
		missing = absent("role", c.Role)
	case "jwt":
		missing = absent("jwt_file", c.JWTFile)
	case "cert":
		missing = absent("client_cert", c.ClientCert)
	default:
		return fmt.Errorf("auth is %.40q, want approle, token, kubernetes, jwt or cert: %w", c.Auth, sdk.ErrInvalid)
	}
	if missing != "" {
		return fmt.Errorf("the login %s needs %s: %w", c.Auth, missing, sdk.ErrInvalid)
	}
	c.AuthMount = strings.TrimPrefix(cmp.Or(c.AuthMount, c.Auth), "auth/")
	return nil
}

func absent(setting, value string) string {
	if value != "" {
		return ""
	}
	return setting
}
