// Package s3store keeps backups in a bucket of Amazon S3 or of something that
// speaks the same protocol. The plugins s3 and minio are thin mains around it.
package s3store
