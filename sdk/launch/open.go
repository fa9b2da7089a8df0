package launch

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// OpenDestination gives a destination plugin its settings. The result is also an
// io.Closer, and an sdk.Replacer, sdk.Prober or sdk.Reporter exactly if the
// plugin's is one.
//
// What is an sdk.Secret among the settings, or is one by the plugin's own
// description, appears from now on in no log and in no error of this Process.
func (p *Process) OpenDestination(ctx context.Context, settings map[string]any) (sdk.Destination, error) {
	i, caps, err := p.openInstance(ctx, handshake.Destination, settings)
	if err != nil {
		return nil, err
	}
	d := &destination{instance: i, svc: pluginpb.NewDestinationServiceClient(p.conn)}
	return ableDestination(d, caps, replacing{d}, probing{d}, reporting{d}), nil
}

// OpenKeyProvider gives a key provider plugin its settings. The result is also
// an io.Closer, and an sdk.KeyExporter or sdk.KeyRotator exactly if the plugin's is one. Secrets
// are treated as by OpenDestination.
func (p *Process) OpenKeyProvider(ctx context.Context, settings map[string]any) (sdk.KeyProvider, error) {
	i, caps, err := p.openInstance(ctx, handshake.KeyProvider, settings)
	if err != nil {
		return nil, err
	}
	k := &keyProvider{instance: i, svc: pluginpb.NewKeyProviderServiceClient(p.conn)}
	return ableKeyProvider(k, caps, exporting{k}, rotating{k}), nil
}

// An instance is one set of settings in a plugin.
type instance struct {
	p  *Process
	id string
}

func (p *Process) openInstance(ctx context.Context, kind string, settings map[string]any) (instance, []string, error) {
	if p.description.Kind != kind {
		return instance{}, nil, fmt.Errorf("plugin %s is a %s, not a %s: %w", p.name, p.description.Kind, kind, sdk.ErrInvalid)
	}
	data, err := p.encode(settings)
	if err != nil {
		return instance{}, nil, fmt.Errorf("plugin %s: %w", p.name, err)
	}
	i := instance{p, strconv.FormatInt(p.last.Add(1), 10)}
	res, err := pluginpb.NewMetaServiceClient(p.conn).Open(ctx, &pluginpb.OpenRequest{Instance: i.id, Settings: data})
	if err != nil {
		return instance{}, nil, p.fail(ctx, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open != nil {
		p.open[i.id] = true
	}
	return i, handshake.DecodeCapabilities(res.GetCapabilities()), nil
}

// Close ends the instance. It may take as long as Options.StopTimeout.
func (i instance) Close() error {
	i.p.mu.Lock()
	open := i.p.open[i.id]
	delete(i.p.open, i.id)
	i.p.mu.Unlock()
	if !open {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), i.p.options.StopTimeout)
	defer cancel()
	_, err := pluginpb.NewMetaServiceClient(i.p.conn).Close(ctx, &pluginpb.CloseRequest{Instance: i.id})
	return i.p.fail(ctx, err)
}

// encode reveals the secrets among the settings, to the plugin alone.
func (p *Process) encode(settings map[string]any) ([]byte, error) {
	p.runner.log.hideSettings(p.description.Settings, settings)
	plain := map[string]any{}
	for name, v := range settings {
		var err error
		if plain[name], err = p.reveal(v); err != nil {
			return nil, fmt.Errorf("setting %s: %w", name, err)
		}
	}
	data, err := json.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("settings: %w: %w", err, sdk.ErrInvalid)
	}
	return data, nil
}

func (p *Process) reveal(v any) (any, error) {
	switch v := v.(type) {
	case sdk.Secret:
		text := v.RevealString()
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("a secret that is not text: %w", sdk.ErrInvalid)
		}
		p.runner.log.hide(text)
		return text, nil
	case map[string]any:
		plain := map[string]any{}
		for name, e := range v {
			r, err := p.reveal(e)
			if err != nil {
				return nil, err
			}
			plain[name] = r
		}
		return plain, nil
	case []any:
		var plain []any
		for _, e := range v {
			r, err := p.reveal(e)
			if err != nil {
				return nil, err
			}
			plain = append(plain, r)
		}
		return plain, nil
	}
	return v, nil
}
