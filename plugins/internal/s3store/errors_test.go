package s3store

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// everyKind is all that an error can be.
var everyKind = []error{
	sdk.ErrNotExist, sdk.ErrExist, sdk.ErrPermission, sdk.ErrInvalid, sdk.ErrConflict, sdk.ErrUnavailable, sdk.ErrNoSpace, sdk.ErrCorrupt, sdk.ErrUnsupported,
	context.Canceled, context.DeadlineExceeded,
}

func checkKind(t *testing.T, what string, err, want error) {
	t.Helper()
	for _, kind := range everyKind {
		if errors.Is(err, kind) != (kind == want) { //nolint:errorlint // these are the kinds themselves
			t.Errorf("%s: %v: of kind %q: %v; want %v alone", what, err, kind, errors.Is(err, kind), want)
		}
	}
}

func TestKindsOfAnswers(t *testing.T) {
	c := &client{bucket: "bucket", place: "s3://host/bucket", secure: true}
	for _, row := range []struct {
		code   string
		status int
		want   error
	}{
		{"NoSuchKey", 404, sdk.ErrNotExist},
		{"NoSuchBucket", 404, sdk.ErrNotExist},
		{"NoSuchUpload", 404, nil},
		{"404 Not Found", 404, nil},
		{"AccessDenied", 403, sdk.ErrPermission},
		{"InvalidAccessKeyId", 403, sdk.ErrPermission},
		{"SignatureDoesNotMatch", 403, sdk.ErrPermission},
		{"ExpiredToken", 400, sdk.ErrPermission},
		{"RequestTimeTooSkewed", 403, sdk.ErrPermission},
		{"401 Unauthorized", 401, sdk.ErrPermission},
		{"MethodNotAllowed", 405, sdk.ErrPermission},
		{"SlowDown", 503, sdk.ErrUnavailable},
		{"SlowDownWrite", 503, sdk.ErrUnavailable},
		{"TooManyRequests", 429, sdk.ErrUnavailable},
		{"429 Too Many Requests", 429, sdk.ErrUnavailable},
		{"InternalError", 500, sdk.ErrUnavailable},
		{"502 Bad Gateway", 502, sdk.ErrUnavailable},
		{"XMinioServerNotInitialized", 503, sdk.ErrUnavailable},
		{"OperationAborted", 409, sdk.ErrUnavailable},
		{"BadDigest", 400, sdk.ErrUnavailable},
		{"IncompleteBody", 400, sdk.ErrUnavailable},
		{"XMinioStorageFull", 507, sdk.ErrNoSpace},
		{"507 Insufficient Storage", 507, sdk.ErrNoSpace},
		{"XMinioAdminBucketQuotaExceeded", 400, sdk.ErrNoSpace},
		{"PreconditionFailed", 412, sdk.ErrConflict},
		{"InvalidArgument", 400, sdk.ErrInvalid},
		{"EntityTooLarge", 400, sdk.ErrInvalid},
		{"InvalidObjectState", 403, sdk.ErrInvalid},
		{"PermanentRedirect", 301, sdk.ErrInvalid},
		{"TemporaryRedirect", 307, sdk.ErrUnavailable},
		{"302 Found", 302, sdk.ErrInvalid},
		{"AuthorizationHeaderMalformed", 400, sdk.ErrInvalid},
		{"InvalidBucketState", 409, sdk.ErrInvalid},
		{"NotImplemented", 501, sdk.ErrUnsupported},
		{"SomethingNew", 418, nil},
		{"SomethingNew", 400, sdk.ErrInvalid},
	} {
		said := minio.ErrorResponse{Code: row.code, StatusCode: row.status, Message: "As it is.", RequestID: "REQ1", Region: "eu-west-1"}
		err := c.fail("a/b", fmt.Errorf("wrapped: %w", said))
		checkKind(t, row.code, err, row.want)
		for _, want := range []string{"a/b: ", fmt.Sprintf("HTTP %d", row.status), "request REQ1"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %q", row.code, err, want)
			}
		}
		if got, status := code(err); got != row.code || status != row.status {
			t.Errorf("%s: the answer is lost: %q, %d", row.code, got, status)
		}
		if again := c.fail("other", err); again.Error() != err.Error() {
			t.Errorf("told twice: %v", again)
		}
	}
}

func TestKindsOfNetworkFailures(t *testing.T) {
	c := &client{bucket: "bucket", place: "s3://host/bucket", secure: true, t: &transport{}}
	lost := func(err error) error {
		return &url.Error{Op: "Put", URL: "https://host/bucket/key", Err: &net.OpError{Op: "dial", Net: "tcp", Err: err}}
	}
	for name, row := range map[string]struct {
		err  error
		kind error
		hint string
	}{
		"refused":            {lost(os.NewSyscallError("connect", syscall.ECONNREFUSED)), sdk.ErrUnavailable, "server running"},
		"forbidden":          {lost(os.NewSyscallError("connect", syscall.EACCES)), sdk.ErrUnavailable, ""}, // a firewall is no store
		"reset":              {lost(os.NewSyscallError("read", syscall.ECONNRESET)), sdk.ErrUnavailable, ""},
		"timeout":            {lost(context.DeadlineExceeded), sdk.ErrUnavailable, "firewall"},
		"stalled":            {lost(context.Canceled), sdk.ErrUnavailable, ""},
		"cut":                {lost(clean(io.EOF)), sdk.ErrUnavailable, ""},
		"no such host":       {lost(&net.DNSError{Name: "host", IsNotFound: true, Err: "no such host"}), sdk.ErrInvalid, "spelt"},
		"name service":       {lost(&net.DNSError{Name: "host", IsTemporary: true, Err: "server misbehaving"}), sdk.ErrUnavailable, "name service"},
		"unknown authority":  {&url.Error{Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, sdk.ErrInvalid, "ca_file"},
		"another name":       {&url.Error{Err: &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "host"}}}, sdk.ErrInvalid, "certificate"},
		"out of date":        {&url.Error{Err: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}}, sdk.ErrInvalid, "clock"},
		"bad proxy":          {&url.Error{Err: errProxy}, sdk.ErrInvalid, "HTTPS_PROXY"},
		"proxy out of reach": {&url.Error{Err: &net.OpError{Op: "proxyconnect", Net: "tcp", Err: syscall.ECONNREFUSED}}, sdk.ErrUnavailable, "NO_PROXY"},
	} {
		err := c.fail("a/b", row.err)
		checkKind(t, name, err, row.kind)
		if !strings.Contains(sdk.Hint(err), row.hint) || strings.Contains(err.Error(), "bucket/key") {
			t.Errorf("%s: %v, hint %q, want %q", name, err, sdk.Hint(err), row.hint)
		}
	}
	c.t.answered.Store(true)
	checkKind(t, "a name that had an address before", c.fail("x", lost(&net.DNSError{Name: "host", IsNotFound: true})), sdk.ErrUnavailable)
	if c.fail("x", nil) != nil {
		t.Error("an error out of nothing")
	}
}

// What a real MinIO says, and what becomes of it.
func TestRealErrors(t *testing.T) {
	s := servers.MinIO(t)
	bare(t)
	there := bucket(t, s, minio.MakeBucketOptions{})
	id, _ := user(t, s)
	reader, readerSecret := strings.ToLower(rand.Text()), rand.Text()
	mc(t, s, "admin", "user", "add", "s", reader, readerSecret)
	t.Cleanup(func() { mc(t, s, "admin", "user", "remove", "s", reader) })
	mc(t, s, "admin", "policy", "attach", "s", "readonly", "--user", reader)
	nobody, nobodySecret := strings.ToLower(rand.Text()), rand.Text()
	mc(t, s, "admin", "user", "add", "s", nobody, nobodySecret)
	t.Cleanup(func() { mc(t, s, "admin", "user", "remove", "s", nobody) })
	small := bucket(t, s, minio.MakeBucketOptions{})
	mc(t, s, "quota", "set", "s/"+small, "--size", "1MiB")
	as := func(id, secret string) func(*Config) {
		return func(c *Config) { c.AccessKey, c.SecretKey = sdk.NewSecret(id), sdk.NewSecret(secret) }
	}
	put := func(s *Store) error { return s.Put(t.Context(), "new", strings.NewReader(strings.Repeat("x", 2<<20))) }
	get := func(s *Store) error { return second(s.Get(t.Context(), "absent", 0)) }
	head := func(s *Store) error {
		_, err := s.head(t.Context(), "absent")
		return err
	}
	remove := func(s *Store) error { return s.Delete(t.Context(), "absent") }
	inParts := func(s *Store) error {
		w := &writing{s: s, name: "new", token: "x"}
		_, err := w.begin(t.Context())
		return err
	}
	list := func(s *Store) error {
		for _, err := range s.List(t.Context(), "") {
			if err != nil {
				return err
			}
		}
		return nil
	}
	for name, c := range map[string]struct {
		bucket string
		cfg    []func(*Config)
		do     func(*Store) error
		kind   error
		text   string
		hint   string
	}{
		"absent":                 {there, []func(*Config){keyed(s)}, get, sdk.ErrNotExist, "absent", ""},
		"no bucket, Put":         {"brock-nowhere", []func(*Config){keyed(s)}, put, sdk.ErrNotExist, "NoSuchBucket", "make the bucket first"},
		"no bucket, List":        {"brock-nowhere", []func(*Config){keyed(s)}, list, sdk.ErrNotExist, "NoSuchBucket", "make the bucket first"},
		"no bucket, Get":         {"brock-nowhere", []func(*Config){keyed(s)}, get, sdk.ErrNotExist, "no bucket", ""},
		"unknown key":            {there, []func(*Config){as("canary-id", "canary-secret")}, put, sdk.ErrPermission, "InvalidAccessKeyId", "settings accessKey"},
		"wrong secret":           {there, []func(*Config){as(id, "canary-secret")}, put, sdk.ErrPermission, "SignatureDoesNotMatch", "settings accessKey"},
		"wrong secret, List":     {there, []func(*Config){as(id, "canary-secret")}, list, sdk.ErrPermission, "SignatureDoesNotMatch", "settings accessKey"},
		"a reader writes":        {there, []func(*Config){as(reader, readerSecret)}, put, sdk.ErrPermission, "AccessDenied", "allow them s3:PutObject"},
		"a reader writes parts":  {there, []func(*Config){as(reader, readerSecret)}, inParts, sdk.ErrPermission, "AccessDenied", "allow them s3:PutObject"},
		"a reader deletes":       {there, []func(*Config){as(reader, readerSecret)}, remove, sdk.ErrPermission, "AccessDenied", "allow them s3:DeleteObject"},
		"no rights, Put":         {there, []func(*Config){as(nobody, nobodySecret)}, put, sdk.ErrPermission, "AccessDenied", "allow them s3:PutObject"},
		"no rights, Get":         {there, []func(*Config){as(nobody, nobodySecret)}, get, sdk.ErrPermission, "AccessDenied", "allow them s3:GetObject"},
		"no rights, head":        {there, []func(*Config){as(nobody, nobodySecret)}, head, sdk.ErrPermission, "AccessDenied", "allow them s3:GetObject"},
		"no rights, List":        {there, []func(*Config){as(nobody, nobodySecret)}, list, sdk.ErrPermission, "AccessDenied", "allow them s3:ListBucket"},
		"capitals":               {"Acme-DR", []func(*Config){keyed(s)}, list, sdk.ErrInvalid, "bucket", "lower case letters"},
		"nobody writes":          {there, nil, put, sdk.ErrPermission, "AccessDenied", "no credentials were found"},
		"nobody reads":           {there, nil, get, sdk.ErrPermission, "AccessDenied", "no credentials were found (looked at: environment (AWS_ACCESS_KEY_ID), file"},
		"anonymous writes":       {there, []func(*Config){func(c *Config) { c.Anonymous = true }}, put, sdk.ErrPermission, "AccessDenied", "anonymous=true"},
		"wrong region":           {there, []func(*Config){keyed(s), func(c *Config) { c.Region = "eu-west-1" }}, put, sdk.ErrInvalid, "in region us-east-1", "region=us-east-1"},
		"no object lock":         {there, []func(*Config){keyed(s), func(c *Config) { c.ObjectLock = "governance:1d" }}, put, sdk.ErrInvalid, "request ", "without object lock"},
		"quota":                  {small, []func(*Config){keyed(s)}, put, sdk.ErrNoSpace, "QuotaExceeded", "quota"},
		"no such storage class":  {there, []func(*Config){keyed(s), func(c *Config) { c.StorageClass = "CHEAP" }}, put, sdk.ErrInvalid, "InvalidStorageClass", "storage_class"},
		"no such encryption key": {there, []func(*Config){keyed(s), func(c *Config) { c.SSE = "kms:no-such-key" }}, put, sdk.ErrInvalid, "kms", "sse"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.do(on(t, s, c.bucket, c.cfg...))
			t.Logf("%v\n    %s", err, sdk.Hint(err))
			checkKind(t, name, err, c.kind)
			said := fmt.Sprintf("%v %+v %#v %s", err, err, err, sdk.Hint(err))
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(c.text)) || !strings.Contains(sdk.Hint(err), c.hint) || strings.Contains(said, "canary") {
				t.Errorf("%v, hint %q; want %q, hint %q", err, sdk.Hint(err), c.text, c.hint)
			}
		})
	}
}

