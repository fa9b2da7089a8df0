package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// A SeriesKey is how the key of one series is kept.
type SeriesKey struct {
	Series     string
	Backups    int
	Encrypted  bool
	Provider   string // who has the key, or has wrapped it; "" if nobody tells
	Wrapped    bool   // the series has a data key of its own; else the provider's own key encrypts
	KeyID      string // of the wrapping key
	KeyVersion string // likewise
	Since      time.Time
	KeyCheck   string // tells data keys apart; "" if nobody tells
	Opened     bool   // with the provider given
	Rewrapped  bool   // by this call
	Stale      bool   // a later version of the key would wrap it now, or another key
	Err        error  // why it could not be opened with the provider given, or not be wrapped again
}

// Keys tells how the series at a location are encrypted. With a key, each wrapped key is
// opened, to see that it can be.
func (e *Engine) Keys(ctx context.Context, at Location, k *Key) ([]SeriesKey, error) {
	return e.keys(e.withLog(ctx), at, k, func(context.Context, *catalogue, *Key, *SeriesKey, *manifest.Manifest, []manifest.KeyRecord) error {
		return nil
	})
}

// Rewrap wraps the data key of every series with the key that the provider wraps with
// now. No object changes: each series gets one key record more. Whenever it is
// cut short, each series can be opened with what there is, and another rewrap may run at
// the same time. A series that could not be wrapped again has the reason as its Err.
func (e *Engine) Rewrap(ctx context.Context, at Location, k *Key) ([]SeriesKey, error) {
	if !k.given() {
		return nil, usage("name it with --key-provider", "no key provider was given")
	}
	return e.keys(e.withLog(ctx), at, k, e.rewrap)
}

type keyWork func(context.Context, *catalogue, *Key, *SeriesKey, *manifest.Manifest, []manifest.KeyRecord) error

