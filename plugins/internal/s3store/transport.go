package s3store

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/sdk"
)

// A transport carries the requests of a client. It notes what the answers tell
// beside the point: the store's clock, the bucket's region, the version of TLS.
// A refusal of credentials that have been renewed meanwhile becomes an error that
// is worth another try. So does an answer that no S3 server has given: nothing
// about an object is to be learned from the error page of a proxy.
type transport struct {
	base     *http.Transport
	keys     *keys
	trace    bool
	place    string
	host     string // of the endpoint
	bucket   string
	guess    string // region, where the store does not tell
	requests atomic.Int64
	answered atomic.Bool  // once at least
	skew     atomic.Int64 // how far the store's clock is ahead of this one, in ns
	region   atomic.Value // string; what the store said
	tls      atomic.Uint32
}

// The limits of waiting. A transfer itself may take as long as it moves.
const (
	dialTime   = 10 * time.Second
	tlsTime    = 10 * time.Second
	answerTime = time.Minute // from the end of the request to the answer's first byte
	keepTime   = 50 * time.Second
	nearTime   = time.Second // to connect to what is on this machine, or nowhere
)

// newHTTP returns the connections to the store. Proxies are those of the
// environment.
func newHTTP(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:   tlsTime,
		ResponseHeaderTimeout: answerTime,
		IdleConnTimeout:       keepTime,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   32,
		WriteBufferSize:       128 << 10,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true, // objects come as they are
	}
}

// newNear returns the connections to services of this machine.
func newNear() *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: nearTime}).DialContext,
		ResponseHeaderTimeout: 5 * time.Second,
		DisableKeepAlives:     true,
	}
}

// proxy is http.ProxyFromEnvironment, except that no error shows a password.
func proxy(req *http.Request) (u *url.URL, err error) {
	if u, err = http.ProxyFromEnvironment(req); err != nil {
		return nil, errProxy
	}
	return u, nil
}

var errProxy = errors.New("a proxy variable of the environment holds no valid URL")

// pool returns the certificates that a server's may be signed with: those of the
// system, among them SSL_CERT_FILE's, and those of AWS_CA_BUNDLE and ca_file.
func pool(caFile string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	for _, f := range []struct{ name, path string }{{"variable AWS_CA_BUNDLE", os.Getenv("AWS_CA_BUNDLE")}, {"setting ca_file", caFile}} {
		if f.path == "" {
			continue
		}
		pem, err := os.ReadFile(f.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %v: %w", f.name, err, sdk.ErrInvalid) //nolint:errorlint // a file that is missing is no object that is
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s holds no certificate in PEM: %w", f.name, f.path, sdk.ErrInvalid)
		}
	}
	return roots, nil
}

// RoundTrip sends one request.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if where(req) && (amazon(t.host) || isAccelerate(t.host)) {
		if region := t.ask(req); region != "" {
			t.learn(region)
			return constraint(req, region), nil
		}
	}
	begin := time.Now()
	res, err := t.send(req)
	if err != nil {
		return nil, clean(err)
	}
	if res.StatusCode < 300 {
		if isPage(res) && res.ContentLength != 0 {
			res.Body.Close()
			return nil, &foreignAnswer{status: res.Status}
		}
		if where(req) {
			return t.located(res)
		}
		return res, nil
	}
	return t.refused(req, res, begin)
}

// send sends one request, and notes what the answer tells.
func (t *transport) send(req *http.Request) (*http.Response, error) {
	t.requests.Add(1)
	begin := time.Now()
	res, err := t.base.RoundTrip(req)
	if t.trace {
		trace(req, res, err, time.Since(begin))
	}
	if err == nil {
		t.note(res, begin)
	}
	return res, err
}

// note remembers what every answer tells.
func (t *transport) note(res *http.Response, begin time.Time) {
	if res.TLS != nil {
		t.tls.Store(uint32(res.TLS.Version))
	}
	if !t.answered.Load() {
		t.answered.Store(true)
	}
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return
	}
	// The header has whole seconds, and is written between begin and now.
	now := time.Now()
	switch first, last := date, date.Add(time.Second); {
	case first.After(now):
		t.skew.Store(int64(first.Sub(now)))
	case last.Before(begin):
		t.skew.Store(int64(last.Sub(begin)))
	default:
		t.skew.Store(0)
	}
}

