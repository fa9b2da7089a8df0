package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version string

// versionString returns what the linker, or else the module system, says.
func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Long:    "Version prints which brock this is and what it was built with.",
		Example: "  brock version\n  brock version --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{versionString(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return a.result(v, func(w io.Writer) {
				fmt.Fprintf(w, "brock %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			})
		},
	}
}
