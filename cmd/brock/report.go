package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/store"
)

// Exit codes, as every help text states them.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitDamage = 3
)

// A problem is an error of the command itself, with its exit code and a remedy.
type problem struct {
	text string
	hint string
	code int
}

func (p *problem) Error() string { return p.text }

// Hint says what to do about it, or is empty.
func (p *problem) Hint() string { return p.hint }

func usageError(hint, format string, args ...any) error {
	return &problem{fmt.Sprintf(format, args...), hint, exitUsage}
}

// report shows err and returns the exit code for it.
func (a *app) report(ctx context.Context, err error) int {
	a.screen.clear()
	if err == nil {
		return exitOK
	}
	code, hint := a.exitCode(err), hintFor(err)
	if ctx.Err() != nil {
		code, hint = exitFailed, cmp.Or(hint, "nothing that is incomplete was left visible; run the command again")
		err = fmt.Errorf("interrupted: %w", err)
	}
	if a.json {
		line, _ := json.Marshal(struct {
			Event string `json:"event"`
			Error string `json:"error"`
			Hint  string `json:"hint,omitempty"`
			Exit  int    `json:"exit"`
		}{"error", err.Error(), hint, code})
		fmt.Fprintf(a.screen, "%s\n", line)
		return code
	}
	fmt.Fprintf(a.screen, "brock: %v\n", err)
	if hint != "" {
		fmt.Fprintf(a.screen, "hint: %s\n", hint)
	}
	return code
}

func (a *app) exitCode(err error) int {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p.code
	case host.IsDamage(err), errors.Is(err, badgerdb.ErrDamaged), errors.Is(err, store.ErrDamaged):
		return exitDamage
	case !a.ran, host.IsUsage(err), isWrongDirectory(err):
		return exitUsage
	}
	return exitFailed
}

// isWrongDirectory reports whether another directory, another key or another
// flag would do for a database.
func isWrongDirectory(err error) bool {
	for _, kind := range []error{badgerdb.ErrNotBadger, store.ErrInvalid, badgerdb.ErrNotClosed, badgerdb.ErrKey, badgerdb.ErrVersion} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func hintFor(err error) string {
	var own interface{ Hint() string }
	if errors.As(err, &own) && own.Hint() != "" {
		return own.Hint()
	}
	return host.Hint(err)
}
