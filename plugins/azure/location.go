package main

import (
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// A location is a container, and the prefix of the names of its blobs.
type location struct {
	scheme    string // http or https
	host      string // as in "account.blob.core.windows.net", or host:port
	path      string // "", or "/account" where the account is no part of the host
	account   string
	container string
	prefix    string // "" or ending in "/"
}

// url returns the address of the container.
func (l location) url() string { return l.scheme + "://" + l.host + l.path + "/" + l.container }

// String returns the location as users write it, without settings.
func (l location) String() string {
	return strings.TrimSuffix("azure://"+l.host+l.path+"/"+l.container+"/"+l.prefix, "/")
}

// publicSuffix is what follows the account's name in Azure's public cloud.
const publicSuffix = ".blob.core.windows.net"

var (
	accountName   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	containerName = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)
)

const goodURI = "write azure://ACCOUNT/CONTAINER/PREFIX, azure://ACCOUNT" + publicSuffix + "/CONTAINER/PREFIX, " +
	"or azure://HOST:PORT/ACCOUNT/CONTAINER/PREFIX for an emulator or a private endpoint"

// locate returns what a URI means. A host that names no account is followed by
// it; where there is no host, the environment gives the account. Errors do not
// repeat the URI, which the host shows in front of them.
func locate(uri string, secure bool, vars environment) (location, error) {
	bad := func(format string, args ...any) (location, error) {
		return location{}, sdk.WithHint(fmt.Errorf("location %w: %w", fmt.Errorf(format, args...), sdk.ErrInvalid), goodURI)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return bad("is no URI") // what is wrong with it might show a password
	}
	if u.RawQuery != "" || u.Fragment != "" { // might be a SAS
		return bad("has a query or a fragment, which are no part of a container's address")
	}
	var l location
	switch {
	case u.Scheme == "https" && !secure:
		return bad("is an https address, and secure is false")
	case u.Scheme == "https" && u.Host == "", u.Scheme != "https" && u.Scheme != "azure":
		return bad("is no azure or https address with a host")
	case secure:
		l.scheme = "https"
	default:
		l.scheme = "http"
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	switch host := strings.ToLower(u.Host); {
	case host == "":
		if l, err = vars.endpoint(l); err != nil {
			return location{}, err
		}
	case u.Scheme == "azure" && accountName.MatchString(host) && host != "localhost":
		l.host, l.account = host+publicSuffix, host
	case isAccountHost(host):
		l.host = host
		l.account, _, _ = strings.Cut(host, ".")
	default:
		l.host, l.account, parts = host, parts[0], parts[1:]
		l.path = "/" + l.account
		if !containerName.MatchString(l.account) {
			return bad("names no account: %q", l.account)
		}
	}
	if len(parts) == 0 || !containerName.MatchString(parts[0]) {
		return bad("names no container: %q has to be 3 to 63 lower case letters, digits and single hyphens", strings.Join(parts[:min(1, len(parts))], ""))
	}
	l.container = parts[0]
	if len(parts) > 1 {
		l.prefix = strings.Join(parts[1:], "/")
		if !fs.ValidPath(l.prefix) || l.prefix == "." || strings.ContainsRune(l.prefix, 0) {
			return bad("has a prefix with empty, \".\" or \"..\" elements")
		}
		l.prefix += "/"
	}
	return l, nil
}

// isAccountHost reports whether a host's first label is an account, as in
// "account.blob.core.chinacloudapi.cn", "account.privatelink.blob.core.windows.net"
// and "account.z01.blob.storage.azure.net".
func isAccountHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	labels := strings.Split(name, ".")
	for i, label := range labels {
		if label == "blob" && 1 <= i && i <= 2 && len(labels) > i+1 {
			return accountName.MatchString(strings.TrimSuffix(labels[0], "-secondary"))
		}
	}
	return false
}
