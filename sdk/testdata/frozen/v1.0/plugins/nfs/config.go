package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// Config is what a user writes for this destination.
type Config struct {
	URI      string `json:"uri"       required:"true"  doc:"the directory that holds the backups" example:"/mnt/backups"`
	DirMode  string `json:"dir_mode"  default:"0700"   doc:"permissions of the directories it makes, in octal" example:"0750"`
	FileMode string `json:"file_mode" default:"0600"   doc:"permissions of the files it makes, in octal" example:"0640"`
}

// open returns the destination at cfg.URI. The directory need not exist: the
// first Put makes it, and nothing else does, so that a misspelt location is
// found to be missing and stays so.
func open(_ context.Context, cfg Config) (*destination, error) {
	path, err := location(cfg.URI)
	if err != nil {
		return nil, err
	}
	dirMode, err := mode("dir_mode", cfg.DirMode, 0o700)
	if err != nil {
		return nil, err
	}
	fileMode, err := mode("file_mode", cfg.FileMode, 0o600)
	if err != nil {
		return nil, err
	}
	fi, err := os.Stat(path)
	switch {
	case err == nil && !fi.IsDir():
		return nil, fmt.Errorf("location %s is no directory: %w", path, sdk.ErrInvalid)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, kind("location "+path, err)
	}
	return &destination{
		path:     path,
		dirMode:  dirMode,
		fileMode: fileMode,
		link:     (*os.Root).Link,
		rename:   renameNoReplace,
	}, nil
}

// location returns the absolute path that a URI means. A path without a scheme
// is taken as it is: a percent sign in it is a percent sign.
func location(uri string) (string, error) {
	if filepath.IsAbs(uri) {
		return local(filepath.Clean(uri))
	}
	scheme, _, ok := strings.Cut(uri, "://")
	if !ok {
		return "", sdk.WithHint(
			fmt.Errorf("location %q is not an absolute path: %w", uri, sdk.ErrInvalid),
			"write the whole path, as in /mnt/backups or file:///mnt/backups")
	}
	if scheme != "file" && scheme != "nfs" {
		return "", fmt.Errorf("location %q: scheme %q is not file or nfs: %w", uri, scheme, sdk.ErrInvalid)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("location %q: %w: %w", uri, sdk.ErrInvalid, err)
	}
	u.User = nil // never shown
	uri = u.String()
	if u.Host != "" && (scheme == "nfs" || u.Host != "localhost") {
		return "", sdk.WithHint(
			fmt.Errorf("location %q names the host %q, and this plugin sees mounted directories only: %w", uri, u.Host, sdk.ErrInvalid),
			fmt.Sprintf("mount %s:%s, say at /mnt/backups, and write %s:///mnt/backups; if %q was meant to be a directory, write %s:///%s",
				u.Host, u.Path, scheme, u.Host, scheme, u.Host+u.Path))
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("location %q: a ? or # that is part of the path is written %%3F or %%23: %w", uri, sdk.ErrInvalid)
	}
	if u.Path == "" {
		return "", fmt.Errorf("location %q has no path: %w", uri, sdk.ErrInvalid)
	}
	return local(filepath.Clean(filepath.FromSlash(u.Path)))
}

func local(path string) (string, error) {
	if strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("location %q: %w", path, sdk.ErrInvalid)
	}
	return path, nil
}

// mode reads permissions in octal. They never keep this plugin itself out.
func mode(setting, s string, least fs.FileMode) (fs.FileMode, error) {
	if s == "" {
		return least, nil
	}
	n, err := strconv.ParseUint(s, 8, 32)
	if m := fs.FileMode(n); err == nil && m == m.Perm() && m&least == least {
		return m, nil
	}
	return 0, fmt.Errorf("%s: %q is no octal number between %04o and 0777 that includes %04o: %w",
		setting, s, least, least, sdk.ErrInvalid)
}
