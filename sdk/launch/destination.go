package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A destination is the near end of a plugin's sdk.Destination.
type destination struct {
	instance
	svc pluginpb.DestinationServiceClient
}

// List checks what the plugin says: the host takes the order of names, and
// their prefix, for granted.
func (d *destination) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		err := d.list(ctx, prefix, func(obj sdk.Object) bool { return yield(obj, nil) })
		if err != nil {
			yield(sdk.Object{}, err)
		}
	}
}

func (d *destination) list(ctx context.Context, prefix string, yield func(sdk.Object) bool) error {
	if err := frame.CheckPrefix(prefix); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := d.streams().List(ctx, &pluginpb.ListRequest{Instance: d.id, Prefix: prefix})
	if err != nil {
		return d.p.fail(ctx, err)
	}
	before, empty := "", 0
	for {
		page, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return d.p.fail(ctx, err)
		}
		if empty++; len(page.GetObjects()) > 0 {
			empty = 0
		}
		if empty > 1 { // or it might never end
			return fmt.Errorf("plugin %s: list: page after page without an object", d.p.name)
		}
		for _, obj := range page.GetObjects() {
			name := obj.GetName()
			if name <= before || !strings.HasPrefix(name, prefix) {
				shown := d.p.runner.log.safe
				return fmt.Errorf("plugin %s lists %.200q after %.200q, for prefix %q", d.p.name, shown(name), shown(before), prefix)
			}
			if before = name; !yield(sdk.Object{Name: name, Size: obj.GetSize()}) {
				return nil
			}
		}
	}
}

func (d *destination) Delete(ctx context.Context, name string) error {
	if err := frame.CheckName(name); err != nil {
		return err
	}
	_, err := d.svc.Delete(ctx, &pluginpb.DeleteRequest{Instance: d.id, Name: name})
	return d.p.fail(ctx, err)
}

type replacing struct{ d *destination }

func (r replacing) Replace(ctx context.Context, name string, src io.Reader, version string) (string, error) {
	return r.d.put(ctx, src, &pluginpb.PutOpen{
		Instance:  r.d.id,
		Name:      name,
		Condition: pluginpb.Condition_CONDITION_IF_VERSION,
		Version:   version,
	})
}

func (r replacing) Version(ctx context.Context, name string) (string, error) {
	if err := frame.CheckName(name); err != nil {
		return "", err
	}
	res, err := r.d.svc.Version(ctx, &pluginpb.VersionRequest{Instance: r.d.id, Name: name})
	return res.GetVersion(), r.d.p.fail(ctx, err)
}

type probing struct{ d *destination }

func (p probing) Probe(ctx context.Context) error {
	_, err := p.d.svc.Probe(ctx, &pluginpb.ProbeRequest{Instance: p.d.id})
	return p.d.p.fail(ctx, err)
}

type reporting struct{ d *destination }

func (r reporting) Report(ctx context.Context) ([]sdk.Finding, error) {
	res, err := r.d.svc.Report(ctx, &pluginpb.ReportRequest{Instance: r.d.id})
	if err != nil {
		return nil, r.d.p.fail(ctx, err)
	}
	shown := r.d.p.runner.log.safe
	var findings []sdk.Finding
	for _, f := range res.GetFindings() {
		findings = append(findings, sdk.Finding{
			Name: shown(f.GetName()), Detail: shown(f.GetDetail()), Hint: shown(f.GetHint()), Problem: f.GetProblem(),
		})
	}
	return findings, nil
}
