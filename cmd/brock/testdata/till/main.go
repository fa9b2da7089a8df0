// Command till is a destination for tests, which is careless with its secrets: it
// shows them in its log, in its errors and in what it finds out. It writes down
// what everybody can see of the process that started it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// Config is what a user can set.
type Config struct {
	URI          string     `json:"uri" required:"true" doc:"the directory"`
	AccessKey    string     `json:"accessKey" env:"TILL_ACCESS_KEY" doc:"who"`
	SecretKey    sdk.Secret `json:"secretKey" env:"TILL_SECRET_KEY" doc:"how he proves it"`
	SessionToken sdk.Secret `json:"sessionToken" env:"OTHERS_TOKEN" doc:"for a while"`
	Clock        bool       `json:"clock" doc:"tell the time"`
}

func main() {
	sdk.ServeDestination(sdk.Plugin{
		Name: "till", Version: "1.0\x1b[31m", Doc: "Fills a directory \x1b]0;title\a and talks.",
		Schemes: []string{"till"}, Env: []string{"TILL_WORD", "PATH"},
	}, open)
}

type till struct {
	dir    string
	config Config
}

func (t *till) secrets() string {
	return fmt.Sprint(t.config.URI, " ", t.config.SecretKey.RevealString(), " ", t.config.SessionToken.RevealString())
}

func open(_ context.Context, c Config) (*till, error) {
	u, err := url.Parse(c.URI)
	if err != nil {
		return nil, err
	}
	t := &till{u.Path, c}
	sdk.Logger().Warn("till opens with " + t.secrets())
	if c.SecretKey.RevealString() == "wrong" || strings.HasPrefix(c.AccessKey, "deny") {
		return nil, fmt.Errorf("till: %s refused: %w", t.secrets(), sdk.ErrPermission)
	}
	if file := filepath.Join(filepath.Dir(t.dir), "cmdline"); exists(filepath.Dir(file)) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", os.Getppid()))
		if err := os.WriteFile(file, line, 0o600); err != nil {
			return nil, err
		}
		settings := strings.Join([]string{c.AccessKey, c.SecretKey.RevealString(), c.SessionToken.RevealString(), os.Getenv("TILL_WORD")}, "|")
		if err := os.WriteFile(filepath.Join(filepath.Dir(t.dir), "settings"), []byte(settings), 0o600); err != nil {
			return nil, err
		}
	}
	return t, os.MkdirAll(t.dir, 0o700)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Report implements sdk.Reporter.
func (t *till) Report(context.Context) ([]sdk.Finding, error) {
	found := []sdk.Finding{
		{Name: "credentials", Detail: "setting secretKey, " + t.secrets()},
		{Name: "colour", Detail: "\x1b[31mred\x9b", Hint: "use black", Problem: true},
	}
	if t.config.Clock {
		found = append(found, sdk.Finding{Name: "clock", Detail: "within a second"})
	}
	return found, nil
}

func (t *till) file(name string) string { return filepath.Join(t.dir, url.PathEscape(name)) }

// Put implements sdk.Destination.
func (t *till) Put(ctx context.Context, name string, r io.Reader) error {
	f, err := os.CreateTemp(t.dir, "%new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close(), ctx.Err()); err != nil {
		return err
	}
	return t.careless(os.Link(f.Name(), t.file(name)))
}

// careless adds to an error what nobody should see.
func (t *till) careless(err error) error {
	if err == nil {
		return nil
	}
	sdk.Logger().Error("till: " + t.secrets() + ": " + err.Error())
	return sdk.WithHint(fmt.Errorf("%s: %w", t.secrets(), err), "it was "+t.secrets())
}

// Get implements sdk.Destination.
func (t *till) Get(_ context.Context, name string, offset int64) (io.ReadCloser, error) {
	f, err := os.Open(t.file(name))
	if err != nil {
		return nil, t.careless(err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || offset > size {
		return nil, errors.Join(cmp.Or(err, sdk.ErrInvalid), f.Close())
	}
	_, err = f.Seek(offset, io.SeekStart)
	return f, err
}

// List implements sdk.Destination.
func (t *till) List(_ context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		entries, err := os.ReadDir(t.dir)
		var objects []sdk.Object
		for _, e := range entries {
			name, unfinished := url.PathUnescape(e.Name())
			if info, err := e.Info(); unfinished == nil && err == nil && strings.HasPrefix(name, prefix) {
				objects = append(objects, sdk.Object{Name: name, Size: info.Size()})
			}
		}
		slices.SortFunc(objects, func(a, b sdk.Object) int { return cmp.Compare(a.Name, b.Name) })
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
		if err != nil {
			yield(sdk.Object{}, t.careless(err))
		}
	}
}

// Delete implements sdk.Destination.
func (t *till) Delete(_ context.Context, name string) error {
	if err := os.Remove(t.file(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
