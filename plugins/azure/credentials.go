package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/brock-backup/brock/sdk"
)

// An identity is who this plugin is to Azure. One of key, token, sas and
// anonymous is set.
type identity struct {
	source    string // for people
	key       *container.SharedKeyCredential
	token     *namedToken // renews itself
	sas       sdk.Secret  // without "?"
	anonymous bool

	grant grant    // of the SAS
	notes []string // what was found, and not used
}

// A grant is what a SAS allows.
type grant struct {
	permissions string    // as in "racwdl"; "" if a stored access policy says it
	start, end  time.Time // zero if a stored access policy says it
}

const howToAuthenticate = "give account_key or sas in the URI, set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, " +
	"AZURE_TENANT_ID with AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, use a managed identity or \"az login\"; for a public container, anonymous=true"

// identify takes the first credentials there are: those of the settings, of the
// environment, a service principal, a workload identity, a managed identity,
// the login of the Azure CLI.
func identify(ctx context.Context, cfg Config, vars environment, at location, conns *http.Transport) (*identity, error) {
	who, err := ownCredentials(cfg, at)
	if who != nil || err != nil {
		return who, err
	}
	who, notes, err := accountCredentials(vars, at)
	if who == nil && err == nil {
		who, err = entraIdentity(ctx, cfg, at, conns)
	}
	if err != nil {
		return nil, err
	}
	if who == nil {
		return nil, noCredentials(at, notes)
	}
	who.notes = notes
	if who.token != nil && at.scheme != "https" {
		return nil, sdk.WithHint(fmt.Errorf("without TLS, the token of %s could be read on its way%s: %w", who.source, told(notes), sdk.ErrInvalid),
			"leave out secure=false, or give account_key or sas")
	}
	return who, nil
}

// noCredentials tells where there were none.
func noCredentials(at location, notes []string) error {
	cli := "the login of the Azure CLI (there is no program az in PATH)"
	if at.scheme != "https" {
		cli = "not the login of the Azure CLI, whose token could be read on its way without TLS"
	}
	return sdk.WithHint(fmt.Errorf("no credentials were found (looked at: settings account_key, sas and anonymous; "+
		"AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN and AZURE_STORAGE_CONNECTION_STRING; "+
		"a service principal or a workload identity in AZURE_TENANT_ID and AZURE_CLIENT_ID; a managed identity; %s)%s: %w",
		cli, told(notes), sdk.ErrPermission), howToAuthenticate)
}

func told(notes []string) string {
	if len(notes) == 0 {
		return ""
	}
	return "; " + strings.Join(notes, "; ")
}

// ownCredentials are those of the settings.
func ownCredentials(cfg Config, at location) (*identity, error) {
	token, err := cfg.token()
	if err != nil {
		return nil, err
	}
	given := 0
	for _, is := range []bool{!cfg.AccountKey.IsZero(), cfg.Anonymous, !cfg.SAS.IsZero(), !token.IsZero()} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return nil, fmt.Errorf("settings account_key, anonymous, sas and the parameters of a SAS: %d are given, and one is possible: %w", given, sdk.ErrInvalid)
	case !token.IsZero():
		return withSAS("the SAS among the location's parameters", token)
	case cfg.Anonymous:
		return &identity{source: "anonymous=true", anonymous: true}, nil
	case !cfg.AccountKey.IsZero():
		return withKey("setting account_key", at, cfg.AccountKey)
	case !cfg.SAS.IsZero():
		return withSAS("setting sas", cfg.SAS)
	}
	return nil, nil
}

