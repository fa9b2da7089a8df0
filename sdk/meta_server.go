package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"

	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// meta describes a plugin and keeps its instances.
type meta struct {
	pluginpb.UnimplementedMetaServiceServer

	description Description
	open        func(ctx context.Context, settings []byte) (any, error)
	bulk        bool // whether the host can do without TLS for the bytes of objects

	mu        sync.RWMutex
	instances map[string]any // nil while it is being opened
}

func (m *meta) Describe(context.Context, *pluginpb.DescribeRequest) (*pluginpb.DescribeResponse, error) {
	res := m.description.proto()
	res.BulkSocket = m.bulk
	return res, nil
}

func (m *meta) Open(ctx context.Context, req *pluginpb.OpenRequest) (*pluginpb.OpenResponse, error) {
	if err := m.reserve(req.GetInstance()); err != nil {
		return nil, err
	}
	v, err := m.open(ctx, req.GetSettings())
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		delete(m.instances, req.GetInstance())
		return nil, err
	}
	m.instances[req.GetInstance()] = v
	return &pluginpb.OpenResponse{
		Capabilities: handshake.EncodeCapabilities(capabilitiesOf(reflect.TypeOf(v))),
	}, nil
}

func (m *meta) reserve(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.instances[id]; ok || id == "" {
		return fmt.Errorf("instance %q: %w", id, ErrExist)
	}
	m.instances[id] = nil
	return nil
}

func (m *meta) Close(_ context.Context, req *pluginpb.CloseRequest) (*pluginpb.CloseResponse, error) {
	m.mu.Lock()
	v := m.instances[req.GetInstance()]
	if v != nil {
		delete(m.instances, req.GetInstance())
	}
	m.mu.Unlock()
	if c, ok := v.(io.Closer); ok {
		return &pluginpb.CloseResponse{}, c.Close()
	}
	return &pluginpb.CloseResponse{}, nil
}

// close closes what the host has left open.
func (m *meta) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for id, v := range m.instances {
		if c, ok := v.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
		delete(m.instances, id)
	}
	return errors.Join(errs...)
}

// instance returns what was opened under an id, as a T.
func instance[T any](m *meta, id string) (t T, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v := m.instances[id]
	if v == nil {
		return t, fmt.Errorf("instance %q is not open: %w", id, ErrInvalid)
	}
	t, ok := v.(T)
	if !ok {
		return t, fmt.Errorf("%s %s: %w", m.description.Kind, m.description.Name, ErrUnsupported)
	}
	return t, nil
}
