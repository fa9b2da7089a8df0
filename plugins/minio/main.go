// Command brock-destination-minio keeps backups in a bucket of a MinIO server.
//
//	minio://minio.example.com:9000/bucket/prefix
//	minio://127.0.0.1:9000/bucket/prefix?secure=false   without TLS
//
// Credentials are those of the settings accessKey and secretKey, or else of the
// environment: MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or MINIO_ROOT_USER and
// MINIO_ROOT_PASSWORD. The setting credentials names other places, such as
// web-identity: MinIO's own token service then takes the token. Where nothing is
// found, requests are anonymous.
package main

import (
	"context"

	"github.com/brock-backup/brock/plugins/internal/s3store"
	"github.com/brock-backup/brock/sdk"
)

// Config is what a user writes for this destination.
type Config struct {
	URI string `json:"uri" required:"true" doc:"server, bucket and prefix that hold the backups" example:"minio://127.0.0.1:9000/bucket/prefix"`
	s3store.Config
}

var plugin = sdk.Plugin{
	Name:    "minio",
	Version: s3store.Version,
	Doc:     "Keeps backups in a bucket of a MinIO server.",
	Schemes: []string{"minio"},
	Limits:  s3store.Limits,
	Env:     s3store.Env("minio"),
}

func open(ctx context.Context, cfg Config) (*s3store.Store, error) {
	return s3store.Open(ctx, cfg.URI, cfg.Config)
}

func main() { sdk.ServeDestination(plugin, open) }
