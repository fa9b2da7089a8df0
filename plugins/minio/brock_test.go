package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
)

// TestBrock runs the command brock with the real plugins against real servers.
// Each story has a bucket of its own.
func TestBrock(t *testing.T) {
	l := newLab(t)
	for name, story := range map[string]func(*testing.T, *lab){
		"chain":             chain,
		"chain over TLS":    chainOverTLS,
		"another server":    anotherServer,
		"copied fixtures":   copiedFixtures,
		"public bucket":     publicBucket,
		"least rights":      leastRights,
		"secrets":           secretsInTheURI,
		"tokens expire":     tokensExpire,
		"keys are rotated":  keysAreRotated,
		"locked bucket":     lockedBucket,
		"versioned bucket":  versionedBucket,
		"busy":              busy,
		"bad network":       badNetwork,
		"full":              full,
		"outage":            outage,
		"plugin is killed":  pluginIsKilled,
		"command is killed": commandIsKilled,
		"both are killed":   bothAreKilled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, l)
		})
	}
}

// A lab is what the stories share, and none of them changes.
type lab struct {
	bin  string    // folder of brock and its plugins
	days [7]string // from 1: the database of v25-drops at the time of each of its backups
	big  string    // a database of several parts
}

func newLab(t *testing.T) *lab {
	t.Helper()
	servers.MinIO(t) // or there is nothing to be built for
	l := &lab{bin: t.TempDir()}
	programs := map[string]string{
		"cmd/brock":                    "brock",
		"plugins/minio":                "brock-destination-minio",
		"plugins/s3":                   "brock-destination-s3",
		"plugins/nfs":                  "brock-destination-nfs",
		"plugins/keyfile":              "brock-keyprovider-keyfile",
		"plugins/minio/testdata/bigdb": "bigdb",
	}
	args := []string{"build", "-ldflags=-s -w", "-o", l.bin + "/"}
	for pkg := range programs {
		args = append(args, "../../"+pkg)
	}
	build := exec.CommandContext(t.Context(), "go", args...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}
	for pkg, name := range programs {
		file := filepath.Join(l.bin, name)
		if err := os.Rename(filepath.Join(l.bin, filepath.Base(pkg)), file); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o755); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	b := l.bench(t)
	for n := 1; n < len(l.days); n++ {
		l.days[n] = filepath.Join(t.TempDir(), "data")
		b.brock("restore", "-l", fixture(t, "v25-drops")+"/backup", "-p", l.days[n], "--backup_num", strconv.Itoa(n), "--keep-versions")
	}
	l.big = filepath.Join(t.TempDir(), "big")
	fill := exec.CommandContext(t.Context(), filepath.Join(l.bin, "bigdb"), "fill", l.big, strconv.Itoa(bigSize))
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return l
}

// bigSize is that of the big database: five parts of 5 MiB.
const bigSize = 24 << 20

// digest is that of all keys and values of a Badger database.
func (l *lab) digest(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(l.bin, "bigdb"), "digest", dir).Output()
	if err != nil || strings.HasPrefix(string(out), "0 ") {
		t.Fatalf("%s: %s, %v", dir, out, err)
	}
	return string(out)
}

