// Package servers gives tests real servers to talk to: MinIO and versitygw for S3, Azurite for Azure, Vault.
//
// `make servers` builds them once, in pinned versions, into a cache directory, and starts each as a process of its own
// on a free port of 127.0.0.1. It writes what a client must know into one NAME.env per server, which shells can source
// and MinIO, Azurite and Vault here read. A test that finds no server is skipped, or fails where CI=true. `make
// servers-stop` ends them all.
//
//	func TestPut(t *testing.T) {
//		s := servers.MinIO(t)
//		client, err := minio.New(s.Endpoint, ...)
//
// Servers are shared by all tests of a run: a test makes buckets of its own, with random names, and removes them. One
// that wants to stop its server, or to set it up differently, starts its own (OwnMinIO, OwnVault); one that wants a
// bad network puts a Proxy in between.
//
// Where things are:
//
//	${XDG_CACHE_HOME:-~/.cache}/brock-servers/TOOL-VERSION/   finished programs
//	${BROCK_SERVERS:-${TMPDIR:-/tmp}/brock-servers}/          NAME.env, NAME.pid, NAME.log, and NAME/ for data
//
// The second is readable by its owner only: the env files hold credentials, which are new at every start. Servers are
// known by /proc, so this works on Linux.
package servers

import (
	"strconv"
	"testing"
)

// An S3 is a running S3 server on loopback.
type S3 struct {
	Endpoint             string // host:port
	Secure               bool   // speaks HTTPS
	CAFile               string // PEM of the authority that signed its certificate, if Secure
	AccessKey, SecretKey string // of its root user
	Region               string
	Binary               string // the server's program
	PID                  int
}

// URL returns the address with its scheme.
func (s S3) URL() string { return scheme(s.Secure) + "://" + s.Endpoint }

// MinIO returns the MinIO server that speaks plain HTTP. It encrypts objects when asked to (SSE-S3, SSE-KMS), takes
// BUCKET.s3.test as the host name of a bucket, and its region is us-east-1.
func MinIO(t testing.TB) S3 {
	t.Helper()
	return runningS3(t, minio)
}

// MinIOTLS returns a second MinIO, which speaks HTTPS for 127.0.0.1, ::1, localhost, s3.test and *.s3.test with a
// certificate that only CAFile vouches for.
func MinIOTLS(t testing.TB) S3 {
	t.Helper()
	return runningS3(t, minioTLS)
}

// Versity returns a versitygw over a folder, with versioning: an S3 server written by other people than MinIO's.
func Versity(t testing.TB) S3 {
	t.Helper()
	return runningS3(t, versitygw)
}

// MC returns the path of mc, MinIO's command line client. Run it in an environment of its own, in which HOME is an empty
// folder and MC_HOST_name=http://ACCESSKEY:SECRETKEY@host:port names a server.
func MC(t testing.TB) string {
	t.Helper()
	return installed(t, "minio", mc)
}

func runningS3(t testing.TB, s *server) S3 {
	t.Helper()
	return asS3(running(t, s))
}

func asS3(v vars, pid int) S3 {
	return S3{
		Endpoint:  v["S3_ENDPOINT"],
		Secure:    v["S3_SECURE"] == "true",
		CAFile:    v["S3_CA"],
		AccessKey: v["S3_ACCESS_KEY"],
		SecretKey: v["S3_SECRET_KEY"],
		Region:    v["S3_REGION"],
		Binary:    v["BINARY"],
		PID:       pid,
	}
}

func (s S3) vars() vars {
	return vars{
		"S3_ENDPOINT":   s.Endpoint,
		"S3_SECURE":     strconv.FormatBool(s.Secure),
		"S3_CA":         s.CAFile,
		"S3_ACCESS_KEY": s.AccessKey,
		"S3_SECRET_KEY": s.SecretKey,
		"S3_REGION":     s.Region,
	}
}

func scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}
