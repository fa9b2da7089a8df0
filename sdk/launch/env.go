package launch

import (
	"slices"
	"strings"
)

// allowList names the variables that every plugin sees. The host's environment
// is full of secrets that are not the plugin's.
var allowList = []string{
	"HOME", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	"http_proxy", "https_proxy", "all_proxy", "no_proxy",
	"SYSTEMROOT", "USERPROFILE", // Windows
}

// Environment returns the names of the host's variables that every plugin sees.
func Environment() []string { return slices.Clone(allowList) }

func allowed(environ []string) []string {
	var env []string
	for _, v := range environ {
		if name, _, _ := strings.Cut(v, "="); slices.Contains(allowList, name) {
			env = append(env, v)
		}
	}
	return env
}