func second[T io.Closer](c T, err error) error {
	if err == nil {
		c.Close()
	}
	return err
}

// A denial names the right that was missing, of whatever request, and nothing but
// that.
func TestRights(t *testing.T) {
	tr := &transport{bucket: "bucket"}
	for _, c := range []struct{ method, url, want string }{
		{"GET", "https://h/bucket/?list-type=2&prefix=a%2F", "s3:ListBucket"},
		{"GET", "https://bucket.h/?list-type=2", "s3:ListBucket"},
		{"HEAD", "https://h/bucket/", "s3:ListBucket"},
		{"GET", "https://h/bucket/?uploads=&prefix=a", "s3:ListBucketMultipartUploads"},
		{"GET", "https://h/bucket/?versioning=", "s3:GetBucketVersioning"},
		{"GET", "https://h/bucket/a/b", "s3:GetObject"},
		{"GET", "https://bucket.h/bucket/b", "s3:GetObject"},
		{"HEAD", "https://bucket.h/a", "s3:GetObject"},
		{"PUT", "https://h/bucket/a", "s3:PutObject"},
		{"POST", "https://h/bucket/a?uploads=", "s3:PutObject"},
		{"PUT", "https://h/bucket/a?partNumber=1&uploadId=x", "s3:PutObject"},
		{"GET", "https://h/bucket/a?uploadId=x", "s3:ListMultipartUploadParts"},
		{"DELETE", "https://h/bucket/a?uploadId=x", "s3:AbortMultipartUpload"},
		{"DELETE", "https://h/bucket/a", "s3:DeleteObject"},
		{"DELETE", "https://h/bucket/a?versionId=x", "s3:DeleteObjectVersion"},
	} {
		if got := tr.right(httptest.NewRequest(c.method, c.url, http.NoBody)); got != c.want {
			t.Errorf("%s %s needs %s, want %s", c.method, c.url, got, c.want)
		}
	}
	said := minio.ErrorResponse{Code: "AccessDenied", Message: "User: arn:aws:iam::1:user/x is not authorized to perform: s3:PutObject on resource: \"arn:aws:s3:::b/k\""}
	if got := rightsOf(said); got != "s3:PutObject" {
		t.Errorf("Amazon says %q", got)
	}
}

