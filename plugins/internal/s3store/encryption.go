package s3store

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"strings"

	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/brock-backup/brock/sdk"
)

// encryption reads the setting sse. It returns nil if there is none: the bucket
// may have a rule of its own.
func (cfg *Config) encryption() (encrypt.ServerSide, error) {
	kind, arg, _ := strings.Cut(cfg.SSE, ":")
	switch {
	case cfg.SSE == "":
		return nil, nil
	case cfg.SSE == "s3":
		return encrypt.NewSSE(), nil
	case kind == "kms" && (arg != "" || cfg.SSE == "kms"):
		return encrypt.NewSSEKMS(arg, nil)
	case kind == "c" && arg != "":
		key, err := readKey(arg)
		if err != nil {
			return nil, err
		}
		return encrypt.NewSSEC(key)
	}
	return nil, sdk.WithHint(setting("sse", "%q is unknown", cfg.SSE), "it is s3, kms, kms:KEYID, or c:FILE with a key of 32 bytes")
}

// keySize is that of a key for SSE-C, in bytes.
const keySize = 32

// readKey reads a key for SSE-C: its bytes, or those in base64 or hexadecimal.
func readKey(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, setting("sse", "key file: %v", err)
	}
	if len(data) == keySize {
		return data, nil
	}
	text := strings.TrimSpace(string(data))
	if key, err := hex.DecodeString(text); err == nil && len(key) == keySize {
		return key, nil
	}
	if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) == keySize {
		return key, nil
	}
	return nil, setting("sse", "key file %s holds no key of %d bytes, plain, in base64 or in hexadecimal", file, keySize)
}
