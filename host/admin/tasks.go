package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/host"
)

// What a caller of tasks is told, in Dgraph's words.
var (
	// ErrTooManyTasks means that as many wait as can.
	ErrTooManyTasks = errors.New("too many pending tasks, please try again later")

	// ErrNoTask means that there is no such task, or no more.
	ErrNoTask = errors.New("task does not exist or has expired")
)

// errRestoring means that a restore is under way, in Dgraph's words.
var errRestoring = errors.New("another restore operation is already running. Please retry later")

// errStopping means that the host is about to end.
var errStopping = errors.New("the server is shutting down")

// A TaskKind is what a task does.
type TaskKind string

// The kinds of task. Dgraph has the first.
const (
	TaskBackup  TaskKind = "Backup"
	TaskRestore TaskKind = "Restore"
	TaskVerify  TaskKind = "Verify"
	TaskPrune   TaskKind = "Prune"
)

// A TaskStatus is how far a task has come.
type TaskStatus string

// The states of a task, as Dgraph calls them.
const (
	TaskQueued  TaskStatus = "Queued"
	TaskRunning TaskStatus = "Running"
	TaskFailed  TaskStatus = "Failed"
	TaskSuccess TaskStatus = "Success"
)

// A Task is something that takes long, and what has become of it.
type Task struct {
	ID      uint64     `json:"id"`
	Kind    TaskKind   `json:"kind"`
	Status  TaskStatus `json:"status"`
	Updated time.Time  `json:"updated"`
	Error   string     `json:"error,omitempty"`
	Hint    string     `json:"hint,omitempty"`
	Outcome *Outcome   `json:"outcome,omitempty"`

	Progress host.Progress `json:"-"`
	err      error
}

// TaskName is how a task is called, as in 0x1a2b3c4d5.
func TaskName(id uint64) string { return "0x" + strconv.FormatUint(id, 16) }

const (
	tasksWaiting = 16 // in a queue, besides the one that runs
	taskLife     = 7 * 24 * time.Hour
	tasksKept    = 4096 // at most, whatever their age
)

// Tasks run what takes long in the background, and know for a week what became of it, over
// restarts too. Backups and restores run one after the other, and beside them
// verifications and prunes.
type Tasks struct {
	file string
	log  hclog.Logger
	now  func() time.Time

	ctx    context.Context //nolint:containedctx // of all tasks: they outlive the requests that ask for them
	cancel context.CancelCauseFunc
	lanes  map[bool]chan *job // by whether the kind changes something at once
	wg     sync.WaitGroup

	mu     sync.Mutex
	all    map[uint64]*Task
	closed bool
}

// A job is a task that has not ended.
type job struct {
	id    uint64
	run   func(ctx context.Context) (*Outcome, error)
	ended chan struct{}
}

// OpenTasks returns the tasks that are kept in a file, which may not be there yet. Those that
// had not ended when the host did have failed.
func OpenTasks(file string, log hclog.Logger) (*Tasks, error) {
	if log == nil {
		log = nullLogger
	}
	t := &Tasks{file: file, log: log, now: time.Now, lanes: map[bool]chan *job{}}
	var err error
	if t.all, err = readTasks(file); err != nil {
		return nil, err
	}
	for _, task := range t.all {
		if task.Status == TaskQueued || task.Status == TaskRunning {
			task.Status, task.Updated, task.Error = TaskFailed, t.now().UTC(), "the server was restarted before it had ended"
		}
	}
	t.keep()
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	for _, exclusive := range []bool{false, true} {
		lane := make(chan *job, tasksWaiting)
		t.lanes[exclusive] = lane
		t.wg.Go(func() {
			for j := range lane {
				t.do(j)
			}
		})
	}
	return t, nil
}

// Start queues a task. The channel is closed when it has ended. Of restores there is one
// at a time, and none waits: nobody wants the second without having seen the first.
func (t *Tasks) Start(kind TaskKind, run func(ctx context.Context) (*Outcome, error)) (id uint64, ended <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, nil, errStopping
	}
	if kind == TaskRestore && t.restoring() {
		return 0, nil, errRestoring
	}
	for id == 0 || t.all[id] != nil {
		id = newTaskID()
	}
	j := &job{id: id, run: run, ended: make(chan struct{})}
	t.all[id] = &Task{ID: id, Kind: kind, Status: TaskQueued, Updated: t.now().UTC()}
	select {
	case t.lanes[kind == TaskBackup || kind == TaskRestore] <- j:
	default:
		delete(t.all, id)
		return 0, nil, ErrTooManyTasks
	}
	t.keep()
	return id, j.ended, nil
}

