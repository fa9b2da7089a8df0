package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/store"
)

// sourceFlags say which database directories are read, and how.
type sourceFlags struct {
	postings string
	groups   []string
	key      string
	repair   bool
}

func (s *sourceFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&s.postings, "postings", "p", "", "the database: one Badger `DIR`, or a directory with p1, p2, ...")
	f.StringArrayVar(&s.groups, "group", nil, "read group N from DIR, as `N=DIR` (repeatable; instead of -p)")
	f.StringVar(&s.key, "postings-encryption-key-file", "", "the database itself is encrypted with the key in `FILE`")
	f.BoolVar(&s.repair, "repair", false, "read a database that was killed as its next start would find it; nothing is changed")
}

// given reports whether a database was named at all.
func (s *sourceFlags) given() bool { return s.postings != "" || len(s.groups) > 0 }

func (s *sourceFlags) check() error {
	if !s.given() {
		return usageError("for example -p ./data", "no database: say which directory to read with -p")
	}
	return nil
}

// open opens the database. What o says beyond the flags is the caller's.
func (s *sourceFlags) open(ctx context.Context, a *app, o badgerdb.Options) (*badgerdb.Source, error) {
	if err := s.there(); err != nil {
		return nil, err
	}
	dirs, err := s.dirs()
	if err != nil {
		return nil, err
	}
	if o.EncryptionKey, err = a.postingsKey(ctx, s.key); err != nil {
		return nil, err
	}
	o.Logger, o.Memory, o.ReadWrite = a.logger, a.engine.Memory, s.repair
	src, err := badgerdb.OpenSource(dirs, o)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if err := store.Finished(dir); err != nil {
			return nil, errors.Join(err, src.Close())
		}
	}
	return src, nil
}

// there refuses directories that are not.
func (s *sourceFlags) there() error {
	for _, dir := range append([]string{s.postings}, s.groups...) {
		if _, path, ok := strings.Cut(dir, "="); ok && dir != s.postings {
			dir = path
		}
		if _, err := os.Stat(dir); dir != "" && errors.Is(err, fs.ErrNotExist) {
			return usageError("check -p or --group for a misspelling", "no such directory: %s", dir)
		}
	}
	return nil
}

// dirs returns the database's directories by group.
func (s *sourceFlags) dirs() (map[uint32]string, error) {
	if len(s.groups) == 0 {
		return badgerdb.FindGroups(s.postings)
	}
	dirs := map[uint32]string{}
	for _, g := range s.groups {
		number, dir, _ := strings.Cut(g, "=")
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n == 0 || dir == "" {
			return nil, usageError("for example --group 1=./p1", "--group %s is not a group number and its directory", g)
		}
		if _, twice := dirs[uint32(n)]; twice {
			return nil, usageError("", "--group names group %d twice", n)
		}
		dirs[uint32(n)] = dir
	}
	return dirs, nil
}
