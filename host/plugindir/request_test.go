package plugindir

import (
	"maps"
	"testing"

	"github.com/brock-backup/brock/sdk"
)

// What the location says comes first, and credentials stay together.
func TestARequestFillsWhatTheLocationLeavesOpen(t *testing.T) {
	type request = map[string]any
	type location = map[string]string
	for what, c := range map[string]struct {
		location location
		request  request
		want     request
	}{
		"nothing":                   {nil, nil, request{}},
		"the request alone":         {nil, request{"accessKey": "R", "secretKey": "r", "sessionToken": "s"}, request{"accessKey": "R", "secretKey": "r", "sessionToken": "s"}},
		"the location alone":        {location{"accessKey": "L", "secure": "false"}, nil, request{"accessKey": "L", "secure": "false"}},
		"both, of one setting":      {location{"region": "eu"}, request{"region": "us", "trace": true}, request{"region": "eu", "trace": true}},
		"empty fields of a request": {nil, request{"accessKey": "", "secretKey": sdk.NewSecret(""), "anonymous": nil}, request{}},
		"false is a value":          {nil, request{"anonymous": false}, request{"anonymous": false}},
		"a secret for a known key":  {location{"accessKey": "L"}, request{"secretKey": "l"}, request{"accessKey": "L", "secretKey": "l"}},
		"the same key twice":        {location{"accessKey": "L"}, request{"accessKey": "L", "secretKey": "l"}, request{"accessKey": "L", "secretKey": "l"}},
		"a secret for another key":  {location{"accessKey": "L"}, request{"accessKey": sdk.NewSecret("R"), "secretKey": "r", "sessionToken": "s"}, request{"accessKey": "L"}},
		"a token for another pair":  {location{"accessKey": "L", "secretKey": "l"}, request{"sessionToken": "s", "region": "eu"}, request{"accessKey": "L", "secretKey": "l", "region": "eu"}},
		"a location without any":    {location{"anonymous": "true"}, request{"accessKey": "R", "secretKey": "r"}, request{"anonymous": "true"}},
		"a request without any":     {location{"accessKey": "L"}, request{"anonymous": true, "secretKey": "l"}, request{"accessKey": "L", "secretKey": "l"}},
	} {
		if got := combine(c.location, c.request); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
	if got := ofRequest(location{"a": "1"}, request{"b": 2, "a": 3, "c": ""}); len(got) != 1 || got[0] != "b" {
		t.Errorf("a request gives %q, want b alone", got)
	}
}
