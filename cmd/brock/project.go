package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/brock-backup/brock/sdk/python"
)

// templates has one directory for every language, and one for every language
// and kind. Files end in .tmpl, lest tools take them for programs.
//
//go:embed template
var templates embed.FS

// A project is the beginning of a plugin. What is exported is for templates.
type project struct {
	Name string // of the plugin
	Kind string // "destination" or "keyprovider"

	Requirements string // what go.mod says after its first line
	Checkout     string // the directory that the SDK is taken from; "" if it is a release

	lang, dir, sdk string
}

// Program is the name of the plugin's file.
func (p *project) Program() string { return "brock-" + p.Kind + "-" + p.Name }

// KindInWords is the kind in a sentence.
func (p *project) KindInWords() string {
	return map[string]string{"destination": "destination", "keyprovider": "key provider"}[p.Kind]
}

// GoKind is the kind in the name of the test.
func (p *project) GoKind() string {
	return map[string]string{"destination": "Destination", "keyprovider": "KeyProvider"}[p.Kind]
}

// Functions are those to write.
func (p *project) Functions() string {
	return map[string]string{
		"go destination":     "`Put`, `Get`, `List` and `Delete`",
		"go keyprovider":     "`open`, `Wrap`, `Unwrap` and `ExportKey`",
		"python destination": "`put`, `get`, `list` and `delete`",
		"python keyprovider": "`__init__`, `wrap`, `unwrap` and `export_key`",
	}[p.lang+" "+p.Kind]
}

// OneCheck is a check to try first, in quotation marks.
func (p *project) OneCheck() string {
	return map[string]string{"destination": `"put and get every size"`, "keyprovider": `"wrap and unwrap"`}[p.Kind]
}

// OneTest is the same in the words of go test.
func (p *project) OneTest() string {
	return strings.ReplaceAll(strings.Trim(p.OneCheck(), `"`), " ", "_")
}

// TestFlags are those of brock plugin test.
func (p *project) TestFlags() string {
	if p.Kind == "keyprovider" {
		return "--settings settings.json --other other.json"
	}
	return "--settings settings.json"
}

// TestPlace is what the tests use.
func (p *project) TestPlace() string {
	if p.Kind == "keyprovider" {
		return "two keys of 64 hexadecimal digits"
	}
	return "a temporary directory as the place, as if the plugin kept files"
}

// source is the file with the functions to write.
func (p *project) source() string {
	if p.lang == "go" {
		return p.Name + ".go"
	}
	return "plugin.py"
}

// files returns the project's files by their paths.
func (p *project) files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, dir := range []string{"template/" + p.lang, "template/" + p.lang + "-" + p.Kind} {
		if err := p.fill(files, dir); err != nil {
			return nil, err
		}
	}
	if p.lang == "go" {
		return files, p.addSums(files)
	}
	names, err := fs.Glob(python.Files, "brock_plugin/*.py")
	for _, name := range names {
		if files[name], err = python.Files.ReadFile(name); err != nil {
			return nil, err
		}
	}
	return files, err
}

// fill fills in the templates of one directory.
func (p *project) fill(files map[string][]byte, dir string) error {
	return fs.WalkDir(templates, dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		t, err := template.ParseFS(templates, path)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Option("missingkey=error").Execute(&b, p); err != nil {
			return err
		}
		files[p.nameOf(strings.TrimPrefix(path, dir+"/"))] = b.Bytes()
		return nil
	})
}

// nameOf returns the name of the file that a template is for.
func (p *project) nameOf(name string) string {
	name = strings.TrimSuffix(name, ".tmpl")
	if rest, hidden := strings.CutPrefix(name, "dot-"); hidden {
		name = "." + rest
	}
	return strings.ReplaceAll(name, "NAME", p.Name)
}

// write makes the project's directory. It touches nothing that is there.
func (p *project) write(files map[string][]byte) error {
	entries, err := os.ReadDir(p.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usageError("--dir names a directory that is new or empty", "%v", err)
	}
	if len(entries) > 0 {
		return usageError("--dir names another one", "%s is not empty: it has %s", p.dir, entries[0].Name())
	}
	for _, name := range sortedNames(files) {
		path := filepath.Join(p.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // source code is no secret
			return err
		}
		if err := writeNew(path, files[name]); err != nil {
			return fmt.Errorf("%s is incomplete: %w", p.dir, err)
		}
	}
	return nil
}

func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // as above
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func sortedNames(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }
