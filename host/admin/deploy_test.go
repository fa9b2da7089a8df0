package admin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/brock-backup/brock/host/schedule"
)

// deployed reads a file of the folder deploy.
func deployed(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// names returns those of all metrics that a host has.
func names(t *testing.T) map[string]bool {
	t.Helper()
	m := exercised()
	m.WatchStore(newDesk(t).node.Operations.Store)
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{"up": true}
	for _, f := range families {
		all[f.GetName()] = true
		if len(f.GetMetric()) > 0 && f.GetMetric()[0].GetHistogram() != nil {
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				all[f.GetName()+end] = true
			}
		}
	}
	return all
}

var (
	quoted     = regexp.MustCompile(`"[^"]*"|\{[^}]*\}|\b(?:by|on|unless on)\s*\([^)]*\)`)
	identifier = regexp.MustCompile(`\b[a-z_][a-zA-Z0-9_]*\b`)
	promWord   = regexp.MustCompile(`^(?:time|max|min|sum|by|on|or|and|unless|increase|rate|deriv|sort|vector|offset|label_values|instance|location)$`)
)

// unknownIn returns the metrics of an expression that there are not.
func unknownIn(expr string, known map[string]bool) (unknown []string) {
	expr = regexp.MustCompile(`\[[^\]]*\]|\boffset \w+`).ReplaceAllString(quoted.ReplaceAllString(expr, " "), " ")
	for _, name := range identifier.FindAllString(expr, -1) {
		if !promWord.MatchString(name) && !known[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func TestAlertsAskForWhatThereIs(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(deployed(t, "prometheus/alerts.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	known, alerts := names(t), map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if alerts[r.Alert] || r.Expr == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: incomplete, or there twice", r.Alert)
			}
			alerts[r.Alert] = true
			if names := unknownIn(r.Expr, known); len(names) > 0 {
				t.Errorf("%s: there is no metric %q", r.Alert, names)
			}
			for _, side := range strings.Split(r.Expr, "unless")[1:] { // else labels as result differ, and it excludes nothing
				if !regexp.MustCompile(`^\s*(?:max|sum) by \(instance, location\)`).MatchString(side) {
					t.Errorf("%s: unless%s: by which labels?", r.Alert, side)
				}
			}
			if r.For != "" {
				if _, err := time.ParseDuration(strings.Replace(r.For, "d", "h", 1)); err != nil {
					t.Errorf("%s: for %s", r.Alert, r.For)
				}
			}
		}
	}
	for _, want := range []string{"BackupTooOld", "BackupFailing", "BackupDamaged", "VerifyTooOld", "PluginCrashLooping", "ScheduleStuck"} {
		if !alerts[want] {
			t.Errorf("there is no alert %s", want)
		}
	}
}

func TestDashboardAsksForWhatThereIs(t *testing.T) {
	type panel struct {
		ID      int
		Title   string
		Type    string
		GridPos struct{ H, W, X, Y int }
		Targets []struct{ Expr string }
	}
	var dashboard struct {
		Panels     []panel
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(deployed(t, "grafana/brock.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	known := names(t)
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d, %s: there twice, or empty", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			if names := unknownIn(target.Expr, known); len(names) > 0 {
				t.Errorf("%s: there is no metric %q in %s", p.Title, names, target.Expr)
			}
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, lies := taken[at]; lies || at[0] > 23 {
					t.Errorf("panel %s lies on %s", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
	}
	for _, v := range dashboard.Templating.List {
		if names := unknownIn(v.Definition, known); len(names) > 0 {
			t.Errorf("variable %s: there is no metric %q", v.Name, names)
		}
	}
}

func TestUnknownIn(t *testing.T) {
	known := map[string]bool{"a_total": true, "b": true}
	for expr, want := range map[string]string{
		`sum by (x) (rate(a_total{y="z"}[5m])) > 2 * b offset 8d`: "",
		`time() - max by (instance) (c_total) > 3`:                "c_total",
		`a_total or d{x="b"} unless e`:                            "d e",
	} {
		if got := strings.Join(unknownIn(expr, known), " "); got != want {
			t.Errorf("%s: %q; want %q", expr, got, want)
		}
	}
}

// The examples are what they say.
func TestExampleConfigurations(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "\n## Schedule, retention, metrics\n")
	_, shown, fenced := strings.Cut(section, "```yaml\n")
	shown, _, closed := strings.Cut(shown, "```\n")
	if !found || !fenced || !closed {
		t.Fatal("README.md shows no configuration")
	}
	for what, text := range map[string]string{"README.md": shown, "deploy/brock.yaml": string(deployed(t, "brock.yaml"))} {
		dir := t.TempDir()
		for _, name := range []string{"s3.yaml", "backup.key"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(dir, "brock.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := schedule.Load(file)
		if err != nil || len(c.Warnings) > 0 {
			t.Fatalf("%s: %v, %q", what, err, c.Warnings)
		}
		var b strings.Builder
		if err := schedule.Check(&b, c, filepath.Join(dir, "state"), time.Now()); err != nil {
			t.Fatal(err)
		}
		for _, do := range []schedule.Do{schedule.Full, schedule.Incremental, schedule.Verify, schedule.Prune} {
			if !strings.Contains(b.String(), string(do)) {
				t.Errorf("%s has no %s", what, do)
			}
		}
	}
}
