package admin_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host/admin"
	"github.com/brock-backup/brock/sdk"
)

func guard(t *testing.T, c admin.GuardConfig) *admin.Guard {
	t.Helper()
	g, err := admin.NewGuard(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestWhoMayCall(t *testing.T) {
	for _, c := range []struct {
		whitelist, peer string
		may             bool
	}{
		{"", "127.0.0.1", true},
		{"", "127.8.8.8", true},
		{"", "::1", true},
		{"", "::ffff:127.0.0.1", true},
		{"", "10.0.0.1", false},
		{"", "0.0.0.0", false},
		{"", "fe80::1", false},
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "::ffff:10.0.0.1", true},
		{"::ffff:10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"10.0.0.1", "::a00:1", false},
		{"10.0.0.1, 10.0.0.3", "10.0.0.3", true},
		{"10.0.0.2:10.0.0.9", "10.0.0.2", true},
		{"10.0.0.2:10.0.0.9", "10.0.0.9", true},
		{"10.0.0.2:10.0.0.9", "10.0.0.10", false},
		{"10.0.0.2:10.0.0.9", "10.0.0.1", false},
		{"10.0.1.0:10.2.0.0", "10.1.255.255", true},
		{"10.0.0.0/8", "10.200.3.4", true},
		{"10.0.0.0/8", "11.0.0.1", false},
		{"10.1.2.3/30", "10.1.2.0", true},
		{"10.1.2.3/30", "10.1.2.4", false},
		{"::ffff:10.0.0.0/104", "10.200.3.4", true},
		{"0.0.0.0/0", "8.8.8.8", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "8.8.8.8", false},
		{"2001:db8::/32", "2001:db8:ffff::1", true},
		{"2001:db8::1", "2001:db8::1", true},
		{"2001:db8::1", "2001:db8::2", false},
		{"fe80::/10", "fe80::1%eth0", true},
		{"localhost", "10.0.0.1", false},
	} {
		r := newRequest(t, c.peer)
		from, err := guard(t, admin.GuardConfig{Whitelist: c.whitelist}).Admit(r)
		if (err == nil) != c.may {
			t.Errorf("whitelist %q, %s: %v", c.whitelist, c.peer, err)
		}
		if err != nil && !strings.HasSuffix(err.Error(), "unauthorized ip address: "+from) {
			t.Errorf("whitelist %q, %s: %v", c.whitelist, c.peer, err)
		}
	}
}

func TestWhitelistThatIsNone(t *testing.T) {
	for _, list := range []string{"10.0.0.300", "10.0.0.9:10.0.0.1", "10.0.0.1:", "10.0.0.0/33", "10.0.0.1:10.0.0.2:10.0.0.3", "no-such-name.invalid", "a b", "1.2.3.4;token"} {
		if _, err := admin.NewGuard(t.Context(), admin.GuardConfig{Whitelist: list}); err == nil {
			t.Errorf("%q is taken for a whitelist", list)
		}
	}
	if _, err := admin.NewGuard(t.Context(), admin.GuardConfig{Whitelist: "localhost, ,"}); err != nil {
		t.Errorf("names are looked up: %v", err)
	}
}

func TestForwarded(t *testing.T) {
	for _, c := range []struct {
		proxies, peer, header string
		from                  string // "" if refused
	}{
		{"", "127.0.0.1", "10.0.0.1", "127.0.0.1"}, // not believed, and not needed
		{"", "8.8.8.8", "127.0.0.1", ""},
		{"10.0.0.1", "8.8.8.8", "127.0.0.1", ""},
		{"10.0.0.1", "10.0.0.1", "", ""},
		{"10.0.0.1", "10.0.0.1", "nonsense", ""},
		{"10.0.0.1", "10.0.0.1", "10.9.9.9", "10.9.9.9"},
		{"10.0.0.1", "10.0.0.1", "10.9.9.9:4711", "10.9.9.9"},
		{"10.0.0.1", "10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"},
		{"10.0.0.1", "10.0.0.1", "127.0.0.1", "127.0.0.1"},
		{"10.0.0.1", "10.0.0.1", "127.0.0.1, 8.8.8.8", ""}, // only the last hop is the proxy's word
		{"10.0.0.1", "10.0.0.1", "10.9.9.9,8.8.8.8,10.0.0.1", ""},
		{"10.0.0.1", "10.0.0.1", "8.8.8.8, 10.9.9.9, 10.0.0.1", "10.9.9.9"},
		{"127.0.0.1", "127.0.0.1", "8.8.8.8", ""}, // a proxy on this machine opens it to nobody
		{"127.0.0.1", "127.0.0.1", "127.0.0.1, 8.8.8.8", ""},
		{"127.0.0.1", "127.0.0.1", "", ""},
	} {
		r := newRequest(t, c.peer)
		if c.header != "" {
			r.Header.Set("X-Forwarded-For", c.header)
		}
		from, err := guard(t, admin.GuardConfig{Whitelist: "10.9.9.9,2001:db8::1", Proxies: c.proxies}).Admit(r)
		if (err == nil) != (c.from != "") || err == nil && from != c.from {
			t.Errorf("proxies %q, peer %s, header %q: from %s, %v; want %q", c.proxies, c.peer, c.header, from, err, c.from)
		}
	}
	// Two headers are one list.
	r := newRequest(t, "10.0.0.1")
	r.Header["X-Forwarded-For"] = []string{"10.9.9.9", "8.8.8.8"}
	if from, err := guard(t, admin.GuardConfig{Whitelist: "10.9.9.9", Proxies: "10.0.0.1"}).Admit(r); err == nil {
		t.Errorf("the first of two headers counts: %s", from)
	}
}

// A web page that its reader's browser has loaded from elsewhere gets nothing.
func TestWebPages(t *testing.T) {
	for _, c := range []struct {
		peer, host, origin, site string
		may                      bool
	}{
		{"127.0.0.1", "localhost:8080", "", "", true},
		{"127.0.0.1", "127.0.0.1:8080", "", "", true},
		{"127.0.0.1", "[::1]:8080", "", "", true},
		{"127.0.0.1", "LOCALHOST", "", "", true},
		{"127.0.0.1", "brock.localhost:1", "", "", true},
		{"127.0.0.1", "backup.example.org:8080", "", "", true}, // given
		{"127.0.0.1", "evil.example:8080", "", "", false},      // a name that leads here now
		{"127.0.0.1", "localhost.evil.example", "", "", false},
		{"127.0.0.1", "evil.example", "http://evil.example", "", false},
		{"127.0.0.1", "localhost:8080", "http://localhost:8080", "same-origin", true},
		{"127.0.0.1", "localhost:8080", "http://evil.example", "cross-site", false},
		{"127.0.0.1", "localhost:8080", "http://localhost:9090", "same-site", false},
		{"127.0.0.1", "localhost:8080", "null", "", false},
		{"127.0.0.1", "localhost:8080", "", "cross-site", false},
		{"10.0.0.1", "127.0.0.1:8080", "https://backup.example.org", "same-origin", true}, // our proxy
		{"10.0.0.1", "127.0.0.1:8080", "https://evil.example", "cross-site", false},
		{"127.0.0.1", "127.0.0.1:8080", "https://backup.example.org", "", false},
		{"10.9.9.9", "brock:8080", "", "", true}, // a program on the whitelist
		{"10.9.9.9", "evil.example:8080", "http://evil.example:8080", "", false},
		{"10.9.9.9", "10.0.0.1:8080", "http://10.0.0.1:8080", "", true},
	} {
		r := newRequest(t, c.peer)
		r.Host = c.host
		if c.peer == "10.0.0.1" {
			r.Header.Set("X-Forwarded-For", "10.9.9.9")
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		_, err := guard(t, admin.GuardConfig{Whitelist: "10.9.9.9", Proxies: "10.0.0.1", Hosts: []string{"backup.example.org"}}).Admit(r)
		if (err == nil) != c.may {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestForbiddenFromElsewhere(t *testing.T) {
	r := serve(t, admin.Config{}, "192.0.2.7")
	for _, path := range []string{"/health", "/state", "/query", "/mutate?commitNow=true", "/alter", "/admin", "/admin/backup", "/metrics", "/nothing"} {
		status, body := r.do("POST", path, `{"drop_all":true}`, "X-Forwarded-For", "127.0.0.1")
		message, code := refusal(t, body)
		if status != 403 || message != "unauthorized ip address: 192.0.2.7" || code != "ErrorUnauthorized" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if !strings.Contains(r.log.String(), "192.0.2.7") {
		t.Error("the log does not tell who was refused")
	}
}

func TestAuthToken(t *testing.T) {
	const token = "canary-of-a-token"
	r := serve(t, admin.Config{Guard: guard(t, admin.GuardConfig{Token: sdk.NewSecret(token)})}, "")
	for _, given := range []string{"", "wrong", token + "x", token[1:]} {
		for _, path := range []string{"/alter", "/admin", "/admin/backup"} {
			status, body := r.do("POST", path, "name: string .", "X-Dgraph-AuthToken", given)
			want := `{"errors":[{"message":"Invalid X-Dgraph-AuthToken","extensions":{"code":"ErrorUnauthorized","hint":"the request came from 127.0.0.1"}}]}`
			if status != 403 || body != want {
				t.Errorf("%s with %q: %d %s", path, given, status, body)
			}
		}
	}
	if _, body := r.do("POST", "/alter", "name: string .", "X-Dgraph-AuthToken", token); !strings.Contains(body, "Done") {
		t.Errorf("with the token: %s", body)
	}
	if status, _ := r.do("GET", "/health", ""); status != 200 {
		t.Errorf("health needs no token: %d", status)
	}
	if strings.Contains(r.log.String(), "canary") {
		t.Errorf("the log has the token: %s", r.log)
	}
}

func newRequest(t *testing.T, peer string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/admin", nil)
	r.Host = "localhost:8080"
	r.RemoteAddr = net.JoinHostPort(peer, "4711")
	return r
}
