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
	return &pluginpb.WrapResponse{KeyId: w.KeyID, KeyVersion: w.KeyVersion, Ciphertext: w.Ciphertext}, err
}

func (s *keyProviderServer) Unwrap(ctx context.Context, req *pluginpb.UnwrapRequest) (*pluginpb.UnwrapResponse, error) {
	k, err := instance[KeyProvider](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	key, err := k.Unwrap(ctx, wrappedKey(req))
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

func (s *keyProviderServer) KeyStatus(ctx context.Context, req *pluginpb.KeyStatusRequest) (*pluginpb.KeyStatusResponse, error) {
	k, err := instance[KeyRotator](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	st, err := k.KeyStatus(ctx)
	return &pluginpb.KeyStatusResponse{KeyId: st.KeyID, KeyVersion: st.KeyVersion, Detail: st.Detail}, err
}

func (s *keyProviderServer) RotateKey(ctx context.Context, req *pluginpb.RotateKeyRequest) (*pluginpb.RotateKeyResponse, error) {
	k, err := instance[KeyRotator](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	st, err := k.RotateKey(ctx)
	return &pluginpb.RotateKeyResponse{KeyId: st.KeyID, KeyVersion: st.KeyVersion, Detail: st.Detail}, err
}

func (s *keyProviderServer) GenerateDataKey(ctx context.Context, req *pluginpb.GenerateDataKeyRequest) (*pluginpb.GenerateDataKeyResponse, error) {
	k, err := instance[KeyRotator](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	key, w, err := k.GenerateDataKey(ctx)
	return &pluginpb.GenerateDataKeyResponse{DataKey: key.Reveal(), KeyId: w.KeyID, KeyVersion: w.KeyVersion, Ciphertext: w.Ciphertext}, err
}

func (s *keyProviderServer) Rewrap(ctx context.Context, req *pluginpb.RewrapRequest) (*pluginpb.RewrapResponse, error) {
	k, err := instance[KeyRotator](s.meta, req.GetInstance())
	if err != nil {
		return nil, err
	}
	w, err := k.Rewrap(ctx, wrappedKey(req))
	return &pluginpb.RewrapResponse{KeyId: w.KeyID, KeyVersion: w.KeyVersion, Ciphertext: w.Ciphertext}, err
}

// wrappedKey is what the host sends back.
func wrappedKey(req interface {
	GetKeyId() string
	GetKeyVersion() string
	GetCiphertext() []byte
},
) WrappedKey {
	return WrappedKey{KeyID: req.GetKeyId(), KeyVersion: req.GetKeyVersion(), Ciphertext: req.GetCiphertext()}
}