// What Amazon's own tools call s3://bucket/prefix is said to be another bucket.
func TestBucketInTheHostsPlace(t *testing.T) {
	s := servers.MinIO(t)
	bare(t)
	name := bucket(t, s, minio.MakeBucketOptions{})
	for _, c := range []struct{ uri, code, want string }{
		{"s3://" + name + "/nowhere", minio.NoSuchBucket, "s3:///" + name + "/nowhere; if not, make the bucket first"},
		{"s3://" + name + "/" + name + "/x", minio.AccessDenied, "s3:///" + name + "/" + name + "/x; if not, credentials from"},
	} {
		st, err := Open(t.Context(), c.uri, defaults(keyed(s), func(cfg *Config) {
			cfg.Endpoint, cfg.Secure = s.Endpoint, s.Secure
			if c.code == minio.AccessDenied {
				cfg.AccessKey, cfg.SecretKey = sdk.NewSecret("nobody"+strings.ToLower(name[6:])), sdk.NewSecret("nobody-secret")
				mc(t, s, "admin", "user", "add", "s", cfg.AccessKey.RevealString(), "nobody-secret")
				t.Cleanup(func() { mc(t, s, "admin", "user", "remove", "s", cfg.AccessKey.RevealString()) })
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		err = st.Probe(t.Context())
		if codeOf(err) != c.code || !strings.Contains(sdk.Hint(err), "write "+c.want) {
			t.Errorf("%s: %v, hint %q; want %s, %q", c.uri, err, sdk.Hint(err), c.code, c.want)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Everybody may read a public bucket, and nobody is asked who he is.
func TestPublicBucket(t *testing.T) {
	s := servers.MinIO(t)
	bare(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "canary") // not even looked at
	name := bucket(t, s, minio.MakeBucketOptions{})
	put(t, on(t, s, name, keyed(s)), "one", pattern(100))
	mc(t, s, "anonymous", "set", "download", "s/"+name)
	st := on(t, s, name, func(c *Config) { c.Anonymous = true })
	if got := get(t, st, "one", 50); len(got) != 50 {
		t.Errorf("%d bytes", len(got))
	}
	n := 0
	for _, err := range st.List(t.Context(), "") {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d objects", n)
	}
	err := st.Put(t.Context(), "two", strings.NewReader("x"))
	checkKind(t, "Put", err, sdk.ErrPermission)
	if !strings.Contains(sdk.Hint(err), "anonymous") {
		t.Errorf("%v, hint %q", err, sdk.Hint(err))
	}
}

// between is a machine's network on which every clock is off by so much.
func between(t *testing.T, s servers.S3, off time.Duration) servers.S3 {
	t.Helper()
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			const layout = "20060102T150405Z"
			if at, err := time.Parse(layout, r.In.Header.Get("X-Amz-Date")); err == nil {
				r.Out.Header.Set("X-Amz-Date", at.Add(-off).Format(layout))
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if at, err := http.ParseTime(r.Header.Get("Date")); err == nil {
				r.Header.Set("Date", at.Add(off).Format(http.TimeFormat))
			}
			return nil
		},
	}
	p.Transport = &http.Transport{DisableKeepAlives: true}
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	s.Endpoint = front.Listener.Addr().String()
	return s
}

func TestClockSkew(t *testing.T) {
	s := servers.MinIO(t)
	bare(t)
	name := bucket(t, s, minio.MakeBucketOptions{})
	for off, want := range map[time.Duration]string{20 * time.Minute: "20m0s behind the store's", -20 * time.Minute: "20m0s ahead of the store's"} {
		st := on(t, between(t, s, off), name, keyed(s))
		err := st.Put(t.Context(), "x", strings.NewReader("x"))
		checkKind(t, "a wrong clock", err, sdk.ErrPermission)
		if err == nil || !strings.Contains(err.Error(), "RequestTimeTooSkewed") || !strings.Contains(sdk.Hint(err), "NTP") {
			t.Fatalf("%v, hint %q", err, sdk.Hint(err))
		}
		// One second more or less comes from rounding.
		if got := st.c.skew() - off; got.Abs() > 2*time.Second {
			t.Errorf("the clock is said to be off by %v, want %v", st.c.skew(), off)
		}
		if !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "20m1s") && !strings.Contains(err.Error(), "19m59s") {
			t.Errorf("%v, want %q", err, want)
		}
		facts := st.c.facts()
		if f := facts[len(facts)-1]; f.Name != "clock" || !f.Problem {
			t.Errorf("%+v", f)
		}
	}
	st := on(t, s, name, keyed(s))
	put(t, st, "x", pattern(1))
	if facts := st.c.facts(); facts[len(facts)-1].Problem || st.c.skew() != 0 {
		t.Errorf("the clock of this very machine: %+v", facts)
	}
}

// What a store asks for in passing is handed on.
func TestRetryAfter(t *testing.T) {
	s := servers.MinIO(t)
	bare(t)
	f := servers.Proxy(t, s.Endpoint)
	behind := s
	behind.Endpoint = f.Addr
	st := on(t, behind, bucket(t, s, minio.MakeBucketOptions{}), keyed(s))
	for _, c := range []struct {
		header string
		wait   time.Duration
	}{{"7", 7 * time.Second}, {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), maxWait}, {"", 0}, {"soon", 0}} {
		f.Do(func(*http.Request) servers.Action {
			return servers.Action{Status: 503, Code: "SlowDown", Header: http.Header{"Retry-After": {c.header}}}
		})
		_, err := st.c.core.StatObject(t.Context(), st.c.bucket, "x", minio.StatObjectOptions{})
		err = st.c.fail("x", err)
		checkKind(t, c.header, err, sdk.ErrUnavailable)
		if got := sdk.RetryAfter(err); got != c.wait {
			t.Errorf("Retry-After %q is %v, want %v: %v", c.header, got, c.wait, err)
		}
	}
}

// The page of something that is no store says nothing about objects.
func TestForeignAnswers(t *testing.T) {
	bare(t)
	var now atomic.Int32
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(int(now.Load()))
		_, _ = w.Write([]byte("<html><body><h1>canary</h1></body></html>"))
	}))
	t.Cleanup(page.Close)
	s := servers.S3{Endpoint: page.Listener.Addr().String(), AccessKey: "a", SecretKey: "b"}
	for _, status := range []int{404, 403, 200, 302} {
		now.Store(int32(status))
		st := on(t, s, "bucket", keyed(s), func(c *Config) { c.Region = "us-east-1" })
		_, err := st.c.core.StatObject(t.Context(), "bucket", "x", minio.StatObjectOptions{})
		_, _, _, gerr := st.c.core.GetObject(t.Context(), "bucket", "x", minio.GetObjectOptions{})
		for _, err := range []error{err, gerr} {
			if err = st.c.fail("x", err); !errors.Is(err, sdk.ErrInvalid) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "not that of an S3 server") {
				t.Errorf("HTTP %d: %v", status, err)
			}
		}
		located := on(t, s, "bucket", keyed(s))
		if err := located.Put(t.Context(), "x", strings.NewReader("x")); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "not that of an S3 server") {
			t.Errorf("HTTP %d: Put: %v", status, err)
		}
	}
	now.Store(502)
	st := on(t, s, "bucket", keyed(s))
	_, err := st.c.core.StatObject(t.Context(), "bucket", "x", minio.StatObjectOptions{})
	checkKind(t, "a gateway", st.c.fail("x", err), sdk.ErrUnavailable)
}

