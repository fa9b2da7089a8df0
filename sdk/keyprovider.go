package sdk

import "context"

// A KeyProvider encrypts the keys that backups are encrypted with.
//
// The host makes a fresh data key for every backup, asks the provider to wrap
// it, and stores the wrapped key with the backup. The provider's own key stays
// where it is.
//
// Methods may be called concurrently. A KeyProvider that also implements
// [io.Closer] is closed when the host is done with it.
type KeyProvider interface {
	// Wrap encrypts a data key.
	Wrap(ctx context.Context, dataKey []byte) (WrappedKey, error)

	// Unwrap is the inverse of Wrap. It returns ErrWrongKey if this provider
	// does not hold the key that wrapped it.
	Unwrap(ctx context.Context, wrapped WrappedKey) (dataKey []byte, err error)
}

// A WrappedKey is a data key that only its KeyProvider can read.
type WrappedKey struct {
	KeyID      string // names the wrapping key, for people
	KeyVersion string // of the wrapping key, if it has versions, as in "3"
	Ciphertext []byte
}

// A KeyExporter is a KeyProvider that hands out its key, for backups whose
// files Dgraph itself must be able to read.
type KeyExporter interface {
	// ExportKey returns a raw key of 16, 24 or 32 bytes.
	ExportKey(ctx context.Context) (Secret, error)
}

// A KeyRotator is a KeyProvider in front of a key service, whose key has
// versions. Without it the host makes data keys itself, and unwraps and wraps
// where it would Rewrap.
type KeyRotator interface {
	// KeyStatus says which key wraps now.
	KeyStatus(ctx context.Context) (KeyStatus, error)

	// GenerateDataKey has the service make a data key of 32 bytes, and wrap it.
	GenerateDataKey(ctx context.Context) (Secret, WrappedKey, error)

	// RotateKey makes a new version of the key, which wraps from then on. It
	// returns ErrUnsupported where that is done elsewhere.
	RotateKey(ctx context.Context) (KeyStatus, error)

	// Rewrap wraps with the newest version of the key what an earlier one has
	// wrapped, without showing it. It fails as Unwrap does.
	Rewrap(ctx context.Context, wrapped WrappedKey) (WrappedKey, error)
}

// A KeyStatus says which key wraps now.
type KeyStatus struct {
	KeyID      string // as in a WrappedKey
	KeyVersion string // likewise
	Detail     string // more about it, in a line for people; never a secret
}
