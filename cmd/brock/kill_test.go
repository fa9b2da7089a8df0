//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killRounds is how often each of these tests kills something: the share of 100
// rounds in CI, a tenth of that elsewhere, or of BROCK_KILLS rounds.
func killRounds(t *testing.T, percent int) int {
	rounds := 10
	if os.Getenv("CI") == "true" {
		rounds = 100
	}
	if s := os.Getenv("BROCK_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("BROCK_KILLS: %v", err)
		}
		rounds = n
	}
	return max(1, rounds*percent/100)
}

// A victim is a place where commands are killed: the database at two points in
// time, a location for its backups, and the plugins and temporary files of
// these commands only.
type victim struct {
	t        *testing.T
	rnd      *rand.Rand
	plugins  string
	tmp      string
	fixture  string
	data     [2]string // the database at point 0 and 1
	want     [2]string // its export
	location string
	scratch  string
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("BROCK_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("BROCK_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("BROCK_SEED=%d", seed)
	fixture, err := filepath.Abs("../../host/testdata/fixtures/v25-groups/backup")
	if err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp("", "kill") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	dir := t.TempDir()
	v := &victim{
		t: t, rnd: rand.New(rand.NewPCG(seed, seed)), plugins: buildPlugins(t), tmp: tmp, fixture: fixture,
		location: filepath.Join(dir, "backups"), scratch: filepath.Join(dir, "scratch"),
	}
	for i := range v.data {
		v.data[i] = filepath.Join(dir, "data"+strconv.Itoa(i))
		v.brock("restore", "-l", fixture, "-p", v.data[i], "--backup_num", strconv.Itoa(i+1), "--keep-versions")
		v.want[i] = v.brock("export", "-p", v.data[i], "--sort")
	}
	if v.want[0] == v.want[1] {
		t.Fatal("the fixture's points do not differ")
	}
	t.Cleanup(func() { v.extinct(0) })
	return v
}

func (v *victim) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(v.t.Context(), "brock", args...)
	cmd.Env = append(os.Environ(), "BROCK_PLUGIN_DIR="+v.plugins, "TMPDIR="+v.tmp, "BROCK_CACHE_DIR="+filepath.Dir(v.scratch), "XDG_STATE_HOME="+filepath.Dir(v.scratch))
	return cmd
}

// brock runs a command that is to succeed.
func (v *victim) brock(args ...string) string {
	v.t.Helper()
	cmd := v.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		v.t.Fatalf("brock %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

// A started command is one that is going on.
type started struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan struct{}
	err  error // valid once done
}

func (v *victim) start(args ...string) *started {
	v.t.Helper()
	r := &started{cmd: v.command(args...), done: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	r.cmd.WaitDelay = 5 * time.Second // a plugin that lives on is found out below
	if err := r.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.done)
	}()
	return r
}

// wait returns the exit code, or -1 if a signal ended the command.
func (r *started) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(limit):
		_ = r.cmd.Process.Signal(syscall.SIGQUIT)
		<-r.done
		t.Fatalf("%s did not end within %v\n%s", r.cmd, limit, &r.out)
	}
	var exit *exec.ExitError
	if r.err != nil && !errors.As(r.err, &exit) {
		t.Fatalf("%s: %v\n%s", r.cmd, r.err, &r.out)
	}
	return r.cmd.ProcessState.ExitCode()
}

// until waits for a moment of the run that is drawn at random: half of them are
// equally spread over the time that it takes, half over the changes that it
// makes below dir. It returns false if the run is over.
func (v *victim) until(r *started, whole time.Duration, dir string, changes int) bool {
	var moment <-chan time.Time
	if v.rnd.IntN(2) == 0 {
		moment = time.After(time.Duration(v.rnd.Int64N(int64(whole))))
		changes = 0
	} else {
		changes = v.rnd.IntN(changes) + 1
	}
	before := names(dir)
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for {
		select {
		case <-r.done:
			return false
		case <-moment:
			return true
		case <-tick.C:
		}
		if changes == 0 {
			continue
		}
		for name := range names(dir) {
			if !before[name] {
				before[name] = true
				changes--
			}
		}
		if changes <= 0 {
			return true
		}
	}
}

