package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/sdk"
)

// keyFlags name the key of encrypted backups: a file or Vault, each in Dgraph's two
// spellings, or a plugin that has it.
type keyFlags struct {
	file     string
	super    string
	vault    string
	vaults   [len(vaultFlags)]string
	provider string
	settings string
}

// vaultFlags are those of Dgraph 20.x, and what they are to the key provider
// vaultkeys, whose defaults are Dgraph's.
var vaultFlags = [...]struct{ flag, setting, usage string }{
	{"vault-addr", "addr", "the key is in Vault at `URL`"},
	{"vault-roleid-file", "role_id_file", "`FILE` with the role id for Vault"},
	{"vault-secretid-file", "secret_id_file", "`FILE` with the secret id for Vault"},
	{"vault-path", "path", "`PATH` of the secret in Vault"},
	{"vault-field", "field", "`FIELD` of the secret in Vault"},
	{"vault-format", "format", "`FORMAT` of the field in Vault: base64 or raw"},
}

// vaultOptions are those that Dgraph 21.03 and later write in one flag. Those of access
// control lists are Dgraph's alone.
var vaultOptions = map[string]string{
	"addr": "addr", "role-id-file": "role_id_file", "secret-id-file": "secret_id_file", "path": "path",
	"enc-field": "field", "enc-format": "format", "acl-field": "", "acl-format": "",
}

func (k *keyFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&k.file, "encryption-key-file", "", "backups are encrypted with the key in `FILE` (16, 24 or 32 bytes)")
	f.StringVar(&k.super, "encryption", "", "the same as Dgraph writes it: `\"key-file=FILE\"`")
	f.StringVar(&k.vault, "vault", "", "the key is in Vault, as Dgraph writes it: `\"addr=...; role-id-file=...; enc-field=...\"`")
	for i, v := range vaultFlags {
		f.StringVar(&k.vaults[i], v.flag, "", v.usage)
	}
	f.StringVar(&k.provider, "key-provider", "", "the key is that of key provider `NAME`, a plugin")
	f.StringVar(&k.settings, "key-settings", "", "settings of that plugin are in `FILE`, as YAML or JSON")
}

// open returns the key provider, or nil if no key was named.
func (k *keyFlags) open(ctx context.Context, a *app) (*host.Key, error) {
	file, err := k.path()
	if err != nil {
		return nil, err
	}
	vault, err := k.vaultSettings()
	if err != nil {
		return nil, err
	}
	switch {
	case k.provider != "" && file != "":
		return nil, usageError("keep one of them", "a key file and --key-provider %s are two keys", k.provider)
	case vault != nil && file != "":
		return nil, usageError("keep one of them", "a key file and Vault are two keys")
	case vault != nil && k.provider != "":
		return nil, usageError("keep one of them", "Vault and --key-provider %s are two keys", k.provider)
	case k.provider != "":
		return k.openProvider(ctx, a)
	case k.settings != "":
		return nil, usageError("name the plugin with --key-provider", "--key-settings %s: settings of no plugin", k.settings)
	case vault != nil:
		return a.keyProvider(ctx, "vaultkeys", vault)
	case file == "":
		return nil, nil
	}
	return a.keyFile(ctx, file)
}

// vaultSettings returns what the flags say of Vault, or nil if they do not.
func (k *keyFlags) vaultSettings() (map[string]any, error) {
	var settings map[string]any
	for i, v := range vaultFlags {
		if k.vaults[i] == "" {
			continue
		}
		if k.vault != "" {
			return nil, usageError("keep one of them", "Vault is named twice, by --vault and by --%s", v.flag)
		}
		if settings == nil {
			settings = map[string]any{}
		}
		settings[v.setting] = k.vaults[i]
	}
	if k.vault != "" {
		options, err := superflag(k.vault, slices.Sorted(maps.Keys(vaultOptions))...)
		if err != nil {
			return nil, usageError("", "--vault: %v", err)
		}
		if options["enc-field"] == "" {
			return nil, usageError("name the field that holds the key, as in enc-field=enc_key", "--vault names no enc-field")
		}
		settings = map[string]any{}
		for name, value := range options {
			if setting := vaultOptions[name]; setting != "" {
				settings[setting] = value
			}
		}
	}
	for _, name := range []string{"role_id_file", "secret_id_file"} { // the plugin has its own working directory
		if file, ok := settings[name].(string); ok {
			abs, err := filepath.Abs(file)
			if err != nil {
				return nil, err
			}
			settings[name] = abs
		}
	}
	return settings, nil
}

