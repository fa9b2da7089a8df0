// Command brock-destination-s3 keeps backups in a bucket of Amazon S3, of Google
// Cloud Storage, or of any other store that speaks S3's protocol.
//
//	s3:///bucket/prefix                                Amazon; the region is found out
//	s3://s3.eu-central-1.amazonaws.com/bucket/prefix   Amazon, by way of this endpoint
//	s3://storage.example.com:9000/bucket/prefix        another store
//	gs://bucket/prefix                                 Google, with an HMAC key
//
// As in Dgraph, what stands where the host does and has neither a dot nor a port
// is no endpoint, and no bucket either: the bucket comes behind the third slash.
//
// Credentials are those of the settings accessKey and secretKey, or else of the
// environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; for
// gs GS_ACCESS_KEY_ID and GS_SECRET_ACCESS_KEY before them), of the shared
// credentials file, of a web identity token, of the container or of the machine.
// Where nothing is found, requests are anonymous.
package main

import (
	"context"

	"github.com/brock-backup/brock/plugins/internal/s3store"
	"github.com/brock-backup/brock/sdk"
)

// Config is what a user writes for this destination.
type Config struct {
	URI string `json:"uri" required:"true" doc:"bucket and prefix that hold the backups" example:"s3:///bucket/prefix"`
	s3store.Config
}

var plugin = sdk.Plugin{
	Name:    "s3",
	Version: s3store.Version,
	Doc:     "Keeps backups in a bucket of Amazon S3, of Google Cloud Storage, or of another store that speaks S3.",
	Schemes: []string{"s3", "gs"},
	Limits:  s3store.Limits,
	Env:     s3store.Env("s3", "gs"),
}

func open(ctx context.Context, cfg Config) (*s3store.Store, error) {
	return s3store.Open(ctx, cfg.URI, cfg.Config)
}

func main() { sdk.ServeDestination(plugin, open) }
