package main

import (
	"context"
	"errors"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/admin"
)

// keys returns how the keys of backups are opened. That of the host is opened now, so that it
// is known to be there, and stays open.
func (o *serveOptions) keys(ctx context.Context, a *app) (admin.KeyFunc, error) {
	own, err := o.key.open(ctx, a)
	if err != nil {
		return nil, err
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
