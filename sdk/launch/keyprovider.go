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
	return sdk.WrappedKey{KeyID: res.GetKeyId(), Ciphertext: res.GetCiphertext()}, k.p.fail(ctx, err)
}

func (k *keyProvider) Unwrap(ctx context.Context, w sdk.WrappedKey) ([]byte, error) {
	release := k.p.runner.log.hold()
	res, err := k.svc.Unwrap(ctx, &pluginpb.UnwrapRequest{Instance: k.id, KeyId: w.KeyID, Ciphertext: w.Ciphertext})
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