// accountCredentials are those that the environment has of the location's
// account. Those of another account are of no use here.
func accountCredentials(vars environment, at location) (who *identity, notes []string, err error) {
	other := func(variable, account string) bool {
		if account == "" || account == at.account {
			return false
		}
		by := ", which AZURE_STORAGE_ACCOUNT names,"
		if variable == "AZURE_STORAGE_CONNECTION_STRING" {
			by = ""
		}
		notes = append(notes, fmt.Sprintf("%s is for the account %.40q%s and not for %q: it was not used", variable, account, by, at.account))
		return true
	}
	switch {
	case !vars.key.IsZero() && !other("AZURE_STORAGE_KEY", vars.account):
		who, err = withKey("AZURE_STORAGE_KEY", at, vars.key)
	case !vars.sas.IsZero() && !other("AZURE_STORAGE_SAS_TOKEN", vars.account):
		who, err = withSAS("AZURE_STORAGE_SAS_TOKEN", vars.sas)
	case vars.connErr != nil:
		err = vars.connErr
	case vars.conn.account != "" && !other("AZURE_STORAGE_CONNECTION_STRING", vars.conn.account):
		if !vars.conn.key.IsZero() {
			who, err = withKey("the account key in AZURE_STORAGE_CONNECTION_STRING", at, vars.conn.key)
		} else {
			who, err = withSAS("the SAS in AZURE_STORAGE_CONNECTION_STRING", vars.conn.sas)
		}
	}
	return who, notes, err
}

func withKey(source string, at location, key sdk.Secret) (*identity, error) {
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	k, err := container.NewSharedKeyCredential(strings.TrimSuffix(at.account, "-secondary"), key.RevealString())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, sdk.ErrInvalid)
	}
	return &identity{source: source, key: k}, nil
}

// withSAS takes a shared access signature as the portal and the CLI show it, or
// as it is once its percent signs have been decoded.
func withSAS(source string, token sdk.Secret) (*identity, error) {
	bad := func(what, hint string) (*identity, error) {
		return nil, sdk.WithHint(fmt.Errorf("%s: %s: %w", source, what, sdk.ErrInvalid), hint)
	}
	const whole = "it looks like sv=...&sr=c&sp=racwdl&se=...&sig=...; in a URI, write it percent-encoded"
	q, err := url.ParseQuery(strings.TrimPrefix(strings.TrimSpace(token.RevealString()), "?"))
	if err != nil || q.Get("sig") == "" || q.Get("sv") == "" { // err shows a part of it
		return bad("that is no shared access signature", whole)
	}
	q.Set("sig", strings.ReplaceAll(q.Get("sig"), " ", "+")) // of base64 that was decoded once too often
	switch {
	case q.Get("sr") == "b" || q.Get("sr") == "bs":
		return bad("that shared access signature is for one blob", "make one for the container (sr=c)")
	case q.Get("ss") != "" && !strings.Contains(q.Get("ss"), "b"):
		return bad("that shared access signature is not for blobs", "make one for the blob service (ss=b)")
	}
	who := &identity{source: source, sas: sdk.NewSecret(q.Encode())}
	who.grant = grant{permissions: q.Get("sp"), start: sasTime(q.Get("st")), end: sasTime(q.Get("se"))}
	return who, nil
}

func sasTime(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// entraIdentity is an identity that Microsoft Entra ID vouches for, or nil if
// there is none.
func entraIdentity(ctx context.Context, cfg Config, at location, conns *http.Transport) (*identity, error) {
	tenant, client := firstOf(cfg.TenantID, os.Getenv("AZURE_TENANT_ID")), firstOf(cfg.ClientID, os.Getenv("AZURE_CLIENT_ID"))
	options := policy.ClientOptions{
		Transport: &http.Client{Transport: conns},
		Retry:     policy.RetryOptions{MaxRetries: 2, TryTimeout: 10 * time.Second, MaxRetryDelay: 5 * time.Second},
		Cloud:     cloudOf(at.host),
	}
	var cred azcore.TokenCredential
	var err error
	source := ""
	switch {
	case tenant != "" && client != "" && os.Getenv("AZURE_CLIENT_SECRET") != "":
		source = "service principal " + client + " with AZURE_CLIENT_SECRET"
		cred, err = azidentity.NewClientSecretCredential(tenant, client, os.Getenv("AZURE_CLIENT_SECRET"),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	case tenant != "" && client != "" && os.Getenv("AZURE_CLIENT_CERTIFICATE_PATH") != "":
		source = "service principal " + client + " with AZURE_CLIENT_CERTIFICATE_PATH"
		cred, err = withCertificate(tenant, client, options)
	case tenant != "" && client != "" && os.Getenv("AZURE_FEDERATED_TOKEN_FILE") != "":
		source = "workload identity " + client
		cred, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, TenantID: tenant, ClientID: client,
		})
	case hasManagedIdentity(ctx, conns):
		source = "managed identity of the system"
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if client != "" {
			source, o.ID = "managed identity "+client, azidentity.ClientID(client)
		}
		cred, err = azidentity.NewManagedIdentityCredential(o)
	case cfg.ClientID != "":
		return nil, sdk.WithHint(fmt.Errorf("setting client_id: there is nothing to identify %.80q with: %w", cfg.ClientID, sdk.ErrInvalid), howToAuthenticate)
	case at.scheme != "https" || !hasCLI():
		return nil, nil
	default:
		source = "login of the Azure CLI"
		cred, err = azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: tenant})
	}
	if err != nil {
		return nil, sdk.WithHint(fmt.Errorf("%s: %s: %w", source, oneLine(err.Error()), sdk.ErrInvalid), howToAuthenticate)
	}
	return &identity{source: source, token: &namedToken{TokenCredential: cred, source: source}}, nil
}