// names is every path below dir, hidden ones included.
func names(dir string) map[string]bool {
	all := map[string]bool{}
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			all[strings.TrimPrefix(path, dir)] = true
		}
		return nil // it vanished
	})
	delete(all, "")
	return all
}

// pluginsOf are the processes that run a plugin of this victim's, below parent
// if that is not 0.
func (v *victim) pluginsOf(parent int, name string) (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		exe, err := os.Readlink(link)
		if err != nil || filepath.Dir(exe) != v.plugins || name != "" && filepath.Base(exe) != name {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "stat"))
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if parent == 0 || len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// extinct makes sure that within d no plugin runs any more.
func (v *victim) extinct(d time.Duration) {
	v.t.Helper()
	for deadline := time.Now().Add(d); ; {
		pids := v.pluginsOf(0, "")
		if len(pids) == 0 {
			return
		}
		if time.Now().After(deadline) {
			v.t.Errorf("%v after their host's death plugins are running: %v", d, pids)
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			return
		}
		<-time.After(time.Millisecond)
	}
}

type listed struct {
	summary
	Missing []string `json:"missing"`
}

func (v *victim) list() []listed {
	v.t.Helper()
	var backups []listed
	if err := json.Unmarshal([]byte(v.brock("ls", "-l", v.location, "--json")), &backups); err != nil {
		v.t.Fatal(err)
	}
	for _, b := range backups {
		if len(b.Missing) > 0 {
			v.t.Errorf("backup %s/%d lacks %v", b.BackupID, b.BackupNum, b.Missing)
		}
	}
	return backups
}

// next is the arguments of the backup that is due after those listed: full and
// incremental ones take turns.
func (v *victim) next(backups []listed) []string {
	if n := len(backups); n > 0 && backups[n-1].BackupNum == 1 {
		return []string{"backup", "-l", v.location, "-p", v.data[1]}
	}
	return []string{"backup", "-l", v.location, "-p", v.data[0], "--force-full"}
}

// restores makes sure that a backup is the database at its point.
func (v *victim) restores(b listed) {
	v.t.Helper()
	out := filepath.Join(v.scratch, "restored")
	v.brock("restore", "-l", v.location, "-p", out, "--backup_id", b.BackupID, "--backup_num", strconv.Itoa(b.BackupNum))
	if got := v.brock("export", "-p", out, "--sort"); got != v.want[b.BackupNum-1] {
		v.t.Errorf("backup %s/%d is not the database at point %d", b.BackupID, b.BackupNum, b.BackupNum-1)
	}
	if err := os.RemoveAll(v.scratch); err != nil {
		v.t.Fatal(err)
	}
}

// measure returns how long an undisturbed backup takes, and how many names it
// makes that can be seen from outside.
func (v *victim) measure() (time.Duration, int) {
	v.t.Helper()
	args := v.next(nil)
	begun := time.Now()
	v.brock(args...)
	whole, changes := time.Since(begun), len(names(v.location))
	v.t.Logf("an undisturbed backup takes %v and makes %d names", whole, changes)
	return whole, changes
}

// A verdict is what a killed backup must have come to.
type verdict func(round int, r *started, code, before, after int)

