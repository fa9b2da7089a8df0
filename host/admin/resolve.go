package admin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/sdk"
)

// A resolver has a method for each field of Query and Mutation in schema.graphql.
type resolver struct{ a *Admin }

func (r *resolver) operations() *Operations { return r.a.node.Operations }

// A fieldError is the error of a field, in the words in which Dgraph wraps them.
type fieldError struct {
	field string
	err   error
	input bool // the argument is not as it must be
}

func (e *fieldError) Error() string {
	if e.input {
		return "couldn't get input argument because " + e.err.Error()
	}
	return fmt.Sprintf("resolving %s failed because %s", e.field, e.err)
}

func (e *fieldError) Unwrap() error { return e.err }

// Extensions tell the remedy.
func (e *fieldError) Extensions() map[string]any {
	if h := remedyHere(e.err); h != "" {
		return map[string]any{"hint": h}
	}
	return nil
}

func failed(field string, err error) error { return &fieldError{field: field, err: err} }

func misused(field, text string) error {
	return &fieldError{field: field, err: errors.New(text), input: true}
}

// remedyHere is the remedy in the words of this API: the engine's are those of the command.
func remedyHere(err error) string {
	h := remedy(err)
	if h == "" {
		h = sdk.Hint(err)
	}
	return flagNames.Replace(h)
}

var flagNames = strings.NewReplacer(
	"--force-full", "forceFull: true", "--encryption_key_file", "encryptionKeyFile", "--backup_num", "backupNum",
	"--backup-num", "backupNum", "brock ls", "listBackups",
)

var (
	errNotByGet = errors.New("a mutation needs a POST")
	errTooMany  = fmt.Errorf("one request may have at most %d operations", mostOperations)
)

// operation counts an operation that reaches for a destination.
func operation(ctx context.Context) error {
	if callOf(ctx).operations.Add(1) > mostOperations {
		return errTooMany
	}
	return nil
}

// changing is what every mutation begins with.
func changing(ctx context.Context) error {
	if callOf(ctx).safe {
		return errNotByGet
	}
	return operation(ctx)
}

// Response is what Dgraph answers to most mutations.
type Response struct{ Code, Message *string }

func success(format string, args ...any) *Response {
	return &Response{new("Success"), new(fmt.Sprintf(format, args...))}
}

// earlyFailure is how long an answer waits for a task to fail.
const earlyFailure = 3 * time.Second

// start queues a task, and waits a moment to see whether it fails.
func (r *resolver) start(ctx context.Context, kind TaskKind, run func(ctx context.Context) (*Outcome, error)) (Task, error) {
	id, ended, err := r.a.tasks.Start(kind, run)
	if err != nil {
		return Task{}, err
	}
	timer := time.NewTimer(earlyFailure)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	case <-ctx.Done(): // the task goes on
	}
	task, err := r.a.tasks.Task(id)
	if err == nil && task.Status == TaskFailed {
		err = task.err
	}
	return task, err
}

// Credentials are those that Dgraph's inputs have.
type Credentials struct {
	AccessKey, SecretKey, SessionToken *secretText
	Anonymous                          *bool
}

func (c *Credentials) location(uri string) LocationRequest {
	return LocationRequest{
		URI: uri, AccessKey: c.AccessKey.secret(), SecretKey: c.SecretKey.secret(), SessionToken: c.SessionToken.secret(),
		Anonymous: value(c.Anonymous),
	}
}

// value is what a nullable argument is, or nothing.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// orNull is v, or null for nothing.
func orNull[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// pointers are the elements as a nullable list has them.
func pointers[T any](list []T) *[]*T {
	all := make([]*T, len(list))
	for i := range list {
		all[i] = &list[i]
	}
	return &all
}

// A secretText is a String that is secret from the moment it is parsed.
type secretText struct{ s sdk.Secret }

func (s *secretText) secret() sdk.Secret {
	if s == nil {
		return sdk.Secret{}
	}
	return s.s
}

// ImplementsGraphQLType makes it a String.
func (*secretText) ImplementsGraphQLType(name string) bool { return name == "String" }

// UnmarshalGraphQL takes the value.
func (s *secretText) UnmarshalGraphQL(input any) error {
	text, ok := input.(string)
	if !ok {
		return errors.New("a credential is a text")
	}
	s.s = sdk.NewSecret(text)
	return nil
}

// A UInt64 is a whole number as Dgraph has them: a number in JSON.
type UInt64 uint64

// ImplementsGraphQLType makes it the scalar of that name.
func (*UInt64) ImplementsGraphQLType(name string) bool { return name == "UInt64" }

// UnmarshalGraphQL takes numbers, and text for those that JSON cannot carry.
func (u *UInt64) UnmarshalGraphQL(input any) error {
	switch v := input.(type) {
	case int32:
		return u.set(float64(v), uint64(v))
	case int64:
		return u.set(float64(v), uint64(v))
	case int:
		return u.set(float64(v), uint64(v))
	case float64:
		if v == math.Trunc(v) && v < 1<<53 {
			return u.set(v, uint64(v))
		}
	case string:
		if n, err := strconv.ParseUint(v, 0, 64); err == nil {
			*u = UInt64(n)
			return nil
		}
	}
	return errNotUInt64
}

var errNotUInt64 = errors.New("a UInt64 is a whole number from 0 on; write large ones as text")

func (u *UInt64) set(v float64, n uint64) error {
	if v < 0 {
		return errNotUInt64
	}
	*u = UInt64(n)
	return nil
}

// An Int64 is a whole number that may be negative. It only is answered.
type Int64 int64

// ImplementsGraphQLType makes it the scalar of that name.
func (*Int64) ImplementsGraphQLType(name string) bool { return name == "Int64" }

// UnmarshalGraphQL takes none: no input has one.
func (*Int64) UnmarshalGraphQL(any) error { return errors.New("no Int64 is expected") }

// A DateTime is a moment.
type DateTime struct{ time.Time }

// ImplementsGraphQLType makes it the scalar of that name.
func (*DateTime) ImplementsGraphQLType(name string) bool { return name == "DateTime" }

// UnmarshalGraphQL takes what RFC 3339 writes.
func (d *DateTime) UnmarshalGraphQL(input any) (err error) {
	text, _ := input.(string)
	if d.Time, err = time.Parse(time.RFC3339, text); err != nil {
		return errors.New("a DateTime is written as in 2006-01-02T15:04:05Z")
	}
	return nil
}

// restoring reports whether a restore is under way.
func (r *resolver) restoring() bool { return slices.Contains(r.operations().Ongoing(), "opRestore") }

var _ error = (*fieldError)(nil)

func engineProgress(p host.Progress) *TaskProgress {
	if p.Op == "" {
		return nil
	}
	return &TaskProgress{p.Op, UInt64(p.Group), UInt64(p.Bytes), UInt64(p.TotalBytes), UInt64(p.Entries)}
}
