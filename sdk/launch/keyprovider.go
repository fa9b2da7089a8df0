package launch

import (
	"context"
	"fmt"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A keyProvider is the near end of a plugin's sdk.KeyProvider.
type keyProvider struct {
	instance
	svc pluginpb.KeyProviderServiceClient
}

func (k *keyProvider) Wrap(ctx context.Context, dataKey []byte) (sdk.WrappedKey, error) {
	k.p.runner.log.hideKey(dataKey)
	res, err := k.svc.Wrap(ctx, &pluginpb.WrapRequest{Instance: k.id, DataKey: dataKey})
	return wrappedKey(res), k.p.fail(ctx, err)
}

func (k *keyProvider) Unwrap(ctx context.Context, w sdk.WrappedKey) ([]byte, error) {
	release := k.p.runner.log.hold()
	res, err := k.svc.Unwrap(ctx, &pluginpb.UnwrapRequest{Instance: k.id, KeyId: w.KeyID, KeyVersion: w.KeyVersion, Ciphertext: w.Ciphertext})
	key, tooLong := k.p.key(res.GetDataKey())
	release()
	if err != nil {
		return nil, k.p.fail(ctx, err)
	}
	return key, tooLong
}

// keyLimit is the size in bytes of the largest key that is taken from a plugin.
const keyLimit = 4 << 10

// key takes a key from the plugin: no log shows it.
func (p *Process) key(key []byte) ([]byte, error) {
	if len(key) > keyLimit {
		return nil, fmt.Errorf("plugin %s: a key of %d bytes, %d are possible", p.name, len(key), keyLimit)
	}
	p.runner.log.hideKey(key)
	return key, nil
}

type exporting struct{ k *keyProvider }

func (e exporting) ExportKey(ctx context.Context) (sdk.Secret, error) {
	release := e.k.p.runner.log.hold()
	res, err := e.k.svc.ExportKey(ctx, &pluginpb.ExportKeyRequest{Instance: e.k.id})
	key, tooLong := e.k.p.key(res.GetKey())
	release()
	if err != nil {
		return sdk.Secret{}, e.k.p.fail(ctx, err)
	}
	return sdk.NewSecret(key), tooLong
}

// wrappedKey is what the plugin says.
func wrappedKey(res interface {
	GetKeyId() string
	GetKeyVersion() string
	GetCiphertext() []byte
},
) sdk.WrappedKey {
	return sdk.WrappedKey{KeyID: res.GetKeyId(), KeyVersion: res.GetKeyVersion(), Ciphertext: res.GetCiphertext()}
}

type rotating struct{ k *keyProvider }

func (r rotating) KeyStatus(ctx context.Context) (sdk.KeyStatus, error) {
	res, err := r.k.svc.KeyStatus(ctx, &pluginpb.KeyStatusRequest{Instance: r.k.id})
	return sdk.KeyStatus{KeyID: res.GetKeyId(), KeyVersion: res.GetKeyVersion(), Detail: res.GetDetail()}, r.k.p.fail(ctx, err)
}

func (r rotating) RotateKey(ctx context.Context) (sdk.KeyStatus, error) {
	res, err := r.k.svc.RotateKey(ctx, &pluginpb.RotateKeyRequest{Instance: r.k.id})
	return sdk.KeyStatus{KeyID: res.GetKeyId(), KeyVersion: res.GetKeyVersion(), Detail: res.GetDetail()}, r.k.p.fail(ctx, err)
}

func (r rotating) GenerateDataKey(ctx context.Context) (sdk.Secret, sdk.WrappedKey, error) {
	release := r.k.p.runner.log.hold()
	res, err := r.k.svc.GenerateDataKey(ctx, &pluginpb.GenerateDataKeyRequest{Instance: r.k.id})
	key, tooLong := r.k.p.key(res.GetDataKey())
	release()
	if err != nil {
		return sdk.Secret{}, sdk.WrappedKey{}, r.k.p.fail(ctx, err)
	}
	return sdk.NewSecret(key), wrappedKey(res), tooLong
}

func (r rotating) Rewrap(ctx context.Context, w sdk.WrappedKey) (sdk.WrappedKey, error) {
	res, err := r.k.svc.Rewrap(ctx, &pluginpb.RewrapRequest{
		Instance: r.k.id, KeyId: w.KeyID, KeyVersion: w.KeyVersion, Ciphertext: w.Ciphertext,
	})
	return wrappedKey(res), r.k.p.fail(ctx, err)
}
