package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
)

// locationFlag says where backups are.
type locationFlag struct{ uri string }

func (l *locationFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&l.uri, "location", "l", "", "where backups are: a path or a `URI`")
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
	opened, err := a.plugins.OpenDestination(ctx, l.uri)
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
