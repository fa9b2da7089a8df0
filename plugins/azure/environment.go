package main

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// variables are what an environment may say of accounts and identities. The
// Azure SDK reads some of them by itself.
var variables = []string{
	"AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING",
	"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET",
	"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
	"AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST",
	"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET",
	"AZURE_POD_IDENTITY_AUTHORITY_HOST",
	"AZURE_CONFIG_DIR", "PATH", // of the Azure CLI
}

// An environment is what the variables say of the storage account.
type environment struct {
	account string
	key     sdk.Secret
	sas     sdk.Secret
	conn    connection
	connErr error // what is wrong with it, for those who need it
}

func readEnvironment() environment {
	e := environment{
		account: os.Getenv("AZURE_STORAGE_ACCOUNT"),
		key:     sdk.NewSecret(os.Getenv("AZURE_STORAGE_KEY")),
		sas:     sdk.NewSecret(os.Getenv("AZURE_STORAGE_SAS_TOKEN")),
	}
	if s := os.Getenv("AZURE_STORAGE_CONNECTION_STRING"); s != "" {
		if e.conn, e.connErr = parseConnection(s); e.connErr != nil {
			e.connErr = fmt.Errorf("AZURE_STORAGE_CONNECTION_STRING: %w: %w", e.connErr, sdk.ErrInvalid)
		}
	}
	return e
}

// endpoint gives a location its account, which its URI left out.
func (e environment) endpoint(l location) (location, error) {
	switch {
	case e.account != "" && accountName.MatchString(e.account):
		l.account, l.host = e.account, e.account+publicSuffix
	case e.account != "":
		return l, fmt.Errorf("AZURE_STORAGE_ACCOUNT: %.80q is no name of an account: %w", e.account, sdk.ErrInvalid)
	case e.connErr != nil:
		return l, e.connErr
	case e.conn.account != "":
		l.account, l.scheme, l.host, l.path = e.conn.account, e.conn.scheme, e.conn.host, e.conn.path
	default:
		return l, sdk.WithHint(
			fmt.Errorf("location names no account, and neither do AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_CONNECTION_STRING: %w", sdk.ErrInvalid), goodURI)
	}
	return l, nil
}

// A connection is what a connection string says.
type connection struct {
	account string
	key     sdk.Secret
	sas     sdk.Secret

	scheme, host, path string // of the blob service, as in a location
}

// The emulator's account and key are the same everywhere, and published.
const (
	emulatorAccount = "devstoreaccount1"
	emulatorKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// parseConnection reads NAME=value pairs between semicolons. Its errors show no
// value, and names only as far as they are known ones.
func parseConnection(s string) (c connection, err error) {
	given := map[string]string{}
	for i, pair := range strings.Split(strings.TrimSuffix(strings.TrimSpace(s), ";"), ";") {
		name, value, ok := strings.Cut(pair, "=")
		name = canonical(name)
		switch {
		case !ok || name == "":
			return c, fmt.Errorf("part %d is none of the NAME=value pairs that are known", i+1)
		case given[name] != "":
			return c, fmt.Errorf("%s is given twice", name)
		case value == "":
			return c, fmt.Errorf("%s is empty", name)
		}
		given[name] = value
	}
	c.scheme = strings.ToLower(given["DefaultEndpointsProtocol"])
	if c.scheme == "" {
		c.scheme = "https"
	}
	if c.scheme != "http" && c.scheme != "https" {
		return c, fmt.Errorf("DefaultEndpointsProtocol is neither http nor https")
	}
	c.account, c.key, c.sas = given["AccountName"], sdk.NewSecret(given["AccountKey"]), sdk.NewSecret(given["SharedAccessSignature"])
	endpoint := given["BlobEndpoint"]
	if strings.EqualFold(given["UseDevelopmentStorage"], "true") {
		c.account, c.key = emulatorAccount, sdk.NewSecret(emulatorKey)
		endpoint = "http://127.0.0.1:10000/" + emulatorAccount
	}
	if err := c.at(endpoint, given["EndpointSuffix"]); err != nil {
		return c, err
	}
	switch {
	case c.key.IsZero() == c.sas.IsZero():
		return c, fmt.Errorf("one of AccountKey and SharedAccessSignature is needed")
	case c.account == "":
		return c, fmt.Errorf("AccountName is missing")
	case !c.key.IsZero():
		return c, checkKey(c.key)
	}
	return c, nil
}

// canonical returns a name in a connection string as it is documented, or "" if
// it is not.
func canonical(name string) string {
	for _, known := range []string{
		"AccountName", "AccountKey", "SharedAccessSignature", "DefaultEndpointsProtocol", "EndpointSuffix", "BlobEndpoint", "UseDevelopmentStorage",
		"QueueEndpoint", "TableEndpoint", "FileEndpoint", "DfsEndpoint", "WebEndpoint", // of other services
		"BlobSecondaryEndpoint", "QueueSecondaryEndpoint", "TableSecondaryEndpoint", "FileSecondaryEndpoint",
	} {
		if strings.EqualFold(strings.TrimSpace(name), known) {
			return known
		}
	}
	return ""
}

// at sets where the blob service is, from its address or from the account's name.
func (c *connection) at(endpoint, suffix string) error {
	if endpoint == "" {
		if suffix == "" {
			suffix = "core.windows.net"
		}
		c.host = c.account + ".blob." + suffix
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("BlobEndpoint is no http or https address")
	}
	c.scheme, c.host, c.path = u.Scheme, u.Host, strings.TrimSuffix(u.Path, "/")
	if c.account == "" && isAccountHost(c.host) {
		c.account, _, _ = strings.Cut(c.host, ".")
	}
	if c.account == "" {
		c.account = strings.TrimPrefix(c.path, "/")
	}
	return nil
}

// minKey is how many bytes a key has at least, those of emulators among them.
const minKey = 16

// checkKey tells what can be wrong with a key before it is used.
func checkKey(key sdk.Secret) error {
	const whole = "copy it whole, with the = at its end; in a URI, write + as %2B, / as %2F and = as %3D"
	raw, err := base64.StdEncoding.DecodeString(key.RevealString())
	switch {
	case err != nil: // it shows a part of the key
		return sdk.WithHint(fmt.Errorf("the account key is not in base64: %w", sdk.ErrInvalid), whole)
	case len(raw) < minKey:
		return sdk.WithHint(fmt.Errorf("the account key is too short: it has %d bytes, and those of Azure have 64: %w", len(raw), sdk.ErrInvalid), whole)
	}
	return nil
}