// Google's storage says that its answers to writes are HTML, and gives no request
// id of Amazon's.
func TestAnswersOfGoogle(t *testing.T) {
	m := servers.MinIO(t)
	bare(t)
	name := bucket(t, m, minio.MakeBucketOptions{})
	for _, header := range []string{"X-Guploader-Uploadid", ""} {
		proxy := &httputil.ReverseProxy{
			Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true},
			Rewrite: func(p *httputil.ProxyRequest) {
				p.Out.URL.Scheme, p.Out.URL.Host = "http", m.Endpoint
				p.Out.Host = p.In.Host
			},
			ModifyResponse: func(res *http.Response) error {
				res.Header.Del("X-Amz-Request-Id")
				if header != "" {
					res.Header.Set(header, "AEnB2U")
				}
				if res.Request.Method == http.MethodPut || header != "" && res.Request.Method == http.MethodPost {
					res.Header.Set("Content-Type", "text/html; charset=UTF-8")
				}
				return nil
			},
		}
		server := httptest.NewServer(proxy)
		t.Cleanup(server.Close)
		there := m
		there.Endpoint = server.Listener.Addr().String()
		st := on(t, there, name, keyed(m))
		for _, size := range []int{0, 10, 16<<20 + 1} {
			put(t, st, fmt.Sprintf("answer-%s/%d", header, size), pattern(size))
		}
	}
}

