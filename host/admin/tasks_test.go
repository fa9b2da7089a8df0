package admin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host"
)

func openTasks(t *testing.T, file string) *Tasks {
	t.Helper()
	tasks, err := OpenTasks(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tasks.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tasks
}

func nothing(context.Context) (*Outcome, error) { return nil, nil }

// A queue takes sixteen besides the one that runs, and the other queue goes on.
func TestAQueueIsBounded(t *testing.T) {
	tasks := openTasks(t, "")
	begun, free := make(chan struct{}), make(chan struct{})
	_, first, err := tasks.Start(TaskBackup, func(context.Context) (*Outcome, error) {
		close(begun)
		<-free
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	var last <-chan struct{}
	for range tasksWaiting {
		if _, last, err = tasks.Start(TaskBackup, nothing); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := tasks.Start(TaskBackup, nothing); !errors.Is(err, ErrTooManyTasks) {
		t.Errorf("one more: %v, want %v", err, ErrTooManyTasks)
	}
	_, verified, err := tasks.Start(TaskVerify, nothing)
	if err != nil {
		t.Fatal(err)
	}
	<-verified
	close(free)
	<-first
	<-last
}

// A restore does not wait behind another one.
func TestOneRestoreAtATime(t *testing.T) {
	tasks := openTasks(t, "")
	free := make(chan struct{})
	_, ended, err := tasks.Start(TaskRestore, func(context.Context) (*Outcome, error) { <-free; return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tasks.Start(TaskRestore, nothing); !errors.Is(err, errRestoring) {
		t.Errorf("the second: %v, want %v", err, errRestoring)
	}
	close(free)
	<-ended
	if _, _, err := tasks.Start(TaskRestore, nothing); err != nil {
		t.Errorf("the next: %v", err)
	}
}

// What is known of tasks survives the host, and who had not ended has failed.
func TestTasksSurviveARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tasks.json")
	before := openTasks(t, file)
	good, ended, _ := before.Start(TaskBackup, func(context.Context) (*Outcome, error) {
		return &Outcome{Backup: &BackupOutcome{BackupID: "a", BackupNum: 3}}, nil
	})
	<-ended
	bad, ended, _ := before.Start(TaskBackup, func(context.Context) (*Outcome, error) { return nil, errors.New("it rains") })
	<-ended
	free := make(chan struct{})
	defer close(free)
	running, _, _ := before.Start(TaskBackup, func(context.Context) (*Outcome, error) { <-free; return nil, nil })
	after := openTasks(t, file)
	for id, want := range map[uint64]Task{
		good:    {Kind: TaskBackup, Status: TaskSuccess},
		bad:     {Kind: TaskBackup, Status: TaskFailed, Error: "it rains"},
		running: {Kind: TaskBackup, Status: TaskFailed, Error: "the server was restarted before it had ended"},
	} {
		got, err := after.Task(id)
		if err != nil || got.Kind != want.Kind || got.Status != want.Status || got.Error != want.Error {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	if got, _ := after.Task(good); got.Outcome.Backup.BackupNum != 3 {
		t.Errorf("the backup is %+v", got.Outcome)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v; want mode 0600", info.Mode(), err)
	}
}

// After a week a task is forgotten, and one that runs is not.
func TestTasksAreForgotten(t *testing.T) {
	tasks := openTasks(t, filepath.Join(t.TempDir(), "tasks.json"))
	now := time.Now()
	tasks.now = func() time.Time { return now }
	id, ended, _ := tasks.Start(TaskPrune, nothing)
	<-ended
	begun, free := make(chan struct{}), make(chan struct{})
	long, ended, _ := tasks.Start(TaskPrune, func(context.Context) (*Outcome, error) { close(begun); <-free; return nil, nil })
	<-begun
	tasks.mu.Lock()
	now = now.Add(taskLife + time.Second)
	tasks.mu.Unlock()
	if _, err := tasks.Task(id); !errors.Is(err, ErrNoTask) {
		t.Errorf("after a week: %v, want %v", err, ErrNoTask)
	}
	if got, err := tasks.Task(long); err != nil || got.Status != TaskRunning {
		t.Errorf("one that runs: %v, %v", got, err)
	}
	close(free)
	<-ended
}

// A task that panics has failed, and the next one runs. Progress is told.
func TestATaskThatPanics(t *testing.T) {
	tasks := openTasks(t, "")
	id, ended, _ := tasks.Start(TaskBackup, func(context.Context) (*Outcome, error) { panic("canary") })
	<-ended
	if got, _ := tasks.Task(id); got.Status != TaskFailed || strings.Contains(got.Error, "canary") {
		t.Errorf("it is %v", got)
	}
	id, ended, _ = tasks.Start(TaskBackup, func(ctx context.Context) (*Outcome, error) {
		(&Operations{Engine: &host.Engine{}}).engine(ctx).Progress(host.Progress{Op: "backup", Bytes: 7})
		return nil, nil
	})
	<-ended
	if got, _ := tasks.Task(id); got.Status != TaskSuccess || got.Progress.Bytes != 7 {
		t.Errorf("the next one is %v", got)
	}
}

// Close waits for what runs, as long as its context does, and fails what waits.
func TestTasksEnd(t *testing.T) {
	tasks := openTasks(t, "")
	begun := make(chan struct{})
	running, _, _ := tasks.Start(TaskBackup, func(ctx context.Context) (*Outcome, error) {
		close(begun)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	<-begun
	waiting, _, _ := tasks.Start(TaskBackup, nothing)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tasks.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v, want %v", err, context.Canceled)
	}
	for _, id := range []uint64{running, waiting} {
		if got, _ := tasks.Task(id); got.Status != TaskFailed || got.Error != errStopping.Error() {
			t.Errorf("it is %v", got)
		}
	}
	if _, _, err := tasks.Start(TaskBackup, nothing); !errors.Is(err, errStopping) {
		t.Errorf("Start: %v, want %v", err, errStopping)
	}
}

// A file that is none is an error that says so; one that cannot be written stops nothing.
func TestABrokenFileOfTasks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tasks.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTasks(file, nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("OpenTasks: %v", err)
	}
	tasks := openTasks(t, filepath.Join(t.TempDir(), "nowhere", "tasks.json"))
	id, ended, err := tasks.Start(TaskBackup, nothing)
	if err != nil {
		t.Fatal(err)
	}
	<-ended
	if got, err := tasks.Task(id); err != nil || got.Status != TaskSuccess {
		t.Errorf("%v, %v", got, err)
	}
}
