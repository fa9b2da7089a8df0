package backupfile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
)

const ivSize = aes.BlockSize

// KeyCheck returns a short value that tells data keys apart without giving
// anything of them away: 16 hexadecimal digits, "" for no key.
func KeyCheck(dataKey []byte) string {
	if len(dataKey) == 0 {
		return ""
	}
	return hex.EncodeToString(derive(dataKey, "brock/key-check/v1", 8))
}

// derive returns n bytes that only the holder of the data key can compute, and
// that tell nothing about the key or about those under another label.
func derive(dataKey []byte, label string, n int) []byte {
	b, err := hkdf.Key(sha256.New, dataKey, nil, label, n)
	if err != nil {
		panic(err) // n is a constant far below the limit of 255 hashes
	}
	return b
}

// checkKey accepts no key and the keys of AES.
func checkKey(dataKey []byte) error {
	switch len(dataKey) {
	case 0, 16, 24, 32:
		return nil
	}
	return fmt.Errorf("data key of %d bytes: %w: AES takes 16, 24 or 32", len(dataKey), fs.ErrInvalid)
}

// keyStream returns the key stream of a file at an offset behind its IV.
func keyStream(block cipher.Block, iv []byte, offset int64) cipher.Stream {
	var counter [ivSize]byte
	lo := binary.BigEndian.Uint64(iv[8:])
	sum := lo + uint64(offset)/aes.BlockSize
	hi := binary.BigEndian.Uint64(iv)
	if sum < lo {
		hi++
	}
	binary.BigEndian.PutUint64(counter[:], hi)
	binary.BigEndian.PutUint64(counter[8:], sum)
	s := cipher.NewCTR(block, counter[:])
	if skip := int(offset % aes.BlockSize); skip > 0 {
		var discard [aes.BlockSize]byte
		s.XORKeyStream(discard[:skip], discard[:skip])
	}
	return s
}
