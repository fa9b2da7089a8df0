package main

import (
	"strings"
	"testing"

	"github.com/brock-backup/brock/plugins/internal/servers"
)

// lockedBucket locks what is written for a day.
func lockedBucket(t *testing.T, l *lab) {
	c := l.site(t, servers.MinIO(t), "--with-lock")
	at := c.location("dr", "object_lock=governance:1d")
	c.backup(at, 1)
	c.backup(at, 2, "--prove")
	c.brock("verify", "-l", at, "--restore")
	old := c.list(at)[0].ID
	c.backup(at, 3, "--force-full")
	if said := c.brock("plugin", "doctor", at); !strings.Contains(said, "what is written is locked for 24h") {
		t.Errorf("doctor does not tell of the lock:\n%s", said)
	}

	before := c.objects("dr")
	for _, place := range []string{at, c.location("dr")} {
		c.fails(1, []string{"locked until 20", "GOVERNANCE"}, "prune", "-l", place, "--keep", "1")
	}
	after := c.objects("dr")
	for name := range before {
		if _, ok := after[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
	c.lists(at, 3)
	if master := c.mustMC("cat", "m/"+c.bucket+"/dr/manifest.json"); !strings.Contains(master, old) {
		t.Error("Dgraph's own manifest has forgotten the series that is still there")
	}
	for n := 1; n <= 2; n++ {
		c.restores(at, "v25-drops", n, n, "--backup_id", old)
	}
	c.brock("verify", "-l", at, "--restore", "--backup_id", old)
	c.backup(at, 4)
	c.restores(at, "v25-drops", 2, 4)

	// A bucket without locks says so, and nothing is written.
	plain := l.site(t, servers.MinIO(t))
	got := plain.try("backup", "-l", plain.location("dr", "object_lock=governance:1d"), "-p", l.days[1])
	if got.code == 0 || !strings.Contains(got.stderr, "made without object lock") {
		t.Errorf("a lock in a bucket without: %v", got)
	}
	if left := plain.objects("dr"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

// versionedBucket keeps what is overwritten and what is deleted.
func versionedBucket(t *testing.T, l *lab) {
	c := l.site(t, servers.MinIO(t), "--with-versioning")
	at := c.location("dr")
	c.backup(at, 1)
	c.backup(at, 2)
	old := c.objects("dr")
	c.backup(at, 3, "--force-full")
	c.brock("prune", "-l", at, "--keep", "1")
	c.lists(at, 1)
	c.complete(at, "dr")
	c.restores(at, "v25-drops", 1, 3)
	c.brock("verify", "-l", at, "--restore")
	c.backup(at, 4)
	c.restores(at, "v25-drops", 2, 4)
	kept := c.objects("dr", "--versions")
	for name := range old {
		if _, ok := kept[name]; !ok {
			t.Errorf("the bucket does not have the old version of %s", name)
		}
	}
	if said := c.brock("plugin", "doctor", at); !strings.Contains(said, "keeps old versions") {
		t.Errorf("doctor does not tell of the versions:\n%s", said)
	}
}
