package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
)

// inEarnest is the engine's patience. The tests of this package have less: see
// TestMain.
var inEarnest = outage

// holdsOut calls retry with what fails until a moment, in a time that passes only
// there. It returns when the tries were.
func holdsOut(t *testing.T, e *Engine, until time.Duration, err error) (tries []time.Duration, result error) {
	t.Helper()
	defer func(p patience) { outage = p }(outage)
	outage = inEarnest
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		result = retry(e.withLog(t.Context()), func() error {
			past := time.Since(began)
			tries = append(tries, past)
			if past < until {
				return err
			}
			return nil
		})
	})
	return tries, result
}

// An outage of 40 seconds is survived, and one without an end is given up after
// 45, with the storage's own words.
func TestOutage(t *testing.T) {
	away := fmt.Errorf("bucket b: %w", sdk.ErrUnavailable)
	tries, err := holdsOut(t, &Engine{}, 40*time.Second, away)
	if err != nil || len(tries) < 8 || len(tries) > 30 {
		t.Errorf("40 s: %v after %d tries at %v", err, len(tries), tries)
	}
	tries, err = holdsOut(t, &Engine{}, time.Hour, away)
	if err != away || tries[len(tries)-1] != 45*time.Second { //nolint:errorlint // the very same
		t.Errorf("an hour: %v after tries at %v; want the last one after 45 s", err, tries)
	}
	for _, kind := range []error{sdk.ErrPermission, sdk.ErrNoSpace, errors.New("odd")} {
		if tries, err := holdsOut(t, &Engine{}, time.Hour, kind); !errors.Is(err, kind) || len(tries) != 1 {
			t.Errorf("%v: %d tries", kind, len(tries))
		}
	}
}

// A storage that says how long it wants to be left alone is left alone, but not
// for ever.
func TestRetryAfterIsHonoured(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{20 * time.Second: 20 * time.Second, time.Hour: 30 * time.Second} {
		slow := sdk.WithRetryAfter(fmt.Errorf("slow down: %w", sdk.ErrUnavailable), asked)
		tries, err := holdsOut(t, &Engine{}, time.Second, slow)
		if err != nil || len(tries) != 2 || tries[1] != want {
			t.Errorf("asked to wait %v: tries at %v, %v; want the second after %v", asked, tries, err, want)
		}
		if tries, _ := holdsOut(t, &Engine{}, time.Hour, slow); tries[len(tries)-1] != 45*time.Second {
			t.Errorf("asked again and again to wait %v: tries at %v, want the last after 45 s", asked, tries)
		}
	}
}

// Somebody who waits is told what for, once.
func TestWaitIsTold(t *testing.T) {
	var out bytes.Buffer
	e := &Engine{Logger: hclog.New(&hclog.LoggerOptions{Output: &out})}
	away := fmt.Errorf("bucket b is away: %w", sdk.ErrUnavailable)
	_, _ = holdsOut(t, e, time.Second, away)
	if out.Len() > 0 {
		t.Errorf("of a wait of a second the log tells %s", out.String())
	}
	_, _ = holdsOut(t, e, time.Hour, away)
	if strings.Count(out.String(), "bucket b is away") != 1 {
		t.Errorf("the log tells\n%s", out.String())
	}
}

// A cancel ends the wait.
func TestCancelEndsTheWait(t *testing.T) {
	defer func(p patience) { outage = p }(outage)
	outage = inEarnest
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		err := retry(ctx, func() error { return sdk.WithRetryAfter(sdk.ErrUnavailable, time.Minute) })
		if took := time.Since(began); took != 10*time.Second || !errors.Is(err, sdk.ErrUnavailable) {
			t.Errorf("%v after %v; want ErrUnavailable after 10 s", err, took)
		}
	})
}
