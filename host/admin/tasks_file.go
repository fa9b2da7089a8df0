package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/durable"
)

// The file of tasks is JSON, and holds no credentials: of what a task was asked for it has
// nothing but the kind.
type taskFile struct {
	Format int     `json:"format"`
	Tasks  []*Task `json:"tasks"`
}

const taskFormat = 1

func readTasks(file string) (map[uint64]*Task, error) {
	all := map[uint64]*Task{}
	if file == "" {
		return all, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	var f taskFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, hinted("remove it: nothing but the results of earlier tasks is lost", "%s: %w", file, err)
	}
	if f.Format != taskFormat {
		return nil, fmt.Errorf("%s: of a later version of Brock (format %d)", file, f.Format)
	}
	for _, t := range f.Tasks {
		if t != nil && t.ID != 0 {
			all[t.ID] = t
		}
	}
	return all, nil
}

// writeTasks replaces the file, whole or not at all.
func writeTasks(file string, all []*Task) error {
	data, err := json.Marshal(taskFile{taskFormat, all})
	if err != nil {
		return err
	}
	return durable.ReplaceFile(file, data)
}

// An Outcome is what came of a task that ended well: one of the fields.
type Outcome struct {
	Backup  *BackupOutcome  `json:"backup,omitempty"`
	Restore *RestoreOutcome `json:"restore,omitempty"`
	Verify  *VerifyOutcome  `json:"verify,omitempty"`
	Prune   *PruneOutcome   `json:"prune,omitempty"`
}

// A BackupOutcome is a backup that exists.
type BackupOutcome struct {
	BackupID  string `json:"backup_id"`
	BackupNum UInt64 `json:"backup_num"`
	Type      string `json:"type"` // as Dgraph's manifests have it
	Path      string `json:"path"`
	ReadTs    UInt64 `json:"read_ts"`
	Bytes     UInt64 `json:"bytes"`
	Entries   UInt64 `json:"entries"`
	Warning   string `json:"warning,omitempty"`
}

func backupOutcome(res *host.BackupResult) *BackupOutcome {
	m := res.Manifest
	return &BackupOutcome{
		BackupID: m.Series, BackupNum: UInt64(m.Number), Type: backupType(m.Full), Path: m.Path, ReadTs: UInt64(m.ReadTs),
		Bytes: UInt64(res.Bytes), Entries: UInt64(res.Entries), Warning: res.Warning,
	}
}

func backupType(full bool) string {
	if full {
		return "full"
	}
	return "incremental"
}

// A RestoreOutcome is what the store has become.
type RestoreOutcome struct {
	Backup  string   `json:"backup"` // series/number
	Version UInt64   `json:"version"`
	MaxUID  UInt64   `json:"max_uid"`
	Groups  []UInt64 `json:"groups"`
	Entries UInt64   `json:"entries"`
}

func restoreOutcome(res *host.RestoreResult) *RestoreOutcome {
	r := &RestoreOutcome{Backup: res.Backup, Version: UInt64(res.Version), MaxUID: UInt64(res.MaxUID), Groups: []UInt64{}, Entries: UInt64(res.Entries)}
	for _, g := range res.Groups {
		r.Groups = append(r.Groups, UInt64(g))
	}
	return r
}

// A VerifyOutcome is what was found.
type VerifyOutcome struct {
	OK      bool           `json:"ok"`
	Proved  bool           `json:"proved"`
	Doubt   string         `json:"doubt,omitempty"`
	Backups []VerifyBackup `json:"backups"`
}

// A VerifyBackup is one backup of the chain that was looked at.
type VerifyBackup struct {
	ID       string          `json:"id"`
	Path     string          `json:"path"`
	Sealed   bool            `json:"sealed"`
	Objects  UInt64          `json:"objects"`
	Bytes    UInt64          `json:"bytes"`
	Entries  UInt64          `json:"entries"`
	Problems []VerifyProblem `json:"problems,omitempty"`
}

// A VerifyProblem is damage that was found.
type VerifyProblem struct {
	Object string `json:"object"`
	Text   string `json:"text"`
}

// problemsKept is how many problems of a backup are told: the first say enough.
const problemsKept = 20

func verifyOutcome(report *host.VerifyReport) *VerifyOutcome {
	v := &VerifyOutcome{OK: report.OK(), Proved: report.Proved, Doubt: report.Doubt, Backups: []VerifyBackup{}}
	for _, b := range report.Backups {
		seen := VerifyBackup{ID: b.ID, Path: b.Path, Sealed: b.Sealed, Objects: UInt64(b.Objects), Bytes: UInt64(b.Bytes), Entries: UInt64(b.Entries), Problems: []VerifyProblem{}}
		for _, p := range b.Problems[:min(len(b.Problems), problemsKept)] {
			seen.Problems = append(seen.Problems, VerifyProblem{p.Object, p.Text})
		}
		v.Backups = append(v.Backups, seen)
	}
	return v
}

// A PruneOutcome is what went, or would go.
type PruneOutcome struct {
	DryRun    bool           `json:"dry_run"`
	Series    []PrunedSeries `json:"series"`
	Kept      []KeptSeries   `json:"kept"`
	Abandoned []string       `json:"abandoned"` // directories of backups that were never committed
	Objects   UInt64         `json:"objects"`
	Bytes     UInt64         `json:"bytes"`
}

// A PrunedSeries is a series of which backups went.
type PrunedSeries struct {
	BackupID string   `json:"backup_id"`
	Backups  UInt64   `json:"backups"`
	Last     DateTime `json:"last"`
	Bytes    UInt64   `json:"bytes"`
}

// A KeptSeries is a series that stays, and why.
type KeptSeries struct {
	BackupID string   `json:"backup_id"`
	Backups  UInt64   `json:"backups"`
	Reasons  []string `json:"reasons"`
}

func pruneOutcome(res *host.PruneResult, dry bool) *PruneOutcome {
	p := &PruneOutcome{DryRun: dry, Series: []PrunedSeries{}, Kept: []KeptSeries{}, Abandoned: append([]string{}, res.Abandoned...), Objects: UInt64(res.Objects), Bytes: UInt64(res.Bytes)}
	for _, s := range res.Series {
		p.Series = append(p.Series, PrunedSeries{s.ID, UInt64(s.Backups), DateTime{s.Last}, UInt64(s.Bytes)})
	}
	for _, s := range res.Kept {
		k := KeptSeries{s.ID, UInt64(s.Backups), append([]string{}, s.Reasons...)}
		for _, b := range s.Picked {
			for _, reason := range b.Reasons {
				if !slices.Contains(k.Reasons, reason) {
					k.Reasons = append(k.Reasons, reason)
				}
			}
		}
		p.Kept = append(p.Kept, k)
	}
	return p
}
