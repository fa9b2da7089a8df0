package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/sdk"
)

func (a *app) key() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Look at the keys of encrypted backups, and change what wraps them",
		Long: `A key provider that hands out its key (a key file, a value in Vault) encrypts
backups with that very key, as Dgraph does. Of one that only wraps (Vault's
transit engine, a cloud's key service), each series has a data key of its own,
which lies beside the backups, wrapped. When the provider's key is rotated, the data
keys can be wrapped again; no backup is written anew for it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keyStatus(), a.keyRewrap(), a.keyRotate(), a.keyExport())
	return cmd
}

// keyOptions are the flags that the key commands share.
type keyOptions struct {
	location locationFlag
	key      keyFlags
}

func (o *keyOptions) open(ctx context.Context, a *app) (host.Location, *host.Key, error) {
	at, err := o.location.open(ctx, a)
	if err != nil {
		return at, nil, err
	}
	key, err := o.key.open(ctx, a)
	return at, key, err
}

func (a *app) keyStatus() *cobra.Command {
	var o keyOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how each series is encrypted",
		Long: `Status tells how each series of a location is encrypted, and by which version of
which key its data key is wrapped. With a key provider, every wrapped key is opened, to see
that it can be, and those are marked that an older version of the key has wrapped.`,
		Example: "  brock key status -l ./backups",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, key, err := o.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			all, err := a.engine.Keys(cmd.Context(), at, key)
			if err != nil {
				return err
			}
			return a.showKeys(at, key != nil, all)
		},
	}
	o.location.add(cmd)
	o.key.add(cmd)
	return cmd
}

func (a *app) keyRewrap() *cobra.Command {
	var o keyOptions
	cmd := &cobra.Command{
		Use:   "rewrap",
		Short: "Wrap the data keys with the newest version of the provider's key",
		Long: `Rewrap wraps the data key of every series with the version of the provider's key
that wraps now. No backup changes: each series gets one small object more. It can be
interrupted at any time, and run again. After it, versions of the key that nothing
else needs can be destroyed.`,
		Example: "  brock key rewrap -l s3:///acme-dr/dgraph --key-provider vaultkeys --key-settings vault.yaml",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.rewrap(cmd.Context(), a) },
	}
	o.location.add(cmd)
	o.key.add(cmd)
	return cmd
}

func (o *keyOptions) rewrap(ctx context.Context, a *app) error {
	at, key, err := o.open(ctx, a)
	if err != nil {
		return err
	}
	return a.rewrap(ctx, at, key)
}

func (a *app) rewrap(ctx context.Context, at host.Location, key *host.Key) error {
	all, err := a.engine.Rewrap(ctx, at, key)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(s host.SeriesKey) bool { return s.Wrapped }) {
		a.logger.Warn("there is nothing to wrap again: no series here has a data key of its own", "location", at.URI)
	}
	return a.showKeys(at, true, all)
}

func (a *app) keyRotate() *cobra.Command {
	var o keyOptions
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new version of the provider's key, and rewrap",
		Long: `Rotate asks the key provider for a new version of its key, and then wraps the data
key of every series with it, as rewrap does. Not every provider can rotate, and the
right to do so is often somebody else's: then rotate there, and use rewrap here.`,
		Example: "  brock key rotate -l ./backups --key-provider vaultkeys --key-settings vault.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, key, err := o.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			if err := rotate(cmd.Context(), key); err != nil {
				return err
			}
			return a.rewrap(cmd.Context(), at, key)
		},
	}
	o.location.add(cmd)
	o.key.add(cmd)
	return cmd
}

func rotate(ctx context.Context, key *host.Key) error {
	if key == nil {
		return usageError("name it with --key-provider", "no key provider was given")
	}
	r, ok := key.Provider.(sdk.KeyRotator)
	if !ok {
		return usageError("rotate the key where it is kept, and use brock key rewrap", "key provider %s cannot rotate its key", key.Name)
	}
	_, err := r.RotateKey(ctx)
	if errors.Is(err, sdk.ErrUnsupported) {
		hint := sdk.Hint(err)
		if hint == "" {
			hint = "rotate the key where it is kept, and use brock key rewrap"
		}
		return &problem{err.Error(), hint, exitUsage}
	}
	if err != nil {
		return fmt.Errorf("key provider %s: %w", key.Name, err)
	}
	return nil
}

