// Command host is a host of the time when the protocol was first published. It
// starts the plugin at the path that is its first argument, gives it the
// settings that are its second, in JSON, and uses it in every way that there
// was. It prints "ok", or else what went wrong.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/launch"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func run(ctx context.Context, path, text string) (err error) {
	var settings map[string]any
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		return err
	}
	logger := hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Trace})
	p, err := launch.Start(ctx, path, launch.Options{Logger: logger, StartTimeout: time.Minute})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if p.Description().Kind == "keyprovider" {
		k, err := p.OpenKeyProvider(ctx, settings)
		if err != nil {
			return err
		}
		return keys(ctx, k)
	}
	d, err := p.OpenDestination(ctx, settings)
	if err != nil {
		return err
	}
	return objects(ctx, d)
}

func objects(ctx context.Context, d sdk.Destination) error {
	data := bytes.Repeat([]byte("frozen "), 500_000) // more than three frames
	if err := d.Put(ctx, "a/1", bytes.NewReader(data)); err != nil {
		return err
	}
	if err := d.Put(ctx, "a/1", bytes.NewReader(data)); !errors.Is(err, sdk.ErrExist) {
		return fmt.Errorf("second put: %w", err)
	}
	r, err := d.Get(ctx, "a/1", 7)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data[7:]) {
		return fmt.Errorf("get: %d bytes, %w", len(got), err)
	}
	n := 0
	for obj, err := range d.List(ctx, "") {
		if n++; err != nil || obj != (sdk.Object{Name: "a/1", Size: int64(len(data))}) {
			return fmt.Errorf("list: %+v, %w", obj, err)
		}
	}
	if n != 1 {
		return fmt.Errorf("list: %d objects", n)
	}
	if err := replace(ctx, d.(sdk.Replacer)); err != nil {
		return err
	}
	if err := d.(sdk.Prober).Probe(ctx); err != nil {
		return err
	}
	for range 2 {
		if err := errors.Join(d.Delete(ctx, "a/1"), d.Delete(ctx, "r")); err != nil {
			return err
		}
	}
	if _, err := d.Get(ctx, "a/1", 0); !errors.Is(err, sdk.ErrNotExist) {
		return fmt.Errorf("get of what is gone: %w", err)
	}
	return nil
}

func replace(ctx context.Context, d sdk.Replacer) error {
	version, err := d.Replace(ctx, "r", bytes.NewReader([]byte("one")), "")
	if err != nil {
		return err
	}
	if _, err := d.Replace(ctx, "r", bytes.NewReader([]byte("two")), "stale"); !errors.Is(err, sdk.ErrConflict) {
		return fmt.Errorf("replace of a stale version: %w", err)
	}
	if now, err := d.Version(ctx, "r"); err != nil || now != version {
		return fmt.Errorf("version %q, want %q: %w", now, version, err)
	}
	return nil
}

func keys(ctx context.Context, k sdk.KeyProvider) error {
	w, err := k.Wrap(ctx, []byte("data key"))
	if err != nil {
		return err
	}
	key, err := k.Unwrap(ctx, w)
	if err != nil || string(key) != "data key" {
		return fmt.Errorf("unwrap: %q, %w", key, err)
	}
	w.KeyID = "other"
	if _, err := k.Unwrap(ctx, w); !errors.Is(err, sdk.ErrWrongKey) {
		return fmt.Errorf("unwrap with another key: %w", err)
	}
	_, err = k.(sdk.KeyExporter).ExportKey(ctx)
	return err
}
