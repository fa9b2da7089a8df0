package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// attempt tries every verb, and returns what each says.
func attempt(t *testing.T, d sdk.Destination, name string) map[string]error {
	t.Helper()
	said := map[string]error{
		"Put":    d.Put(t.Context(), name+"-new", strings.NewReader("x")),
		"Delete": d.Delete(t.Context(), name+"-doomed"),
	}
	r, err := d.Get(t.Context(), name, 0)
	if err == nil {
		r.Close()
	}
	said["Get"] = err
	said["List"] = nil
	for _, err := range d.List(t.Context(), "") {
		said["List"] = err
	}
	replacer, ok := d.(sdk.Replacer)
	if !ok {
		t.Fatal("no Replacer")
	}
	_, said["Replace"] = replacer.Replace(t.Context(), name+"-again", strings.NewReader("x"), "")
	return said
}

// What a SAS grants works, and the rest is said to be forbidden, with the reason
// and without the signature.
func TestSharedAccessSignatures(t *testing.T) {
	p := onAzurite(t)
	put(t, p.open(t), "object", []byte("content"))
	for name, c := range map[string]struct {
		sas     sdk.Secret
		allowed string // verbs
		hint    string
	}{
		"all":         {p.sas(t, "racwdl", time.Hour), "Put Get List Delete Replace", ""},
		"to write":    {p.sas(t, "rwl", time.Hour), "Put Get List Replace", `grants "rwl"`},
		"to read":     {p.sas(t, "rl", time.Hour), "Get List", `grants "rl"`},
		"to list":     {p.sas(t, "l", time.Hour), "List", `grants "l"`},
		"not to list": {p.sas(t, "rcw", time.Hour), "Put Get Replace", `grants "rcw"`},
		"expired":     {p.sas(t, "racwdl", -time.Minute), "", "expired at"},
		"of another":  {otherSAS(t, p), "", "is not one of this account and container"},
	} {
		t.Run(name, func(t *testing.T) {
			d := plugged(t, p.settings(map[string]any{"account_key": nil, "sas": c.sas.RevealString()}))
			signature := c.sas.RevealString()[strings.Index(c.sas.RevealString(), "sig=")+4:]
			for verb, err := range attempt(t, d, "object") {
				switch allowed := slices.Contains(strings.Fields(c.allowed), verb); {
				case allowed && err != nil:
					t.Errorf("%s: %v; hint: %s", verb, err, sdk.Hint(err))
				case !allowed && !errors.Is(err, sdk.ErrPermission), errors.Is(err, sdk.ErrNotExist), errors.Is(err, sdk.ErrUnavailable):
					t.Errorf("%s: %v, want ErrPermission alone", verb, err)
				case !allowed && !strings.Contains(sdk.Hint(err), c.hint):
					t.Errorf("%s: the hint is %q, want %q in it", verb, sdk.Hint(err), c.hint)
				}
				if err != nil && (strings.Contains(err.Error(), signature) || strings.Contains(err.Error(), "sig=")) {
					t.Errorf("%s: the error shows the signature: %v", verb, err)
				}
			}
			for _, name := range []string{"object-new", "object-again"} {
				if err := p.open(t).Delete(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// otherSAS signs with a key that is not the account's.
func otherSAS(t *testing.T, p *place) sdk.Secret {
	t.Helper()
	other := *p
	var err error
	if other.key, err = container.NewSharedKeyCredential(p.Account, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 64))); err != nil {
		t.Fatal(err)
	}
	return other.sas(t, "racwdl", time.Hour)
}

func TestWrongKey(t *testing.T) {
	p := onAzurite(t)
	wrong := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 64))
	for verb, err := range attempt(t, plugged(t, p.settings(map[string]any{"account_key": wrong})), "object") {
		if !errors.Is(err, sdk.ErrPermission) || !strings.Contains(sdk.Hint(err), "not one of the account "+p.Account) {
			t.Errorf("%s: %v with hint %q, want ErrPermission and why", verb, err, sdk.Hint(err))
		}
	}
}

// A public container is read without credentials, and never written. One that is
// not public cannot be told from one that is missing, and is not called so.
func TestAnonymous(t *testing.T) {
	a := servers.Azurite(t)
	public, private := newPlace(t, a, container.PublicAccessTypeContainer), newPlace(t, a)
	put(t, public.open(t), "object", []byte("content"))
	nobody := map[string]any{"account_key": nil, "anonymous": "true"}
	d := plugged(t, public.settings(nobody))
	if got := get(t, d, "object"); string(got) != "content" {
		t.Errorf("Get = %q", got)
	}
	if got := names(t, d, ""); !slices.Equal(got, []string{"object"}) {
		t.Errorf("List = %q", got)
	}
	if _, err := d.Get(t.Context(), "absent", 0); !errors.Is(err, sdk.ErrNotExist) {
		t.Errorf("Get of what is absent: %v, want ErrNotExist", err)
	}
	if err := d.Put(t.Context(), "new", strings.NewReader("x")); !errors.Is(err, sdk.ErrPermission) {
		t.Errorf("Put: %v, want ErrPermission", err)
	}
	for verb, err := range attempt(t, plugged(t, private.settings(nobody)), "object") {
		if !errors.Is(err, sdk.ErrPermission) || errors.Is(err, sdk.ErrNotExist) {
			t.Errorf("%s where it is not public: %v, want ErrPermission", verb, err)
		}
	}
	reporter, ok := plugged(t, public.settings()).(sdk.Reporter)
	if !ok {
		t.Fatal("no Reporter")
	}
	found, err := reporter.Report(t.Context())
	if err != nil || !slices.ContainsFunc(found, func(f sdk.Finding) bool { return f.Name == "access" && f.Problem }) {
		t.Errorf("doctor does not say that everybody may read the container: %v, %v", found, err)
	}
}

// The environment's credentials are used, if it lets the plugin see them.
func TestEnvironment(t *testing.T) {
	p := onAzurite(t)
	connection := fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=%s", p.Account, p.Key, p.URL())
	for name, c := range map[string]struct {
		env []string
		uri string
	}{
		"key":               {env: []string{"AZURE_STORAGE_ACCOUNT=" + p.Account, "AZURE_STORAGE_KEY=" + p.Key}},
		"SAS":               {env: []string{"AZURE_STORAGE_SAS_TOKEN=" + p.sas(t, "racwdl", time.Hour).RevealString()}},
		"connection string": {env: []string{"AZURE_STORAGE_CONNECTION_STRING=" + connection}},
		"where it is":       {env: []string{"AZURE_STORAGE_CONNECTION_STRING=" + connection}, uri: "azure:///" + p.container + "/pre/fix"},
	} {
		t.Run(name, func(t *testing.T) {
			settings := p.settings(map[string]any{"account_key": nil})
			if c.uri != "" {
				settings["uri"] = c.uri
			}
			d := plugged(t, settings, c.env...)
			put(t, d, "object", []byte("content"))
			if got := get(t, d, "object"); string(got) != "content" {
				t.Errorf("Get = %q", got)
			}
			if err := d.Delete(t.Context(), "object"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	p := newPlace(t, servers.AzuriteTLS(t))
	d := plugged(t, p.settings())
	put(t, d, "object", pattern(300_000))
	if got := get(t, d, "object"); !bytes.Equal(got, pattern(300_000)) {
		t.Errorf("Get has %d bytes", len(got))
	}
	for name, c := range map[string]struct {
		change map[string]any
		hint   string
	}{
		"an authority that is not trusted": {map[string]any{"ca_file": nil}, "ca_file"},
		"no TLS where there is":            {map[string]any{"secure": "false"}, "leave secure=false out"},
	} {
		err := plugged(t, p.settings(c.change)).Put(t.Context(), "other", strings.NewReader("x"))
		if err == nil || errors.Is(err, sdk.ErrPermission) || !strings.Contains(sdk.Hint(err), c.hint) {
			t.Errorf("%s: %v with hint %q", name, err, sdk.Hint(err))
		}
		if c.hint == "ca_file" && (!errors.Is(err, sdk.ErrInvalid) || errors.Is(err, sdk.ErrUnavailable)) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	plain := onAzurite(t)
	settings := plain.settings()
	delete(settings, "secure")
	err := plugged(t, settings).Put(t.Context(), "other", strings.NewReader("x"))
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "does not speak TLS") || !strings.Contains(sdk.Hint(err), "secure=false") {
		t.Errorf("TLS where there is none: %v with hint %q", err, sdk.Hint(err))
	}
}

func TestNobodyListens(t *testing.T) {
	d := &destination{at: location{scheme: "http", host: "127.0.0.1:1"}, wire: &wire{}}
	_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", d.at.host)
	err = d.fail(t.Context(), "object", err)
	if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(sdk.Hint(err), "is a server running there") {
		t.Errorf("%v with hint %q, want ErrUnavailable and what to look at", err, sdk.Hint(err))
	}
}

// azureCLI puts a program az into a directory, which logs its calls and prints
// tokens that last for a while. Azurite looks at the claims of a token, and not
// at who signed it.
func azureCLI(t *testing.T, lasts time.Duration, audience string) (dir, calls string) {
	t.Helper()
	dir = t.TempDir()
	calls = filepath.Join(dir, "calls")
	encode := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	now := time.Now()
	token := encode(map[string]any{"alg": "RS256", "typ": "JWT"}) + "." + encode(map[string]any{
		"iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/", "aud": audience, "oid": "1",
		"nbf": now.Add(-time.Minute).Unix(), "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}) + ".c2lnbmF0dXJl"
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s\necho '{\"accessToken\":\"%s\",\"expires_on\":%d}'\n", calls, token, now.Add(lasts).Unix())
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, calls
}

// Tokens come from the login of the Azure CLI, are used for as long as they last,
// and are renewed.
func TestTokens(t *testing.T) {
	p := newPlace(t, servers.AzuriteTLS(t))
	settings := p.settings(map[string]any{"account_key": nil})
	noIMDS := "AZURE_POD_IDENTITY_AUTHORITY_HOST=http://127.0.0.1:1"
	for name, c := range map[string]struct {
		lasts    time.Duration
		min, max int // calls of az
	}{
		"long":  {time.Hour, 1, 1},
		"short": {-time.Second, 2, 100},
	} {
		t.Run(name, func(t *testing.T) {
			dir, calls := azureCLI(t, c.lasts, "https://storage.azure.com")
			d := plugged(t, settings, noIMDS, "PATH="+dir+":/usr/bin:/bin")
			put(t, d, name, pattern(300_000))
			if got := get(t, d, name); !bytes.Equal(got, pattern(300_000)) {
				t.Errorf("Get has %d bytes", len(got))
			}
			log, err := os.ReadFile(calls)
			if n := strings.Count(string(log), "--resource https://storage.azure.com"); err != nil || n < c.min || n > c.max {
				t.Errorf("az was called %d times, want %d to %d: %s", n, c.min, c.max, log)
			}
			reporter, ok := d.(sdk.Reporter)
			if !ok {
				t.Fatal("no Reporter")
			}
			if found, err := reporter.Report(t.Context()); err != nil || len(found) == 0 || found[0].Detail != "login of the Azure CLI" || found[0].Problem {
				t.Errorf("Report = %v, %v; want the login first", found, err)
			}
		})
	}
	t.Run("for something else", func(t *testing.T) {
		dir, _ := azureCLI(t, time.Hour, "https://elsewhere.example.com")
		err := plugged(t, settings, noIMDS, "PATH="+dir+":/usr/bin:/bin").Put(t.Context(), "x", strings.NewReader("x"))
		if !errors.Is(err, sdk.ErrPermission) || sdk.Hint(err) == "" {
			t.Errorf("Put: %v with hint %q, want ErrPermission", err, sdk.Hint(err))
		}
	})
	t.Run("not to be had", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "az"), []byte("#!/bin/sh\necho Please run az login >&2\nexit 1\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		d := plugged(t, settings, noIMDS, "PATH="+dir+":/usr/bin:/bin")
		for verb, err := range attempt(t, d, "x") {
			if !errors.Is(err, sdk.ErrPermission) || !strings.Contains(err.Error(), "login of the Azure CLI") || !strings.Contains(sdk.Hint(err), "az login") {
				t.Errorf("%s: %v with hint %q, want ErrPermission and what to do", verb, err, sdk.Hint(err))
			}
		}
		if f := finding(t, d, "credentials"); !f.Problem || !strings.Contains(f.Detail, "login of the Azure CLI") {
			t.Errorf("doctor says %+v, want a problem with the login", f)
		}
	})
}

// finding returns what a destination reports under a name.
func finding(t *testing.T, d sdk.Destination, name string) sdk.Finding {
	t.Helper()
	reporter, ok := d.(sdk.Reporter)
	if !ok {
		t.Fatal("no Reporter")
	}
	found, err := reporter.Report(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, f := range found {
		if f.Name == name {
			return f
		}
	}
	t.Errorf("nothing is reported as %q: %v", name, found)
	return sdk.Finding{}
}

// The address that the portal shows for a SAS is a location.
func TestAddressWithSAS(t *testing.T) {
	p := newPlace(t, servers.AzuriteTLS(t))
	q, err := url.ParseQuery(p.sas(t, "racwdl", time.Hour).RevealString())
	if err != nil {
		t.Fatal(err)
	}
	settings := p.settings(map[string]any{"account_key": nil, "uri": strings.Replace(p.uri(), "azure:", "https:", 1)})
	for name := range q {
		settings[name] = q.Get(name)
	}
	d := plugged(t, settings)
	put(t, d, "object", []byte("content"))
	if got := get(t, d, "object"); string(got) != "content" {
		t.Errorf("Get = %q", got)
	}
	if f := finding(t, d, "credentials"); !strings.Contains(f.Detail, "location's parameters") || strings.Contains(f.Detail, q.Get("sig")) {
		t.Errorf("the credentials are told as %q", f.Detail)
	}
}

// What the doctor learns from a probe and from what was written.
func TestReport(t *testing.T) {
	p := newPlace(t, servers.AzuriteTLS(t))
	d := p.open(t, func(c *Config) { c.Immutability = immutability{30, "Unlocked"} })
	if err := d.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, d, "object", []byte("content")) // Azurite makes nothing immutable
	for name, want := range map[string]sdk.Finding{
		"create-only":  {Detail: "If-None-Match is honoured"},
		"tls":          {Detail: "TLS 1.3"},
		"uploads":      {Detail: "no unfinished ones"},
		"immutability": {Detail: "the service does not make objects immutable, although it was asked to", Problem: true},
	} {
		if got := finding(t, d, name); got.Detail != want.Detail || got.Problem != want.Problem {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if got := finding(t, onAzurite(t).open(t), "tls"); !strings.Contains(got.Detail, "clear text") || got.Problem {
		t.Errorf("without TLS on loopback, doctor says %+v", got)
	}
}

// The command brock, which is told of no variable, lets the plugin find az, and
// shows its warning of clear text, once.
func TestBelowBrock(t *testing.T) {
	p, plain := newPlace(t, servers.AzuriteTLS(t)), onAzurite(t)
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "../../cmd/brock").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	program, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "brock-destination-azure"), program, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	az, calls := azureCLI(t, time.Hour, "https://storage.azure.com")
	doctor := func(uri string) (stdout, stderr string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "brock"), "plugin", "doctor", uri)
		cmd.Env = []string{
			"PATH=" + az + ":/usr/bin:/bin", "HOME=" + dir, "BROCK_PLUGIN_DIR=" + dir,
			"AZURE_POD_IDENTITY_AUTHORITY_HOST=http://127.0.0.1:1",
		}
		var out, log strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &log
		if err := cmd.Run(); err != nil {
			t.Errorf("brock: %v\n%s%s", err, &out, &log)
		}
		return out.String(), log.String()
	}
	if out, _ := doctor(p.uri() + "?ca_file=" + url.QueryEscape(p.CAFile)); !strings.Contains(out, "login of the Azure CLI") {
		t.Errorf("doctor tells of no login:\n%s", out)
	}
	if data, err := os.ReadFile(calls); err != nil || len(data) == 0 {
		t.Errorf("az was not called: %v", err)
	}
	_, log := doctor(plain.uri() + "?secure=false&account_key=" + url.QueryEscape(plain.Key))
	if n := strings.Count(log, "clear text"); n != 1 || strings.Contains(log, plain.Key) {
		t.Errorf("%d warnings of clear text, want 1:\n%s", n, log)
	}
}

// A program that has nothing of ours or of Azure's in it reads what the plugin
// wrote, and writes what the plugin reads.
func TestIndependentClient(t *testing.T) {
	p := onAzurite(t)
	program := filepath.Join(t.TempDir(), "plainblob")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/plainblob").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	plain := func(in []byte, args ...string) string {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = []string{"ACCOUNT=" + p.Account, "KEY=" + p.Key}
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	d := plugged(t, p.settings())
	for _, size := range []int{0, 1, minBlockSize, minBlockSize + 1, 5*minBlockSize + 7} {
		name := fmt.Sprintf("dir/%d bytes", size)
		put(t, d, name, pattern(size))
		sum := sha256.Sum256(pattern(size))
		address := p.URL() + "/" + p.container + "/pre/fix/" + strings.ReplaceAll(name, " ", "%20")
		if got := plain(nil, "get", address); got != hex.EncodeToString(sum[:]) {
			t.Errorf("%s has the SHA-256 %s, want %x", name, got, sum)
		}
	}
	plain(pattern(100_000), "put", p.URL()+"/"+p.container+"/pre/fix/theirs")
	if got := get(t, d, "theirs"); !bytes.Equal(got, pattern(100_000)) {
		t.Errorf("Get of what another client wrote has %d bytes", len(got))
	}
	if err := d.Put(t.Context(), "theirs", strings.NewReader("x")); !errors.Is(err, sdk.ErrExist) {
		t.Errorf("Put over what another client wrote: %v, want ErrExist", err)
	}
}
