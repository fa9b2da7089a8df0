package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk"
)

// A request may come in each of the forms that clients use, and in no other.
func TestFormsOfRequests(t *testing.T) {
	d := newDesk(t)
	const health = `{ health { status } }`
	for _, c := range []struct{ method, query, kind, body, want string }{
		{"POST", "", "application/json", `{"query":"{ health { status } }"}`, `"data":{"health":[{"status":"healthy"}]}`},
		{"POST", "", "application/json; charset=utf-8", `{"query":"query A { health { status } } query B { config { cacheMb } }","operationName":"B","variables":null,"extensions":{"persistedQuery":{}}}`, `"data":{"config":{"cacheMb":64}}`},
		{"POST", "", "application/graphql", health, `"data":{"health":[{"status":"healthy"}]}`},
		{"GET", "?query=" + url.QueryEscape(health), "", "", `"data":{"health":[{"status":"healthy"}]}`},
		{"GET", "?query=" + url.QueryEscape("query($id: String!) { task(input: {id: $id}) { kind } }") + "&variables=" + url.QueryEscape(`{"id":"0x1"}`), "", "", "task does not exist or has expired"},
		{"GET", "?query=" + url.QueryEscape("mutation { draining(enable: true) { response { code } } }"), "", "", "resolving draining failed because a mutation needs a POST"},
		{"GET", "?query=" + url.QueryEscape(health) + "&variables=[", "", "", "the variables are not valid JSON"},
		{"GET", "?extensions=" + url.QueryEscape(`{"persistedQuery":{"version":1,"sha256Hash":"x"}}`), "", "", "PersistedQueryNotSupported"},
		{"POST", "", "application/json", `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"x"}}}`, "PersistedQueryNotSupported"},
		{"POST", "", "", health, "Unrecognised Content-Type"},
		{"POST", "", "text/plain", health, "Unrecognised Content-Type"},
		{"POST", "", "application/x-www-form-urlencoded", "query=" + url.QueryEscape(health), "Unrecognised Content-Type"},
		{"POST", "", "application/json", `{"query":`, "the body is not valid JSON"},
		{"POST", "", "application/json", `[{"query":"{ health { status } }"}]`, "the body is not a GraphQL request"},
		{"POST", "", "application/json", `{"query":" "}`, "there is no query in the request"},
		{"POST", "", "application/json", `{"query":"subscription { health { status } }"}`, "errors"},
		{"DELETE", "", "", "", "Invalid method"},
		{"POST", "/nowhere", "application/json", `{}`, "no such path"},
	} {
		_, text := d.ask(c.method, d.url+c.query, c.kind, c.body)
		if !json.Valid([]byte(text)) || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %s: got %s, want %s", c.method, c.kind, c.body, text, c.want)
		}
	}
	if d.node.Operations.Store.Draining() {
		t.Error("a GET has changed something")
	}
}

// Whoever takes HTML and asks nothing gets the page.
func TestWhoGetsThePage(t *testing.T) {
	d := newDesk(t)
	for accept, want := range map[string]bool{
		"": true, "*/*": true, "text/html,application/xhtml+xml,*/*;q=0.8": true, "application/json": false, "application/graphql-response+json": false,
	} {
		for query, want := range map[string]bool{"": want, "?x=y": want, "?query={health{status}}": false} {
			r := httptest.NewRequest(http.MethodGet, "/admin"+query, nil)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			d.ServeHTTP(w, r)
			if got := strings.HasPrefix(w.Body.String(), "<!doctype html>"); got != want || !want && !json.Valid(w.Body.Bytes()) {
				t.Errorf("GET /admin%s by who accepts %q: %.200s", query, accept, w.Body)
			}
		}
	}
}

// A browser gets a page that may run its own script and fetch from its own server.
func TestThePage(t *testing.T) {
	d := newDesk(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	if n := len(page); n > 20<<10 {
		t.Errorf("the page has %d bytes", n)
	}
	if m := regexp.MustCompile(`(?i)(src|href)\s*=|https?://|\son[a-z]+=|style=|innerHTML`).FindString(page); m != "" {
		t.Errorf("the page has %q", m)
	}
	policy := res.Header.Get("Content-Security-Policy")
	for _, tag := range []string{"script", "style"} {
		_, rest, _ := strings.Cut(page, "<"+tag+">")
		text, _, ok := strings.Cut(rest, "</"+tag+">")
		sum := sha256.Sum256([]byte(text))
		if !ok || !strings.Contains(policy, tag+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("the policy %q does not allow the %s of %d bytes", policy, tag, len(text))
		}
	}
	if !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the policy is %q", policy)
	}
	for _, query := range regexp.MustCompile(`(?s)\["\{\\n.*?"\]|'mutation.*?'|"mutation.*?"`).FindAllString(page, -1) {
		query = strings.NewReplacer(`\n`, "\n", `["`, "", `"]`, "").Replace(strings.Trim(query, `'"`))
		if errs := d.schema.Validate(query); len(errs) > 0 && !strings.Contains(query, "$") {
			t.Errorf("an example of the page: %v\n%s", errs, query)
		}
	}
}