// restoring is called with mu held.
func (t *Tasks) restoring() bool {
	for _, task := range t.all {
		if task.Kind == TaskRestore && (task.Status == TaskQueued || task.Status == TaskRunning) {
			return true
		}
	}
	return false
}

// newTaskID is as Dgraph draws them: the number of the server, here 1, and 32 random bits.
func newTaskID() uint64 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	return 1<<32 | uint64(binary.BigEndian.Uint32(b[:]))
}

// Task returns what is known of a task.
func (t *Tasks) Task(id uint64) (Task, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	task := t.all[id]
	if task == nil || t.expired(task) {
		return Task{}, ErrNoTask
	}
	return *task, nil
}

func (t *Tasks) expired(task *Task) bool {
	return task.Status != TaskQueued && task.Status != TaskRunning && t.now().Sub(task.Updated) > taskLife
}

// Close takes no more tasks, fails those that wait, and waits for those that run. When ctx
// ends they are told to stop.
func (t *Tasks) Close(ctx context.Context) error {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		for _, lane := range t.lanes {
			close(lane)
		}
	}
	t.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { t.cancel(errStopping) })
	t.wg.Wait()
	if stop() {
		t.cancel(errStopping)
		return nil
	}
	return context.Cause(ctx)
}

// do runs a job, unless the host is about to end.
func (t *Tasks) do(j *job) {
	defer close(j.ended)
	t.mu.Lock()
	closed := t.closed
	t.mu.Unlock()
	if closed {
		t.end(j.id, nil, errStopping)
		return
	}
	t.change(j.id, func(task *Task) { task.Status = TaskRunning })
	ctx := withProgress(t.ctx, func(p host.Progress) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.all[j.id].Progress = p
	})
	outcome, err := t.try(ctx, j)
	t.end(j.id, outcome, err)
}

// try makes a panic an error: the host goes on without this task.
func (t *Tasks) try(ctx context.Context, j *job) (outcome *Outcome, err error) {
	defer func() {
		if v := recover(); v != nil {
			t.log.Error("a task ended in a panic", "task", TaskName(j.id), "stack", string(debug.Stack()))
			outcome, err = nil, errors.New("internal error: the log has more")
		}
	}()
	return j.run(ctx)
}

func (t *Tasks) end(id uint64, outcome *Outcome, err error) {
	t.change(id, func(task *Task) {
		task.Status, task.Outcome, task.err = TaskSuccess, outcome, err
		if err != nil {
			task.Status, task.Error, task.Hint = TaskFailed, err.Error(), remedyHere(err)
		}
	})
}

func (t *Tasks) change(id uint64, f func(*Task)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(t.all[id])
	t.all[id].Updated = t.now().UTC()
	t.keep()
}

// keep writes down what there is, without what has expired. It is called with mu held. What
// cannot be written is told in the log: no backup fails for it.
func (t *Tasks) keep() {
	maps.DeleteFunc(t.all, func(_ uint64, task *Task) bool { return t.expired(task) })
	all := slices.SortedFunc(maps.Values(t.all), func(a, b *Task) int { return cmp.Or(a.Updated.Compare(b.Updated), cmp.Compare(a.ID, b.ID)) })
	for _, task := range all {
		if len(t.all) <= tasksKept {
			break
		}
		if task.Status == TaskSuccess || task.Status == TaskFailed {
			delete(t.all, task.ID)
		}
	}
	if t.file == "" {
		return
	}
	all = slices.DeleteFunc(all, func(task *Task) bool { return t.all[task.ID] == nil })
	if err := writeTasks(t.file, all); err != nil {
		t.log.Warn("the list of tasks cannot be written", "file", t.file, "error", err)
	}
}

// parseTaskID reads a task's name, in any base that Go writes.
func parseTaskID(name string) (uint64, error) {
	if name == "" {
		return 0, errors.New("task ID is missing")
	}
	id, err := strconv.ParseUint(name, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("invalid task ID: %s", cut(name))
	}
	return id, nil
}
