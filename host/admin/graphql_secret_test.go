package admin

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	gqlerrors "github.com/graph-gophers/graphql-go/errors"

	"github.com/brock-backup/brock/sdk"
)

// Credentials appear in no answer, no log and no file of tasks, however they were sent and
// whatever is wrong with the request.
func TestNoCanaryEscapes(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	const canary = "C4nary"
	var answers []string
	post := func(kind, body string) {
		_, text := d.ask(http.MethodPost, d.url, kind, body)
		answers = append(answers, body+"\n"+text)
	}
	for _, in := range []string{
		`destination: "` + d.backups + `", accessKey: "C4naryA", secretKey: "C4naryS", sessionToken: "C4naryT"`,
		`destination: "gopher://x", secretKey: "C4naryS"`,
		`destination: "gopher://C4naryU:C4naryP@x?secretKey=C4naryS"`,
		`destination: "file://C4naryU:C4naryP@x/y?secretKey=C4naryS&a=%zz"`,
		`destination: "/x", secretKey: C4naryS`,
		`destination: "/x", secretKey: ["C4naryS"]`,
		`destination: "/x", secretKey: {a: "C4naryS"}`,
		`destination: "/x", secretKey: """C4naryS`,
		`destination: "/x", secretKey: "C4naryS`,
		`destination: "/x", secretKey: "ab"C4naryS"`,
		`destination: "/x", secretKey: "\q C4naryS"`,
		`destination: "/x", secretKey: "C4na` + "\x00" + `ryS", C4naryS`,
		`destination: "/x", secretKey: 'C4naryS'`,
		`destination: "/x", anonymous: "C4naryS"`,
		`destination: "/x", forceFull: C4naryS`,
		`destination: C4naryS`,
	} {
		post("application/graphql", `mutation { backup(input: {`+in+`}) { taskId } }`)
		post("application/graphql", `mutation { backup(input: "C4naryS", `+in+`) { taskId } }`)
		post("application/graphql", `{ listBackups(input: {`+strings.Replace(in, "destination", "location", 1)+`}) { path } }`)
		post("application/graphql", `mutation { restore(input: {`+strings.Replace(in, "destination", "location", 1)+`}) { code message } }`)
	}
	const query = `"query":"mutation($i: BackupInput!) { backup(input: $i) { taskId } }"`
	for _, v := range []string{
		`{"i":{"destination":"` + d.backups + `","accessKey":"C4naryA","secretKey":"C4naryS","sessionToken":"C4naryT"}}`,
		`{"i":{"destination":"gopher://x","secretKey":"C4naryS"}}`,
		`{"i":{"destination":"/x","secretKey":{"a":"C4naryS"}}}`,
		`{"i":{"destination":"/x","secretKey":["C4naryS"]}}`,
		`{"i":{"destination":["C4naryS"]}}`,
		`{"i":{"destination":"/x","forceFull":"C4naryS"}}`,
		`{"i":"C4naryS"}`, `{"i":["C4naryS"]}`, `"C4naryS"`, `{"j":"C4naryS"}`, `{"i":C4naryS}`,
	} {
		post("application/json", `{`+query+`,"variables":`+v+`}`)
	}
	post("application/json", `{"query":"mutation($w: AssignKind!) { assign(input: {what: $w, num: 1}) { response { startId } } }","variables":{"w":"C4naryS"}}`)
	post("application/json", `{"query":"mutation($w: UInt64!) { assign(input: {what: UID, num: $w}) { response { startId } } }","variables":{"w":"C4naryS"}}`)
	post("application/graphql", `mutation { assign(input: {what: C4naryS, num: "C4naryS"}) { response { startId } } }`)
	post("application/graphql", `mutation($k: AssignKind = C4naryS) { assign(input: {what: $k, num: 1}) { response { startId } } }`)
	for _, form := range []url.Values{
		{"destination": {d.backups}, "access_key": {"C4naryA"}, "secret_key": {"C4naryS"}, "session_token": {"C4naryT"}},
		{"destination": {"gopher://x"}, "secret_key": {"C4naryS"}},
	} {
		_, text := d.ask(http.MethodPost, d.url+"/backup", "application/x-www-form-urlencoded", form.Encode())
		answers = append(answers, form.Encode()+"\n"+text)
	}
	for _, a := range answers {
		body, text, _ := strings.Cut(a, "\n")
		taken := strings.Contains(body, "C4naryT") || strings.Contains(body, "C4naryA") // a directory wants no credentials
		if strings.Contains(text, canary) || !taken && !strings.Contains(text, "errors") {
			t.Errorf("%s\nis answered by %s", body, text)
		}
	}
	kept, err := os.ReadFile(d.tasksFile)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"the log": d.logs.String(), "the file of tasks": string(kept)} {
		if at := strings.Index(text, canary); at >= 0 {
			t.Errorf("%s has a canary: %s", what, text[max(0, at-200):min(len(text), at+40)])
		}
	}
	if !strings.Contains(d.logs.String(), "backup failed") {
		t.Error("no backup was begun: nothing is shown")
	}
}