// hasCLI reports whether the Azure CLI is installed where it is looked for.
func hasCLI() bool {
	_, err := exec.LookPath("az")
	return err == nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func withCertificate(tenant, client string, options policy.ClientOptions) (azcore.TokenCredential, error) {
	data, err := os.ReadFile(os.Getenv("AZURE_CLIENT_CERTIFICATE_PATH")) //nolint:gosec // whoever sets it may
	if err != nil {
		return nil, err
	}
	certs, key, err := azidentity.ParseCertificates(data, []byte(os.Getenv("AZURE_CLIENT_CERTIFICATE_PASSWORD")))
	if err != nil {
		return nil, errors.New("the certificate or its key cannot be read, or the password is wrong") // err may show parts of it
	}
	chain := os.Getenv("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN")
	return azidentity.NewClientCertificateCredential(tenant, client, certs, key, &azidentity.ClientCertificateCredentialOptions{
		ClientOptions: options, SendCertificateChain: chain == "1" || strings.EqualFold(chain, "true"),
	})
}

// cloudOf tells which of Azure's clouds a host belongs to. AZURE_AUTHORITY_HOST
// may say something else.
func cloudOf(host string) cloud.Configuration {
	switch {
	case os.Getenv("AZURE_AUTHORITY_HOST") != "":
		return cloud.Configuration{}
	case strings.HasSuffix(host, ".chinacloudapi.cn"):
		return cloud.AzureChina
	case strings.HasSuffix(host, ".usgovcloudapi.net"):
		return cloud.AzureGovernment
	}
	return cloud.AzurePublic
}

// hasManagedIdentity reports whether this is one of Azure's machines. Their
// metadata service says at once that a header is missing; other clouds have
// another one at the same address.
func hasManagedIdentity(ctx context.Context, conns *http.Transport) bool {
	if os.Getenv("IDENTITY_ENDPOINT") != "" || os.Getenv("MSI_ENDPOINT") != "" {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	host := firstOf(strings.TrimSuffix(os.Getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST"), "/"), "http://169.254.169.254")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, host+"/metadata/identity/oauth2/token", nil) //nolint:gosec // as above
	if err != nil {
		return false
	}
	direct := conns.Clone()
	direct.Proxy = nil
	defer direct.CloseIdleConnections()
	resp, err := direct.RoundTrip(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusBadRequest
}

// A namedToken tells failures to get a token from those of the storage.
type namedToken struct {
	azcore.TokenCredential
	source string
	last   atomic.Pointer[error] // what the last call returned; nil: there was none
}

// GetToken implements azcore.TokenCredential.
func (n *namedToken) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := n.TokenCredential.GetToken(ctx, o)
	if err != nil && ctx.Err() == nil {
		err = &tokenError{n.source, err}
	}
	n.last.Store(&err)
	return token, err
}

type tokenError struct {
	source string
	err    error
}

func (e *tokenError) Error() string { return e.source + ": " + oneLine(e.err.Error()) }
func (e *tokenError) Unwrap() error { return e.err }
