package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/brock-backup/brock/sdk"
)

// backupForm answers POST /admin/backup, the form of a backup that Dgraph had before
// GraphQL. As with Dgraph 20.x the answer comes when the backup is complete, so that a
// script may go on with it; a client that does not wait does not stop the backup.
func (a *Admin) backupForm(w http.ResponseWriter, r *http.Request) {
	if !allowMethod(w, r, http.MethodPost) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostBody)
	err := r.ParseForm()
	if err == nil {
		err = r.ParseMultipartForm(mostBody)
	}
	if err != nil && !errors.Is(err, http.ErrNotMultipart) {
		refuseForm(w, errors.New("the form cannot be read")) // its own text may show what is in it
		return
	}
	form := func(name string) sdk.Secret { return sdk.NewSecret(r.FormValue(name)) }
	req := BackupRequest{
		To: LocationRequest{
			URI: r.FormValue("destination"), AccessKey: form("access_key"), SecretKey: form("secret_key"), SessionToken: form("session_token"),
			Anonymous: r.FormValue("anonymous") == "true",
		},
		ForceFull: r.FormValue("force_full") == "true",
	}
	if err := a.backupNow(r.Context(), req); err != nil {
		refuseForm(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"code": "Success", "message": "Backup completed."}`)) // byte for byte what scripts look for
}

// backupNow is a task like any other, whose end is waited for.
func (a *Admin) backupNow(ctx context.Context, req BackupRequest) error {
	if req.To.URI == "" {
		return errNoDestination
	}
	id, ended, err := a.tasks.Start(TaskBackup, a.node.Operations.backupTask(req))
	if err != nil {
		return err
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	task, err := a.tasks.Task(id)
	if err != nil {
		return err
	}
	return task.err
}

// refuseForm has the error where Dgraph has it: in the place of the code.
func refuseForm(w http.ResponseWriter, err error) {
	writeError(w, http.StatusOK, err.Error(), errors.New("Backup failed.")) //nolint:revive,staticcheck // Dgraph's words
}
