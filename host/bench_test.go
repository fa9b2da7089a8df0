package host

import (
	"bufio"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/dgraph-io/badger/v3"
	"github.com/dgraph-io/badger/v3/pb"
	"github.com/dgraph-io/ristretto/z"
	"github.com/klauspost/compress/s2"
)

// The benchmark runs every candidate as a process of its own, on the same data
// and within the same minutes, because peak memory belongs to a process and
// only ratios travel between machines.
//
//	brock backup, brock restore      the real commands with their plugins
//	badger Backup, Load              Badger's own, as any Badger user has them
//	serial s2                        how Dgraph does it: Badger's Stream, one compressor, one file
const benchChild = "BROCK_BENCH_CHILD"

func TestMain(m *testing.M) {
	if op := os.Getenv(benchChild); op != "" {
		if err := benchOp(op, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	outage = patience{first: 2 * time.Millisecond, most: 50 * time.Millisecond, total: 300 * time.Millisecond, quiet: time.Hour}
	os.Exit(m.Run())
}

// A usage of one process: what it took, and what it held at most.
type cost struct {
	wall, cpu time.Duration
	rss       int64 // bytes
}

func measure(b *testing.B, cmd *exec.Cmd) cost {
	b.Helper()
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{
		wall: time.Since(start),
		cpu:  cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		rss:  used.Maxrss << 10,
	}
}

// BenchmarkLarge reports v25-large: about four million keys of a real Dgraph.
func BenchmarkLarge(b *testing.B) {
	large := filepath.Join(sharedFixtures(), "v25-large")
	if _, err := os.Stat(large); err != nil {
		b.Skipf("v25-large is not here: %v (set BROCK_FIXTURES)", err)
	}
	brock, err := filepath.Abs(filepath.Join("..", "bin", "brock"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(brock); err != nil {
		b.Fatalf("%v: run make build first", err)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		compareLarge(b, brock, self, large, b.TempDir())
	}
}

func compareLarge(b *testing.B, brock, self, large, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	run := func(args ...string) cost { return measure(b, exec.Command(brock, args...)) }
	child := func(op, from, to string) cost {
		cmd := exec.Command(self, from, to)
		cmd.Env = append(os.Environ(), benchChild+"="+op)
		return measure(b, cmd)
	}
	if err := os.WriteFile(at("key"), make([]byte, 32), 0o600); err != nil {
		b.Fatal(err)
	}
	p1 := filepath.Join(at("p"), "p1")
	rows := []struct {
		name string
		cost
		bytes int64
	}{
		{name: "brock restore, Dgraph's files", cost: run("restore", "-l", large, "--backup_num", "1", "-p", at("p"))},
		{name: "brock backup", cost: run("backup", "-p", at("p"), "-l", at("plain"))},
		{name: "brock backup, AES-256", cost: run("backup", "-p", at("p"), "-l", at("aes"), "--encryption_key_file", at("key"))},
		{name: "brock restore, sealed", cost: run("restore", "-l", at("plain"), "-p", at("p2"))},
		{name: "brock restore, sealed, AES-256", cost: run("restore", "-l", at("aes"), "-p", at("p3"), "--encryption_key_file", at("key"))},
		{name: "badger Backup", cost: child("backup", p1, at("badger.bak"))},
		{name: "badger Load", cost: child("load", at("badger.bak"), at("loaded"))},
		{name: "serial s2 pipeline", cost: child("serial", p1, at("serial.s2"))},
	}
	raw := float64(treeSize(b, p1)) / (1 << 20)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\nv25-large: %.0f MiB of Badger\twall s\tCPU s\tpeak RSS MiB\tMiB/s\tMiB/CPU-s\t\n", raw)
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%d\t%.0f\t%.0f\t\n", r.name, r.wall.Seconds(), r.cpu.Seconds(), r.rss>>20, raw/r.wall.Seconds(), raw/r.cpu.Seconds())
	}
	w.Flush()
	ratio := func(what string, a, of cost) {
		fmt.Printf("%s: %.2f x the CPU, %.2f x the memory, %.2f x the time\n",
			what, a.cpu.Seconds()/of.cpu.Seconds(), float64(a.rss)/float64(of.rss), a.wall.Seconds()/of.wall.Seconds())
	}
	ratio("brock backup / badger Backup      ", rows[1].cost, rows[5].cost)
	ratio("brock backup AES / serial s2 + AES", rows[2].cost, rows[7].cost)
	ratio("brock restore / badger Load       ", rows[3].cost, rows[6].cost)
	fmt.Printf("Dgraph 25.4 on two cores (figures of the fixture's README): full backup 26.4 CPU-s, 2.6 GB; restore 16.6 CPU-s, 5.7 GB\n"+
		"brock / Dgraph 25.4, CPU: backup %.2f, restore of its files %.2f\n", rows[1].cpu.Seconds()/26.4, rows[0].cpu.Seconds()/16.6)
	b.ReportMetric(rows[1].cpu.Seconds(), "backup-cpu-s")
	b.ReportMetric(rows[0].cpu.Seconds(), "restore-cpu-s")
	b.ReportMetric(float64(max(rows[0].rss, rows[1].rss, rows[2].rss, rows[3].rss, rows[4].rss)>>20), "peak-MiB")
}

func sharedFixtures() string {
	if dir := os.Getenv("BROCK_FIXTURES"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "shared", "fixtures")
}

func treeSize(b *testing.B, dir string) (n int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			n += fi.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// benchOp is one candidate, in a process of its own.
func benchOp(op, from, to string) error {
	if op == "load" {
		return badgerLoad(from, to)
	}
	db, err := badger.OpenManaged(badger.DefaultOptions(from).WithLogger(nil).WithReadOnly(true))
	if err != nil {
		return err
	}
	defer db.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	if op == "serial" {
		return serial(db, f)
	}
	_, err = db.NewStreamAt(1<<62).Backup(f, 0)
	return err
}

func badgerLoad(from, to string) error {
	db, err := badger.OpenManaged(badger.DefaultOptions(to).WithLogger(nil))
	if err != nil {
		return err
	}
	defer db.Close()
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return db.Load(bufio.NewReader(f), 16)
}

// serial is the classic pipeline: Badger's Stream feeds one compressor, which
// feeds one cipher, one digest and one file.
func serial(db *badger.DB, w io.Writer) error {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return err
	}
	sum := sha256.New()
	out := cipher.StreamWriter{S: cipher.NewCTR(block, make([]byte, 16)), W: io.MultiWriter(w, sum)}
	z2 := s2.NewWriter(out, s2.WriterConcurrency(1))
	var mu sync.Mutex
	s := db.NewStreamAt(1 << 62)
	s.Send = func(buf *z.Buffer) error {
		mu.Lock()
		defer mu.Unlock()
		list, err := badger.BufferToKVList(buf)
		if err != nil {
			return err
		}
		return writeFrame(z2, list)
	}
	if err := s.Orchestrate(context.Background()); err != nil {
		return err
	}
	return z2.Close()
}

func writeFrame(w io.Writer, list *pb.KVList) error {
	data, err := list.Marshal()
	if err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(data))); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