// openProvider opens anybody's key provider. Its settings may be secret, so that
// they are read from a file: what stands on the command line everybody can see.
func (k *keyFlags) openProvider(ctx context.Context, a *app) (*host.Key, error) {
	settings := map[string]any{}
	if k.settings != "" {
		var err error
		if settings, err = readSettings(k.settings); err != nil {
			return nil, err
		}
	}
	return a.keyProvider(ctx, k.provider, settings)
}

func (a *app) keyProvider(ctx context.Context, name string, settings map[string]any) (*host.Key, error) {
	provider, err := a.plugins.OpenKeyProvider(ctx, name, settings)
	if err != nil {
		return nil, err
	}
	return &host.Key{Name: name, Provider: provider}, nil
}

func (k *keyFlags) path() (string, error) {
	if k.super == "" {
		return k.file, nil
	}
	if k.file != "" {
		return "", usageError("keep one of them", "the key is named twice, by --encryption-key-file and by --encryption")
	}
	options, err := superflag(k.super, "key-file")
	if err != nil {
		return "", usageError("", "--encryption: %v", err)
	}
	return options["key-file"], nil
}

// keyFile opens the key provider keyfile. The command itself never reads a key.
func (a *app) keyFile(ctx context.Context, file string) (*host.Key, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	const name = "keyfile"
	provider, err := a.plugins.OpenKeyProvider(ctx, name, map[string]any{"path": abs})
	if errors.Is(err, sdk.ErrNotExist) {
		return nil, &problem{err.Error(), sdk.Hint(err), exitUsage} // another file would do
	}
	if err != nil {
		return nil, err
	}
	return &host.Key{Name: name, Provider: provider}, nil
}

// postingsKey returns the key that Badger encrypts a directory with, if a file is
// named.
func (a *app) postingsKey(ctx context.Context, file string) (none sdk.Secret, err error) {
	if file == "" {
		return none, nil
	}
	key, err := a.keyFile(ctx, file)
	if err != nil {
		return none, err
	}
	exporter, ok := key.Provider.(sdk.KeyExporter)
	if !ok {
		return none, usageError("", "key provider %s does not hand out its key", key.Name)
	}
	secret, err := exporter.ExportKey(ctx)
	if err != nil {
		return none, fmt.Errorf("key of the postings: %w", err)
	}
	return secret, nil
}

// superflag takes "a=b; c=d" apart, as Dgraph does: names in any case, with
// dashes or underscores.
func superflag(s string, known ...string) (map[string]string, error) {
	options := map[string]string{}
	for part := range strings.SplitSeq(s, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "_", "-")
		value = strings.TrimSpace(value)
		switch {
		case !slices.Contains(known, name):
			return nil, fmt.Errorf("there is no option %q, only %s", name, strings.Join(known, ", "))
		case !ok || value == "":
			return nil, fmt.Errorf("option %s has no value", name)
		}
		if rest, ok := strings.CutPrefix(value, "~/"); ok && namesFile.MatchString(name) {
			home, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("option %s: %w", name, err)
			}
			value = filepath.Join(home, rest)
		}
		options[name] = value
	}
	return options, nil
}

// namesFile are the options whose value is a file: Dgraph knows the home directory there,
// which no shell puts in between quotation marks.
var namesFile = regexp.MustCompile(`-(file|cert|key)$`)
