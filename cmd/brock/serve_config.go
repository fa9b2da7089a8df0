package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	_ "time/tzdata" // a schedule names zones, and not every machine knows them

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/admin"
	"github.com/brock-backup/brock/host/schedule"
)

// configuration reads the file, if one is named. What it says of plugins counts where no flag
// says otherwise.
func (o *serveOptions) configuration(a *app, cmd *cobra.Command) (*schedule.Config, error) {
	if o.config == "" {
		return nil, nil
	}
	c, err := schedule.Load(o.config)
	if err != nil {
		return nil, usageError(hintFor(err), "%v", err)
	}
	for _, warning := range c.Warnings {
		a.logger.Warn(warning)
	}
	a.pluginDirs = append(a.pluginDirs, c.PluginDirs...)
	a.pluginEnv = append(a.pluginEnv, c.PluginEnv...)
	if c.PluginTrust != "" && !cmd.Flags().Changed("plugin-trust") {
		a.trust = c.PluginTrust
	}
	if !cmd.Flags().Changed("plugin-log-level") {
		for _, name := range slices.Sorted(maps.Keys(c.PluginLogLevels)) {
			level := c.PluginLogLevels[name]
			if name != "default" {
				level = name + "=" + level
			}
			a.pluginLog = append(a.pluginLog, level)
		}
	}
	a.close()
	return c, a.start()
}

// keys returns how the keys of backups are opened. That of the host is opened now, so that it
// is known to be there, and stays open.
func (o *serveOptions) keys(ctx context.Context, a *app, c *schedule.Config) (admin.KeyFunc, error) {
	own, err := o.key.open(ctx, a)
	if err != nil {
		return nil, err
	}
	if c != nil && c.Key != nil {
		if own != nil {
			return nil, usageError("keep one of them", "the key is named twice, by a flag and in %s", o.config)
		}
		provider, settings, err := c.Key.Open()
		if err != nil {
			return nil, usageError(hintFor(err), "%v", err)
		}
		if own, err = a.keyProvider(ctx, provider, settings); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, r *admin.KeyRequest) (*host.Key, error) {
		if r == nil || *r == (admin.KeyRequest{}) {
			return own, nil
		}
		k := keyFlags{
			file:   r.EncryptionKeyFile,
			vaults: [len(vaultFlags)]string{r.VaultAddr, r.VaultRoleIDFile, r.VaultSecretIDFile, r.VaultPath, r.VaultField, r.VaultFormat},
		}
		key, err := k.open(ctx, a)
		if key == nil && err == nil {
			err = errors.New("the request names no key")
		}
		return key, err
	}, nil
}
