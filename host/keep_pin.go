package host

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// A PinRequest names what no prune is to remove: a backup with what must be restored before
// it, or a series.
type PinRequest struct {
	At     Location
	Series string // that of the latest backup if empty
	Number int    // 0: the whole series
	Reason string // for people, in one line
}

// Pin keeps a backup until it is unpinned. A backup that is pinned already keeps its
// pin, which is returned, and its reason. ErrConflict means that a prune has begun to remove
// the series, and may or may not find the pin, which is stored in any case.
func (e *Engine) Pin(ctx context.Context, req PinRequest) (pin *manifest.Pin, err error) {
	if len(req.Reason) > manifest.MaxReason || strings.ContainsFunc(req.Reason, unprintable) {
		return nil, usage(fmt.Sprintf("a reason is one line of at most %d bytes", manifest.MaxReason), "the reason is no line of text: %.40q", req.Reason)
	}
	c, err := e.catalogue(e.withLog(ctx), req.At)
	if err != nil {
		return nil, err
	}
	m, err := c.named(req.Series, req.Number)
	if err != nil {
		return nil, err
	}
	pin = &manifest.Pin{Series: m.Series, Number: req.Number, Created: e.now().UTC(), Reason: req.Reason}
	data, err := manifest.EncodePin(pin)
	if err != nil {
		return nil, err
	}
	name := manifest.PinName(pin.Series, pin.Number)
	if there, ok := c.pins[name]; ok {
		if there == nil {
			return nil, damaged("brock pin --remove takes it away", "%s: %w", name, manifest.ErrCorrupt)
		}
		pin = there
	} else if err := putNew(ctx, req.At.Destination, name, data); err != nil {
		return nil, err
	}
	return pin, e.holds(ctx, c, m)
}

func unprintable(c rune) bool { return c == utf8.RuneError || unicode.IsControl(c) }

// holds makes sure that no prune can have missed a pin that is stored now.
func (e *Engine) holds(ctx context.Context, c *catalogue, m *manifest.Manifest) error {
	there, err := c.standing(ctx, []*manifest.Manifest{m})
	if err != nil {
		return err
	}
	if len(there) == 0 {
		return &failure{
			fmt.Errorf("%s: a prune has begun to remove series %s: %w", c.loc.URI, m.Series, sdk.ErrConflict), sdk.ErrConflict,
			"the pin is stored and holds from the next prune on; when this one has ended, brock ls tells whether the series is still there",
		}
	}
	return nil
}

// Unpin takes the pin of one backup away, or with a number of 0 every pin of the series, and
// returns how many there were.
func (e *Engine) Unpin(ctx context.Context, at Location, series string, number int) (removed int, err error) {
	c, err := e.catalogue(e.withLog(ctx), at)
	if err != nil {
		return 0, err
	}
	if series == "" {
		m, err := c.named("", 0)
		if err != nil {
			return 0, err
		}
		series = m.Series
	}
	for _, name := range c.pinsOf(series) {
		if n, _ := manifest.IsPin(name); number != 0 && n != number {
			continue
		}
		if err := retry(ctx, func() error { return at.Destination.Delete(ctx, name) }); err != nil {
			return removed, about(name, err)
		}
		removed++
	}
	if removed == 0 {
		return 0, usage("brock ls shows which are", "%s: nothing of that name is pinned: %w", at.URI, manifest.ErrNoBackup)
	}
	return removed, nil
}

// named returns a backup, or the last one of a series, whether it can be restored or not.
func (c *catalogue) named(series string, number int) (*manifest.Manifest, error) {
	if latest := manifest.Latest(c.all); series == "" && latest != nil {
		series = latest.Series
	}
	var found *manifest.Manifest
	for i := range c.all {
		if m := &c.all[i]; m.Series == series && (number == 0 || m.Number == number) {
			found = m
		}
	}
	if found != nil {
		return found, nil
	}
	_, err := manifest.Chain(c.all, series, number) // tells which there are
	if err == nil || !errors.Is(err, manifest.ErrNoBackup) {
		err = fmt.Errorf("%w: series %s", manifest.ErrNoBackup, series)
	}
	return nil, fmt.Errorf("%s: %w", c.loc.URI, err)
}

// readPin reads a pin. One that is broken holds all the same.
func (c *catalogue) readPin(ctx context.Context, name string) error {
	data, err := getAll(ctx, c.loc.Destination, name)
	if c.removed(ctx, name, err) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := manifest.ParsePin(data)
	if err == nil && manifest.PinName(p.Series, p.Number) != name {
		err = fmt.Errorf("%w: it is that of backup %s/%d", manifest.ErrCorrupt, p.Series, p.Number)
	}
	if err != nil {
		c.notes = append(c.notes, fmt.Errorf("%s: %w", name, err))
		p = nil
	}
	c.pins[name] = p
	return nil
}

// pinsOf lists the names of a series' pins.
func (c *catalogue) pinsOf(series string) (names []string) {
	for _, name := range sorted(c.pins) {
		if path.Dir(name) == path.Dir(manifest.PinName(series, 0)) {
			names = append(names, name)
		}
	}
	return names
}

// pinned returns the pin that holds m: its own, that of the next backup which has one, or that
// of its series. One that is broken has no more than its name says.
func (c *catalogue) pinned(m *manifest.Manifest) *manifest.Pin {
	var found *manifest.Pin
	for _, name := range c.pinsOf(m.Series) {
		n, _ := manifest.IsPin(name)
		if n != 0 && (n < m.Number || found != nil && found.Number != 0 && found.Number < n) || n == 0 && found != nil {
			continue
		}
		if found = c.pins[name]; found == nil {
			found = &manifest.Pin{Series: m.Series, Number: n}
		}
	}
	return found
}
