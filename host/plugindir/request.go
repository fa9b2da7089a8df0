package plugindir

import (
	"maps"
	"slices"

	"github.com/brock-backup/brock/sdk"
)

// credentials are the settings that belong together: the key of one and the
// secret of another open nothing. They are called as Dgraph calls the fields of
// its requests.
var credentials = []string{"accessKey", "secretKey", "sessionToken", "anonymous"}

// combine returns the settings of a location, and of those that a request gives
// the ones that the location does not give otherwise. A location that has a
// secret key, or wants none, or names another access key, takes no credentials of
// the request's.
func combine(location map[string]string, request map[string]any) map[string]any {
	all := map[string]any{}
	own := location["secretKey"] != "" || location["anonymous"] != "" ||
		location["accessKey"] != "" && request["accessKey"] != nil && text(request["accessKey"]) != location["accessKey"]
	for name, value := range request {
		theirs := slices.Contains(credentials, name) && (own || name == "anonymous" && location["accessKey"] != "")
		if !theirs && value != nil && text(value) != "" {
			all[name] = value
		}
	}
	for name, value := range location {
		all[name] = value
	}
	return all
}

// text is a setting's value if it is text or a secret, and something else but
// nothing for all others.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case sdk.Secret:
		return v.RevealString()
	}
	return "\x00"
}

// ofRequest returns the names of the settings that a request gives in the end.
func ofRequest(location map[string]string, request map[string]any) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(combine(location, request))), func(name string) bool {
		_, given := location[name]
		return given
	})
}