// fixture is the path of a set of backups that a real Dgraph has made.
func fixture(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../host/testdata/fixtures/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// keyFile is that of the backups that the stories encrypt.
func keyFile(t *testing.T) string {
	t.Helper()
	return fixture(t, "v25-encrypted-32") + "/key"
}

// A bench is where one story runs commands.
type bench struct {
	t   *testing.T
	lab *lab
	dir string
	env []string
}

func (l *lab) bench(t *testing.T, env ...string) *bench {
	t.Helper()
	tmp, err := os.MkdirTemp("", "brock") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	b := &bench{t: t, lab: l, dir: t.TempDir()}
	b.env = append([]string{
		"HOME=" + b.dir, "TMPDIR=" + tmp, "XDG_STATE_HOME=" + b.dir + "/state", "BROCK_CACHE_DIR=" + b.dir + "/cache", "BROCK_PLUGIN_DIR=" + l.bin,
	}, env...)
	return b
}

// An outcome is what became of a command.
type outcome struct {
	code           int // -1: a signal has ended it
	stdout, stderr string
}

func (o outcome) String() string { return fmt.Sprintf("exit %d\n%s%s", o.code, o.stdout, o.stderr) }

// A running command is one that goes on.
type running struct {
	b              *bench
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	done           chan struct{}
}

// start starts brock, which ends with the test at the latest.
func (b *bench) start(args ...string) *running {
	b.t.Helper()
	r := &running{b: b, cmd: exec.CommandContext(b.t.Context(), filepath.Join(b.lab.bin, "brock"), args...), done: make(chan struct{})}
	r.cmd.Env, r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = b.env, b.dir, &r.stdout, &r.stderr
	r.cmd.WaitDelay = 10 * time.Second
	if err := r.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		_ = r.cmd.Wait()
		close(r.done)
	}()
	b.t.Cleanup(func() { <-r.done })
	return r
}

// end waits for the command.
func (r *running) end() outcome {
	r.b.t.Helper()
	select {
	case <-r.done:
	case <-time.After(4 * time.Minute):
		r.b.t.Fatalf("%s does not end", r.cmd)
	}
	return outcome{r.cmd.ProcessState.ExitCode(), r.stdout.String(), r.stderr.String()}
}

// try runs a command that may fail.
func (b *bench) try(args ...string) outcome {
	b.t.Helper()
	return b.start(args...).end()
}

// brock runs a command that is to succeed, and returns what it prints.
func (b *bench) brock(args ...string) string {
	b.t.Helper()
	got := b.try(args...)
	if got.code != 0 {
		b.t.Fatalf("brock %s: %v", strings.Join(args, " "), got)
	}
	return got.stdout
}

// fails runs a command that is to fail with a code, in words that contain those
// given.
func (b *bench) fails(code int, words []string, args ...string) string {
	b.t.Helper()
	got := b.try(args...)
	if got.code != code {
		b.t.Fatalf("brock %s: want exit %d: %v", strings.Join(args, " "), code, got)
	}
	for _, w := range words {
		if !strings.Contains(got.stderr, w) {
			b.t.Errorf("brock %s does not say %q: %v", strings.Join(args, " "), w, got)
		}
	}
	return got.stderr
}

// A listed backup is as brock ls tells it.
type listed struct {
	ID      string   `json:"backup_id"`
	Num     int      `json:"backup_num"`
	Path    string   `json:"path"`
	Kind    string   `json:"kind"`
	Missing []string `json:"missing"`
}

func (b *bench) list(location string, flags ...string) (all []listed) {
	b.t.Helper()
	out := b.brock(append([]string{"ls", "--json", "-l", location}, flags...)...)
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	return all
}

// lists makes sure that the location has so many backups, and nothing else.
func (b *bench) lists(location string, n int) {
	b.t.Helper()
	if all := b.list(location); len(all) != n {
		b.t.Errorf("%d backups are listed, want %d: %+v", len(all), n, all)
	}
}

// restores makes sure that a location's latest series, up to backup n, is what
// the cluster of a fixture held at the time of its own backup number point.
func (b *bench) restores(location, set string, n, point int, flags ...string) {
	b.t.Helper()
	dir := filepath.Join(b.dir, "restored")
	b.brock(append([]string{"restore", "-l", location, "-p", dir, "--backup_num", strconv.Itoa(n), "--compat", compat(set)}, flags...)...)
	b.holds(dir, set, point)
	if err := os.RemoveAll(dir); err != nil {
		b.t.Fatal(err)
	}
}

// compat is the version of Dgraph whose export the truth of a fixture is.
func compat(set string) string {
	if strings.HasPrefix(set, "v20") {
		return "v20"
	}
	return "v23"
}

