// Package admin is what a running host answers over HTTP: Dgraph's paths for data, the
// GraphQL of /admin, health, state and metrics.
package admin

import (
	"context"
	"errors"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/host/plugindir"
	"github.com/brock-backup/brock/host/store"
	"github.com/brock-backup/brock/sdk"
)

// Operations are what a running host does for /admin, the schedule and the command. At most
// one backup or restore runs at a time.
type Operations struct {
	Store   *store.Store
	Engine  *host.Engine
	Plugins *plugindir.Dirs
	Key     KeyFunc // of backups; nil: they are not encrypted
	Logger  hclog.Logger
	Metrics *Metrics // may be nil

	mu      sync.Mutex
	ongoing map[string]int // "opBackup", "opRestore", ...
}

// A KeyFunc opens the key of backups. The request is that of a restore, which may name
// another key; it is nil for backups.
type KeyFunc func(ctx context.Context, r *KeyRequest) (*host.Key, error)

// A KeyRequest names a key as Dgraph's restore does.
type KeyRequest struct {
	EncryptionKeyFile                                                                 string
	VaultAddr, VaultRoleIDFile, VaultSecretIDFile, VaultPath, VaultField, VaultFormat string
}

// A LocationRequest names a location, and credentials that its URI does not hold.
type LocationRequest struct {
	URI          string
	AccessKey    sdk.Secret
	SecretKey    sdk.Secret
	SessionToken sdk.Secret
	Anonymous    bool
	Settings     func() (map[string]any, error) // more of the plugin's, which may be secret; nil: none
}

// A BackupRequest asks for one backup of the store.
type BackupRequest struct {
	To        LocationRequest
	ForceFull bool
}

// A RestoreRequest asks for the store to become what a backup holds.
type RestoreRequest struct {
	From      LocationRequest
	Series    string
	Number    int
	Key       *KeyRequest // nil: that of the host
	IsPartial bool        // writes stay refused afterwards
}

// Backup takes one backup.
func (o *Operations) Backup(ctx context.Context, r BackupRequest) (*host.BackupResult, error) {
	return nil, errors.ErrUnsupported
}

// Restore replaces the store's data.
func (o *Operations) Restore(ctx context.Context, r RestoreRequest) (*host.RestoreResult, error) {
	return nil, errors.ErrUnsupported
}

// List returns the backups of a location, oldest first.
func (o *Operations) List(ctx context.Context, at LocationRequest) ([]manifest.Manifest, error) {
	return nil, errors.ErrUnsupported
}

// Verify examines a location's backups.
func (o *Operations) Verify(ctx context.Context, at LocationRequest, r host.VerifyRequest) (*host.VerifyReport, error) {
	return nil, errors.ErrUnsupported
}

// Prune removes what the rules let go.
func (o *Operations) Prune(ctx context.Context, at LocationRequest, r host.PruneRequest) (*host.PruneResult, error) {
	return nil, errors.ErrUnsupported
}

// Ongoing names what is under way, as Dgraph's health does: opBackup, opRestore.
func (o *Operations) Ongoing() []string { return nil }
