package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/brock-backup/brock/sdk/conformance"
)

// A kitReport is what came of testing a plugin.
type kitReport struct {
	Path     string      `json:"path"`
	Kind     string      `json:"kind"`
	Began    time.Time   `json:"began"`
	Seconds  float64     `json:"seconds"`
	Profiles []string    `json:"profiles"` // reached: a promise was kept, and none broken; none with --only
	Kept     int         `json:"kept"`
	Broken   int         `json:"broken"`
	Skipped  int         `json:"skipped"`
	Checks   []kitResult `json:"checks"`

	partial bool // single checks tell of no profile that it is reached
}

type kitResult struct {
	Name     string   `json:"name"`
	Group    string   `json:"group"`
	Profile  string   `json:"profile"`
	Status   string   `json:"status"` // "ok", "failed" or "skipped"
	Seconds  float64  `json:"seconds"`
	Failures []string `json:"failures,omitempty"`
	Skipped  string   `json:"skipped,omitempty"` // why
	Measured string   `json:"measured,omitempty"`
}

func (a *app) testPlugin(ctx context.Context, plugin string, f *kitFlags) error {
	subject, err := a.subject(ctx, plugin, f)
	if err != nil {
		return err
	}
	v := &kitReport{Path: subject.Path, Began: time.Now(), Profiles: []string{}, Checks: []kitResult{}, partial: len(f.only) > 0}
	kind, results, err := subject.Run(ctx)
	if errors.Is(err, conformance.ErrSettings) {
		return &problem{placeFlags.Replace(err.Error()), cmp.Or(hintFor(err), subject.Path+" describe shows its settings"), exitUsage}
	}
	if err != nil {
		return &problem{err.Error(), hintFor(err), exitFailed}
	}
	v.Kind = kind
	var names, profiles []string
	for _, c := range conformance.Checks(kind) {
		profiles = append(profiles, c.Profile)
		if len(subject.Only) == 0 || slices.Contains(subject.Only, c.Name) {
			names = append(names, c.Name)
		}
	}
	for _, p := range f.profiles {
		if !slices.Contains(profiles, p) {
			return usageError("brock plugin test --list shows them", "a %s has no profile %s", kind, p)
		}
	}
	if len(names) == 0 {
		return usageError("brock plugin test --list shows them", "none of these checks is one of a %s", kind)
	}
	if f.junit != "" { // what cannot be written is said before the checks run; until they have ended it is no report
		if err := os.WriteFile(f.junit, nil, 0o644); err != nil { //nolint:gosec // as writeJUnit
			return usageError("", "JUnit report: %v", err)
		}
	}
	a.runningCheck(names, 0)
	for r := range results {
		v.add(kitResult{
			Name: r.Check, Group: r.Group, Profile: r.Profile, Seconds: r.Took.Seconds(),
			Failures: r.Failures, Skipped: placeFlags.Replace(r.Skipped), Measured: r.Measured,
		})
		if !a.json {
			a.screen.clear()
			v.showLast(a.stdout)
		}
		a.runningCheck(names, len(v.Checks))
	}
	v.Seconds = time.Since(v.Began).Seconds()
	a.screen.clear()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f.junit != "" {
		if err := writeJUnit(f.junit, v); err != nil {
			return fmt.Errorf("JUnit report: %w", err)
		}
	}
	if err := a.result(v, v.summary); err != nil {
		return err
	}
	return v.verdict(f.profiles)
}

// placeFlags names the flag where a reason for skipping, or an error, names a
// field of [conformance.Subject].
var placeFlags = strings.NewReplacer("see Denied", "see --denied", "see ReadOnly", "see --read-only", "see Missing", "see --missing",
	"see Full", "see --full", "see Throttled", "see --throttled", "see Other", "see --other")

// runningCheck shows on a terminal which check runs.
func (a *app) runningCheck(names []string, done int) {
	if done < len(names) && !a.json {
		a.screen.status(fmt.Sprintf("%d/%d  %s", done+1, len(names), names[done]))
	}
}

func (v *kitReport) add(r kitResult) {
	switch {
	case len(r.Failures) > 0:
		r.Status = "failed"
		v.Broken++
	case r.Skipped != "":
		r.Status = "skipped"
		v.Skipped++
	default:
		r.Status = "ok"
		v.Kept++
	}
	v.Checks = append(v.Checks, r)
	if !v.partial {
		v.Profiles = v.reached()
	}
}

// reached are the profiles of which a promise was kept, and none broken.
func (v *kitReport) reached() []string {
	profiles := []string{}
	broken := map[string]bool{}
	for _, r := range v.Checks {
		broken[r.Profile] = broken[r.Profile] || r.Status == "failed"
	}
	for _, r := range v.Checks {
		if r.Status == "ok" && !broken[r.Profile] && !slices.Contains(profiles, r.Profile) {
			profiles = append(profiles, r.Profile)
		}
	}
	return profiles
}

var marks = map[string]string{"ok": "ok     ", "weak": "weak   ", "failed": "FAILED ", "skipped": "skipped"}

// showLast shows the newest result.
func (v *kitReport) showLast(w io.Writer) {
	r := v.Checks[len(v.Checks)-1]
	line := fmt.Sprintf("%s  %-12s %-38s %7.2fs", marks[r.Status], r.Group, r.Name, r.Seconds)
	if note := cmp.Or(r.Skipped, r.Measured); note != "" && r.Status != "failed" {
		line += "  " + note
	}
	fmt.Fprintln(w, line)
	for _, f := range r.Failures {
		fmt.Fprintf(w, "         %s\n", strings.ReplaceAll(f, "\n", "\n           "))
	}
}

// summary shows how the groups did, and what was reached.
func (v *kitReport) summary(w io.Writer) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "GROUP\tKEPT\tBROKEN\tSKIPPED")
	var groups []string
	counts := map[string]map[string]int{}
	for _, r := range v.Checks {
		if counts[r.Group] == nil {
			groups, counts[r.Group] = append(groups, r.Group), map[string]int{}
		}
		counts[r.Group][r.Status]++
	}
	for _, g := range groups {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\n", g, counts[g]["ok"], counts[g]["failed"], counts[g]["skipped"])
	}
	fmt.Fprintf(t, "all\t%d\t%d\t%d\n", v.Kept, v.Broken, v.Skipped)
	t.Flush()
	profiles := "none"
	if len(v.Profiles) > 0 {
		profiles = strings.Join(v.Profiles, ", ")
	}
	if !v.partial {
		fmt.Fprintf(w, "\nprofiles reached: %s", profiles)
	}
	fmt.Fprintf(w, "\n%s: %.1fs\n", v.Path, v.Seconds)
}

// verdict is nil if every promise was kept, and every profile reached that was
// asked for.
func (v *kitReport) verdict(profiles []string) error {
	if v.Broken > 0 {
		var names []string
		for _, r := range v.Checks {
			if r.Status == "failed" {
				names = append(names, r.Name)
			}
		}
		return &problem{
			fmt.Sprintf("promises broken: %s", strings.Join(names, "; ")),
			fmt.Sprintf("brock plugin test --explain %q tells what is promised", names[0]), exitDamage,
		}
	}
	for _, p := range profiles {
		if !slices.Contains(v.reached(), p) {
			return &problem{fmt.Sprintf("profile %s is not reached: all of its checks were skipped", p), "", exitDamage}
		}
	}
	return nil
}
