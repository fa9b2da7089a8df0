package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// examine returns the steps in one line each, without their times.
func examine(ctx context.Context, d sdk.Destination) (lines []string) {
	for s := range Examine(ctx, d) {
		line := s.Name + " " + s.Status
		if s.Broken {
			line += " broken"
		}
		lines = append(lines, line)
	}
	return lines
}

func left(t *testing.T, d sdk.Destination) (names []string) {
	t.Helper()
	for o, err := range d.List(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

func TestHealthyDestination(t *testing.T) {
	m := sdktest.NewMemory()
	got := strings.Join(examine(t.Context(), m), "\n")
	const want = `reachable ok
list ok
put ok
get ok
get from an offset ok
listed once stored ok
create only ok
delete ok
absent afterwards ok
replace ok
clock skipped`
	if got != want {
		t.Errorf("steps:\n%s\nwant:\n%s", got, want)
	}
	if names := left(t, m); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// A list without an end is a broken promise, and no reason to wait.
func TestListWithoutAnEnd(t *testing.T) {
	m := &mutant{Memory: sdktest.NewMemory()}
	m.list = func(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
		return func(yield func(sdk.Object, error) bool) {
			for i := 0; ctx.Err() == nil && yield(sdk.Object{Name: fmt.Sprintf("%s%09d", prefix, i)}, nil); i++ {
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got := strings.Join(examine(ctx, m), ", "); !strings.Contains(got, "list failed broken") || ctx.Err() != nil {
		t.Errorf("steps %s", got)
	}
}

// A reporter tells what it found out.
type reporter struct {
	*mutant
	findings []sdk.Finding
	err      error
}

func (r reporter) Report(context.Context) ([]sdk.Finding, error) { return r.findings, r.err }

// What a destination found out are steps of their own, whether it can be used or
// not, and its clock takes the place of ours.
func TestFindingsAreSteps(t *testing.T) {
	healthy := &mutant{Memory: sdktest.NewMemory()}
	forbidden := &mutant{Memory: sdktest.NewMemory()}
	forbidden.list = func(context.Context, string) iter.Seq2[sdk.Object, error] {
		return fails(fmt.Errorf("bucket: %w", sdk.ErrPermission))
	}
	findings := []sdk.Finding{
		{Name: "credentials", Detail: "from AWS_ACCESS_KEY_ID"},
		{Name: "conditions", Detail: "not honoured", Hint: "use another", Problem: true},
	}
	clock := sdk.Finding{Name: "clock", Detail: "2 s off"}
	for what, c := range map[string]struct {
		d     reporter
		first string
		want  string
	}{
		"healthy":      {reporter{healthy, findings, nil}, "reachable ok", "credentials ok, conditions weak, clock skipped"},
		"with a clock": {reporter{healthy, append(findings[:1:1], clock), nil}, "reachable ok", "credentials ok, clock ok"},
		"forbidden":    {reporter{forbidden, findings, nil}, "reachable failed", "credentials ok, conditions weak, clock skipped"},
		"no answer":    {reporter{healthy, nil, sdk.ErrUnavailable}, "reachable ok", "report weak, clock skipped"},
		"half a one":   {reporter{healthy, findings[:1], sdk.ErrUnavailable}, "reachable ok", "report weak, credentials ok, clock skipped"},
	} {
		got := examine(t.Context(), c.d)
		if all := strings.Join(got, ", "); got[0] != c.first || !strings.HasSuffix(all, " "+c.want) {
			t.Errorf("%s: steps %s; want %s first and %s last", what, all, c.first, c.want)
		}
	}
	for s := range Examine(t.Context(), reporter{healthy, findings, nil}) {
		if s.Name == "conditions" && (s.Detail != "not honoured" || s.Hint != "use another" || s.Broken) {
			t.Errorf("step %+v", s)
		}
	}
}

// A place that is not there may be one that is misspelt: it must not come into
// being.
func TestPlaceThatIsNotThere(t *testing.T) {
	m := &mutant{Memory: sdktest.NewMemory()}
	m.list = func(_ context.Context, prefix string) iter.Seq2[sdk.Object, error] {
		if prefix == "" { // it could be made
			return func(func(sdk.Object, error) bool) {}
		}
		return fails(fmt.Errorf("bucket: %w", sdk.ErrNotExist))
	}
	m.put = func(context.Context, string, io.Reader) error { t.Error("something was stored"); return nil }
	m.swap = func(context.Context, string, io.Reader, string) (string, error) {
		t.Error("something was stored")
		return "", nil
	}
	got := strings.Join(examine(t.Context(), m), "\n")
	for _, want := range []string{"reachable ok", "list failed", "put skipped", "replace skipped", "clock skipped"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in the steps:\n%s", want, got)
		}
	}
}

// A mutant breaks one promise.
type mutant struct {
	*sdktest.Memory
	put    func(ctx context.Context, name string, r io.Reader) error
	get    func(ctx context.Context, name string, offset int64) (io.ReadCloser, error)
	list   func(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error]
	delete func(ctx context.Context, name string) error
	swap   func(ctx context.Context, name string, r io.Reader, version string) (string, error)

	version func(ctx context.Context, name string) (string, error)
}

var errDenied = sdk.WithHint(fmt.Errorf("bucket: %w", sdk.ErrPermission), "allow more")

// deny refuses what a policy without these verbs refuses.
func (m *mutant) deny(verbs ...string) {
	for _, verb := range verbs {
		switch verb {
		case "list":
			m.list = func(context.Context, string) iter.Seq2[sdk.Object, error] { return fails(errDenied) }
		case "put":
			m.put = func(context.Context, string, io.Reader) error { return errDenied }
			m.swap = func(context.Context, string, io.Reader, string) (string, error) { return "", errDenied }
		case "get":
			m.get = func(context.Context, string, int64) (io.ReadCloser, error) { return nil, errDenied }
			m.version = func(context.Context, string) (string, error) { return "", errDenied }
		case "delete":
			m.delete = func(context.Context, string) error { return errDenied }
		}
	}
}

// A prober tries itself out, as it may.
type prober struct {
	*mutant
	err error
}

func (p prober) Probe(context.Context) error { return p.err }

// Credentials that may do only part of it are weak, and no failure: who takes
// backups, and who restores, has no more.
func TestLeastRights(t *testing.T) {
	for what, c := range map[string]struct {
		deny  []string
		probe error
		want  []string // how the steps begin
		left  int      // how many objects stay
	}{
		"backup only": {[]string{"get", "delete"}, nil, []string{
			"reachable ok", "list ok", "put ok",
			"get weak: may write and not read it back: enough to take backups (bucket: ",
			"get from an offset skipped", "listed once stored ok", "create only ok",
			"delete weak: nothing can be deleted here: prune needs that right (bucket: ",
			"absent afterwards skipped", "replace skipped", "clock skipped: this storage",
			"clean up weak: left behind: NAME; brock prune removes it",
		}, 1},
		"backup only, and a probe that needs more": {[]string{"get", "delete"}, errDenied, []string{
			"reachable ok", "list ok", "put ok", "get weak", "get from an offset skipped", "listed once stored ok", "create only ok",
			"delete weak", "absent afterwards skipped", "replace skipped", "clock skipped", "clean up weak",
		}, 1},
		"object lock": {[]string{"delete"}, nil, []string{
			"reachable ok", "list ok", "put ok", "get ok", "get from an offset ok", "listed once stored ok", "create only ok",
			"delete weak", "absent afterwards skipped", "replace skipped", "clock skipped", "clean up weak: left behind: NAME; ",
		}, 1},
		"write and delete": {[]string{"get"}, nil, []string{
			"reachable ok", "list ok", "put ok", "get weak", "get from an offset skipped", "listed once stored ok", "create only ok",
			"delete ok", "absent afterwards ok", "replace weak: cannot be tried with these credentials (bucket: ", "clock skipped",
		}, 0},
		"restore only": {[]string{"put", "delete"}, errDenied, []string{
			"reachable ok", "list ok", "put weak: may read and not write: enough to restore (bucket: ",
			"get skipped: nothing could be stored", "get from an offset skipped", "listed once stored skipped", "create only skipped",
			"delete skipped", "absent afterwards skipped", "replace skipped", "clock skipped",
		}, 0},
		"list only": {[]string{"put", "get", "delete"}, errDenied, []string{
			"reachable ok", "list ok", "put failed: may neither write nor read: bucket: ", "get skipped", "get from an offset skipped",
			"listed once stored skipped", "create only skipped", "delete skipped", "absent afterwards skipped", "replace skipped", "clock skipped",
		}, 0},
		"nothing": {[]string{"list", "put", "get", "delete"}, errDenied, []string{
			"reachable failed", "list skipped", "put skipped", "get skipped", "get from an offset skipped", "listed once stored skipped",
			"create only skipped", "delete skipped", "absent afterwards skipped", "replace skipped", "clock skipped: not reached",
		}, 0},
		"a probe that fails otherwise": {nil, sdk.ErrCorrupt, []string{
			"reachable failed", "list skipped", "put skipped", "get skipped", "get from an offset skipped", "listed once stored skipped",
			"create only skipped", "delete skipped", "absent afterwards skipped", "replace skipped", "clock skipped: not reached",
		}, 0},
	} {
		t.Run(what, func(t *testing.T) {
			m := &mutant{Memory: sdktest.NewMemory()}
			m.deny(c.deny...)
			var got []string
			for s := range Examine(t.Context(), prober{m, c.probe}) {
				if s.Broken {
					t.Errorf("step %s breaks a promise: %s", s.Name, s.Detail)
				}
				if s.Status == Weak && s.Hint != "" {
					t.Errorf("step %s advises to %s, which may be forbidden on purpose", s.Name, s.Hint)
				}
				got = append(got, s.Name+" "+s.Status+": "+s.Detail)
			}
			names := left(t, &mutant{Memory: m.Memory})
			if len(names) != c.left {
				t.Errorf("left behind: %v, want %d", names, c.left)
			}
			for i, want := range c.want {
				want = strings.ReplaceAll(want, "NAME", strings.Join(names, " "))
				if i >= len(got) || !strings.HasPrefix(got[i], want) {
					t.Errorf("no %q in its place", want)
				}
			}
			if len(got) != len(c.want) || t.Failed() {
				t.Errorf("%d steps, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for _, name := range names {
				if !strings.HasPrefix(name, Prefix) {
					t.Errorf("%s does not begin with %s", name, Prefix)
				}
			}
		})
	}
}

// Trouble that passes is no broken promise.
func TestTroubleThatPasses(t *testing.T) {
	for n := 1; n < 40; n++ {
		f := sdktest.NewFault(sdktest.NewMemory())
		f.FailAt(n, sdk.ErrUnavailable)
		for s := range Examine(t.Context(), f) {
			if s.Broken {
				t.Errorf("failure %d: %s: %s", n, s.Name, s.Detail)
			}
		}
	}
}

func (m *mutant) Put(ctx context.Context, name string, r io.Reader) error {
	if m.put != nil {
		return m.put(ctx, name, r)
	}
	return m.Memory.Put(ctx, name, r)
}

func (m *mutant) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if m.get != nil {
		return m.get(ctx, name, offset)
	}
	return m.Memory.Get(ctx, name, offset)
}

func (m *mutant) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	if m.list != nil {
		return m.list(ctx, prefix)
	}
	return m.Memory.List(ctx, prefix)
}

func (m *mutant) Delete(ctx context.Context, name string) error {
	if m.delete != nil {
		return m.delete(ctx, name)
	}
	return m.Memory.Delete(ctx, name)
}

func (m *mutant) Version(ctx context.Context, name string) (string, error) {
	if m.version != nil {
		return m.version(ctx, name)
	}
	return m.Memory.Version(ctx, name)
}

func (m *mutant) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	if m.swap != nil {
		return m.swap(ctx, name, r, version)
	}
	return m.Memory.Replace(ctx, name, r, version)
}

func fails(err error) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) { yield(sdk.Object{}, err) }
}

func TestDestinationThatIsIll(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(*mutant)
		want   []string
	}{
		"forbidden": {
			func(m *mutant) { m.deny("list") },
			[]string{"reachable failed", "list skipped", "put skipped", "delete skipped"},
		},
		"read only": {
			func(m *mutant) { m.deny("put") },
			[]string{"reachable ok", "put weak", "get skipped", "create only skipped", "replace skipped"},
		},
		"overwrites": {
			func(m *mutant) {
				m.put = func(ctx context.Context, name string, r io.Reader) error {
					_ = m.Memory.Delete(ctx, name)
					return m.Memory.Put(ctx, name, r)
				}
			},
			[]string{"put ok", "create only failed broken"},
		},
		"refuses, but for another reason": {
			func(m *mutant) {
				m.put = func(ctx context.Context, name string, r io.Reader) error {
					if err := m.Memory.Put(ctx, name, r); errors.Is(err, sdk.ErrExist) {
						return errors.New("409")
					}
					return nil
				}
			},
			[]string{"create only failed broken"},
		},
		"refuses after it has overwritten": {
			func(m *mutant) {
				m.put = func(ctx context.Context, name string, r io.Reader) error {
					err := m.Memory.Put(ctx, name, r)
					if errors.Is(err, sdk.ErrExist) {
						_ = m.Memory.Delete(ctx, name)
						_ = m.Memory.Put(ctx, name, strings.NewReader("x"))
					}
					return err
				}
			},
			[]string{"create only failed broken"},
		},
		"ignores the offset": {
			func(m *mutant) {
				m.get = func(ctx context.Context, name string, _ int64) (io.ReadCloser, error) {
					return m.Memory.Get(ctx, name, 0)
				}
			},
			[]string{"get ok", "get from an offset failed broken"},
		},
		"loses the end": {
			func(m *mutant) {
				m.put = func(ctx context.Context, name string, r io.Reader) error {
					data, err := io.ReadAll(r)
					if err != nil {
						return err
					}
					return m.Memory.Put(ctx, name, bytes.NewReader(data[:len(data)-1]))
				}
			},
			[]string{"get failed broken", "listed once stored failed broken"},
		},
		"lists nothing": {
			func(m *mutant) {
				m.list = func(context.Context, string) iter.Seq2[sdk.Object, error] {
					return func(func(sdk.Object, error) bool) {}
				}
			},
			[]string{"reachable ok", "listed once stored failed broken"},
		},
		"replaces whatever the version": {
			func(m *mutant) {
				m.swap = func(ctx context.Context, name string, r io.Reader, _ string) (string, error) {
					now, err := m.Version(ctx, name)
					if err != nil {
						return "", err
					}
					return m.Memory.Replace(ctx, name, r, now)
				}
			},
			[]string{"replace failed broken"},
		},
		"deletes nothing": {
			func(m *mutant) { m.delete = func(context.Context, string) error { return nil } },
			[]string{"delete ok", "absent afterwards failed broken"},
		},
		"absent in other words": {
			func(m *mutant) {
				m.get = func(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
					r, err := m.Memory.Get(ctx, name, offset)
					if err != nil {
						return nil, errors.New("404")
					}
					return r, nil
				}
			},
			[]string{"get ok", "absent afterwards failed broken"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &mutant{Memory: sdktest.NewMemory()}
			c.breaks(m)
			got := "\n" + strings.Join(examine(t.Context(), m), "\n") + "\n"
			for _, want := range c.want {
				if !strings.Contains(got, "\n"+want+"\n") {
					t.Errorf("no %q in the steps:%s", want, got)
				}
			}
			if names := left(t, m.Memory); len(names) != 0 && name != "deletes nothing" {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

// Whatever fails, and wherever the examination is cut short, nothing is left.
func TestNothingIsLeftBehind(t *testing.T) {
	for n := 1; ; n++ {
		m := sdktest.NewMemory()
		f := sdktest.NewFault(m)
		f.FailAt(n, sdk.ErrUnavailable)
		lines := examine(t.Context(), f)
		if f.Count() < n {
			if n < 10 {
				t.Errorf("only %d moments at which it can fail", n)
			}
			break
		}
		failed := strings.Contains(strings.Join(lines, "\n"), Failed)
		if names := left(t, m); len(names) != 0 && !failed {
			t.Errorf("failure %d leaves %v and is not told:\n%s", n, names, strings.Join(lines, "\n"))
		}
		ctx, cancel := context.WithCancel(t.Context())
		m, steps := sdktest.NewMemory(), 0
		for range Examine(ctx, m) {
			if steps++; steps == n {
				cancel()
			}
		}
		cancel()
		if names := left(t, m); len(names) != 0 {
			t.Errorf("cut short after step %d, it leaves %v", n, names)
		}
	}
}

func TestAdvice(t *testing.T) {
	for _, kind := range []error{sdk.ErrPermission, sdk.ErrNotExist, sdk.ErrNoSpace, sdk.ErrUnavailable, sdk.ErrInvalid, errors.New("x")} {
		if Advice(fmt.Errorf("x: %w", kind)) == "" {
			t.Errorf("no advice for %v", kind)
		}
	}
	if got := Advice(sdk.WithHint(sdk.ErrPermission, "ask Bob")); got != "ask Bob" {
		t.Errorf("Advice = %q, want the plugin's own", got)
	}
}
