package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

const sdkModule = "github.com/brock-backup/brock"

// released is a version that everybody can get.
var released = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-(alpha|beta|rc)[.0-9]*)?$`)

// require decides which SDK the project builds with: that of this brock's
// version, or that of a checkout. From a checkout come all requirements, with
// their sums, so that the project builds at once and as brock itself was built.
func (p *project) require(version string) error {
	if p.sdk == "" && released.MatchString(version) {
		p.Requirements = fmt.Sprintf("\ngo %s\n\nrequire %s %s", goVersion(), sdkModule, version)
		return nil
	}
	dir, mod, err := p.checkout(version)
	if err != nil {
		return err
	}
	_, requirements, _ := strings.Cut(mod, "\n")
	p.Checkout = dir
	p.Requirements = fmt.Sprintf("%s\n\nrequire %s v0.0.0\n\nreplace %s => %s",
		strings.TrimRight(requirements, "\n"), sdkModule, sdkModule, modPath(dir))
	return nil
}

// goVersion is what brock was built with, which is never older than what it wants.
func goVersion() string {
	version, _, _ := strings.Cut(strings.TrimPrefix(runtime.Version(), "go"), " ")
	return version
}

// checkout returns the directory of brock's source, and its go.mod.
func (p *project) checkout(version string) (dir, mod string, err error) {
	if p.sdk != "" {
		if dir, err = filepath.Abs(p.sdk); err != nil {
			return "", "", err
		}
		if mod = sourceAt(dir); mod == "" {
			return "", "", usageError("--sdk names a clone of brock's source", "%s has no go.mod of %s", p.sdk, sdkModule)
		}
		return dir, mod, nil
	}
	exe, _ := os.Executable()
	here, _ := os.Getwd()
	for _, from := range []string{filepath.Dir(exe), here} {
		for dir := from; ; dir = filepath.Dir(dir) {
			if mod := sourceAt(dir); mod != "" {
				return dir, mod, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", "", usageError("say with --sdk DIR where a clone of brock's source is",
		"this brock (%s) is no release, so that a project cannot name its version", version)
}

// sourceAt returns the go.mod of brock's source, or "" if it is not there.
func sourceAt(dir string) string {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || !strings.HasPrefix(string(mod), "module "+sdkModule+"\n") {
		return ""
	}
	return string(mod)
}

// modPath writes a path as go.mod wants it.
func modPath(dir string) string {
	if strings.ContainsAny(dir, " \t\"'`(),;\\") {
		return strconv.Quote(dir)
	}
	return dir
}

// addSums copies those of the checkout. Without one, make asks for them.
func (p *project) addSums(files map[string][]byte) error {
	if p.Checkout == "" {
		return nil
	}
	sums, err := os.ReadFile(filepath.Join(p.Checkout, "go.sum"))
	files["go.sum"] = sums
	return err
}