// torment kills backups, and makes sure after each that the location shows
// complete backups only, that what became visible restores, and that the next
// backup succeeds, of which every third is restored.
func (v *victim) torment(rounds int, kill func(r *started), check verdict) {
	v.t.Helper()
	whole, changes := v.measure()
	killed, complete := 0, 0
	var slowest time.Duration
	stages := map[string]int{}
	before, judged := v.list(), []listed(nil)
	for round := range rounds {
		args := v.next(before)
		seen := names(v.location)
		r := v.start(args...)
		if v.until(r, whole, v.location, changes) {
			kill(r)
			killed++
		}
		begun := time.Now()
		code := r.wait(v.t, 30*time.Second)
		slowest = max(slowest, time.Since(begun))
		v.extinct(2 * time.Second)
		stages[stage(seen, names(v.location))]++
		after := v.list()
		if code == 0 && len(after) != len(before)+1 {
			v.t.Fatalf("round %d: the backup succeeded and %d are listed, want %d\n%s", round, len(after), len(before)+1, &r.out)
		}
		if len(after) < len(before) || len(after) > len(before)+1 {
			v.t.Fatalf("round %d: %d backups are listed, %d were\n%s", round, len(after), len(before), &r.out)
		}
		check(round, r, code, len(before), len(after))
		if len(after) > len(before) {
			complete++
			judged = append(judged, after[len(after)-1])
		} else {
			v.brock(args...)
			if after = v.list(); len(after) != len(before)+1 {
				v.t.Fatalf("round %d: the next backup succeeded and %d are listed, want %d", round, len(after), len(before)+1)
			}
		}
		if round%3 == 0 {
			judged = append(judged, after[len(after)-1])
		}
		before = after
	}
	v.t.Logf("%d rounds, %d killed, %d of all were complete; what they left: %v; they ended within %v", rounds, killed, complete, stages, slowest)
	for _, b := range judged {
		v.restores(b)
	}
	v.noRubbish()
}

// stage tells how far a backup came by what it left.
func stage(before, after map[string]bool) string {
	left := map[string]bool{}
	for name := range after {
		if before[name] {
			continue
		}
		switch base := filepath.Base(name); {
		case strings.HasPrefix(base, ".brock-"):
			left["temp"] = true
		case strings.HasPrefix(name, "/brock/") && strings.HasSuffix(base, ".json"):
			left["record"] = true
		case strings.HasSuffix(base, ".backup"), strings.HasSuffix(base, ".seal"):
			left["objects"] = true
		}
	}
	if len(left) == 0 {
		return "nothing"
	}
	return strings.Join(slices.Sorted(maps.Keys(left)), "+")
}

// noRubbish makes sure that files of killed writers are collected once they are
// old enough.
func (v *victim) noRubbish() {
	v.t.Helper()
	old := time.Now().Add(-2 * time.Minute)
	aged := 0
	for name := range names(v.location) {
		if strings.HasPrefix(filepath.Base(name), ".brock-") {
			if err := os.Chtimes(filepath.Join(v.location, name), old, old); err != nil {
				v.t.Fatal(err)
			}
			aged++
		}
	}
	v.brock(v.next(v.list())...)
	for name := range names(v.location) {
		if strings.HasPrefix(filepath.Base(name), ".brock-") {
			v.t.Errorf("%s was left by a killed writer, and the next backup did not collect it", name)
		}
	}
	v.t.Logf("%d files of killed writers were collected", aged)
	v.runDirs()
}

// runDirs makes sure that run directories of killed commands are removed by
// later ones, once they are old enough.
func (v *victim) runDirs() {
	v.t.Helper()
	old := time.Now().Add(-2 * time.Minute)
	left, err := filepath.Glob(filepath.Join(v.tmp, "*"))
	if err != nil {
		v.t.Fatal(err)
	}
	for _, dir := range left {
		if err := os.Chtimes(dir, old, old); err != nil {
			v.t.Fatal(err)
		}
	}
	v.list()
	for name := range names(v.tmp) {
		v.t.Errorf("%s was left by a killed command, and the next did not collect it", name)
	}
	v.t.Logf("%d run directories of killed commands were collected", len(left))
}

// Whenever brock backup is killed, the location shows complete backups only,
// each of them is the database, and the next backup succeeds. No plugin
// outlives its host by two seconds.
func TestKilledHost(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.torment(killRounds(t, 100), func(r *started) {
		if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}, func(round int, r *started, code, _, _ int) {
		if code > 0 {
			t.Errorf("round %d: exit code %d\n%s", round, code, &r.out)
		}
	})
}

