package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brock-backup/brock/plugins/internal/servers"
)

// chain takes a full backup and five incremental ones over drops of predicates,
// of types, of all data, and of everything. What lies in the bucket is read by
// another client as well, byte for byte.
func chain(t *testing.T, l *lab) {
	c := l.site(t, servers.MinIO(t))
	at, key := c.location("dr/dgraph"), []string{"--encryption_key_file", keyFile(t)}
	wholeChain(c, at, key...)
	c.noUploads("dr/dgraph", c.complete(at, "dr/dgraph"))
	c.fails(2, []string{"is encrypted and no key was given"}, "restore", "-l", at, "-p", "without")
	c.brock(append([]string{"verify", "-l", at, "--restore"}, key...)...)

	copied := filepath.Join(c.dir, "copied")
	c.mustMC("cp", "--recursive", "m/"+c.bucket+"/dr/dgraph/", copied)
	c.brock(append([]string{"verify", "-l", copied, "--deep"}, key...)...)
	c.restores(copied, "v25-drops", 6, 6, key...)
	for name, size := range c.objects("dr/dgraph") {
		if info, err := os.Stat(filepath.Join(copied, name)); err != nil || info.Size() != size {
			t.Errorf("%s has %d bytes for mc ls, and for mc cp: %v, %v", name, size, info, err)
		}
	}
}

// wholeChain backs the days up, one after the other, and restores each.
func wholeChain(c *site, at string, flags ...string) {
	c.t.Helper()
	for n := 1; n < len(c.lab.days); n++ {
		prove := "--prove=true"
		if n == 1 {
			prove = "--prove=false" // a full backup is its own proof
		}
		c.backup(at, n, append([]string{prove}, flags...)...)
	}
	all := c.list(at)
	for i, b := range all {
		if b.Num != i+1 || b.ID != all[0].ID || len(b.Missing) > 0 {
			c.t.Errorf("backup %d is listed as %+v", i+1, b)
		}
	}
	for n := 1; n < len(c.lab.days); n++ {
		c.restores(at, "v25-drops", n, n, flags...)
	}
}

// chainOverTLS does it with a server whose certificate only its own authority
// vouches for.
func chainOverTLS(t *testing.T, l *lab) {
	s := servers.MinIOTLS(t)
	c := l.site(t, s)
	at := c.location("dr", "ca_file="+s.CAFile)
	wholeChain(c, at)
	c.noUploads("dr", c.complete(at, "dr"))
	if out := c.brock("verify", "-l", at, "--restore"); !strings.Contains(out, "restored") || strings.Contains(out, "not proved") {
		t.Errorf("verify --restore proves nothing:\n%s", out)
	}

	plain := c.location("dr")
	c.fails(2, []string{"certificate", "ca_file"}, "ls", "-l", plain)
	c.bench = l.bench(t, append(c.env, "SSL_CERT_FILE="+s.CAFile)...)
	c.lists(plain, 6)
	c.backup(plain, 6, "--force-full")
	c.restores(plain, "v25-drops", 1, 6)
}

// anotherServer does it with an S3 server that other people have written.
func anotherServer(t *testing.T, l *lab) {
	s := servers.Versity(t)
	c := l.site(t, s)
	c.bench = l.bench(t, "AWS_ACCESS_KEY_ID="+s.AccessKey, "AWS_SECRET_ACCESS_KEY="+s.SecretKey)
	at := strings.Replace(c.location("dr", "region="+s.Region), "minio://", "s3://", 1)
	wholeChain(c, at, "--encryption_key_file", keyFile(t))
	c.noUploads("dr", c.complete(at, "dr"))
	found := c.brock("plugin", "doctor", at)
	for _, want := range []string{
		"If-None-Match is honoured", "If-None-Match at the end of a multipart upload is honoured", "If-Match is honoured",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("doctor does not say %q:\n%s", want, found)
		}
	}

	// Of two backups that are taken at once each is a whole one.
	first := c.start("backup", "-l", at, "-p", l.days[6], "--force-full", "--encryption_key_file", keyFile(t))
	second := c.start("backup", "-l", at, "-p", l.days[5], "--force-full", "--encryption_key_file", keyFile(t))
	ended := 6
	for _, r := range []*running{first, second} {
		if got := r.end(); got.code == 0 {
			ended++
		} else {
			t.Logf("one of two at once: %v", got)
		}
	}
	c.lists(at, ended)
	if ended == 6 {
		t.Error("of two backups at once none succeeded")
	}
}

// copiedFixtures are backups that Dgraph has made, and another client has copied
// into the bucket.
func copiedFixtures(t *testing.T, l *lab) {
	c := l.site(t, servers.MinIO(t))
	for _, f := range []struct {
		set     string
		backups int
		flags   []string
	}{
		{"v25-drops", 6, nil},
		{"v20.11-drops", 0, nil},
		{"v21.03-groups", 0, nil},
		{"v25-encrypted-32", 2, []string{"--encryption_key_file", keyFile(t)}},
	} {
		points, err := filepath.Glob(fixture(t, f.set) + "/truth/point*.rdf.gz")
		if err != nil || len(points) == 0 {
			t.Fatalf("%s: %v", f.set, err)
		}
		last := len(points)
		c.mustMC("cp", "--recursive", fixture(t, f.set)+"/backup/", "m/"+c.bucket+"/"+f.set)
		at := c.location(f.set)
		c.lists(at, last)
		c.brock(append([]string{"verify", "-l", at, "--deep"}, f.flags...)...)
		before := c.objects(f.set)
		for _, n := range []int{(last + 1) / 2, last} {
			c.restores(at, f.set, n, n, f.flags...)
		}
		if after := c.objects(f.set); len(after) != len(before) {
			t.Errorf("%s: there were %d objects, and after restores there are %d", f.set, len(before), len(after))
		}
	}
}