func TestTLS(t *testing.T) {
	s, plain := servers.MinIOTLS(t), servers.MinIO(t)
	bare(t)
	name := bucket(t, s, minio.MakeBucketOptions{})
	st := on(t, s, name, keyed(s))
	put(t, st, "one", pattern(100))
	if got := st.c.facts(); got[3].Name != "tls" || got[3].Detail != "TLS 1.3" || got[3].Problem {
		t.Errorf("%+v", got)
	}
	for what, c := range map[string]struct {
		s    servers.S3
		cfg  func(*Config)
		text string
		hint string
	}{
		"no authority":        {s, func(c *Config) { c.CAFile = "" }, "unknown authority", "ca_file"},
		"plain HTTP to TLS":   {s, func(c *Config) { c.CAFile, c.Secure = "", false }, "", "leave secure=false out"},
		"TLS to plain HTTP":   {plain, func(c *Config) { c.Secure = true }, "does not speak TLS", "secure=false"},
		"TLS of another name": {s, func(*Config) {}, "certificate", "named in the server's certificate"},
	} {
		server := c.s
		if what == "TLS of another name" {
			server.Endpoint = strings.Replace(server.Endpoint, "127.0.0.1", "127.0.0.2", 1)
			if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Endpoint); err != nil {
				server.Endpoint = forward(t, s.Endpoint, "127.0.0.2:0")
			} else {
				conn.Close()
			}
		}
		err := on(t, server, name, keyed(c.s), c.cfg).Put(t.Context(), "x", strings.NewReader("x"))
		t.Logf("%s: %v\n    %s", what, err, sdk.Hint(err))
		checkKind(t, what, err, sdk.ErrInvalid)
		if err == nil || !strings.Contains(err.Error(), c.text) || !strings.Contains(sdk.Hint(err), c.hint) {
			t.Errorf("%s: %v, hint %q", what, err, sdk.Hint(err))
		}
	}
	t.Setenv("AWS_CA_BUNDLE", s.CAFile)
	put(t, on(t, s, name, keyed(s), func(c *Config) { c.CAFile = "" }), "two", pattern(100))
	t.Setenv("AWS_CA_BUNDLE", "")

	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} // that is what must not work
	old.StartTLS()
	t.Cleanup(old.Close)
	ca := t.TempDir() + "/ca"
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: old.Certificate().Raw})))
	ancient := servers.S3{Endpoint: old.Listener.Addr().String(), Secure: true, CAFile: ca, AccessKey: "a", SecretKey: "b"}
	if err := on(t, ancient, name, keyed(ancient)).Put(t.Context(), "x", strings.NewReader("x")); err == nil || !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v", err)
	}
	empty := t.TempDir() + "/empty"
	write(t, empty, "nothing")
	if _, err := Open(t.Context(), "s3:///bucket", defaults(func(c *Config) { c.CAFile = empty })); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("%v", err)
	}
}

