package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/durable"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/host/schedule"
)

// A place is what is known of a location's backups.
type place struct {
	Verified time.Time         `json:"verified"` // when a verification found all sound that it looked at
	Backups  map[string]*known `json:"backups"`  // by path, or by ID where there is none
	listed   bool              // somebody has looked since the host began
}

// A known backup is one that a place has.
type known struct {
	Series   string    `json:"series"`
	Verified time.Time `json:"verified"` // when every byte was read and nothing was wrong; zero: never

	Damage host.VerifyMode `json:"damage,omitempty"` // the mode that found it damaged, plus 1; 0: it is not, or no longer
}

// Covered is how long a verification counts that has read every byte of a backup.
const Covered = 30 * 24 * time.Hour

// coverage is the share of a place's backups that Covered holds for.
func (p *place) coverage(now time.Time) (ratio float64, ok bool) {
	covered := 0
	for _, b := range p.Backups {
		if now.Sub(b.Verified) <= Covered {
			covered++
		}
	}
	return float64(covered) / float64(max(len(p.Backups), 1)), len(p.Backups) > 0
}

// damaged counts backups that are known to be damaged. What a verification of one series has
// found stays true when the next one looks at another.
func (p *place) damaged() (n int) {
	for _, b := range p.Backups {
		if b.Damage > 0 {
			n++
		}
	}
	return n
}

var (
	locationBackups = ofGauge("brock_location_backups", "Backups that a location has.", "location")
	verifyGood      = ofGauge("brock_verify_last_success_timestamp_seconds", "When a verification found nothing wrong for the last time.", "location")
	verifyDamaged   = ofGauge("brock_verify_damaged_backups", "Backups that were found to be damaged, and by no verification since to be sound.", "location")
	verifyCoverage  = ofGauge("brock_verify_coverage_ratio", "Share of a location's backups of which a verification has read every byte within 30 days, and found nothing wrong.", "location")
)

func (m *Metrics) collectPlaces(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for location, p := range m.places {
		verifyGood.sendTime(out, p.Verified, location)
		if len(p.Backups) > 0 {
			verifyDamaged.send(out, float64(p.damaged()), location)
		}
		if !p.listed {
			continue
		}
		locationBackups.send(out, float64(len(p.Backups)), location)
		if ratio, ok := p.coverage(m.now()); ok {
			verifyCoverage.send(out, ratio, location)
		}
	}
}

// Listed tells what backups a location has. With it, what was done before the host began
// shows as well.
func (m *Metrics) Listed(location string, all []manifest.Manifest) {
	if m == nil {
		return
	}
	location = m.location(location)
	now, latest := m.now(), map[string]time.Time{}
	for i := range all {
		if kind, t := kindOf(&all[i]), all[i].Taken(); t.After(latest[kind]) && !t.After(now) { // else a clock was wrong
			latest[kind] = t
		}
	}
	for _, kind := range []schedule.Do{schedule.Full, schedule.Incremental} {
		if t := latest[string(kind)]; t.IsZero() { // they have gone, or tell nobody when they were taken
			m.backupGood.DeleteLabelValues(location, string(kind))
		} else {
			m.backupGood.WithLabelValues(location, string(kind)).Set(seconds(t))
		}
	}
	m.change(location, func(p *place) {
		before := p.Backups
		p.Backups, p.listed = map[string]*known{}, true
		for i := range all {
			p.add(&all[i])
			if b := before[placeKey(all[i].Path, all[i].ID())]; b != nil {
				p.Backups[placeKey(all[i].Path, all[i].ID())] = b
			}
		}
	})
}

func (p *place) add(man *manifest.Manifest) {
	p.Backups[placeKey(man.Path, man.ID())] = &known{Series: man.Series}
}

// placeKey names a backup. Dgraph may give two series one name, but not one path.
func placeKey(path, id string) string {
	if path == "" {
		return id
	}
	return path
}

func (m *Metrics) backedUp(location string, man *manifest.Manifest) {
	m.change(location, func(p *place) { p.add(man) })
}

func (m *Metrics) verified(location string, report *host.VerifyReport) {
	now := m.now()
	m.change(location, func(p *place) {
		if report.OK() {
			p.Verified = now
		}
		for i := range report.Backups {
			r := &report.Backups[i]
			b := p.Backups[placeKey(r.Path, r.ID)]
			if b == nil { // somebody else has taken it
				series, _, _ := strings.Cut(r.ID, "/")
				b = &known{Series: series}
				p.Backups[placeKey(r.Path, r.ID)] = b
			}
			if len(r.Problems) > 0 {
				b.Verified, b.Damage = time.Time{}, max(b.Damage, report.Mode+1)
				continue
			}
			if report.Mode >= host.VerifyDeep {
				b.Verified = now
			}
			if report.Mode+1 >= b.Damage {
				b.Damage = 0
			}
		}
	})
}

func (m *Metrics) pruned(location string, res *host.PruneResult) {
	m.change(location, func(p *place) {
		for key, b := range p.Backups {
			gone := slices.ContainsFunc(res.Series, func(s host.PrunedSeries) bool { return s.ID == b.Series })
			stays := slices.ContainsFunc(res.Kept, func(s host.KeptSeries) bool { return s.ID == b.Series })
			if gone && !stays {
				delete(p.Backups, key)
			}
		}
	})
}

// change changes what is known of a location, and keeps it.
func (m *Metrics) change(location string, f func(p *place)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.places[location]
	if p == nil {
		return // one of too many
	}
	f(p)
	if m.path == "" {
		return
	}
	kept := placesFile{Version: placesVersion, Locations: map[string]*place{}}
	for name, p := range m.places {
		if len(p.Backups) > 0 || !p.Verified.IsZero() {
			kept.Locations[name] = p
		}
	}
	data, err := json.Marshal(kept)
	if err == nil {
		err = durable.ReplaceFile(m.path, append(data, '\n'))
	}
	if err != nil {
		m.log.Warn("what was verified cannot be kept; after a restart, metrics do not show it", "error", err)
	}
}

// placesFile is the file that Keep names.
type placesFile struct {
	Version   int               `json:"version"`
	Locations map[string]*place `json:"locations"`
}

const placesVersion = 1

// Keep keeps in a file when each backup was verified, and takes over what stands there.
// It is called before anything else is counted.
func (m *Metrics) Keep(path string, logger hclog.Logger) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.path = path
	if logger != nil {
		m.log = logger
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var kept placesFile
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err == nil && kept.Version != placesVersion {
		err = fmt.Errorf("version %d, not %d", kept.Version, placesVersion)
	}
	if err != nil {
		m.log.Warn("when backups were verified is not known", "file", path, "error", err)
		return
	}
	for name, p := range kept.Locations {
		if p == nil || len(m.places) >= maxLocations {
			continue
		}
		for key, b := range p.Backups {
			if b == nil {
				delete(p.Backups, key)
			}
		}
		if p.Backups == nil {
			p.Backups = map[string]*known{}
		}
		m.places[name] = p
	}
}
