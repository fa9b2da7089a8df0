package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// seal reads the seal of one of m's files, or returns nil if m was made by
// Dgraph, which writes none.
func (c *catalogue) seal(ctx context.Context, m *manifest.Manifest, group uint32, dataKey []byte) (*backupfile.Seal, error) {
	name := m.Seal(group)
	if _, ok := c.sizes[name]; !ok && m.Record == nil {
		return nil, nil
	}
	data, err := getAll(ctx, c.loc.Destination, name)
	if errors.Is(err, sdk.ErrNotExist) {
		return nil, damaged("the backup's data may be whole: bring the seal back from another copy", "%w", err)
	}
	if err != nil {
		return nil, err
	}
	if err := matchesRecord(m, group, data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !m.Encrypted {
		dataKey = nil
	}
	seal, err := backupfile.ParseSeal(data, dataKey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := seal.Expect(identity(m, group)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if seal.Record != nil && !bytes.Equal(seal.Record, m.Digest()) {
		return nil, damaged("bring the object back from another copy", "%s says something else than was sealed with the backup's data", toldBy(m))
	}
	if size, ok := c.sizes[m.Object(group)]; ok && size != seal.File.Size {
		return nil, damaged("", "%s: %d bytes, %d were sealed", m.Object(group), size, seal.File.Size)
	}
	return seal, nil
}

// toldBy names the object that m was read from.
func toldBy(m *manifest.Manifest) string {
	switch {
	case m.Record != nil:
		return manifest.RecordName(m.Series, m.Number)
	case m.Single:
		return m.Path + "/" + manifest.MasterName
	}
	return manifest.MasterName
}

func identity(m *manifest.Manifest, group uint32) backupfile.Identity {
	return backupfile.Identity{
		Kind: string(m.Kind), Group: group, Series: m.Series, Number: m.Number, ReadTs: m.ReadTs,
	}
}

// matchesRecord compares a seal with the digest that was committed.
func matchesRecord(m *manifest.Manifest, group uint32, seal []byte) error {
	if m.Record == nil {
		return nil
	}
	sum := sha256.Sum256(seal)
	for _, o := range m.Record.Objects {
		if o.Group == group {
			if o.SealSHA256 != hex.EncodeToString(sum[:]) {
				return damaged("", "it is not the seal that was committed")
			}
			return nil
		}
	}
	return damaged("", "the commit record does not name group %d", group)
}

// readSchemas reads the end of a sealed file, where the schema is: its keys
// begin with 01, after all lists.
func (s *state) readSchemas(ctx context.Context, i int, group uint32, seal *backupfile.Seal, f *floors) error {
	m := &s.chain[i]
	blocks := seal.File.Blocks
	first := 0
	for first < len(blocks) && bytes.Compare(blocks[first].Last, []byte{1}) < 0 {
		first++
	}
	if first == len(blocks) {
		return nil
	}
	d := backupfile.NewBlockDecoder(s.keyOf(m), seal)
	r := open(ctx, s.c.loc.Destination, m.Object(group), blocks[first].Offset)
	defer r.Close()
	for n := first; n < len(blocks); n++ {
		stored := make([]byte, blocks[n].Length)
		if _, err := io.ReadFull(r, stored); err != nil {
			return endOfFile(err)
		}
		if err := d.Open(n, stored); err != nil {
			return err
		}
		if err := schemasIn(d, i, f); err != nil {
			return err
		}
	}
	return nil
}

// endOfFile makes damage of a file that ends too early.
func endOfFile(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return backupfile.ErrTruncated
	}
	return err
}

func schemasIn(d *backupfile.BlockDecoder, i int, f *floors) error {
	var e backupfile.Entry
	keys := keyReader{kind: manifest.KindDgraph}
	for {
		err := d.Next(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := keys.sortKey(e.Key); err != nil && !errors.Is(err, dgraph.ErrZeroUID) {
			return err
		}
		if keys.key.Kind == dgraph.KeySchema {
			if err := f.setSchema(i, keys.key.Predicate, e.Value); err != nil {
				return err
			}
		}
	}
}