// peekSize is how much of the body of a refusal is looked at, in bytes.
const peekSize = 64 << 10

// refused looks at an answer that is none of success.
func (t *transport) refused(req *http.Request, res *http.Response, begin time.Time) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, peekSize))
	res.Body.Close()
	if err != nil {
		return nil, clean(err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	said := read(res, body)
	switch {
	case foreign(req, res, body):
		return nil, &foreignAnswer{status: res.Status, text: oneLine(string(body)), notFound: res.StatusCode == http.StatusNotFound}
	case where(req) && tellsNothing(said):
		return t.relocate(req, said), nil
	case credentialCode(said.Code, req, res) && t.keys.refused(req.Context(), begin):
		return nil, &renewed{said}
	}
	if wait := waiting(res.Header.Get("Retry-After")); wait > 0 {
		return nil, &busyAnswer{said, wait}
	}
	if res.StatusCode == http.StatusForbidden && !rights.MatchString(said.Message) && isDenial(said) {
		said.Message = strings.TrimSuffix(said.Error(), ".")
		res.Header.Set("X-Minio-Error-Desc", said.Message+": "+t.right(req)) // minio-go takes the message from there
	}
	return res, nil
}

// isDenial reports whether a refusal is of what was asked for, and not of the
// credentials or of something else.
func isDenial(said minio.ErrorResponse) bool {
	return said.Code == minio.AccessDenied || strings.HasPrefix(said.Code, "403") || said.Code == "Forbidden"
}

// right returns the action that a policy must allow for a request.
func (t *transport) right(req *http.Request) string {
	q := req.URL.Query()
	key := strings.Trim(req.URL.Path, "/")
	if !strings.HasPrefix(req.URL.Host, t.bucket+".") {
		key = strings.TrimPrefix(strings.TrimPrefix(key, t.bucket), "/")
	}
	switch {
	case key == "":
		for name, right := range map[string]string{
			"uploads": "s3:ListBucketMultipartUploads", "versions": "s3:ListBucketVersions", "location": "s3:GetBucketLocation",
			"versioning": "s3:GetBucketVersioning", "object-lock": "s3:GetBucketObjectLockConfiguration",
		} {
			if q.Has(name) {
				return right
			}
		}
		return "s3:ListBucket"
	case req.Method == http.MethodGet && q.Has("uploadId"):
		return "s3:ListMultipartUploadParts"
	case req.Method == http.MethodGet, req.Method == http.MethodHead:
		return "s3:GetObject"
	case req.Method == http.MethodDelete && q.Has("uploadId"):
		return "s3:AbortMultipartUpload"
	case req.Method == http.MethodDelete && q.Has("versionId"):
		return "s3:DeleteObjectVersion"
	case req.Method == http.MethodDelete:
		return "s3:DeleteObject"
	case req.Header.Get("X-Amz-Object-Lock-Mode") != "":
		return "s3:PutObject, s3:PutObjectRetention"
	}
	return "s3:PutObject"
}

// read parses a refusal as minio-go does.
func read(res *http.Response, body []byte) minio.ErrorResponse {
	said := minio.ErrorResponse{StatusCode: res.StatusCode}
	if xml.Unmarshal(body, &said) != nil {
		said = minio.ErrorResponse{StatusCode: res.StatusCode}
	}
	for _, h := range []struct {
		to   *string
		name string
	}{
		{&said.Code, "X-Minio-Error-Code"},
		{&said.Message, "X-Minio-Error-Desc"},
		{&said.RequestID, "X-Amz-Request-Id"},
		{&said.HostID, "X-Amz-Id-2"},
		{&said.Region, "X-Amz-Bucket-Region"},
	} {
		if *h.to == "" {
			*h.to = strings.Trim(res.Header.Get(h.name), `"`)
		}
	}
	if said.Code == "" {
		said.Code = res.Status
	}
	said.Server = res.Header.Get("Server")
	return said
}

// isPage recognises what is meant for people. A store may have such objects, but
// it says who it is; and Google's calls its answers to writes so.
func isPage(res *http.Response) bool {
	ours := res.Header.Get("X-Amz-Request-Id") != "" || res.Header.Get("X-Guploader-Uploadid") != ""
	return strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") && !ours
}

// foreign recognises the page of a proxy, or of a web server that is no store.
func foreign(req *http.Request, res *http.Response, body []byte) bool {
	if req.Method == http.MethodHead {
		return isPage(res)
	}
	if isPage(res) || res.StatusCode == http.StatusNotFound {
		return xml.Unmarshal(body, new(minio.ErrorResponse)) != nil
	}
	return false
}

// refusals are the codes by which a store says that it does not take these
// credentials, as opposed to what they were used for.
var refusals = []string{
	minio.InvalidAccessKeyID, minio.SignatureDoesNotMatch, "ExpiredToken", "ExpiredTokenException", "InvalidToken",
	"InvalidTokenId", "TokenRefreshRequired", "InvalidClientTokenId", "RequestExpired",
}

// credentialCode reports whether other credentials may be taken. An answer
// without a body does not say why it is one, and requests without credentials are
// simply denied.
func credentialCode(code string, req *http.Request, res *http.Response) bool {
	if slices.Contains(refusals, code) {
		return true
	}
	if req.Header.Get("Authorization") == "" && res.StatusCode == http.StatusForbidden {
		return true
	}
	return req.Method == http.MethodHead && res.StatusCode == http.StatusBadRequest
}

// waiting reads Retry-After: seconds, or a date.
func waiting(header string) time.Duration {
	if header == "" {
		return 0
	}
	if d, err := time.ParseDuration(header + "s"); err == nil {
		return max(0, min(d, maxWait))
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(0, min(time.Until(date), maxWait))
	}
	return 0
}

// maxWait is the longest time that a store's wish to be left alone is heeded.
const maxWait = 5 * time.Minute

// where reports whether a request asks for the region of the bucket. minio-go
// sends one before all others, unless the region is set.
func where(req *http.Request) bool {
	return req.Method == http.MethodGet && (req.URL.RawQuery == "location=" || req.URL.RawQuery == "location")
}

// tellsNothing reports whether a refusal says no region, and is none that every
// other request would get too.
func tellsNothing(said minio.ErrorResponse) bool {
	switch said.StatusCode {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
		return true
	case http.StatusForbidden:
		return said.Region == "" && (said.Code == minio.AccessDenied || said.Code == minio.AllAccessDisabled)
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return true
	}
	return false
}

// located reads the region from an answer, and hands it on.
func (t *transport) located(res *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, peekSize))
	res.Body.Close()
	if err != nil {
		return nil, clean(err)
	}
	var said struct {
		XMLName xml.Name `xml:"LocationConstraint"`
		Region  string   `xml:",chardata"`
	}
	if xml.Unmarshal(body, &said) != nil {
		return nil, &foreignAnswer{status: res.Status, text: oneLine(string(body))}
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	t.learn(firstOf(strings.TrimSpace(said.Region), "us-east-1"))
	return res, nil
}

