// Package doctor finds out, step by step, what is wrong with a destination.
//
// It does what a backup does, with a small object of its own under a name that
// says so, and compares what comes of it with what package sdk promises. A step
// whose ground another one has lost is skipped. What the credentials may not do is
// weak and no failure: who takes backups need not read, and who restores need not
// write. Whatever is stored is removed again, also when the examination is cut
// short; where nothing can be deleted, one object stays, and is told.
package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// What came of a step.
const (
	OK      = "ok"
	Weak    = "weak" // it works in part: the destination itself says so, or these credentials may not do it
	Failed  = "failed"
	Skipped = "skipped"
)

// A Step is one thing that was tried.
type Step struct {
	Name   string `json:"step"`
	Status string `json:"status"` // OK, Weak, Failed or Skipped
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`   // what to do about it
	Broken bool   `json:"broken,omitempty"` // the plugin breaks a promise: no setting will cure it

	Seconds float64 `json:"seconds"`
}

// Prefix begins the names of all objects that are stored here.
const Prefix = "brock-doctor-"

// An exam is one examination.
type exam struct {
	ctx     context.Context //nolint:containedctx // of one examination
	d       sdk.Destination
	prefix  string // of the objects of this examination
	name    string // of the one object
	data    []byte
	maybe   []string // names of objects that may be there to be removed
	stored  bool     // the object is there
	deleted bool     // and is no longer
	nowhere bool     // there is no such place
	reached bool
	refused refused // what these credentials may not do
}

// refused tells which rights are known to be missing.
type refused struct{ read, write, delete bool }

// Examine tries a destination out. Its steps come as they are done.
func Examine(ctx context.Context, d sdk.Destination) iter.Seq[Step] {
	return func(yield func(Step) bool) {
		e := &exam{ctx: ctx, d: d, prefix: Prefix + strings.ToLower(rand.Text()) + "/", data: make([]byte, 100_000)}
		e.name = e.prefix + "object"
		_, _ = rand.Read(e.data) // it never fails
		wanted := e.steps(yield)
		if s := e.cleanUp(ctx); s.Status != OK && wanted {
			yield(s)
		}
	}
}

// steps goes through all steps, as long as they are wanted.
func (e *exam) steps(yield func(Step) bool) bool {
	reached := Result("reachable", e.reach())
	e.reached = reached.Status == OK
	if !yield(reached) {
		return false
	}
	for _, s := range []struct {
		name   string
		stored bool // needs the object
		run    func() error
	}{
		{"list", false, e.listEmpty},
		{"put", false, e.put},
		{"get", true, e.get},
		{"get from an offset", true, e.getRange},
		{"listed once stored", true, e.listed},
		{"create only", true, e.createOnly},
		{"delete", true, e.remove},
		{"absent afterwards", true, e.absent},
		{"replace", false, e.replace}, // stores another one: only where it can be deleted
	} {
		began := time.Now()
		err := error(skipped("nothing could be stored"))
		switch {
		case !e.reached: // a misspelt place must not come into being
			err = skipped("the place cannot be reached")
		case e.nowhere:
			err = skipped("there is no such place")
		case e.stored || !s.stored:
			err = s.run()
		}
		r := Result(s.name, err)
		r.Seconds = time.Since(began).Seconds()
		if !yield(r) || e.ctx.Err() != nil {
			return false
		}
	}
	for _, s := range e.findings() {
		if !yield(s) {
			return false
		}
	}
	return true
}

// findings are steps for what the destination itself has found out, also where it
// cannot be used, and for the clock. They come last: what it found out, it did so
// on the way.
func (e *exam) findings() (steps []Step) {
	r, ok := e.d.(sdk.Reporter)
	began, clock := time.Now(), false
	if ok {
		found, err := r.Report(e.ctx)
		if err != nil {
			s := Result("report", err)
			s.Status = Weak // a backup asks for none
			steps = append(steps, s)
		}
		for _, f := range found {
			s := Step{Name: f.Name, Status: OK, Detail: f.Detail, Hint: f.Hint}
			if f.Problem {
				s.Status = Weak
			}
			clock = clock || f.Name == "clock"
			steps = append(steps, s)
		}
		if len(steps) > 0 {
			steps[0].Seconds = time.Since(began).Seconds() // of them all
		}
	}
	switch {
	case clock:
	case !e.reached:
		steps = append(steps, Result("clock", skipped("not reached")))
	default:
		steps = append(steps, Result("clock", skipped("this storage does not tell the time: compare the clocks yourself if credentials are refused for no reason")))
	}
	return steps
}

// broken is an error that no setting cures.
type broken struct{ error }

func brokenf(format string, args ...any) error { return broken{fmt.Errorf(format, args...)} }

// brokenBy is what err shows to be broken. Trouble that passes shows nothing.
func brokenBy(err error, what string) error {
	for _, passes := range []error{sdk.ErrUnavailable, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, passes) {
			return err
		}
	}
	return brokenf("%s: %w", what, err)
}

// weak is an error that leaves enough for some purposes. There is no advice: to
// allow more would undo what somebody has limited on purpose.
type weak struct{ error }

func weakf(format string, args ...any) error { return weak{fmt.Errorf(format, args...)} }

// skipped is the reason why something was not tried.
type skipped string

func (s skipped) Error() string { return string(s) }

// Result is the step of that name, which ended with err.
func Result(name string, err error) Step {
	s := Step{Name: name, Status: OK}
	if err == nil {
		return s
	}
	s.Status, s.Detail = Failed, err.Error()
	switch {
	case errors.As(err, new(skipped)):
		s.Status = Skipped
	case errors.As(err, new(weak)):
		s.Status = Weak
	case errors.As(err, new(broken)):
		s.Broken = true
		s.Hint = "the plugin breaks a promise that backups rely on: tell its author, and do not use it; brock plugin test shows more"
	default:
		s.Hint = Advice(err)
	}
	return s
}

// Advice is what a user can do about an error of a destination.
func Advice(err error) string {
	if hint := sdk.Hint(err); hint != "" {
		return hint
	}
	for _, a := range []struct {
		kind error
		hint string
	}{
		{sdk.ErrPermission, "check the credentials, and what they may do; of files, the owner and the mode"},
		{sdk.ErrNotExist, "check the location's spelling, and make the directory or bucket"},
		{sdk.ErrNoSpace, "free some space, or raise the quota"},
		{sdk.ErrUnavailable, "check the network, the address and the proxy; it may pass by itself"},
		{sdk.ErrInvalid, "check the settings: brock plugin info shows what each means"},
		{context.DeadlineExceeded, "it took too long: check the network, the address and the proxy"},
	} {
		if errors.Is(err, a.kind) {
			return a.hint
		}
	}
	return "brock plugin logs shows what the plugin said; --plugin-trace records every call"
}

// reach tries the place out. A Probe writes: where that is refused, it is enough
// that the place can be listed, and the later steps tell the rest.
func (e *exam) reach() error {
	p, ok := e.d.(sdk.Prober)
	if !ok {
		return e.first()
	}
	err := p.Probe(e.ctx)
	if errors.Is(err, sdk.ErrPermission) && e.first() == nil {
		return nil
	}
	return err
}

func (e *exam) first() error {
	for _, err := range e.d.List(e.ctx, "") {
		return err // the first object is proof enough
	}
	return nil
}

// listEmpty lists what cannot be there.
func (e *exam) listEmpty() error {
	names, err := e.list()
	if errors.Is(err, sdk.ErrNotExist) {
		e.nowhere = true
		return sdk.WithHint(err, "check the location's spelling; if it is a new one, make the directory or bucket and ask again")
	}
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return brokenf("prefix %s is new, but lists %d objects", e.prefix, len(names))
	}
	return nil
}

// plenty is far more than there can be: a list may have no end.
const plenty = 1000

func (e *exam) list() (names []string, err error) {
	for o, err := range e.d.List(e.ctx, e.prefix) {
		if err != nil {
			return nil, err
		}
		if o.Name == e.name && o.Size != int64(len(e.data)) {
			return nil, brokenf("%s is listed with %d bytes, want %d", o.Name, o.Size, len(e.data))
		}
		if names = append(names, o.Name); len(names) > plenty {
			return nil, brokenf("prefix %s has a few objects at most, and lists more than %d", e.prefix, plenty)
		}
	}
	return names, nil
}

func (e *exam) put() error {
	err := e.d.Put(e.ctx, e.name, bytes.NewReader(e.data))
	if errors.Is(err, sdk.ErrPermission) {
		e.refused.write = true
		return e.readOnly(err)
	}
	e.maybe = append(e.maybe, e.name)
	e.stored = err == nil
	return err
}

// readOnly tells what is left to credentials that may not write. That the object
// is absent is told to those only that may read.
func (e *exam) readOnly(put error) error {
	r, err := e.d.Get(e.ctx, e.name, 0)
	switch {
	case err == nil:
		_ = r.Close()
		return brokenf("it was refused, and %s is there: %w", e.name, put)
	case errors.Is(err, sdk.ErrNotExist):
		return weakf("may read and not write: enough to restore (%w)", put)
	case errors.Is(err, sdk.ErrPermission):
		return fmt.Errorf("may neither write nor read: %w", put)
	}
	return err
}

func (e *exam) get() error {
	err := e.read(0, e.data)
	if errors.Is(err, sdk.ErrPermission) {
		e.refused.read = true
		return weakf("may write and not read it back: enough to take backups (%w)", err)
	}
	return err
}

func (e *exam) getRange() error {
	if e.refused.read {
		return skipped("nothing can be read with these credentials")
	}
	return e.read(54_321, e.data[54_321:])
}

// read wants data from an offset on.
func (e *exam) read(offset int64, want []byte) error {
	r, err := e.d.Get(e.ctx, e.name, offset)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(io.LimitReader(r, int64(len(e.data))+1))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return brokenf("what was read from offset %d on, %d bytes, is not what was stored, %d bytes", offset, len(got), len(want))
	}
	return nil
}

func (e *exam) listed() error {
	names, err := e.list()
	if err != nil {
		return err
	}
	if len(names) != 1 || names[0] != e.name {
		return brokenf("the list shows %q, want %s alone", names, e.name)
	}
	return nil
}

// createOnly stores again what is there already. Of two hosts that write one
// backup, one would lose it.
func (e *exam) createOnly() error {
	err := e.d.Put(e.ctx, e.name, strings.NewReader("something else"))
	if err == nil {
		return brokenf("a second object of one name was accepted, and the first one is lost")
	}
	if errors.Is(err, sdk.ErrPermission) {
		return weakf("a second object of one name was refused, but for want of a right (%w)", err)
	}
	if !errors.Is(err, sdk.ErrExist) {
		return brokenBy(err, "a second object of one name was refused, but not because the first one exists")
	}
	if err := e.unchanged(); err != nil {
		return brokenBy(err, "a second object of one name was refused, but the first one is not what it was")
	}
	return nil
}

// unchanged wants the object to be what it was: its length, if nothing can be
// read.
func (e *exam) unchanged() error {
	err := e.read(0, e.data)
	if errors.Is(err, sdk.ErrPermission) {
		_, err = e.list()
	}
	return err
}

func (e *exam) remove() error {
	err := e.d.Delete(e.ctx, e.name)
	e.deleted = err == nil
	if errors.Is(err, sdk.ErrPermission) {
		e.refused.delete = true
		return weakf("nothing can be deleted here: prune needs that right (%w)", err)
	}
	return err
}

func (e *exam) absent() error {
	if !e.deleted {
		return skipped("nothing could be deleted")
	}
	if !e.refused.read {
		if err := e.unreadable(); err != nil {
			return err
		}
	}
	names, err := e.list()
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return brokenf("the list still shows %q", names)
	}
	return nil
}

func (e *exam) unreadable() error {
	r, err := e.d.Get(e.ctx, e.name, 0)
	if err == nil {
		_ = r.Close()
		return brokenf("%s was deleted, and can still be read", e.name)
	}
	if !errors.Is(err, sdk.ErrNotExist) {
		return brokenBy(err, e.name+" was deleted, but that it is absent is told in other words")
	}
	return nil
}

// replace changes an object of its own, where it can be deleted again.
func (e *exam) replace() error {
	r, ok := e.d.(sdk.Replacer)
	switch {
	case !ok:
		return skipped("the plugin cannot replace objects: it keeps backups of Dgraph with --compat v20 only")
	case e.refused.write:
		return skipped("nothing can be written with these credentials")
	case e.refused.delete:
		return skipped("nothing can be deleted here: it would leave another object behind")
	}
	name := e.prefix + "replaced"
	e.maybe = append(e.maybe, name)
	err := e.replaced(r, name)
	if errors.Is(err, sdk.ErrPermission) {
		return weakf("cannot be tried with these credentials (%w)", err)
	}
	return err
}

// replaced stores an object, and replaces it, once with a version that is no
// longer true.
func (e *exam) replaced(r sdk.Replacer, name string) error {
	first, err := r.Replace(e.ctx, name, strings.NewReader("first"), "")
	if err != nil {
		return err
	}
	now, err := r.Version(e.ctx, name)
	if err != nil {
		return err
	}
	if now != first {
		return brokenf("the version of what was just stored is told as %q, and then as %q", first, now)
	}
	if _, err := r.Replace(e.ctx, name, strings.NewReader("second"), first); err != nil {
		return err
	}
	_, err = r.Replace(e.ctx, name, strings.NewReader("third"), first)
	switch {
	case err == nil:
		return brokenf("an object that somebody has changed was replaced nevertheless")
	case errors.Is(err, sdk.ErrPermission):
		return err
	case !errors.Is(err, sdk.ErrConflict):
		return brokenBy(err, "an object that somebody has changed was not replaced, but not for that reason")
	}
	return e.d.Delete(e.ctx, name)
}

// cleanUp removes what is left, for a while even after the caller has given up,
// and tells what stays.
func (e *exam) cleanUp(ctx context.Context) Step {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	var left []string
	var errs []error
	for _, name := range e.maybe {
		if e.refused.delete {
			left = append(left, name)
		} else if err := e.d.Delete(ctx, name); err != nil {
			left, errs = append(left, name), append(errs, err)
		}
	}
	if len(left) == 0 {
		return Step{Status: OK}
	}
	detail := "left behind: " + strings.Join(left, ", ") + "; brock prune removes it"
	if e.refused.delete {
		return Step{Name: "clean up", Status: Weak, Detail: detail}
	}
	s := Result("clean up", errors.Join(errs...))
	s.Detail = detail + ": " + s.Detail
	return s
}
