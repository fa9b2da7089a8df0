package admin

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// minioServer returns what make servers says of MinIO, as in cmd/brock. Without it the test is left
// out, and with CI=true it fails.
func minioServer(t *testing.T) map[string]string {
	t.Helper()
	dir := os.Getenv("BROCK_SERVERS")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "brock-servers")
	}
	env := map[string]string{}
	if f, err := os.Open(filepath.Join(dir, "minio.env")); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if key, value, ok := strings.Cut(lines.Text(), "="); ok {
				env[key] = strings.Trim(value, "'")
			}
		}
	}
	if _, err := os.Stat("/proc/" + env["PID"]); env["PID"] == "" || err != nil {
		const text = "NEEDS SERVER minio: run make servers"
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	return env
}

// The credentials of a request open the bucket, and nothing else knows them: not the answer
// when they are wrong, not the log.
func TestCredentialsOfARequest(t *testing.T) {
	env := minioServer(t)
	if err := buildMinio(); err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(env["S3_ENDPOINT"], &minio.Options{Creds: credentials.NewStaticV4(env["S3_ACCESS_KEY"], env["S3_SECRET_KEY"], "")})
	if err != nil {
		t.Fatal(err)
	}
	bucket := fmt.Sprintf("brock-admin-%d", time.Now().UnixNano())
	if err := client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.RemoveBucketWithOptions(context.Background(), bucket, minio.RemoveBucketOptions{ForceDelete: true})
	})

	d := newDesk(t)
	d.set("first")
	at := "minio://" + env["S3_ENDPOINT"] + "/" + bucket + "/directory?secure=false"
	input := func(secret string) map[string]any {
		return map[string]any{"b": map[string]any{"destination": at, "accessKey": env["S3_ACCESS_KEY"], "secretKey": secret, "sessionToken": "", "anonymous": false}}
	}
	const backup = `mutation($b: BackupInput!) { backup(input: $b) { response { code } taskId } }`
	a := d.done(backup, input(env["S3_SECRET_KEY"]))
	if b := d.task(a.at(t, "backup", "taskId")); b.at(t, "task", "status") != "Success" {
		t.Fatal(b.text)
	}
	d.set("second")
	const restore = `mutation($r: RestoreInput!) { restore(input: $r) { code taskId } }`
	a = d.done(restore, map[string]any{"r": map[string]any{"location": at, "accessKey": env["S3_ACCESS_KEY"], "secretKey": env["S3_SECRET_KEY"]}})
	if b := d.task(a.at(t, "restore", "taskId")); b.at(t, "task", "status") != "Success" || d.value() != "first" {
		t.Errorf("restored is %q: %s", d.value(), b.text)
	}

	a = d.graphql(backup, input("C4nary-that-is-wrong"))
	_, form := d.ask(http.MethodPost, d.url+"/backup", "application/x-www-form-urlencoded",
		"destination="+strings.ReplaceAll(at, "?", "%3F")+"&access_key="+env["S3_ACCESS_KEY"]+"&secret_key=C4nary-that-is-wrong")
	kept, err := os.ReadFile(d.tasksFile)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(a.errors(), "SignatureDoesNotMatch") || !strings.Contains(form, "Backup failed.") {
		t.Errorf("a wrong secret: %s, %s", a.text, form)
	}
	for what, text := range map[string]string{"the answer": a.text, "that to the form": form, "the log": d.logs.String(), "the file of tasks": string(kept)} {
		for _, secret := range []string{"C4nary", env["S3_SECRET_KEY"], env["S3_ACCESS_KEY"]} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s shows a credential: %s", what, text[max(0, i-200):min(len(text), i+60)])
			}
		}
	}
}
