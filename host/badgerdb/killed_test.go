package badgerdb

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host/backupfile"
)

// writeUntilKilled is another process: it writes to a database, says so, and never ends.
func writeUntilKilled(dir string) {
	db, err := badger.OpenManaged(badgerOptions(dir).WithValueThreshold(1 << 10))
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	for v := uint64(1); v <= 500; v++ {
		txn := db.NewTransactionAt(math.MaxUint64, true)
		for i := range 3 {
			if err := txn.Set(fmt.Appendf(nil, "key-%d-%d", v%50, i), []byte(strings.Repeat("x", int(v)*8))); err != nil {
				fmt.Fprintln(os.Stdout, err)
				os.Exit(1)
			}
		}
		if err := txn.CommitAt(v, nil); err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(1)
		}
	}
	fmt.Fprintln(os.Stdout, "written")
	_, _ = io.ReadAll(os.Stdin)
}

// other starts that process and waits until it has written.
func other(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BROCK_TEST_KILLED="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if l, err := bufio.NewReader(out).ReadString('\n'); l != "written\n" {
		t.Fatalf("%q, %v", l, err)
	}
	return cmd
}

// tree lists every file with its size and time of change.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err == nil && !fi.IsDir() {
			fmt.Fprintln(&b, path, fi.Size(), fi.ModTime().UnixNano(), fi.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A database in use is refused, with its directory and process. Killed, it is refused with
// what to do; that works, loses nothing, and leaves the directory as it is.
func TestInUseAndKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := other(t, dir)
	_, err := OpenSource(map[uint32]string{1: dir}, Options{})
	wantError(t, err, ErrLocked, dir, fmt.Sprintf("process %d has", cmd.Process.Pid))

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	before := tree(t, dir)
	_, err = OpenSource(map[uint32]string{1: dir}, Options{})
	wantError(t, err, ErrNotClosed, dir, "--repair", "start and stop it once")

	s := source(t, dir, Options{ReadWrite: true})
	got := readAll(t, s, 1, 0)
	half := readAll(t, s, 1, 250)
	s.Close()
	if after := tree(t, dir); after != before {
		t.Errorf("reading has changed the directory:\n%s\nbefore:\n%s", after, before)
	}
	if len(got) != 1500 || len(half) != 750 || s.ReadTs() != 500 {
		t.Errorf("%d entries, %d since 250, read timestamp %d", len(got), len(half), s.ReadTs())
	}
	opt := badgerOptions(dir)
	same(t, "killed", got, badgerSees(t, opt, 0))
	// Badger has closed it now.
	same(t, "closed", readDir(t, dir, Options{}, 0), got)
}

// A transaction that is cut off anywhere is not there; those before it are.
func TestTornLog(t *testing.T) {
	dir := t.TempDir()
	cmd := other(t, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	path := filepath.Join(dir, "00001.mem")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{0, 5, 19, 20, 21, 40, 100, 1000, 5000, 20001} {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSource(map[uint32]string{1: dir}, Options{ReadWrite: true})
		if err != nil {
			t.Fatal(err)
		}
		got := readAll(t, s, 1, 0)
		s.Close()
		if len(got)%3 != 0 {
			t.Errorf("cut at %d: %d entries: part of a transaction", cut, len(got))
		}
		if cut > 5000 && len(got) == 0 {
			t.Errorf("cut at %d: nothing", cut)
		}
	}
}

// A logged is an entry of a memtable's log.
type logged struct {
	key, value string
	version    uint64
	meta       byte
}

func fin(version uint64) logged {
	return logged{"!badger!txn", strconv.FormatUint(version, 10), version, metaFinTxn}
}

// writeLog writes a memtable's log as Badger does.
func writeLog(t *testing.T, path string, entries ...logged) {
	t.Helper()
	b := make([]byte, logHeader)
	for _, e := range entries {
		key := appendStored(nil, []byte(e.key), e.version)
		at := len(b)
		b = append(b, e.meta, 0)
		b = binary.AppendUvarint(b, uint64(len(key)))
		b = binary.AppendUvarint(b, uint64(len(e.value)))
		b = binary.AppendUvarint(b, 0)
		b = append(append(b, key...), e.value...)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Logs are replayed as Badger replays them: whole transactions up to the first that is not;
// of several logs the later counts.
func TestReplay(t *testing.T) {
	for name, c := range map[string]struct {
		logs [][]logged
		want string
	}{
		"single entries":        {[][]logged{{{"a", "1", 1, 0}, {"b", "2", 2, 0}}}, "a@1=1 b@2=2"},
		"transactions":          {[][]logged{{{"a", "1", 3, metaTxn}, {"b", "2", 3, metaTxn}, fin(3), {"a", "3", 4, metaTxn}, fin(4)}}, "a@4=3 a@3=1 b@3=2"},
		"no end":                {[][]logged{{{"a", "1", 3, metaTxn}, fin(3), {"b", "2", 4, metaTxn}}}, "a@3=1"},
		"another within":        {[][]logged{{{"a", "1", 3, metaTxn}, {"b", "2", 4, metaTxn}, fin(4)}}, ""},
		"another's write":       {[][]logged{{{"a", "1", 3, metaTxn}, {"b", "2", 4, metaTxn}, fin(3)}}, ""},
		"single within":         {[][]logged{{{"a", "1", 3, metaTxn}, {"b", "2", 3, 0}, fin(3)}}, ""},
		"end of another":        {[][]logged{{{"a", "1", 3, metaTxn}, fin(4), {"b", "2", 5, 0}}}, ""},
		"end without beginning": {[][]logged{{{"a", "1", 1, 0}, fin(4), {"b", "2", 5, 0}}}, "a@1=1"},
		"two logs":              {[][]logged{{{"a", "old", 5, 0}, {"b", "1", 5, 0}}, {{"a", "new", 5, 0}}}, "a@5=new b@5=1"},
		"twice in one":          {[][]logged{{{"a", "old", 5, 0}, {"a", "new", 5, 0}}}, "a@5=new"},
	} {
		dir := write(t, nil, badgerKind)
		for i, l := range c.logs {
			writeLog(t, filepath.Join(dir, fmt.Sprintf("%05d.mem", i+1)), l...)
		}
		text := func(entries []backupfile.Entry) string {
			var out []string
			for _, e := range entries {
				out = append(out, fmt.Sprintf("%s@%d=%s", e.Key, e.Version, e.Value))
			}
			return strings.Join(out, " ")
		}
		if got := text(readDir(t, dir, Options{ReadWrite: true}, 0)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if got := text(badgerSees(t, badgerOptions(dir), 0)); got != c.want {
			t.Errorf("%s: Badger itself sees %q, want %q", name, got, c.want)
		}
	}
}
