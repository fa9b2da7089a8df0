package s3store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/sdk"
)

// Probe lists, and writes, reads and deletes an object under a hidden name. On
// the way it finds out which conditions the store honours. That the object
// cannot be deleted is no failure: there are places where nothing can be. Where
// nothing may be written the error is of kind ErrPermission, and says that the
// place can be listed: that is what a restore needs.
func (s *Store) Probe(ctx context.Context) error {
	first := minio.ListObjectsOptions{Prefix: s.c.prefix, Recursive: true, MaxKeys: 1}
	for o := range s.c.core.ListObjectsIter(ctx, s.c.bucket, first) {
		if o.Err != nil {
			return s.fail(ctx, "list of "+s.c.place, o.Err)
		}
		break
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	data := []byte("probe " + rand.Text())
	w := &writing{s: s, name: hiddenName(), token: rand.Text()}
	p := &part{number: 1, size: int64(len(data)), chunks: [][]byte{data}}
	w.size = p.size
	_, err := w.commit(ctx, func(ctx context.Context) (minio.UploadInfo, error) { return w.once(ctx, p) })
	if err != nil {
		if ctx.Err() != nil {
			w.undo(ctx)
		}
		if err = reason(ctx, err); errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%s can be listed, and not written: %w", s.c.place, err)
		}
		return err
	}
	err = s.probe(ctx, w, p)
	ctx, cancel := aftermath(ctx)
	defer cancel()
	info, herr := s.head(ctx, w.name)
	if herr == nil || errors.Is(herr, fs.ErrPermission) {
		herr = s.remove(ctx, w.name, info.VersionID)
	}
	if herr != nil && !errors.Is(herr, fs.ErrNotExist) {
		sdk.Logger().Debug("the object of a probe stays", "object", w.name, "error", herr)
		s.stays.Store(true)
	}
	return err
}

func (s *Store) probe(ctx context.Context, w *writing, p *part) error {
	s.tryConditions(ctx, w, p)
	s.tryMatch(ctx)
	body, _, _, err := s.c.core.GetObject(ctx, s.c.bucket, w.key(), minio.GetObjectOptions{ServerSideEncryption: s.c.sse})
	if err == nil {
		defer body.Close()
		var got []byte
		got, err = io.ReadAll(io.LimitReader(body, p.size+1))
		if err == nil && !bytes.Equal(got, p.chunks[0]) {
			return fmt.Errorf("%s: what was read back is not what was written: %w", w.name, sdk.ErrCorrupt)
		}
	}
	err = s.fail(ctx, w.name, err)
	if errors.Is(err, fs.ErrPermission) { // enough for a backup
		s.blind.Store(true)
		return nil
	}
	return err
}

// Report tells what is known of the place. What only trying can show is known
// after a Put or a Probe.
func (s *Store) Report(ctx context.Context) ([]sdk.Finding, error) {
	all := s.c.facts()
	all = reportCondition(all, "create-only", saysSingle, &s.cond.single)
	all = reportCondition(all, "multipart", saysMultipart, &s.cond.multipart)
	all = reportCondition(all, "replace", saysMatch, &s.cond.match)
	if sum := s.reportSum(); sum != "" {
		all = append(all, sdk.Finding{Name: "checksum", Detail: sum})
	}
	if s.blind.Load() {
		all = append(all, sdk.Finding{
			Name: "reading", Problem: true, Detail: "these credentials may write, and not read",
			Hint: "that is enough for full backups; for incremental ones, verify and restore allow s3:GetObject",
		})
	}
	if s.stays.Load() {
		all = append(all, sdk.Finding{Name: "deleting", Detail: "nothing can be deleted here: what the probe wrote stays, under a hidden name"})
	}
	if s.bound.Load() {
		f := sdk.Finding{
			Name: "aborting", Problem: true, Detail: "these credentials may not end uploads: what a backup that breaks off has sent takes room, unseen",
			Hint: "allow s3:AbortMultipartUpload, or let a lifecycle rule of the bucket remove unfinished uploads",
		}
		if n := s.endless.Load(); n > 0 {
			f.Detail += fmt.Sprintf("; %d left just now", n)
		}
		all = append(all, f)
	}
	all = s.reportVersions(ctx, all)
	all = s.reportLock(ctx, all)
	all = s.reportUploads(ctx, all)
	return all, ctx.Err()
}

