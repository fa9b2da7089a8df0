package badgerdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/brock-backup/brock/host/dgraph"
)

// First bytes of Dgraph's keys.
const (
	prefixData   = 0x00
	prefixSchema = 0x01
	prefixType   = 0x02
	prefixPart   = 0x04
)

// Keys that begin with these are Badger's own, and ours.
const (
	badgerPrefix = "!badger!"
	brockPrefix  = "!brock!"
)

func internal(key []byte) bool {
	return len(key) > 0 && key[0] == '!' && (bytes.HasPrefix(key, []byte(badgerPrefix)) || bytes.HasPrefix(key, []byte(brockPrefix)))
}

// below reports whether key comes before end; nil is behind all keys.
func below(key, end []byte) bool { return end == nil || bytes.Compare(key, end) < 0 }

// after is the first key behind all that begin with prefix.
func after(prefix string) []byte {
	b := []byte(prefix)
	b[len(b)-1]++
	return b
}

func be64(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// describe names a key of Dgraph for people.
func describe(k *dgraph.Key) string {
	s := k.String()
	switch k.Kind {
	case dgraph.KeyData:
		s = fmt.Sprintf("data %s of uid %#x", s, k.UID)
	case dgraph.KeyIndex:
		s = fmt.Sprintf("index %s of %s", s, strconv.QuoteToASCII(string(k.Term)))
	case dgraph.KeyReverse:
		s = fmt.Sprintf("reverse %s of uid %#x", s, k.UID)
	case dgraph.KeyCount, dgraph.KeyCountReverse:
		s = fmt.Sprintf("count %s of %d", s, k.Count)
	case dgraph.KeySchema:
		s = "schema " + s
	case dgraph.KeyType:
		s = "type " + s
	}
	if k.StartUID != 0 {
		s += fmt.Sprintf(" from %#x", k.StartUID)
	}
	return s
}
