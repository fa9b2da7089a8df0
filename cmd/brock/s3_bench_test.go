package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// What a destination in a process of its own must reach, against the storage's
// own client.
const (
	minThroughput = 0.9       // of that of mc
	maxMemory     = 128 << 20 // bytes, of the plugin
)

// A rival stores and reads one object, in a process of its own.
type rival struct {
	name     string
	put, get transfer
}

// A transfer is what came of moving an object.
type transfer struct {
	rate   float64 // MB/s
	cpu    float64 // seconds per GiB, of all processes but the server
	memory int64   // bytes at most, of the process that talks to the server
}

func (t transfer) String() string {
	return fmt.Sprintf("%5.0f MB/s %6.2f CPU-s/GiB %5d MiB", t.rate, t.cpu, t.memory>>20)
}

// better keeps the best of several rounds: what else the machine does hits all
// rivals alike.
func (t *transfer) better(o transfer) {
	if t.rate == 0 {
		*t = o
		return
	}
	*t = transfer{max(t.rate, o.rate), min(t.cpu, o.cpu), max(t.memory, o.memory)}
}

// BenchmarkS3 moves 1 GiB to a MinIO on this machine and back: through the plugin,
// with minio-go as its users have it, and with mc cp.
func BenchmarkS3(b *testing.B) {
	m := benchServer(b)
	const size, rounds = 1 << 30, 3
	file := filepath.Join(memoryDir(b), "object")
	writeRandom(b, file, size)
	rivals := []*rival{{name: "plugin"}, {name: "minio-go"}, {name: "mc cp"}}
	for b.Loop() {
		for range rounds {
			benchPlugin(b, rivals[0], "minio://"+m.endpoint+"/"+m.bucket+"/plugin?secure=false", size,
				"MINIO_ACCESS_KEY="+m.accessKey, "MINIO_SECRET_KEY="+m.secretKey)
			m.library(b, rivals[1], file, size)
			m.mc(b, rivals[2], file, size)
		}
	}
	compareRivals(b, rivals, rivals[2])
}

// compareRivals shows what came of it, and whether the first of the rivals, the
// plugin, is good enough beside ref.
func compareRivals(b *testing.B, rivals []*rival, ref *rival) {
	b.Helper()
	b.Logf("%-12s %45s   %45s", "", "put", "get")
	for _, r := range rivals {
		b.Logf("%-12s %45v   %45v", r.name, r.put, r.get)
	}
	ours := rivals[0]
	for _, v := range []struct {
		verb    string
		us, ref transfer
	}{{"put", ours.put, ref.put}, {"get", ours.get, ref.get}} {
		ratio := v.us.rate / v.ref.rate
		b.ReportMetric(ratio, v.verb+"/ref")
		b.Logf("%s: %.2f times the throughput of %s; at least %.1f is required: %s", v.verb, ratio, ref.name, minThroughput, met(ratio >= minThroughput))
	}
	memory := max(ours.put.memory, ours.get.memory)
	b.ReportMetric(float64(memory>>20), "plugin-peak-MiB")
	b.Logf("plugin: %d MiB of memory; at most %d MiB are allowed: %s", memory>>20, maxMemory>>20, met(memory <= maxMemory))
}

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "NOT MET"
}

// A benchS3 is the server that make servers has started.
type benchS3 struct {
	endpoint, accessKey, secretKey, tool string
	bucket                               string
	client                               *minio.Client
}

func benchServer(b *testing.B) *benchS3 {
	b.Helper()
	env := serverEnv(b, "minio")
	m := &benchS3{
		endpoint: env["S3_ENDPOINT"], accessKey: env["S3_ACCESS_KEY"], secretKey: env["S3_SECRET_KEY"],
		tool: mcPath(b), bucket: "bench-" + strings.ToLower(rand.Text()),
	}
	var err error
	m.client, err = minio.New(m.endpoint, &minio.Options{Creds: credentials.NewStaticV4(m.accessKey, m.secretKey, "")})
	if err == nil {
		err = m.client.MakeBucket(b.Context(), m.bucket, minio.MakeBucketOptions{})
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx := context.Background()
		if err := m.client.RemoveBucketWithOptions(ctx, m.bucket, minio.RemoveBucketOptions{ForceDelete: true}); err != nil {
			b.Error(err)
		}
	})
	return m
}