func reportCondition(all []sdk.Finding, name, what string, v *verdict) []sdk.Finding {
	switch v.v.Load() {
	case honoured:
		return append(all, sdk.Finding{Name: name, Detail: what + " is honoured"})
	case ignored:
		return append(all, sdk.Finding{
			Name: name, Detail: what + " is ignored", Problem: true,
			Hint: "let one host at a time write to this place: of two that write one name at the same moment, the later one wins",
		})
	}
	return all
}

func (s *Store) reportSum() string {
	if s.c.checksum != "auto" {
		return s.use().String() + ", as it is set"
	}
	if a := algorithm(s.sums.found.Load()); a != undecided {
		return a.String() + ", found out by trying"
	}
	return ""
}

func (s *Store) reportVersions(ctx context.Context, all []sdk.Finding) []sdk.Finding {
	v, err := s.c.core.GetBucketVersioning(ctx, s.c.bucket)
	f := sdk.Finding{Name: "versions"}
	switch {
	case err != nil:
		return all
	case v.Enabled():
		f.Detail = "the bucket keeps old versions"
		f.Hint = "what is deleted is hidden, and takes room until a lifecycle rule of the bucket removes it"
	case v.Suspended():
		f.Detail = "the bucket keeps the versions of before"
	default:
		f.Detail = "the bucket keeps none"
	}
	return append(all, f)
}

func (s *Store) reportLock(ctx context.Context, all []sdk.Finding) []sdk.Finding {
	enabled, mode, validity, unit, err := s.c.core.GetObjectLockConfig(ctx, s.c.bucket)
	f := sdk.Finding{Name: "lock"}
	switch {
	case err != nil || enabled != "Enabled":
		f.Detail = "none"
		if err != nil && codeOf(err) != "ObjectLockConfigurationNotFoundError" {
			f.Detail = ""
		}
	case mode != nil && validity != nil && unit != nil:
		f.Detail = fmt.Sprintf("every new object is locked for %d %s (%s)", *validity, strings.ToLower(unit.String()), mode)
	default:
		f.Detail = "the bucket can lock objects, and does not do so by itself"
	}
	if s.c.put.Mode != "" {
		f.Detail = strings.TrimPrefix(f.Detail+"; ", "; ") + fmt.Sprintf("what is written is locked for %v (%s)", s.c.retain, s.c.put.Mode)
	}
	if f.Detail == "" {
		return all
	}
	return append(all, f)
}

func (s *Store) reportUploads(ctx context.Context, all []sdk.Finding) []sdk.Finding {
	count, oldest := 0, time.Now()
	err := s.uploads(ctx, "", func(u minio.ObjectMultipartInfo) error {
		count++
		if u.Initiated.Before(oldest) {
			oldest = u.Initiated
		}
		return nil
	})
	f := sdk.Finding{Name: "uploads"}
	switch {
	case err != nil:
		return all
	case count == 0:
		f.Detail = "the store tells of no unfinished ones"
	default:
		f.Detail = fmt.Sprintf("%d unfinished, the oldest of %s", count, oldest.UTC().Format(time.RFC3339))
		f.Hint = "set abort_uploads_after, or a lifecycle rule of the bucket: unfinished uploads take room"
		if s.c.abortAfter > 0 {
			f.Hint = fmt.Sprintf("those older than %v are removed by the next backup", s.c.abortAfter)
		}
	}
	return append(all, f)
}
