package main

import (
	"context"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
)

// locationFlag says where backups are.
type locationFlag struct {
	uri  string
	file string // with settings that the URI does not show
}

func (l *locationFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&l.uri, "location", "l", "", "where backups are: a path or a `URI`")
	l.addSettings(cmd)
}

// addSettings adds the flag for what does not stand on the command line, which
// everybody can see.
func (l *locationFlag) addSettings(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.file, "location-settings", "", "settings of the location, such as keys, are in `FILE`, as YAML or JSON; what the URI says comes first")
}

// settings returns those in the file.
func (l *locationFlag) settings(a *app) (map[string]any, error) {
	if l.file == "" {
		return nil, nil
	}
	settings, err := readSettings(l.file)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(l.file); err == nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		a.logger.Warn("others may read the settings of the location; chmod 0600 the file", "file", l.file, "mode", info.Mode().Perm())
	}
	return settings, nil
}

func (l *locationFlag) check() error {
	if l.uri == "" {
		return usageError("for example -l ./backups, or -l file:///srv/backups", "no location: say where the backups are with -l")
	}
	return nil
}

func (l *locationFlag) open(ctx context.Context, a *app) (host.Location, error) {
	if err := l.check(); err != nil {
		return host.Location{}, err
	}
	settings, err := l.settings(a)
	if err != nil {
		return host.Location{}, err
	}
	opened, err := a.plugins.OpenDestination(ctx, l.uri, settings)
	if err != nil {
		return host.Location{}, err
	}
	return host.Location{URI: opened.URI, Destination: opened.Destination}, nil
}

// backupFlags choose one backup of a location.
type backupFlags struct {
	series string
	number int
}

func (b *backupFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.series, "backup-id", "", "the series with this `ID` (default: the latest)")
	cmd.Flags().IntVar(&b.number, "backup-num", 0, "the series up to backup number `N` (default: its end)")
}

func (b *backupFlags) check() error {
	if b.number < 0 {
		return usageError("backups of a series are numbered from 1", "--backup-num %d", b.number)
	}
	return nil
}