// benchPlugin is what users get: the command, the plugin and the socket between
// them.
func benchPlugin(b *testing.B, r *rival, location string, size int64, env ...string) {
	b.Helper()
	brock, err := filepath.Abs("../../bin/brock")
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(brock, "plugin", "bench", location, "--objects=1", "--parallel=1", fmt.Sprintf("--size=%dB", size), "--json")
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v (run make build first)\n%s", err, &stderr)
	}
	var v benchView
	if err := json.Unmarshal(out, &v); err != nil {
		b.Fatal(err)
	}
	for _, p := range v.Phases {
		t := transfer{float64(size) / 1e6 / p.Seconds, (p.HostCPU + p.PluginCPU) / (float64(size) / (1 << 30)), p.PluginRSS}
		switch p.Name {
		case "put":
			r.put.better(t)
		case "get":
			r.get.better(t)
		}
	}
}

// library is minio-go in a process of its own, for its memory.
func (m *benchS3) library(b *testing.B, r *rival, file string, size int64) {
	b.Helper()
	benchLibrary(b, r, size, "minio", []string{m.bucket, file},
		"MINIO_ENDPOINT="+m.endpoint, "MINIO_ACCESS_KEY="+m.accessKey, "MINIO_SECRET_KEY="+m.secretKey)
}

// benchLibrary runs this program again, to put and to get with a library.
func benchLibrary(b *testing.B, r *rival, size int64, library string, args []string, env ...string) {
	b.Helper()
	for _, verb := range []string{"put", "get"} {
		cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^$")
		cmd.Env = append(os.Environ(), libraryEnv+"="+strings.Join(append([]string{library, verb}, args...), ","))
		cmd.Env = append(cmd.Env, env...)
		t := runMeasured(b, cmd, size)
		if verb == "put" {
			r.put.better(t)
		} else {
			r.get.better(t)
		}
	}
}

const libraryEnv = "BROCK_BENCH_LIBRARY"

// moveWithLibrary is the process of benchLibrary. It says how many seconds it took.
func moveWithLibrary(order string) error {
	words := strings.Split(order, ",")
	if len(words) != 4 {
		return fmt.Errorf("order %q", order)
	}
	move := map[string]func(verb, bucket, file string) error{"minio": moveWithMinIO, "azblob": moveWithAzblob, "azblob-md5": moveWithMD5}
	start := time.Now()
	err := move[words[0]](words[1], words[2], words[3])
	fmt.Println(time.Since(start).Seconds())
	return err
}

func moveWithMinIO(verb, bucket, file string) error {
	c, err := minio.New(os.Getenv("MINIO_ENDPOINT"), &minio.Options{
		Creds: credentials.NewStaticV4(os.Getenv("MINIO_ACCESS_KEY"), os.Getenv("MINIO_SECRET_KEY"), ""),
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if verb == "put" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		// Of unknown size, as a backup is: a reader that is no file.
		_, err = c.PutObject(ctx, bucket, "library", bufio.NewReader(f), -1, minio.PutObjectOptions{})
		return err
	}
	o, err := c.GetObject(ctx, bucket, "library", minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer o.Close()
	_, err = io.Copy(io.Discard, o)
	return err
}

func (m *benchS3) mc(b *testing.B, r *rival, file string, size int64) {
	b.Helper()
	config, back := b.TempDir(), filepath.Join(filepath.Dir(file), "back")
	run := func(args ...string) transfer {
		cmd := exec.Command(m.tool, append([]string{"--config-dir", config, "--quiet"}, args...)...)
		cmd.Env = []string{"HOME=" + config, "MC_HOST_bench=http://" + m.accessKey + ":" + m.secretKey + "@" + m.endpoint}
		return runMeasured(b, cmd, size)
	}
	r.put.better(run("cp", file, "bench/"+m.bucket+"/mc"))
	r.get.better(run("cp", "bench/"+m.bucket+"/mc", back))
	if err := os.Remove(back); err != nil {
		b.Fatal(err)
	}
}

func runMeasured(b *testing.B, cmd *exec.Cmd, size int64) transfer {
	b.Helper()
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		b.Fatalf("%s: %v\n%s", cmd.Path, err, out)
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return transfer{float64(size) / 1e6 / took.Seconds(), cpu.Seconds() / (float64(size) / (1 << 30)), used.Maxrss << 10}
}

// memoryDir is where files cost no disk, if there is such a place.
func memoryDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "brock-bench-")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func writeRandom(b *testing.B, file string, size int64) {
	b.Helper()
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.Reader, size); err != nil {
		b.Fatal(err)
	}
}