// What is wrong with a request is still told, without the value.
func TestScrub(t *testing.T) {
	for _, c := range []struct{ rule, message, want string }{
		{"", `syntax error: unexpected "}", expecting Ident`, `syntax error: unexpected "}", expecting Ident`},
		{"", `syntax error: unexpected "", expecting "{"`, `syntax error: unexpected "", expecting "{"`},
		{"", `syntax error: unexpected "s3cret", expecting ")"`, `syntax error: unexpected name or value, expecting ")"`},
		{"", "syntax error: literal not terminated", "syntax error: a text is not terminated"},
		{"", `could not unmarshal "s3cret" (string) into bool: incompatible type: string`, "an argument has a value that is not of its type"},
		{"", "no operations in query document", "no operations in query document"},
		{"ValuesOfCorrectTypeRule", "String cannot represent a non string value: s3cret", "String cannot represent a non string value"},
		{"ValuesOfCorrectTypeRule", `Value "s3cret" does not exist in "AssignKind" enum.`, `the value does not exist in "AssignKind" enum`},
		{"ValuesOfCorrectTypeRule", `Expected value of type "BackupInput", found "s3cret".`, `Expected value of type "BackupInput", found another`},
		{"ValuesOfCorrectTypeRule", `Field "BackupInput.destination" of required type "String!" was not provided.`, `Field "BackupInput.destination" of required type "String!" was not provided.`},
		{"VariablesOfCorrectType", "Variable \"i\" has invalid type string.\nExpected type \"BackupInput\", found s3cret.", `Variable "i" has invalid type: it is no BackupInput`},
		{"VariablesOfCorrectType", "Variable \"what\" has invalid value s3cret.\nExpected type \"AssignKind\", found s3cret.", `Variable "what" has invalid value: it is no AssignKind`},
		{"FieldsOnCorrectTypeRule", `Cannot query field "bakup" on type "Mutation". Did you mean "backup"?`, `Cannot query field "bakup" on type "Mutation". Did you mean "backup"?`},
	} {
		if got := scrub(&gqlerrors.QueryError{Rule: c.rule, Message: c.message}).Message; got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.message, got, c.want)
		}
	}
}

// An error that shows a credential of the request has it taken out, and stays what it is.
func TestConceal(t *testing.T) {
	l := LocationRequest{SecretKey: sdk.NewSecret("hunter2"), AccessKey: sdk.NewSecret("AK")}
	err := l.conceal(&sdkError{"AK: no hunter2 here"})
	if err.Error() != "AK: no [secret] here" {
		t.Errorf("it is %q", err)
	}
	if l.conceal(nil) != nil {
		t.Error("no error has become one")
	}
}

type sdkError struct{ text string }

func (e *sdkError) Error() string { return e.text }
