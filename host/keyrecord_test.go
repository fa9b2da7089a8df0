package host

import (
	"crypto/rand"
	"testing"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A key record of an earlier series of the same name, which a prune has left behind,
// says nothing of the key of this one.
func TestKeyRecordOfAnotherSeries(t *testing.T) {
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	e, w := &Engine{}, newWrapper("w")
	key := &Key{Name: "wraps", Provider: w}
	days := twoDays(t, e)
	series := backup(t, e, days[0], BackupRequest{To: at, Key: key}).Manifest.Series
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret)
	wrapped, err := w.Wrap(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	old, record := derive(secret, wrapped, &manifest.Manifest{Series: series, Kind: manifest.KindDgraph})
	data, err := manifest.EncodeKeyRecord(&manifest.KeyRecord{Series: series, Provider: "wraps", KeyCheck: backupfile.KeyCheck(old), Wrapped: *record})
	if err != nil {
		t.Fatal(err)
	}
	mem.Set(manifest.KeyRecordName(series, 1), data)
	backup(t, e, days[1], BackupRequest{To: at, Key: key})
	verified(t, e, at, key)
	w.rotate()
	all, err := e.Rewrap(t.Context(), at, key)
	if err != nil || len(all) != 1 || all[0].Err != nil || !all[0].Rewrapped {
		t.Errorf("Rewrap: %+v, %v; want that the key is wrapped again", all, err)
	}
	w.versions[0] = nil
	verified(t, e, at, key)
}