// Whenever the destination plugin is killed, the backup fails and says so, or
// is complete.
func TestKilledPlugin(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	hit := false
	v.torment(killRounds(t, 40), func(r *started) {
		hit = false
		for !hit {
			for _, pid := range v.pluginsOf(r.cmd.Process.Pid, "brock-destination-nfs") {
				hit = syscall.Kill(pid, syscall.SIGKILL) == nil || hit
			}
			select {
			case <-r.done:
				return
			default:
			}
		}
	}, func(round int, r *started, code, before, after int) {
		said := r.out.String()
		switch {
		case code == 0:
		case code == exitUsage && strings.Contains(said, "was set aside") && after == before: // it was never a plugin
		case code != exitFailed:
			t.Errorf("round %d: exit code %d, want 1\n%s", round, code, said)
		case !strings.Contains(said, "signal: killed"):
			t.Errorf("round %d: the error does not name the signal\n%s", round, said)
		case after > before && !strings.Contains(said, "is not known"):
			t.Errorf("round %d: the backup failed, and it is listed\n%s", round, said)
		}
	})
}

// Whenever the user interrupts a backup, it ends within seconds: it is complete,
// or it fails and takes back what it stored.
func TestInterruptedBackup(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	sent, rounds := syscall.SIGINT, killRounds(t, 40)
	v.torment(rounds, func(r *started) {
		sent = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[v.rnd.IntN(2)]
		if err := r.cmd.Process.Signal(sent); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}, func(round int, r *started, code, before, after int) {
		status, _ := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
		switch said := r.out.String(); {
		case code == 0:
		case status.Signaled() && status.Signal() == sent && said == "": // it had just been started
		case code != exitFailed:
			t.Errorf("round %d: %v: exit code %d (%v), want 1\n%s", round, sent, code, r.cmd.ProcessState, said)
		case !strings.Contains(said, "interrupted"):
			t.Errorf("round %d: %v: the error does not tell of the interrupt\n%s", round, sent, said)
		case after > before:
			t.Errorf("round %d: %v: the backup failed, and it is listed\n%s", round, sent, said)
		}
	})
	v.onlyBackups(rounds)
}

// onlyBackups makes sure that interrupted backups have removed their objects,
// but for one now and then that the plugin was about to store.
func (v *victim) onlyBackups(rounds int) {
	v.t.Helper()
	paths := map[string]bool{}
	for _, b := range v.list() {
		paths[b.Path] = true
	}
	var left []string
	for name := range names(v.location) {
		dir, base, ok := strings.Cut(strings.TrimPrefix(name, "/"), "/")
		if ok && strings.HasPrefix(dir, "dgraph.") && !strings.HasPrefix(base, ".brock-") && !paths[dir] {
			left = append(left, name)
		}
	}
	if len(left) > 1+rounds/10 {
		v.t.Errorf("%d rounds left %q, which belong to no backup", rounds, left)
	}
	v.t.Logf("%d rounds left %q", rounds, left)
}

// The second interrupt ends the command at once, even if a plugin hangs and the
// first cannot take back what is there.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for range 50 {
		seen := names(v.location)
		r := v.start(v.next(nil)...)
		for len(names(v.location)) == len(seen) {
			select {
			case <-r.done:
				t.Fatalf("the backup ended: %v\n%s", r.err, &r.out)
			default:
			}
		}
		pids := v.pluginsOf(r.cmd.Process.Pid, "brock-destination-nfs")
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
		if stage(seen, names(v.location)) != "temp" { // it was not stopped in the middle of anything
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
			r.wait(t, 30*time.Second)
			continue
		}
		limit, again := time.After(10*time.Second), time.NewTicker(100*time.Millisecond)
		defer again.Stop()
		for ended := false; !ended; {
			_ = r.cmd.Process.Signal(os.Interrupt)
			select {
			case <-r.done:
				ended = true
			case <-again.C:
			case <-limit:
				t.Fatal("interrupts do not end it")
			}
		}
		if status, _ := r.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGINT {
			t.Errorf("it ended with %v, want the signal\n%s", r.cmd.ProcessState, &r.out)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
		v.extinct(2 * time.Second)
		return
	}
	t.Fatal("no backup was stopped while it wrote an object")
}

