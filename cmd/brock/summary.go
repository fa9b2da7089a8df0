package main

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/brock-backup/brock/host/manifest"
)

// A summary is a backup in JSON results. The names that Dgraph's lsbackup has
// are the same here.
type summary struct {
	Path        string              `json:"path"`
	BackupID    string              `json:"backup_id"`
	BackupNum   int                 `json:"backup_num"`
	Type        string              `json:"type"`
	Time        string              `json:"time,omitempty"`
	Since       uint64              `json:"since"`
	ReadTs      uint64              `json:"read_ts"`
	Kind        string              `json:"kind"`
	Version     int                 `json:"version"`
	Encrypted   bool                `json:"encrypted"`
	Compression string              `json:"compression,omitempty"`
	Size        int64               `json:"size"`
	Groups      map[uint32][]string `json:"groups"`
}

func summarize(m *manifest.Manifest, bytes int64) summary {
	s := summary{
		Path: m.Path, BackupID: m.Series, BackupNum: m.Number, Type: fullOrIncremental(m),
		Since: m.Since, ReadTs: m.ReadTs, Kind: string(m.Kind), Version: int(m.Form),
		Encrypted: m.Encrypted, Compression: m.Compression, Size: bytes, Groups: map[uint32][]string{},
	}
	if t, ok := takenAt(m); ok {
		s.Time = t.Format(time.RFC3339)
	}
	for g, preds := range m.Groups {
		names := make([]string, len(preds))
		for i, p := range preds {
			names[i] = p.String()
		}
		s.Groups[g] = names
	}
	return s
}

// takenAt returns when a backup was taken: what its record says, or else its
// directory's name.
func takenAt(m *manifest.Manifest) (time.Time, bool) {
	if m.Record != nil && !m.Record.Created.IsZero() {
		return m.Record.Created.UTC().Truncate(time.Second), true
	}
	t, err := time.Parse("dgraph.20060102.150405.000", m.Path)
	return t.Truncate(time.Second), err == nil
}

func fullOrIncremental(m *manifest.Manifest) string {
	if m.Full {
		return "full"
	}
	return "incremental"
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func comma(n int64) string { return humanize.Comma(n) }
