package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brock-backup/brock/plugins/internal/servers"
)

// publicBucket is one that everybody may read.
func publicBucket(t *testing.T, l *lab) {
	c := l.site(t, servers.MinIO(t))
	c.backup(c.location("dr"), 1)
	c.mustMC("anonymous", "set", "download", "m/"+c.bucket)
	at := c.location("dr", "anonymous=true")
	c.bench = l.bench(t) // without credentials
	c.lists(at, 1)
	c.restores(at, "v25-drops", 1, 1)
	c.brock("verify", "-l", at, "--restore")
	before := c.objects("dr")
	c.fails(1, []string{"AccessDenied", "anonymous=true"}, "backup", "-l", at, "-p", l.days[2])
	c.fails(1, []string{"AccessDenied", "no credentials were found"}, "backup", "-l", c.location("dr"), "-p", l.days[2])
	if after := c.objects("dr"); len(after) != len(before) {
		t.Errorf("a backup that was refused wrote something: %v", after)
	}
}

// policies are what README gives to those who take backups, restore and prune.
func (c *site) policies(prefix string) (backup, restore, prune string) {
	c.t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		c.t.Fatal(err)
	}
	_, backup, found := strings.Cut(string(readme), "```json\n")
	backup, _, _ = strings.Cut(backup, "```")
	if !found || !strings.Contains(backup, "acme-dr/dgraph/*") {
		c.t.Fatalf("README has no policy: %s", backup)
	}
	backup = strings.NewReplacer("acme-dr/dgraph", c.bucket+"/"+prefix, "acme-dr", c.bucket).Replace(backup)
	below := c.bucket + "/" + prefix + "/"
	read := allow("s3:ListBucket", c.bucket) + "," + allow("s3:GetObject", below+"*")
	remove := allow("s3:DeleteObject", below+"*") + "," + allow("s3:PutObject", below+"manifest.json") + "," + allow("s3:PutObject", below+"brock/*")
	return backup, policy(read), policy(read + "," + remove)
}

func policy(statements string) string {
	return `{"Version":"2012-10-17","Statement":[` + statements + `]}`
}

func allow(action, resource string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":"arn:aws:s3:::%s"}`, action, resource)
}

// everything may be done in a bucket.
func (c *site) everything() string {
	return policy(allow("s3:*", c.bucket) + "," + allow("s3:*", c.bucket+"/*"))
}

// leastRights gives everybody what README says that they need, and no more.
func leastRights(t *testing.T, l *lab) {
	c := l.site(t, servers.MinIO(t))
	at := c.location("dr", "part_size=5MiB")
	mayBackup, mayRestore, mayPrune := c.policies("dr")
	writer, reader, pruner, nobody := c.as(c.user(mayBackup)), c.as(c.user(mayRestore)), c.as(c.user(mayPrune)), c.as(c.user(""))

	for n := 1; n <= 3; n++ {
		got := writer.try("backup", "-l", at, "-p", l.days[n])
		if got.code != 0 || strings.Contains(got.stderr, "could not be updated") {
			t.Errorf("backup %d by someone who may not delete: %v", n, got)
		}
	}
	writer.lists(at, 3)
	c.complete(at, "dr")
	if found := writer.brock("plugin", "doctor", at); !strings.Contains(found, "nothing can be deleted here") {
		t.Errorf("doctor does not say that nothing can be deleted:\n%s", found)
	}
	for _, n := range []int{1, 2, 3} {
		reader.restores(at, "v25-drops", n, n)
	}
	reader.lists(at, 3)
	reader.brock("verify", "-l", at, "--restore")

	mayBackupBig, _, _ := c.policies("big")
	big := c.location("big", "part_size=5MiB")
	c.as(c.user(mayBackupBig)).brock("backup", "-l", big, "-p", l.big)
	c.complete(big, "big")
	c.brock("verify", "-l", big, "--restore")

	before := c.objects("dr")
	for _, r := range []struct {
		who   *site
		words []string
		args  []string
	}{
		{writer, []string{"AccessDenied", ".backup"}, []string{"restore", "-l", at, "-p", "out"}},
		{reader, []string{"AccessDenied", "s3:PutObject"}, []string{"backup", "-l", at, "-p", l.days[4]}},
		{reader, []string{"AccessDenied", "s3:PutObject"}, []string{"backup", "-l", at, "-p", l.days[4], "--force-full"}},
		{nobody, []string{"AccessDenied", "HTTP 403", "request "}, []string{"backup", "-l", at, "-p", l.days[4]}},
		{nobody, []string{"AccessDenied", "HTTP 403", "request "}, []string{"ls", "-l", at}},
		{nobody, []string{"AccessDenied", "HTTP 403", "request "}, []string{"restore", "-l", at, "-p", "out"}},
	} {
		r.who.fails(1, r.words, r.args...)
	}
	if after := c.objects("dr"); len(after) != len(before) {
		t.Errorf("there were %d objects, and after what was refused there are %d", len(before), len(after))
	}

	writer.backup(at, 4, "--force-full")
	reader.fails(1, []string{"AccessDenied", "s3:PutObject"}, "prune", "-l", at, "--keep", "1")
	half := c.as(c.user(policy(allow("s3:ListBucket", c.bucket) + "," + allow("s3:GetObject", c.bucket+"/*") + "," + allow("s3:PutObject", c.bucket+"/*"))))
	half.fails(1, []string{"AccessDenied", "s3:DeleteObject"}, "prune", "-l", at, "--keep", "1")
	reader.lists(at, 4)
	pruner.brock("prune", "-l", at, "--keep", "1")
	reader.lists(at, 1)
	reader.restores(at, "v25-drops", 1, 4)
}