// ask asks Amazon for the head of the bucket, without credentials: whether it is
// given or not, it comes with the bucket's region. The request for the region
// itself is refused at endpoints other than that of us-east-1, for minio-go signs
// it for that, and what the refusal names is the endpoint's region. It returns ""
// if nothing was learnt.
func (t *transport) ask(req *http.Request) string {
	u := *req.URL
	u.RawQuery = ""
	head := (&http.Request{Method: http.MethodHead, URL: &u, Header: http.Header{}}).WithContext(req.Context())
	res, err := t.send(head)
	if err != nil {
		return "" // the next request fails in the same way, and says so
	}
	res.Body.Close()
	return res.Header.Get("X-Amz-Bucket-Region")
}

// relocate answers for a store that does not say where the bucket is to whoever
// asks this way.
func (t *transport) relocate(req *http.Request, said minio.ErrorResponse) *http.Response {
	if said.Region == "" {
		return constraint(req, t.guess)
	}
	t.learn(said.Region)
	return constraint(req, said.Region)
}

// constraint is the answer that minio-go expects to its question.
func constraint(req *http.Request, region string) *http.Response {
	var body bytes.Buffer
	body.WriteString("<LocationConstraint>")
	_ = xml.EscapeText(&body, []byte(region)) // a Buffer takes everything
	body.WriteString("</LocationConstraint>")
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Request: req, ContentLength: int64(body.Len()), Body: io.NopCloser(&body),
	}
}

