package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// cleanEnv takes away what the environment says of Azure, and what a machine of
// Azure's would answer.
func cleanEnv(t *testing.T) {
	t.Helper()
	for _, name := range variables {
		if name != "PATH" {
			t.Setenv(name, "")
		}
	}
	t.Setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
}

const goodSAS = "sv=2024-11-04&sr=c&sp=racwdl&st=2026-01-01T00:00:00Z&se=2099-01-01T00:00:00Z&sig=aGVsbG8rLw%3D%3D"

// certificate makes one for a service principal.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sp.pem")
	data := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The first credentials in the order win, and their source is told.
func TestOrderOfCredentials(t *testing.T) {
	key := sdk.NewSecret(goodKey)
	sp := map[string]string{"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client"}
	with := func(sets ...map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range sets {
			maps.Copy(all, m)
		}
		return all
	}
	envKey := map[string]string{"AZURE_STORAGE_KEY": goodKey}
	envSAS := map[string]string{"AZURE_STORAGE_SAS_TOKEN": "?" + goodSAS}
	envConn := map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme;AccountKey=" + goodKey}
	secret := with(sp, map[string]string{"AZURE_CLIENT_SECRET": "hunter2"})
	cert := with(sp, map[string]string{"AZURE_CLIENT_CERTIFICATE_PATH": certificate(t)})
	workload := with(sp, map[string]string{"AZURE_FEDERATED_TOKEN_FILE": "/token"})
	cli, _ := azureCLI(t, time.Hour, "https://storage.azure.com")
	az := map[string]string{"PATH": cli}
	managed := map[string]string{"IDENTITY_ENDPOINT": "http://127.0.0.1:1", "IDENTITY_HEADER": "hunter2"}
	for name, c := range map[string]struct {
		cfg  Config
		env  map[string]string
		want string
		note string
	}{
		"key of the URI":          {cfg: Config{AccountKey: key}, env: with(envKey, envSAS, envConn, secret), want: "setting account_key"},
		"SAS of the URI":          {cfg: Config{SAS: sdk.NewSecret(goodSAS)}, env: envKey, want: "setting sas"},
		"key before a bad string": {cfg: Config{AccountKey: key}, env: map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "hunter2"}, want: "setting account_key"},
		"none":                    {cfg: Config{Anonymous: true}, env: envKey, want: "anonymous=true"},
		"key":                     {env: with(envKey, envSAS, envConn, secret), want: "AZURE_STORAGE_KEY"},
		"key of this account":     {env: with(envKey, map[string]string{"AZURE_STORAGE_ACCOUNT": "acme"}), want: "AZURE_STORAGE_KEY"},
		"key of another account":  {env: with(envKey, secret, map[string]string{"AZURE_STORAGE_ACCOUNT": "other"}), want: "service principal client with AZURE_CLIENT_SECRET", note: "AZURE_STORAGE_KEY"},
		"SAS":                     {env: with(envSAS, envConn, secret), want: "AZURE_STORAGE_SAS_TOKEN"},
		"connection string":       {env: with(envConn, secret), want: "the account key in AZURE_STORAGE_CONNECTION_STRING"},
		"SAS in a connection":     {env: map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme;SharedAccessSignature=" + goodSAS}, want: "the SAS in AZURE_STORAGE_CONNECTION_STRING"},
		"connection to another":   {env: with(workload, map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=other;AccountKey=" + goodKey}), want: "workload identity client", note: "AZURE_STORAGE_CONNECTION_STRING"},
		"secret":                  {env: with(secret, cert, workload, managed), want: "service principal client with AZURE_CLIENT_SECRET"},
		"certificate":             {env: with(cert, workload, managed), want: "service principal client with AZURE_CLIENT_CERTIFICATE_PATH"},
		"workload identity":       {env: with(workload, managed), want: "workload identity client"},
		"workload of the URI":     {cfg: Config{TenantID: "other-tenant", ClientID: "other"}, env: workload, want: "workload identity other"},
		"managed identity":        {env: managed, want: "managed identity of the system"},
		"managed identity by id":  {cfg: Config{ClientID: "mine"}, env: managed, want: "managed identity mine"},
		"an incomplete principal": {env: with(sp, az), want: "login of the Azure CLI"},
		"nothing":                 {env: az, want: "login of the Azure CLI"},
	} {
		t.Run(name, func(t *testing.T) {
			cleanEnv(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			c.cfg.URI, c.cfg.Secure = "azure://acme/backups", true
			d, err := open(t.Context(), c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			found := d.credentials()
			if d.who.source != c.want || !strings.HasPrefix(found.Detail, c.want) {
				t.Errorf("the credentials are %q (%q), want %q", d.who.source, found.Detail, c.want)
			}
			if c.note != "" && !strings.Contains(found.Detail, c.note+" is for the account \"other\"") || c.note != "" && !strings.Contains(found.Detail, "not for \"acme\": it was not used") {
				t.Errorf("what was not used is not told: %q", found.Detail)
			}
			if strings.Contains(found.Detail, "hunter2") || strings.Contains(found.Detail, goodKey) {
				t.Errorf("a secret is told: %q", found.Detail)
			}
		})
	}
}

// Credentials that can never work are refused at once, and not shown.
func TestBadCredentials(t *testing.T) {
	secret := sdk.NewSecret[string]
	for name, c := range map[string]struct {
		cfg  Config
		env  string
		text string
	}{
		"two":                 {cfg: Config{AccountKey: secret(goodKey), SAS: secret(goodSAS)}, text: "2 are given"},
		"no base64":           {cfg: Config{AccountKey: secret("hunter2!")}, text: "base64"},
		"a key cut short":     {cfg: Config{AccountKey: secret("aHVudGVyMg==")}, text: "too short: it has 7 bytes"},
		"a part of a SAS":     {cfg: Config{signed: signed{SP: "rl"}}, text: "a part of a SAS, without sv and sig"},
		"no signature":        {cfg: Config{signed: signed{SP: "rl", SV: "1"}}, text: "a part of a SAS, without sig"},
		"SAS and key":         {cfg: Config{AccountKey: secret(goodKey), signed: signed{SV: "1", Sig: secret("hunter2")}}, text: "2 are given"},
		"no SAS":              {cfg: Config{SAS: secret("hunter2")}, text: "no shared access signature"},
		"an address":          {cfg: Config{SAS: secret("https://acme.blob.core.windows.net/c?" + goodSAS)}, text: "no shared access signature"},
		"of one blob":         {cfg: Config{SAS: secret(strings.Replace(goodSAS, "sr=c", "sr=b", 1))}, text: "for one blob"},
		"of queues":           {cfg: Config{SAS: secret(strings.Replace(goodSAS, "sr=c", "ss=q&srt=o", 1))}, text: "not for blobs"},
		"a bad string":        {env: "AZURE_STORAGE_CONNECTION_STRING=AccountName=acme;AccountKey=hunter2!", text: "AZURE_STORAGE_CONNECTION_STRING"},
		"a bad key":           {env: "AZURE_STORAGE_KEY=hunter2!", text: "AZURE_STORAGE_KEY"},
		"a token without TLS": {cfg: Config{URI: "azure://127.0.0.1:1/acme/backups"}, env: "IDENTITY_ENDPOINT=http://127.0.0.1:1", text: "without TLS, the token of managed identity"},
		"a client of nothing": {cfg: Config{URI: "azure://acme/backups", Secure: true, ClientID: "client"}, text: "client_id"},
		"no such file":        {cfg: Config{CAFile: "nowhere", AccountKey: secret(goodKey)}, text: "ca_file: open nowhere"},
		"no certificates":     {cfg: Config{CAFile: "config.go", AccountKey: secret(goodKey)}, text: "config.go has no certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			cleanEnv(t)
			if k, v, ok := strings.Cut(c.env, "="); ok {
				t.Setenv(k, v)
			}
			if c.cfg.URI == "" {
				c.cfg.URI, c.cfg.Secure = "azure://acme/backups", true
			}
			_, err := open(t.Context(), c.cfg)
			if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "hunter2") || errors.Is(err, sdk.ErrNotExist) {
				t.Errorf("%v, want ErrInvalid alone that tells of %q and shows no secret", err, c.text)
			}
		})
	}
}

// A SAS that has lost the percent signs of its signature is still good.
func TestDecodedSAS(t *testing.T) {
	for _, text := range []string{goodSAS, "?" + goodSAS, strings.Replace(goodSAS, "aGVsbG8rLw%3D%3D", "aGVsbG8rLw==", 1)} {
		who, err := withSAS("test", sdk.NewSecret(text))
		if err != nil || !strings.Contains(who.sas.RevealString(), "sig=aGVsbG8rLw%3D%3D") {
			t.Errorf("the SAS has become another: %v", err)
		}
	}
	who, err := withSAS("test", sdk.NewSecret("sv=1&sr=c&sig=a+b/c="))
	if err != nil || !strings.Contains(who.sas.RevealString(), "sig=a%2Bb%2Fc%3D") {
		t.Errorf("the SAS has become another: %v", err)
	}
}

// Where there are no credentials, it is said where they were looked for, and
// which were found and are for something else.
func TestNoCredentials(t *testing.T) {
	cli, _ := azureCLI(t, time.Hour, "https://storage.azure.com")
	for name, c := range map[string]struct {
		cfg  Config
		env  map[string]string
		want []string
	}{
		"none":        {Config{URI: "azure://acme/backups", Secure: true}, nil, []string{"no credentials were found", "account_key", "AZURE_STORAGE_KEY", "no program az"}},
		"without TLS": {Config{URI: "azure://127.0.0.1:1/acme/backups"}, map[string]string{"PATH": cli}, []string{"no credentials were found", "without TLS"}},
		"of another": {
			Config{URI: "azure://acme/backups", Secure: true},
			map[string]string{"AZURE_STORAGE_ACCOUNT": "other", "AZURE_STORAGE_KEY": goodKey},
			[]string{"no credentials were found", `AZURE_STORAGE_KEY is for the account "other", which AZURE_STORAGE_ACCOUNT names, and not for "acme"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cleanEnv(t)
			t.Setenv("PATH", "/nowhere")
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			_, err := open(t.Context(), c.cfg)
			if !errors.Is(err, sdk.ErrPermission) || !strings.Contains(sdk.Hint(err), "az login") || strings.Contains(err.Error(), goodKey) {
				t.Errorf("%v with hint %q, want ErrPermission and what to do", err, sdk.Hint(err))
			}
			for _, text := range c.want {
				if err != nil && !strings.Contains(err.Error(), text) {
					t.Errorf("the error is %q, want %q in it", err, text)
				}
			}
		})
	}
}