func (a *app) keyExport() *cobra.Command {
	var o keyOptions
	var series, file string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a series' data key to a file, for a restore by Dgraph itself",
		Long: `Export writes the key that the files of a series are encrypted with to a new file,
with which Dgraph itself can restore the series: dgraph restore --encryption
"key-file=FILE". So can brock, with --encryption_key_file FILE. Whoever has the file can read the series, whatever happens to the
provider's key afterwards: remove it when Dgraph is done.`,
		Example: "  brock key export -l ./backups --key-provider vaultkeys --key-settings vault.yaml -o ./key",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usageError("for example -o ./key", "no file: say with -o where the key goes")
			}
			at, key, err := o.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			return a.exportKey(cmd.Context(), at, key, series, file)
		},
	}
	o.location.add(cmd)
	o.key.add(cmd)
	cmd.Flags().StringVar(&series, "backup-id", "", "the series with this `ID` (default: the latest)")
	cmd.Flags().StringVarP(&file, "output", "o", "", "write the key to `FILE`, which must be new")
	return cmd
}

func (a *app) exportKey(ctx context.Context, at host.Location, key *host.Key, series, file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usageError("name a file that is not there yet", "%v", err)
	}
	id, data, err := a.engine.ExportKey(ctx, at, key, series)
	defer clear(data)
	if err == nil {
		_, err = f.Write(data)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(file)
		return err
	}
	a.logger.Warn("whoever has this file can read the series: remove it when Dgraph has restored it", "file", file, "series", id)
	v := struct {
		Series string `json:"backup_id"`
		File   string `json:"file"`
		Bytes  int    `json:"bytes"`
	}{id, file, len(data)}
	return a.result(v, func(w io.Writer) { fmt.Fprintf(w, "the key of series %s, %d bytes, is in %s\n", id, len(data), file) })
}

// keyView is how one series is encrypted.
type keyView struct {
	Series     string `json:"backup_id"`
	Backups    int    `json:"backups"`
	Encryption string `json:"encryption"` // "none", "provider's key" or "data key"
	Provider   string `json:"key_provider,omitempty"`
	KeyID      string `json:"key_id,omitempty"`
	KeyVersion string `json:"key_version,omitempty"`
	Since      string `json:"wrapped_at,omitempty"`
	KeyCheck   string `json:"key_check,omitempty"`
	State      string `json:"state"` // "ok", "rewrapped", "older key", "not rewrapped", "cannot be opened", or "" where there is nothing to open
	Error      string `json:"error,omitempty"`
}

func newKeyView(s *host.SeriesKey, opened bool) keyView {
	v := keyView{
		Series: s.Series, Backups: s.Backups, Encryption: "none", Provider: s.Provider, KeyID: s.KeyID, KeyVersion: s.KeyVersion, KeyCheck: s.KeyCheck,
	}
	switch {
	case s.Wrapped:
		v.Encryption, v.Since = "data key", s.Since.UTC().Format(time.RFC3339)
	case s.Encrypted:
		v.Encryption = "provider's key"
	}
	switch {
	case !s.Encrypted || !opened:
	case s.Err != nil && s.Opened:
		v.State, v.Error = "not rewrapped", s.Err.Error()
	case s.Err != nil:
		v.State, v.Error = "cannot be opened", s.Err.Error()
	case s.Rewrapped:
		v.State = "rewrapped"
	case s.Stale:
		v.State = "older key"
	default:
		v.State = "ok"
	}
	return v
}

func (a *app) showKeys(at host.Location, opened bool, all []host.SeriesKey) error {
	views, failed := []keyView{}, error(nil)
	for i := range all {
		views = append(views, newKeyView(&all[i], opened))
		if failed == nil {
			failed = all[i].Err
		}
	}
	err := a.result(views, func(w io.Writer) {
		if len(views) == 0 {
			fmt.Fprintf(w, "no backups at %s\n", at.URI)
			return
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "SERIES\tBACKUPS\tENCRYPTED WITH\tPROVIDER\tKEY\tVERSION\tWRAPPED\tSTATE")
		for _, v := range views {
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n",
				v.Series, v.Backups, v.Encryption, dash(v.Provider), dash(v.KeyID), dash(v.KeyVersion), dash(v.Since), dash(v.State))
		}
		t.Flush()
	})
	if err != nil {
		return err
	}
	return failed
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