// learn takes note of the bucket's region, and says so if the endpoint is
// another's.
func (t *transport) learn(region string) {
	if old, _ := t.region.Swap(region).(string); old == region {
		return
	}
	if of := regionOf(t.host); of != "" && of != region {
		sdk.Logger().Warn("the bucket is in another region than the endpoint, and requests go there",
			"place", t.place, "endpoint", t.host, "region", region)
	}
}

// close ends idle connections.
func (t *transport) close() { t.base.CloseIdleConnections() }

// A renewed is the answer to a request that was signed with credentials which are
// out of date by now.
type renewed struct{ minio.ErrorResponse }

func (e *renewed) Unwrap() error { return e.ErrorResponse }

// A busyAnswer is that of a store which asks to be left alone for a while.
type busyAnswer struct {
	minio.ErrorResponse
	wait time.Duration
}

func (e *busyAnswer) Unwrap() error { return e.ErrorResponse }

// A foreignAnswer is one that no S3 server has given.
type foreignAnswer struct {
	status, text string
	notFound     bool
}

func (e *foreignAnswer) Error() string {
	return "the answer is not that of an S3 server: HTTP " + e.status
}

// clean hides from minio-go that a connection has ended: it would put a text of
// its own in the error's place.
func clean(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	return err
}

var errCut = errors.New("the connection was closed before the answer was complete")

// oneLine makes a text of somebody else fit for an error.
func oneLine(s string) string {
	const most = 300 // bytes
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return strings.TrimSuffix(s, ".")
}

// trace logs a request and its answer. Headers that carry a secret are named,
// and their values left out.
func trace(req *http.Request, res *http.Response, err error, took time.Duration) {
	args := []any{"method", req.Method, "url", req.URL.Redacted(), "took", took.Round(time.Millisecond).String(), "request", headers(req.Header)}
	if res != nil {
		args = append(args, "status", res.StatusCode, "answer", headers(res.Header))
	}
	if err != nil {
		args = append(args, "error", oneLine(reasonOf(err)))
	}
	sdk.Logger().Info("trace", args...)
}

// shown are the headers whose values a trace shows.
var shown = []string{
	"accept", "accept-ranges", "cache-control", "connection", "content-length", "content-md5", "content-range", "content-type", "date", "etag",
	"expect", "host", "if-match", "if-none-match", "last-modified", "location", "range", "retry-after", "server", "transfer-encoding",
	"user-agent", "vary", "x-amz-bucket-region", "x-amz-content-sha256", "x-amz-date", "x-amz-delete-marker", "x-amz-id-2",
	"x-amz-request-id", "x-amz-storage-class", "x-amz-version-id", "x-amz-server-side-encryption", "x-minio-error-code", "x-minio-error-desc",
}

var shownPrefixes = []string{"x-amz-checksum-", "x-amz-object-lock-", "x-amz-meta-", "x-amz-sdk-", "x-amz-expiration"}

func headers(h http.Header) string {
	names := make([]string, 0, len(h))
	for n := range h {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		value, low := "[secret]", strings.ToLower(n)
		if slices.Contains(shown, low) || slices.ContainsFunc(shownPrefixes, func(p string) bool { return strings.HasPrefix(low, p) }) {
			value = oneLine(strings.Join(h[n], ", "))
		}
		fmt.Fprintf(&b, "%s: %s; ", n, value)
	}
	return strings.TrimSuffix(b.String(), "; ")
}