// The page comes without the token that is typed on it, and nothing else does. A link of
// another place asks nothing.
func TestThePageNeedsNoToken(t *testing.T) {
	g := &Guard{token: sdk.NewSecret("token")}
	for url, want := range map[string]error{
		"/admin": nil, "/admin/": nil, "/admin?query=x": errToken, "/admin/backup": errToken, "/alter": errToken,
	} {
		r := httptest.NewRequest(http.MethodGet, url, nil)
		r.Header.Set("Accept", "text/html")
		if err := g.authorize(r); !errors.Is(err, want) {
			t.Errorf("GET %s: %v, want %v", url, err, want)
		}
		r.Method = http.MethodPost
		if err := g.authorize(r); !errors.Is(err, errToken) {
			t.Errorf("POST %s: %v, want %v", url, err, errToken)
		}
	}
	d := newDesk(t)
	r := httptest.NewRequest(http.MethodGet, "/admin?query="+url.QueryEscape("{ health { status } }"), nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("a link of another place: %d %s", w.Code, w.Body)
	}
}

// The older form of a backup answers when the backup is there.
func TestBackupByForm(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	form := url.Values{"destination": {d.backups}, "force_full": {"true"}}.Encode()
	const kind = "application/x-www-form-urlencoded"
	for range 2 {
		status, text := d.ask(http.MethodPost, d.url+"/backup", kind, form)
		if want := `{"code": "Success", "message": "Backup completed."}`; status != http.StatusOK || text != want {
			t.Fatalf("status %d: %s, want %s", status, text, want)
		}
	}
	all, err := d.node.Operations.List(t.Context(), LocationRequest{URI: d.backups})
	if err != nil || len(all) != 2 || !all[1].Full {
		t.Errorf("%d backups, %v; want two full ones", len(all), err)
	}
	for _, c := range []struct{ method, body, want string }{
		{"POST", "", `"errors":[{"message":"Backup failed.","extensions":{"code":"you must specify a 'destination' value"}}]`},
		{"POST", url.Values{"destination": {"gopher://x"}}.Encode(), `"errors":[{"message":"Backup failed.","extensions":{"code":"gopher://x: no plugin serves gopher://`},
		{"POST", "%zz", "the form cannot be read"},
		{"GET", "", `{"message":"Invalid method","extensions":{"code":"ErrorInvalidMethod"}}`},
	} {
		if _, text := d.ask(c.method, d.url+"/backup", kind, c.body); !strings.Contains(text, c.want) {
			t.Errorf("%s %s: %s, want %s", c.method, c.body, text, c.want)
		}
	}
}

// The introspection query that clients send is answered in full.
func TestIntrospection(t *testing.T) {
	d := newDesk(t)
	ref := "kind name"
	for range 9 {
		ref = "kind name ofType { " + ref + " }"
	}
	a := d.done(`query IntrospectionQuery {
  __schema {
    queryType { name }
    mutationType { name }
    subscriptionType { name }
    types { ...FullType }
    directives { name description locations args { ...InputValue } }
  }
}
fragment FullType on __Type {
  kind name description
  fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
  inputFields { ...InputValue }
  interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
fragment TypeRef on __Type { `+ref+` }`, nil)
	for _, want := range []string{
		`"BackupInput"`, `"ListBackupsInput"`, `"RestoreInput"`, `"TaskInput"`, `"forceFull"`, `"sessionToken"`, `"encryptionKeyFile"`, `"vaultSecretIDFile"`,
		`"Begin a new series even if there is one to continue."`, `"NAMESPACE_ID"`, `"MembershipState"`, `"ee_features"`, `"UInt64"`,
	} {
		if !strings.Contains(a.text, want) {
			t.Errorf("the schema has no %s", want)
		}
	}
	if a.at(t, "__schema", "mutationType", "name") != "Mutation" {
		t.Errorf("the schema is %.300s", a.text)
	}
}

// What introspection has had since 2021 is answered, too.
func TestLaterIntrospection(t *testing.T) {
	d := newDesk(t)
	a := d.done(`query IntrospectionQuery {
  __schema { description queryType { name }
    types { kind name ... T } directives { name isRepeatable args(includeDeprecated: true) { name } }
  }
}
fragment T on __Type { specifiedByURL isOneOf inputFields(includeDeprecated: true) { name isDeprecated deprecationReason } }`, nil)
	if v := a.at(t, "__schema", "description"); v != nil {
		t.Errorf("the schema is described as %v", v)
	}
	directives, _ := a.at(t, "__schema", "directives").([]any)
	for _, v := range directives {
		if m, _ := v.(map[string]any); m["isRepeatable"] != false || m["name"] == "" {
			t.Errorf("a directive is %v", m)
		}
	}
	if len(directives) == 0 || !strings.Contains(a.text, `"isOneOf":null`) {
		t.Errorf("the answer is %.300s", a.text)
	}
	if a := d.done(`{ # ä
		a: __schema { description directives { isRepeatable } } b: __schema { description directives { isRepeatable } } }`, nil); !strings.Contains(a.text, `"b":{"description":null,"directives":[{"isRepeatable":false}`) {
		t.Errorf("the answer is %s", a.text)
	}
	for _, query := range []string{`{ __schema { directives { x: isRepeatable } } }`, `{ __schema { description nobody } }`, `{ health { description } }`} {
		if a := d.graphql(query, nil); !strings.Contains(a.errors(), "Cannot query field") {
			t.Errorf("%s: %s", query, a.text)
		}
	}
}