// forward carries connections from an address to another one.
func forward(t *testing.T, to, from string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", from)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in) }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return l.Addr().String()
}

// Three kinds of encryption by the store; a key of one's own is needed for reading.
func TestEncryption(t *testing.T) {
	s := servers.MinIOTLS(t)
	bare(t)
	name := bucket(t, s, minio.MakeBucketOptions{})
	file := t.TempDir() + "/key"
	write(t, file, hex.EncodeToString([]byte(strings.Repeat("canary!!", 4))))
	for _, sse := range []string{"s3", "kms", "kms:brock-tests", "c:" + file} {
		st := on(t, s, name, keyed(s), func(c *Config) { c.SSE = sse })
		object, _, _ := strings.Cut(sse, "/")
		put(t, st, object, pattern(100))
		if got := get(t, st, object, 10); len(got) != 90 {
			t.Errorf("%s: %d bytes", sse, len(got))
		}
		info, err := st.head(t.Context(), object)
		if err != nil {
			t.Errorf("%s: %v", sse, err)
		}
		encrypted := info.Headers.Get("X-Amz-Server-Side-Encryption") + info.Headers.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm")
		if want := map[bool]string{true: "aws:kms", false: "AES256"}[strings.HasPrefix(sse, "kms")]; encrypted != want {
			t.Errorf("%s: stored with %q, want %q", sse, encrypted, want)
		}
	}
	plain := on(t, s, name, keyed(s))
	_, err := plain.Get(t.Context(), "c:", 0)
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(sdk.Hint(err), "sse=c:FILE") {
		t.Errorf("read without the key: %v, hint %q", err, sdk.Hint(err))
	}
	_, err = plain.head(t.Context(), "c:")
	if err == nil || !strings.Contains(sdk.Hint(err), "sse=c:FILE") {
		t.Errorf("head without the key: %v, hint %q", err, sdk.Hint(err))
	}
}

// Nothing that a trace shows is secret.
func TestTraceShowsNoSecret(t *testing.T) {
	bare(t)
	var mu sync.Mutex
	var seen []http.Header
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header)
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(s.Close)
	ca := t.TempDir() + "/ca"
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	file := t.TempDir() + "/key"
	write(t, file, strings.Repeat("canary!!", 4))
	server := servers.S3{Endpoint: s.Listener.Addr().String(), Secure: true, CAFile: ca, AccessKey: "canary-id", SecretKey: "canary-secret"}
	st := on(t, server, "bucket", keyed(server), func(c *Config) {
		c.SSE, c.Region, c.SessionToken = "c:"+file, "us-east-1", sdk.NewSecret("canary-token")
	})
	_, err := st.c.core.PutObject(t.Context(), "bucket", "key", strings.NewReader("x"), 1, "", "", st.c.options())
	mu.Lock()
	defer mu.Unlock()
	if err == nil || len(seen) == 0 {
		t.Fatalf("%v, %d requests", err, len(seen))
	}
	shown := headers(seen[0])
	for _, secret := range []string{
		"canary", "Y2FuYXJ5", // in base64
		seen[0].Get("Authorization"), seen[0].Get("X-Amz-Server-Side-Encryption-Customer-Key"), seen[0].Get("X-Amz-Security-Token"),
	} {
		if secret == "" || strings.Contains(shown, secret) {
			t.Errorf("%q is shown, or was never sent: %s", secret, shown)
		}
	}
	for _, name := range []string{"Authorization: [secret]", "X-Amz-Date: 20", "brock/" + Version} {
		if !strings.Contains(shown, name) {
			t.Errorf("%q is not shown: %s", name, shown)
		}
	}
}