// Whenever brock restore is killed while there is something to replace, the
// target is as it was, or complete, and the next restore removes what the killed
// one left. An interrupted one leaves nothing.
func TestKilledOverwrite(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	parent := filepath.Join(v.scratch, "parent")
	out := filepath.Join(parent, "out")
	restore := []string{"restore", "-l", v.fixture, "-p", out, "--backup_num", "2"}
	begun := time.Now()
	v.brock(restore...)
	whole, changes := time.Since(begun), len(names(parent))+3 // the side directory, and two that move out of it
	complete, dead, rounds := 0, 0, killRounds(t, 40)
	for round := range rounds {
		other := round%2 == 1
		v.prepare(out, other)
		before := names(parent)
		kill := syscall.SIGKILL
		if round%5 == 4 {
			kill = syscall.SIGINT
		}
		r := v.start(append(restore, "--overwrite")...)
		if v.until(r, whole, parent, changes) {
			_ = r.cmd.Process.Signal(kill) // it may have ended
		}
		code := r.wait(t, 30*time.Second)
		v.extinct(2 * time.Second)
		side := slices.ContainsFunc(slices.Collect(maps.Keys(names(parent))), func(name string) bool { return strings.Contains(name, ".brock-restore-") })
		if side {
			dead++
		}
		if code >= 0 && side {
			t.Errorf("round %d: exit code %d, and the side directory is left", round, code)
		}
		if code > 0 && !maps.Equal(before, names(parent)) {
			t.Errorf("round %d: exit code %d, and the target was changed", round, code)
		}
		if other && side { // what has many names cannot be replaced at once: whatever looks at it next ends that
			refused := v.start(restore...)
			if code := refused.wait(t, 30*time.Second); code != exitUsage {
				t.Errorf("round %d: exit code %d, want that of a target that is not empty\n%s", round, code, &refused.out)
			}
		}
		if v.holds(round, out, true) {
			complete++
		} else if code == 0 {
			t.Errorf("round %d: the restore succeeded, and the target is not restored", round)
		}
		v.brock(append(restore, "--overwrite")...)
		if !v.holds(round, out, false) {
			t.Errorf("round %d: the next restore left nothing", round)
		}
		for name := range names(parent) {
			if strings.Contains(name, ".brock-restore-") {
				t.Errorf("round %d: %s is left", round, name)
			}
		}
	}
	t.Logf("%d rounds, %d targets were complete, %d had a side directory", rounds, complete, dead)
	if rounds >= 20 && (complete == 0 || complete == rounds || dead == 0) {
		t.Error("the kills came all too early or all too late")
	}
}

// prepare makes out the database at the first point, with or without a file
// that belongs to none.
func (v *victim) prepare(out string, other bool) {
	v.t.Helper()
	err := os.RemoveAll(out)
	if err == nil {
		err = os.CopyFS(out, os.DirFS(v.data[0]))
	}
	if err == nil && other {
		err = os.WriteFile(filepath.Join(out, "notes.txt"), nil, 0o600)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// holds reports whether out is the database at the second point. Anything else
// is an error, except, with old, the database at the first.
func (v *victim) holds(round int, out string, old bool) bool {
	v.t.Helper()
	switch v.brock("export", "-p", out, "--sort") {
	case v.want[1]:
		return true
	case v.want[0]:
		if !old {
			v.t.Errorf("round %d: the target is the database at another point", round)
		}
	default:
		v.t.Errorf("round %d: the target is half a database", round)
	}
	return false
}
