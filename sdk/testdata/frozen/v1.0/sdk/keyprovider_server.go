package sdk

import (
	"context"

	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A keyProviderServer answers the host on behalf of KeyProviders.
type keyProviderServer struct {
	pluginpb.UnimplementedKeyProviderServiceServer
	meta *meta
}

func (s *keyProviderServer) Wrap(ctx context.Context, req *pluginpb.WrapRequest) (*pluginpb.WrapResponse, error) {
	k, err := instance[KeyProvider](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	w, err := k.Wrap(ctx, req.GetDataKey())
	return &pluginpb.WrapResponse{KeyId: w.KeyID, Ciphertext: w.Ciphertext}, err
}

func (s *keyProviderServer) Unwrap(ctx context.Context, req *pluginpb.UnwrapRequest) (*pluginpb.UnwrapResponse, error) {
	k, err := instance[KeyProvider](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	key, err := k.Unwrap(ctx, WrappedKey{KeyID: req.GetKeyId(), Ciphertext: req.GetCiphertext()})
	return &pluginpb.UnwrapResponse{DataKey: key}, err
}

func (s *keyProviderServer) ExportKey(ctx context.Context, req *pluginpb.ExportKeyRequest) (*pluginpb.ExportKeyResponse, error) {
	k, err := instance[KeyExporter](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	key, err := k.ExportKey(ctx)
	return &pluginpb.ExportKeyResponse{Key: key.Reveal()}, err
}
