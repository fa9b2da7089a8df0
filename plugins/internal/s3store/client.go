package s3store

import (
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/brock-backup/brock/sdk"
)

// A client is a bucket, and how to talk to it.
type client struct {
	core       *minio.Core
	bucket     string
	prefix     string // "" or ending in "/"
	place      string // for people, without secrets: "s3://host/bucket/prefix"
	secure     bool
	sse        encrypt.ServerSide     // nil: the bucket's own rule
	put        minio.PutObjectOptions // what every write has in common
	partSize   int64                  // bytes
	checksum   string                 // "auto", "crc32c", "sha256" or "off"
	abortAfter time.Duration          // 0: never
}

// key returns the object key of an object's name.
func (c *client) key(name string) string { return c.prefix + name }

func (c *client) fail(what string, err error) error { return err }

func (c *client) facts() []sdk.Finding { return nil }
