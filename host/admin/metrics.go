package admin

import (
	"time"

	"github.com/brock-backup/brock/host"
)

// Metrics count what a running host does, for Prometheus. A nil *Metrics counts nothing.
type Metrics struct{}

// Backup tells of a backup that has ended.
func (m *Metrics) Backup(location string, res *host.BackupResult, took time.Duration, err error) {}

// Restore tells of a restore that has ended.
func (m *Metrics) Restore(location string, took time.Duration, err error) {}

// Verify tells of a verification that has ended.
func (m *Metrics) Verify(location string, report *host.VerifyReport, took time.Duration, err error) {}

// Prune tells of a pruning that has ended.
func (m *Metrics) Prune(location string, res *host.PruneResult, took time.Duration, err error) {}
