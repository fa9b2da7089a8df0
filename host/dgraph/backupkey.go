package dgraph

import (
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of pb.BackupKey.
const (
	backupKeyType      = 1
	backupKeyAttr      = 2
	backupKeyUID       = 3
	backupKeyStartUID  = 4
	backupKeyTerm      = 5
	backupKeyCount     = 6
	backupKeyNamespace = 7
)

// AppendBackupKey appends k as the pb.BackupKey that names it in a backup, with
// the very bytes that Dgraph writes.
func AppendBackupKey(dst []byte, k *Key) []byte {
	dst = append(dst, backupKeyType<<3, byte(k.Kind), backupKeyAttr<<3|byte(protowire.BytesType))
	dst = binary.AppendUvarint(dst, uint64(len(k.Name)))
	dst = append(dst, k.Name...)
	dst = appendVarintField(dst, backupKeyUID, k.UID)
	dst = appendVarintField(dst, backupKeyStartUID, k.StartUID)
	if len(k.Term) > 0 {
		dst = appendBytesField(dst, backupKeyTerm, k.Term)
	}
	dst = appendVarintField(dst, backupKeyCount, uint64(k.Count))
	return appendVarintField(dst, backupKeyNamespace, k.Namespace)
}

// ParseBackupKey reads the pb.BackupKey b into k, whose Term then aliases b.
// Fields that have no meaning for the key's kind are cleared. A k used for key after
// key allocates only where the name changes.
func ParseBackupKey(b []byte, k *Key) error {
	k.Kind, k.Namespace, k.UID, k.Term, k.Count, k.StartUID = 0, 0, 0, nil, 0, 0
	var (
		f     field
		err   error
		name  []byte
		kind  uint64
		count uint64
	)
	for rest := b; len(rest) > 0; {
		if rest, err = nextField(rest, &f); err != nil {
			return fmt.Errorf("backup key: %w", err)
		}
		switch {
		case f.is(backupKeyType, protowire.VarintType):
			kind = f.u
		case f.is(backupKeyAttr, protowire.BytesType):
			name = f.b
		case f.is(backupKeyUID, protowire.VarintType):
			k.UID = f.u
		case f.is(backupKeyStartUID, protowire.VarintType):
			k.StartUID = f.u
		case f.is(backupKeyTerm, protowire.BytesType):
			k.Term = f.b
		case f.is(backupKeyCount, protowire.VarintType):
			count = f.u
		case f.is(backupKeyNamespace, protowire.VarintType):
			k.Namespace = f.u
		}
	}
	switch {
	case kind < uint64(KeyData) || kind > uint64(KeyType):
		return fmt.Errorf("%w: backup key of kind %d", ErrCorrupt, kind)
	case len(name) == 0 || len(name) > math.MaxUint16:
		return fmt.Errorf("%w: backup key with a name of %d bytes", ErrCorrupt, len(name))
	case count > math.MaxUint32:
		return fmt.Errorf("%w: backup key with count %d", ErrCorrupt, count)
	}
	k.Kind, k.Count = KeyKind(kind), uint32(count)
	k.setName(name)
	return k.normalise()
}

// normalise clears what has no meaning for k's kind, so that equal keys are equal.
func (k *Key) normalise() error {
	if k.Kind != KeyData && k.Kind != KeyReverse {
		k.UID = 0
	} else if k.UID == 0 {
		return fmt.Errorf("%w: of %s", ErrZeroUID, k.Predicate)
	}
	if k.Kind != KeyIndex || len(k.Term) == 0 {
		k.Term = nil
	}
	if k.Kind != KeyCount && k.Kind != KeyCountReverse {
		k.Count = 0
	}
	if k.Kind == KeySchema || k.Kind == KeyType {
		k.StartUID = 0
	}
	return nil
}
