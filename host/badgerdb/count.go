package badgerdb

import (
	"bytes"
	"context"
	"fmt"
)

// CountKeys counts the keys from first to last, both included, of which there is any
// version up to the read timestamp, be it a delete or expired.
//
// DropPrefix, and a compaction that removes deletes, leave nothing of a key behind. An
// incremental backup does not see such a key, and a restore would bring it back: a
// count below that of the backup before shows it.
func (s *Source) CountKeys(ctx context.Context, group uint32, first, last []byte) (n int64, err error) {
	g, err := s.group(group)
	if err != nil {
		return 0, err
	}
	m, _ := g.merge(0, func(err error) error { return err })
	defer m.close()
	err = eachKey(m, first, append(bytes.Clone(last), 0), s.readTs, func(*item) (bool, error) {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		return true, nil
	})
	if err != nil {
		return n, fmt.Errorf("%s: %w", g.dir, err)
	}
	return n, nil
}
