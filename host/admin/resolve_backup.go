package admin

import "context"

// BackupInput is Dgraph's.
type BackupInput struct {
	Destination string
	Credentials
	ForceFull *bool
	Prove     *bool
}

// BackupPayload is Dgraph's.
type BackupPayload struct {
	Response *Response
	TaskID   *string
}

// Backup queues a backup.
func (r *resolver) Backup(ctx context.Context, args struct{ Input BackupInput }) (*BackupPayload, error) {
	if err := changing(ctx); err != nil {
		return nil, failed("backup", err)
	}
	task, err := r.backup(ctx, BackupRequest{
		To: args.Input.location(args.Input.Destination), ForceFull: value(args.Input.ForceFull), Prove: value(args.Input.Prove),
	})
	if err != nil {
		return nil, failed("backup", err)
	}
	return &BackupPayload{success("Backup queued with ID %s", TaskName(task.ID)), new(TaskName(task.ID))}, nil
}

func (r *resolver) backup(ctx context.Context, req BackupRequest) (Task, error) {
	if req.To.URI == "" {
		return Task{}, errNoDestination
	}
	return r.start(ctx, TaskBackup, r.operations().backupTask(req))
}

func (o *Operations) backupTask(req BackupRequest) func(ctx context.Context) (*Outcome, error) {
	return func(ctx context.Context) (*Outcome, error) {
		res, err := o.Backup(ctx, req)
		if err != nil {
			return nil, err
		}
		return &Outcome{Backup: backupOutcome(res)}, nil
	}
}

// RestoreInput is Dgraph's.
type RestoreInput struct {
	Location                                                                          string
	BackupID                                                                          *string
	BackupNum, IncrementalFrom                                                        *int32
	IsPartial                                                                         *bool
	EncryptionKeyFile                                                                 *string
	VaultAddr, VaultRoleIDFile, VaultSecretIDFile, VaultPath, VaultField, VaultFormat *string
	Credentials
}

// key is the key that the input names, or nil.
func (in *RestoreInput) key() *KeyRequest {
	k := KeyRequest{
		EncryptionKeyFile: value(in.EncryptionKeyFile), VaultAddr: value(in.VaultAddr), VaultRoleIDFile: value(in.VaultRoleIDFile),
		VaultSecretIDFile: value(in.VaultSecretIDFile), VaultPath: value(in.VaultPath), VaultField: value(in.VaultField), VaultFormat: value(in.VaultFormat),
	}
	return orNull(k)
}

// check refuses numbers that Dgraph refuses.
func (in *RestoreInput) check() error {
	num, from := value(in.BackupNum), value(in.IncrementalFrom)
	switch {
	case num < 0:
		return misused("restore", "backupNum value should be equal or greater than zero")
	case from < 0:
		return misused("restore", "incrementalFrom value should be equal or greater than zero")
	case num > 0 && from > num:
		return misused("restore", "incrementalFrom value should not be greater than backupNum")
	}
	return nil
}

// RestorePayload is Dgraph's, and has a task.
type RestorePayload struct{ Code, Message, TaskID *string }

// Restore looks at the backups first, and then begins. As with Dgraph, a restore that is
// refused has both a payload that says Failure and an error.
func (r *resolver) Restore(ctx context.Context, args struct{ Input RestoreInput }) (*RestorePayload, error) {
	if err := changing(ctx); err != nil {
		return nil, failed("restore", err)
	}
	if err := args.Input.check(); err != nil {
		return nil, err
	}
	task, err := r.restore(ctx, &args.Input)
	if err != nil {
		callOf(ctx).also <- failed("restore", err)
		return &RestorePayload{Code: new("Failure"), Message: new(err.Error())}, nil
	}
	return &RestorePayload{new("Success"), new("Restore operation started."), new(TaskName(task.ID))}, nil
}

func (r *resolver) restore(ctx context.Context, in *RestoreInput) (Task, error) {
	if in.Location == "" {
		return Task{}, errNoLocation
	}
	if r.restoring() {
		return Task{}, errRestoring
	}
	req := RestoreRequest{
		From: in.location(in.Location), Series: value(in.BackupID), Number: int(value(in.BackupNum)), Key: in.key(), IsPartial: value(in.IsPartial),
	}
	if err := r.operations().CheckRestore(ctx, req); err != nil {
		return Task{}, err
	}
	return r.start(ctx, TaskRestore, func(ctx context.Context) (*Outcome, error) {
		res, err := r.operations().Restore(ctx, req)
		if err != nil {
			return nil, err
		}
		return &Outcome{Restore: restoreOutcome(res)}, nil
	})
}

// TaskPayload is Dgraph's, and tells what came of the task.
type TaskPayload struct {
	Kind        *string
	Status      *string
	LastUpdated *DateTime
	Error, Hint *string
	Progress    *TaskProgress
	Backup      *BackupOutcome
	Restore     *RestoreOutcome
	Verify      *VerifyOutcome
	Prune       *PruneOutcome
}

// TaskProgress is how far a task has come.
type TaskProgress struct {
	Op                                string
	Group, Bytes, TotalBytes, Entries UInt64
}

// Task tells what has become of a task.
func (r *resolver) Task(args struct{ Input struct{ ID string } }) (*TaskPayload, error) {
	id, err := parseTaskID(args.Input.ID)
	if err != nil {
		return nil, failed("task", err)
	}
	task, err := r.a.tasks.Task(id)
	if err != nil {
		return nil, failed("task", err)
	}
	p := &TaskPayload{
		Kind: new(string(task.Kind)), Status: new(string(task.Status)), LastUpdated: &DateTime{task.Updated},
		Error: orNull(task.Error), Hint: orNull(task.Hint), Progress: engineProgress(task.Progress),
	}
	if o := task.Outcome; o != nil {
		p.Backup, p.Restore, p.Verify, p.Prune = o.Backup, o.Restore, o.Verify, o.Prune
	}
	return p, nil
}

// DrainingPayload is Dgraph's.
type DrainingPayload struct{ Response *Response }

// Draining refuses writes, or allows them again.
func (r *resolver) Draining(ctx context.Context, args struct{ Enable *bool }) (*DrainingPayload, error) {
	if err := changing(ctx); err != nil {
		return nil, failed("draining", err)
	}
	on := value(args.Enable)
	if !on && r.restoring() {
		return nil, failed("draining", errRestoring)
	}
	r.operations().Store.SetDraining(on)
	r.a.log.Info("draining mode", "on", on)
	return &DrainingPayload{success("draining mode has been set to %v", on)}, nil
}