// secretsInTheURI are shown nowhere, whatever goes wrong.
func secretsInTheURI(t *testing.T, l *lab) {
	c := l.site(t, servers.MinIO(t))
	keys := c.user(c.everything())
	c.bench = l.bench(t)
	with := func(id, secret string, more ...string) string {
		return c.location("dr", append(more, "accessKey="+id, "secretKey="+secret, "trace=true")...)
	}
	at := with(keys[0], keys[1])
	const wrong = "canary/of+wrong=secret"
	nowhere := strings.Replace(at, c.bucket, "brock-no-such-bucket", 1)
	trace := filepath.Join(c.dir, "trace")
	var said strings.Builder
	for _, r := range []struct {
		code int
		args []string
	}{
		{0, []string{"backup", "-l", at, "-p", l.days[1], "-v", "--plugin-trace", trace}},
		{0, []string{"backup", "-l", at, "-p", l.days[2], "-v", "--json", "--plugin-trace", trace}},
		{0, []string{"ls", "-l", at, "-v", "--json"}},
		{0, []string{"verify", "-l", at, "--restore", "-v"}},
		{0, []string{"restore", "-l", at, "-p", "out", "-v", "--plugin-trace", trace}},
		{0, []string{"prune", "-l", at, "--keep", "1", "-v"}},
		{0, []string{"plugin", "doctor", at, "-v"}},
		{1, []string{"backup", "-l", nowhere, "-p", l.days[1], "-v", "--plugin-trace", trace}},
		{1, []string{"backup", "-l", with(keys[0], wrong), "-p", l.days[1], "-v", "--plugin-trace", trace}},
		{1, []string{"backup", "-l", with(wrong, keys[1]), "-p", l.days[1], "-v"}},
		{2, []string{"backup", "-l", with(keys[0], keys[1], "secretkey=x"), "-p", l.days[1]}},
		{2, []string{"ls", "-l", with(keys[0], keys[1], "part_size=1"), "-v"}},
		{-2, []string{"plugin", "doctor", with(keys[0], wrong), "-v"}},
	} {
		got := c.try(r.args...)
		if got.code != r.code && r.code >= 0 {
			t.Errorf("brock %s ...: want exit %d: %v", r.args[0], r.code, got)
		}
		said.WriteString(got.String())
	}
	if n := strings.Count(said.String(), "GET") + strings.Count(said.String(), "PUT"); n == 0 {
		t.Error("trace=true shows no request")
	}
	places := map[string]string{"what was said": said.String(), "the bucket": c.contents("dr")}
	files := 0
	for _, dir := range []string{trace, filepath.Join(c.dir, "state"), filepath.Join(c.dir, "cache")} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			places[path] = path + string(data)
			files++
			return err
		})
		if err != nil {
			t.Errorf("nothing to be looked at: %v", err)
		}
	}
	if files < 3 {
		t.Errorf("%d files have been looked at", files)
	}
	for place, text := range places {
		for _, secret := range []string{keys[0], keys[1], wrong, "canary%2Fof"} {
			if strings.Contains(text, secret) {
				at := strings.Index(text, secret)
				t.Errorf("%s shows a secret: ...%s...", place, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
}

// contents are the names of all objects below a prefix and what is in them.
func (c *site) contents(prefix string) string {
	c.t.Helper()
	var all strings.Builder
	for name := range c.objects(prefix) {
		all.WriteString(name + "\n" + c.mustMC("cat", "m/"+c.bucket+"/"+prefix+"/"+name))
	}
	return all.String()
}
