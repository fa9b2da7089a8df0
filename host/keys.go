package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// dataKey asks the provider for the key that backups are encrypted with, or
// returns nil if there is no provider. Only providers that hand out their key
// can be used: Dgraph encrypts with that very key.
func (e *Engine) dataKey(ctx context.Context, k *Key) ([]byte, error) {
	if k == nil || k.Provider == nil {
		return nil, nil
	}
	exporter, ok := k.Provider.(sdk.KeyExporter)
	if !ok {
		return nil, usage("use a provider that exports its key, such as keyfile", "key provider %s does not hand out its key", k.Name)
	}
	secret, err := exporter.ExportKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("key provider %s: %w", k.Name, err)
	}
	key := secret.Reveal()
	switch len(key) {
	case 16, 32:
	case 24:
		e.log().Warn("only Dgraph 20.x accepts keys of 24 bytes; use 16 or 32 for later ones")
	default:
		return nil, usage("use a key of 16, 24 or 32 bytes", "key provider %s gave a key of %d bytes", k.Name, len(key))
	}
	return key, nil
}

// keyFor returns the data key for reading a chain: nil for a plain one.
func (e *Engine) keyFor(ctx context.Context, k *Key, chain []manifest.Manifest) ([]byte, error) {
	last := &chain[len(chain)-1]
	if !last.Encrypted {
		return nil, nil
	}
	key, err := e.dataKey(ctx, k)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, usage("give its key with --encryption_key_file", "backup %s is encrypted and no key was given", last.ID())
	}
	for i := range chain {
		if err := sameKey(&chain[i], key); err != nil {
			return nil, err
		}
	}
	return key, nil
}

// sameKey refuses a key that m's commit record does not name. Backups made by
// Dgraph name none.
func sameKey(m *manifest.Manifest, key []byte) error {
	if m.Record == nil || m.Record.KeyCheck == "" || key == nil {
		return nil
	}
	if check := backupfile.KeyCheck(key); check != m.Record.KeyCheck {
		return &failure{
			fmt.Errorf("backup %s was encrypted with key %s, and the key at hand is %s: %w", m.ID(), m.Record.KeyCheck, check, sdk.ErrWrongKey),
			ErrUsage, "give the key file that this series was encrypted with, or begin a new series with --force-full",
		}
	}
	return nil
}

// wrongKey explains that a file of m does not decode with the key. A plain
// backup has none: its file is damaged.
func wrongKey(m *manifest.Manifest, err error) error {
	switch {
	case !errors.Is(err, backupfile.ErrWrongKey):
		return err
	case !m.Encrypted:
		return damaged("", "%v: the manifest says that it is not encrypted", err)
	}
	return &failure{err, ErrUsage, "give the key file that this series was encrypted with"}
}
