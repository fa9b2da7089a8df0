package main

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) pluginNew() *cobra.Command {
	var p project
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Begin to write a plugin",
		Long: `New writes a project for a plugin: it builds, brock understands it, and each of
its four functions says that it is not written yet. Write them, and the checks of
"brock plugin test" pass. The project's README.md explains the loop.

A project in Go builds with the SDK of this brock. Where this brock is no release,
that is the source it was built from, which --sdk names. A project in Python has a
copy of the SDK.`,
		Example: `  brock plugin new --kind destination --lang python shelf
  brock plugin new --kind keyprovider --lang python --dir ./safe safe`,
		Args: exactArg("name"),
		RunE: func(_ *cobra.Command, args []string) error {
			p.Name = args[0]
			return a.newPlugin(&p)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.Kind, "kind", "destination", "the plugin is a `KIND`: destination or keyprovider")
	f.StringVar(&p.lang, "lang", "go", "write it in `LANG`: go or python")
	f.StringVar(&p.dir, "dir", "", "write the project to `DIR`, which must be new or empty (default: ./brock-KIND-NAME)")
	f.StringVar(&p.sdk, "sdk", "", "build with the SDK in `DIR`, a clone of brock's source (Go only)")
	return cmd
}

func (a *app) newPlugin(p *project) error {
	if err := p.check(); err != nil {
		return err
	}
	files, err := p.files()
	if err != nil {
		return err
	}
	if err := p.write(files); err != nil {
		return err
	}
	v := struct {
		Dir   string   `json:"dir"`
		Files []string `json:"files"`
	}{p.dir, sortedNames(files)}
	return a.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %d files to %s\n", len(v.Files), v.Dir)
		fmt.Fprintf(w, "next: cd %s && make test; what is missing is in %s, and README.md explains the loop\n", v.Dir, p.source())
	})
}

// pluginName is what fits into the name of a file, of a scheme and of a module.
var pluginName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// check refuses what cannot be made, and fills in what was not said.
func (p *project) check() error {
	switch {
	case !pluginName.MatchString(p.Name) || len(p.Name) > 40:
		return usageError("a name is made of up to 40 lower-case letters, digits and dashes, as in my-shelf",
			"%q cannot be the name of a plugin", p.Name)
	case p.Name == "file":
		return usageError("choose another name", "the scheme file:// is for plain paths")
	case !slices.Contains(pluginKinds, p.Kind):
		return usageError("--kind is "+strings.Join(pluginKinds, " or "), "there is no kind of plugin called %q", p.Kind)
	case p.lang != "go" && p.lang != "python":
		return usageError("--lang is go or python; for any other language, sdk/README.md describes the protocol",
			"no project can be written in %q", p.lang)
	case p.sdk != "" && p.lang != "go":
		return usageError("leave out --sdk: a project in Python has its own copy", "--sdk is for --lang go")
	}
	if p.dir == "" {
		p.dir = p.Program()
	}
	p.dir = filepath.Clean(p.dir)
	if p.lang == "go" {
		return p.require(versionString())
	}
	return nil
}
