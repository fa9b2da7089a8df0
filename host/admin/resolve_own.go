package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/plugindir"
)

// VerifyInput is Brock's own.
type VerifyInput struct {
	Location  string
	BackupID  *string
	BackupNum *int32
	Mode      *string
	Credentials
}

// VerifyPayload is Brock's own.
type VerifyPayload struct {
	Response *Response
	TaskID   *string
	Outcome  *VerifyOutcome
}

var verifyModes = map[string]host.VerifyMode{"": host.VerifyDeep, "SHALLOW": host.VerifyShallow, "DEEP": host.VerifyDeep, "RESTORE": host.VerifyRestore}

// Verify queues a verification. Damage is in its outcome; an error means that it could not be
// found out.
func (r *resolver) Verify(ctx context.Context, args struct{ Input VerifyInput }) (*VerifyPayload, error) {
	if err := changing(ctx); err != nil {
		return nil, failed("verify", err)
	}
	in := &args.Input
	if value(in.BackupNum) < 0 {
		return nil, misused("verify", "backupNum value should be equal or greater than zero")
	}
	req := host.VerifyRequest{Series: value(in.BackupID), Number: int(value(in.BackupNum)), Mode: verifyModes[value(in.Mode)]}
	at := in.location(in.Location)
	task, err := r.start(ctx, TaskVerify, func(ctx context.Context) (*Outcome, error) {
		report, err := r.operations().Verify(ctx, at, req)
		if err != nil {
			return nil, err
		}
		return &Outcome{Verify: verifyOutcome(report)}, nil
	})
	if err != nil {
		return nil, failed("verify", err)
	}
	p := &VerifyPayload{Response: success("Verification queued with ID %s", TaskName(task.ID)), TaskID: new(TaskName(task.ID))}
	if task.Outcome != nil {
		p.Outcome = task.Outcome.Verify
	}
	return p, nil
}

// PruneInput is Brock's own.
type PruneInput struct {
	Location string
	Credentials
	KeepLast, KeepHourly, KeepDaily, KeepWeekly, KeepMonthly, KeepYearly, Keep *int32
	KeepWithin, OlderThan, AbandonedAfter                                      *string
	DryRun                                                                     *bool
}

// request is what the engine is asked for.
func (in *PruneInput) request() (host.PruneRequest, error) {
	req := host.PruneRequest{
		Rules: host.KeepRules{
			Last: int(value(in.KeepLast)), Hourly: int(value(in.KeepHourly)), Daily: int(value(in.KeepDaily)),
			Weekly: int(value(in.KeepWeekly)), Monthly: int(value(in.KeepMonthly)), Yearly: int(value(in.KeepYearly)),
		},
		Keep: int(value(in.Keep)), DryRun: value(in.DryRun),
	}
	if req.Keep < 0 {
		return req, misused("prune", "keep value should be equal or greater than zero")
	}
	for _, age := range []struct {
		name string
		text *string
		into *time.Duration
	}{{"keepWithin", in.KeepWithin, &req.Rules.Within}, {"olderThan", in.OlderThan, &req.OlderThan}, {"abandonedAfter", in.AbandonedAfter, &req.Abandoned}} {
		if value(age.text) == "" {
			continue
		}
		var err error
		if *age.into, err = host.ParseAge(*age.text); err != nil {
			return req, failed("prune", fmt.Errorf("%s: %w", age.name, err))
		}
	}
	if err := req.Rules.Check(); err != nil {
		return req, failed("prune", err)
	}
	return req, nil
}

// PrunePayload is Brock's own.
type PrunePayload struct {
	Response *Response
	TaskID   *string
	Outcome  *PruneOutcome
}

// Prune queues a pruning.
func (r *resolver) Prune(ctx context.Context, args struct{ Input PruneInput }) (*PrunePayload, error) {
	if err := changing(ctx); err != nil {
		return nil, failed("prune", err)
	}
	req, err := args.Input.request()
	if err != nil {
		return nil, err
	}
	at := args.Input.location(args.Input.Location)
	task, err := r.start(ctx, TaskPrune, func(ctx context.Context) (*Outcome, error) {
		res, err := r.operations().Prune(ctx, at, req)
		if err != nil {
			return nil, err
		}
		return &Outcome{Prune: pruneOutcome(res, req.DryRun)}, nil
	})
	if err != nil {
		return nil, failed("prune", err)
	}
	p := &PrunePayload{Response: success("Prune queued with ID %s", TaskName(task.ID)), TaskID: new(TaskName(task.ID))}
	if task.Outcome != nil {
		p.Outcome = task.Outcome.Prune
	}
	return p, nil
}

// Plugin is Brock's own.
type Plugin struct {
	Name, Kind, Version, Path string
	Schemes                   []string
	State, Trust              string
	Error                     *string
}

// Plugins lists the plugins there are. Each is asked what it is.
func (r *resolver) Plugins(ctx context.Context) ([]Plugin, error) {
	if err := operation(ctx); err != nil {
		return nil, failed("plugins", err)
	}
	if r.operations().Plugins == nil {
		return nil, failed("plugins", errors.New("this server has no plugin directories"))
	}
	found, err := r.operations().Plugins.Plugins(ctx)
	if err != nil {
		return nil, failed("plugins", err)
	}
	all := []Plugin{}
	for _, p := range found {
		kind, name := plugindir.Named(p.Path)
		one := Plugin{
			Name: cmp.Or(p.Description.Name, name), Kind: cmp.Or(p.Description.Kind, kind), Version: p.Description.Version, Path: p.Path,
			Schemes: append([]string{}, p.Description.Schemes...), State: string(p.State), Trust: string(p.Trust),
		}
		if p.Err != nil {
			one.Error = new(p.Err.Error())
		}
		all = append(all, one)
	}
	return all, nil
}