func (e *Engine) keys(ctx context.Context, at Location, k *Key, work keyWork) ([]SeriesKey, error) {
	c, err := e.catalogue(ctx, at)
	if err != nil {
		return nil, err
	}
	var id, version string
	if k.given() {
		if id, version, err = k.current(ctx); err != nil {
			return nil, fmt.Errorf("key provider %s: %w", k.Name, err)
		}
	}
	var all []SeriesKey
	place := map[string]int{}
	for i := range c.all {
		m := &c.all[i]
		if at, ok := place[m.Series]; ok {
			all[at].Backups++
			continue
		}
		place[m.Series] = len(all)
		s := SeriesKey{Series: m.Series, Backups: 1, Encrypted: m.Encrypted}
		if m.Record != nil {
			s.Provider, s.KeyCheck, s.Since = m.Record.KeyProvider, m.Record.KeyCheck, m.Record.Created
		}
		if wrapped := c.wrappings(m.Series); len(wrapped) > 0 {
			w := &wrapped[0]
			s.Wrapped, s.Provider, s.Since = true, w.Provider, w.Created
			s.KeyID, s.KeyVersion = w.Wrapped.KeyID, w.Wrapped.KeyVersion
			if k.given() {
				s.Stale = s.KeyID != id || s.KeyVersion != version
				s.Err = e.opens(ctx, k, m, wrapped)
				if s.Opened = s.Err == nil; s.Opened {
					s.Err = work(ctx, c, k, &s, m, wrapped)
				}
			}
		} else if k.given() && m.Encrypted {
			s.Err = e.fitsRaw(ctx, k, m)
			s.Opened = s.Err == nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// fitsRaw reports whether a series was encrypted with the provider's own key, as
// far as anybody has recorded that.
func (e *Engine) fitsRaw(ctx context.Context, k *Key, m *manifest.Manifest) error {
	key, err := e.rawKey(ctx, k)
	if err == nil {
		err = sameKey(m, key)
	}
	clear(key)
	return err
}

// current returns which key the provider wraps with.
func (k *Key) current(ctx context.Context) (id, version string, err error) {
	if r, ok := k.Provider.(sdk.KeyRotator); ok {
		st, err := r.KeyStatus(ctx)
		return st.KeyID, st.KeyVersion, err
	}
	w, err := k.Provider.Wrap(ctx, make([]byte, secretSize)) // of no use to anybody
	if errors.Is(err, sdk.ErrUnsupported) {
		return "", "", nil
	}
	return w.KeyID, w.KeyVersion, err
}

// opens reports whether the provider opens a wrapped key of the series.
func (e *Engine) opens(ctx context.Context, k *Key, m *manifest.Manifest, wrapped []manifest.KeyRecord) error {
	key, _, err := e.unwrap(ctx, k, m, wrapped)
	clear(key)
	return err
}

// rewrap adds a key record to a series. What it says is opened before it is
// stored: a key that nobody can open must not come first.
func (e *Engine) rewrap(ctx context.Context, c *catalogue, k *Key, s *SeriesKey, m *manifest.Manifest, wrapped []manifest.KeyRecord) error {
	if !s.Stale {
		return nil
	}
	w, err := k.rewrap(ctx, wrapped)
	if err != nil {
		return fmt.Errorf("key provider %s: %w", k.Name, err)
	}
	secret, err := k.Provider.Unwrap(ctx, w)
	defer clear(secret)
	if err == nil {
		err = checkSecret(secret)
	}
	if err != nil {
		return fmt.Errorf("key provider %s does not open what it has just wrapped: %w", k.Name, err)
	}
	key, record := derive(secret, w, m)
	check := backupfile.KeyCheck(key)
	clear(key)
	if check != wrapped[0].KeyCheck {
		return fmt.Errorf("key provider %s has wrapped another key than it was given: %w", k.Name, sdk.ErrCorrupt)
	}
	data, err := manifest.EncodeKeyRecord(&manifest.KeyRecord{
		Series: m.Series, Created: e.now().UTC(), Provider: k.Name, KeyCheck: check, Wrapped: *record,
	})
	if err != nil {
		return err
	}
	number := 1
	for name := range c.sizes { // also those that are broken
		if n, ok := manifest.IsKeyRecord(name); ok && manifest.KeyRecordName(m.Series, n) == name {
			number = max(number, n+1)
		}
	}
	for ; ; number++ {
		name := manifest.KeyRecordName(m.Series, number)
		err := putNew(ctx, c.loc.Destination, name, data)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		there, getErr := getAll(ctx, c.loc.Destination, name)
		if getErr != nil {
			return err
		}
		// Another rewrap was faster. What it has wrapped may be older or broken.
		other, parseErr := manifest.ParseKeyRecord(there)
		if parseErr == nil && other.KeyCheck == check && other.Wrapped.KeyID == w.KeyID && other.Wrapped.KeyVersion == w.KeyVersion {
			s.Provider, s.KeyID, s.KeyVersion, s.Since, s.Stale = other.Provider, w.KeyID, w.KeyVersion, other.Created, false
			return nil
		}
	}
	s.Provider, s.KeyID, s.KeyVersion, s.Since, s.Rewrapped, s.Stale = k.Name, w.KeyID, w.KeyVersion, e.now().UTC(), true, false
	return nil
}

// rewrap has the provider wrap again what one of its keys has wrapped.
func (k *Key) rewrap(ctx context.Context, all []manifest.KeyRecord) (w sdk.WrappedKey, err error) {
	for i := range all {
		old := sdk.WrappedKey{KeyID: all[i].Wrapped.KeyID, KeyVersion: all[i].Wrapped.KeyVersion, Ciphertext: all[i].Wrapped.Ciphertext}
		if r, ok := k.Provider.(sdk.KeyRotator); ok {
			w, err = r.Rewrap(ctx, old)
		} else {
			w, err = k.wrapAgain(ctx, old)
		}
		if !errors.Is(err, sdk.ErrWrongKey) {
			return w, err
		}
	}
	return w, err
}

func (k *Key) wrapAgain(ctx context.Context, old sdk.WrappedKey) (sdk.WrappedKey, error) {
	secret, err := k.Provider.Unwrap(ctx, old)
	defer clear(secret)
	if err != nil {
		return sdk.WrappedKey{}, err
	}
	return k.Provider.Wrap(ctx, secret)
}

// ExportKey returns the data key of a series, with which Dgraph itself can restore
// it: 32 bytes, or the provider's own key. An empty series is that of the latest backup.
func (e *Engine) ExportKey(ctx context.Context, at Location, k *Key, series string) (id string, key []byte, err error) {
	ctx = e.withLog(ctx)
	c, err := e.catalogue(ctx, at)
	if err != nil {
		return "", nil, err
	}
	chain, err := c.pick(series, 0)
	if err != nil {
		return "", nil, err
	}
	id = chain[0].Series
	if !chain[0].Encrypted {
		return "", nil, usage("", "series %s is not encrypted", id)
	}
	key, err = e.keyFor(ctx, k, c, chain)
	return id, key, err
}