// holds makes sure that a restored directory has what the cluster held.
func (b *bench) holds(dir, set string, point int) {
	b.t.Helper()
	truth := filepath.Join(fixture(b.t, set), "truth", fmt.Sprintf("point%d", point-1))
	f, err := os.Open(truth + ".rdf.gz")
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.t.Fatal(err)
	}
	quads, err := io.ReadAll(z)
	if err != nil {
		b.t.Fatal(err)
	}
	types, err := os.ReadFile(truth + ".schema")
	if err != nil {
		b.t.Fatal(err)
	}
	schema := filepath.Join(b.dir, "schema.txt")
	got := b.brock("export", "-p", dir, "--schema", schema, "--compat", compat(set))
	if userLines(got) != userLines(string(quads)) {
		b.t.Errorf("%s: the quads of backup %d are not what the cluster held", set, point)
	}
	restored, err := os.ReadFile(schema)
	if err != nil {
		b.t.Fatal(err)
	}
	if userLines(userTypes(string(restored))) != userLines(string(types)) {
		b.t.Errorf("%s: the schema of backup %d is not what the cluster had:\n%s", set, point, restored)
	}
}

// userLines are sorted and without what is Dgraph's own: its exports differ in
// that from version to version.
func userLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		reserved := strings.Contains(line, "<dgraph.") && (!strings.Contains(line, " <dgraph.type> ") || strings.Contains(line, `"dgraph.`))
		if line = strings.TrimSpace(line); line != "" && !reserved {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// userTypes puts each type of a schema on one line, with its fields sorted.
func userTypes(schema string) string {
	var out, fields []string
	name := ""
	for line := range strings.Lines(schema) {
		line = strings.TrimSpace(line)
		switch {
		case name != "" && line == "}":
			slices.Sort(fields)
			out, name = append(out, name+" "+strings.Join(fields, " ")+" }"), ""
		case name != "":
			fields = append(fields, line)
		case strings.HasSuffix(line, "{"):
			name, fields = line, nil
		default:
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// A site is a bench with a bucket, which MinIO's own client looks after.
type site struct {
	*bench
	servers.S3
	bucket string
	client []string // environment of mc
}

// site makes a bucket, with flags of mc mb. Commands have the server's root
// credentials.
func (l *lab) site(t *testing.T, s servers.S3, flags ...string) *site {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(s.AccessKey, s.SecretKey)
	c := &site{
		S3: s, bench: l.bench(t, "MINIO_ACCESS_KEY="+s.AccessKey, "MINIO_SECRET_KEY="+s.SecretKey),
		bucket: "brock-" + strings.ToLower(rand.Text()),
		client: []string{"HOME=" + t.TempDir(), "MC_HOST_m=" + u.String()},
	}
	c.mustMC(append(append([]string{"mb"}, flags...), "m/"+c.bucket)...)
	t.Cleanup(func() {
		if slices.Contains(flags, "--with-lock") {
			_, _ = c.mc("rm", "--recursive", "--force", "--versions", "--bypass", "m/"+c.bucket)
		}
		if out, err := c.mc("rb", "--force", "m/"+c.bucket); err != nil {
			t.Errorf("removing bucket %s: %v: %s", c.bucket, err, out)
		}
	})
	return c
}

// user makes a user who may do what a policy says, or nothing with "", and returns
// the keys.
func (c *site) user(policy string) [2]string {
	c.t.Helper()
	key, secret := strings.ToLower(rand.Text()), rand.Text()
	c.mustMC("admin", "user", "add", "m", key, secret)
	c.t.Cleanup(func() { _, _ = c.mc("admin", "user", "remove", "m", key) })
	if policy == "" {
		return [2]string{key, secret}
	}
	file := filepath.Join(c.dir, key)
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.mustMC("admin", "policy", "create", "m", key, file)
	c.mustMC("admin", "policy", "attach", "m", key, "--user", key)
	c.t.Cleanup(func() {
		_, _ = c.mc("admin", "policy", "detach", "m", key, "--user", key)
		_, _ = c.mc("admin", "policy", "remove", "m", key)
	})
	return [2]string{key, secret}
}

// as is a site with other credentials.
func (c *site) as(keys [2]string) *site {
	c.t.Helper()
	other := *c
	other.bench = c.lab.bench(c.t, "MINIO_ACCESS_KEY="+keys[0], "MINIO_SECRET_KEY="+keys[1])
	return &other
}

// mc runs MinIO's client in an environment of its own.
func (c *site) mc(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, servers.MC(c.t), append([]string{"--insecure", "--quiet"}, args...)...)
	cmd.Env = c.client
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s%s", err, out, &stderr)
	}
	return string(out), err
}

func (c *site) mustMC(args ...string) string {
	c.t.Helper()
	out, err := c.mc(args...)
	if err != nil {
		c.t.Fatalf("mc %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// location is a URI in the bucket, with settings NAME=value.
func (c *site) location(prefix string, settings ...string) string {
	return c.through(c.Endpoint, prefix, settings...)
}

// through is the same by way of a proxy.
func (c *site) through(addr, prefix string, settings ...string) string {
	q := url.Values{}
	if !c.Secure {
		q.Set("secure", "false")
	}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		q.Set(name, value)
	}
	u := url.URL{Scheme: "minio", Host: addr, Path: c.bucket + "/" + prefix, RawQuery: q.Encode()}
	return u.String()
}

// objects returns what mc sees below a prefix: names from there on, and sizes in
// bytes.
func (c *site) objects(prefix string, flags ...string) map[string]int64 {
	c.t.Helper()
	found := map[string]int64{}
	args := append([]string{"ls", "--recursive", "--json"}, flags...)
	for line := range strings.Lines(c.mustMC(append(args, "m/"+c.bucket+"/"+prefix+"/")...)) {
		var o struct {
			Key  string `json:"key"`
			Size int64  `json:"size"`
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			c.t.Fatalf("%v: %s", err, line)
		}
		found[o.Key] = o.Size
	}
	return found
}

// unfinished returns the unfinished uploads of one object: MinIO tells of them
// only if it is asked for their whole key.
func (c *site) unfinished(key string) int {
	c.t.Helper()
	out := c.mustMC("ls", "--incomplete", "--json", "m/"+c.bucket+"/"+key)
	return strings.Count(out, `"key"`)
}

// backup takes one of the database of a day.
func (c *site) backup(location string, day int, flags ...string) {
	c.t.Helper()
	c.brock(append([]string{"backup", "-l", location, "-p", c.lab.days[day]}, flags...)...)
}

// complete makes sure that a prefix has the objects of the backups that are
// listed there, and no other ones. It returns their names.
func (c *site) complete(location, prefix string) (names []string) {
	c.t.Helper()
	want := map[string]bool{}
	found := c.objects(prefix)
	series := map[string]bool{}
	for _, b := range c.list(location) {
		series[b.ID] = true
		if b.Kind != "badger" {
			want["manifest.json"] = true
		}
		want[fmt.Sprintf("brock/%s/%d.json", b.ID, b.Num)] = true
		data := 0
		for name := range found {
			if stem, ok := strings.CutSuffix(name, ".backup"); ok && strings.HasPrefix(name, b.Path+"/") {
				want[name], want[stem+".seal"] = true, true
				data++
			}
		}
		if data == 0 {
			c.t.Errorf("backup %s/%d has no data in %s", b.ID, b.Num, b.Path)
		}
	}
	for name := range found {
		if id := strings.Split(name, "/"); len(id) == 3 && id[0] == "brock" && !series[id[1]] {
			continue // it keeps backups from following what a prune has removed, for a while
		}
		if !want[name] {
			c.t.Errorf("an object that no backup has: %s", name)
		}
		delete(want, name)
	}
	for name := range want {
		c.t.Errorf("%s is missing", name)
	}
	return slices.Sorted(maps.Keys(found))
}

// noUploads makes sure that no object of a prefix has parts left over.
func (c *site) noUploads(prefix string, names []string) {
	c.t.Helper()
	for _, name := range names {
		if n := c.unfinished(prefix + "/" + name); n > 0 {
			c.t.Errorf("%s has %d unfinished uploads", name, n)
		}
	}
}
