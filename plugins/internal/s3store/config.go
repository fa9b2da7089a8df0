package s3store

import (
	"context"

	"github.com/brock-backup/brock/sdk"
)

// Config holds the settings that all plugins of this package have in common.
type Config struct {
	URI string `json:"uri" required:"true"`
}

// Open returns the Store at cfg.URI.
func Open(_ context.Context, cfg Config) (*Store, error) { return newStore(&client{}), sdk.ErrUnsupported }
