package s3store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/sdk"
)

// A failure is what a store has said, or what became of a request. Its kind is
// one of the SDK's; what it wraps beside that is the store's own answer, and
// nothing that might be taken for another kind.
type failure struct {
	text   string
	kind   error // nil: none of the SDK's
	answer error // nil, or a minio.ErrorResponse
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() []error {
	var all []error
	for _, err := range []error{f.kind, f.answer} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// fail returns what went wrong with something, as one of the SDK's kinds. The
// text has the provider's code, the HTTP status and the request's id; the hint
// says what can be done.
func (c *client) fail(what string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*failure](err); ok {
		return err
	}
	if e, ok := errors.AsType[*noCredentials](err); ok {
		return fmt.Errorf("%s: %w", what, e.error)
	}
	if e, ok := errors.AsType[*foreignAnswer](err); ok {
		return c.failForeign(what, e)
	}
	if e, ok := errors.AsType[*renewed](err); ok {
		f := c.answer(what, e.ErrorResponse)
		f.text += "; the credentials have been renewed since"
		f.kind = sdk.ErrUnavailable
		return f
	}
	if e, ok := errors.AsType[*busyAnswer](err); ok {
		f := c.answer(what, e.ErrorResponse)
		return sdk.WithRetryAfter(c.hinted(f, e.ErrorResponse), e.wait)
	}
	if said, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return c.hinted(c.answer(what, said), said)
	}
	host := ""
	if c.core != nil {
		host = c.core.EndpointURL().Host
	}
	failed := networkFailure(what, err, host)
	if c.t != nil && c.t.answered.Load() && errors.Is(failed, sdk.ErrInvalid) && isDNS(err) {
		return &failure{text: failed.Error(), kind: sdk.ErrUnavailable} // it had an address before
	}
	return failed
}

func (c *client) failForeign(what string, e *foreignAnswer) error {
	f := &failure{text: fmt.Sprintf("%s: %s: %s", what, c.place, e.Error()), kind: sdk.ErrUnavailable}
	hint := "is a proxy in between, or is this the port of a console?"
	if strings.HasPrefix(e.status, "4") || strings.HasPrefix(e.status, "2") || strings.HasPrefix(e.status, "3") {
		f.kind = sdk.ErrInvalid
	}
	if !c.secure && speaksOfTLS(e.text) {
		hint = "this server wants TLS: leave secure=false out"
	}
	return sdk.WithHint(f, hint)
}

// answer puts a store's refusal into words.
func (c *client) answer(what string, said minio.ErrorResponse) *failure {
	text := oneLine(said.Error())
	if strings.Contains(text, "<") { // a page
		text = "refused"
	}
	f := &failure{answer: said, kind: kindOf(said)}
	switch said.Code {
	case minio.RequestTimeTooSkewed:
		text = "the clocks differ too much"
		if skew := c.skew(); skew != 0 {
			text = fmt.Sprintf("this machine's clock is %s the store's", apart(skew))
		}
	case "PermanentRedirect", "TemporaryRedirect", minio.AuthorizationHeaderMalformed, minio.InvalidRegion, "IllegalLocationConstraintException":
		if said.Region != "" {
			text = fmt.Sprintf("bucket %s is in region %s", c.bucket, said.Region)
		}
	case minio.NoSuchBucket:
		text = fmt.Sprintf("there is no bucket %s", c.bucket)
	}
	f.text = fmt.Sprintf("%s: %s (%s)", what, text, details(said))
	return f
}

// details are what the operator of a store wants to be told.
func details(said minio.ErrorResponse) string {
	var parts []string
	if said.Code != "" && !strings.Contains(said.Code, " ") { // else it is the status
		parts = append(parts, said.Code)
	}
	if said.StatusCode != 0 {
		parts = append(parts, fmt.Sprintf("HTTP %d", said.StatusCode))
	}
	if said.RequestID != "" && said.RequestID != "minio" { // of minio-go itself
		parts = append(parts, "request "+oneLine(said.RequestID))
	}
	return strings.Join(parts, ", ")
}

// apart says how far this machine's clock is from another one, which is ahead by
// d.
func apart(d time.Duration) string {
	if d > 0 {
		return d.Round(time.Second).String() + " behind"
	}
	return (-d).Round(time.Second).String() + " ahead of"
}

// kinds has the codes of Amazon S3, of those who speak its protocol, and of
// MinIO's own. What is not here is judged by its HTTP status.
var kinds = map[string]error{
	minio.NoSuchKey:    sdk.ErrNotExist,
	minio.NoSuchBucket: sdk.ErrNotExist,
	"NoSuchVersion":    sdk.ErrNotExist,
	minio.NoSuchUpload: nil, // no object is missing

	minio.AccessDenied:          sdk.ErrPermission,
	minio.AllAccessDisabled:     sdk.ErrPermission,
	"AccountProblem":            sdk.ErrPermission,
	"InvalidPayer":              sdk.ErrPermission,
	"NotSignedUp":               sdk.ErrPermission,
	"UserProjectMissing":        sdk.ErrPermission,
	minio.InvalidAccessKeyID:    sdk.ErrPermission,
	"InvalidClientTokenId":      sdk.ErrPermission,
	minio.SignatureDoesNotMatch: sdk.ErrPermission,
	"ExpiredToken":              sdk.ErrPermission,
	"ExpiredTokenException":     sdk.ErrPermission,
	"InvalidToken":              sdk.ErrPermission,
	"InvalidTokenId":            sdk.ErrPermission,
	"TokenRefreshRequired":      sdk.ErrPermission,
	"InvalidSecurity":           sdk.ErrPermission,
	"RequestExpired":            sdk.ErrPermission,
	"MissingSecurityHeader":     sdk.ErrPermission,
	minio.RequestTimeTooSkewed:  sdk.ErrPermission,
	"KMS.DisabledException":     sdk.ErrPermission,
	"KMS.AccessDeniedException": sdk.ErrPermission,
	"ObjectLocked":              sdk.ErrPermission,

	"SlowDown":                             sdk.ErrUnavailable,
	"SlowDownRead":                         sdk.ErrUnavailable,
	"SlowDownWrite":                        sdk.ErrUnavailable,
	"ServiceUnavailable":                   sdk.ErrUnavailable,
	"Busy":                                 sdk.ErrUnavailable,
	minio.InternalError:                    sdk.ErrUnavailable,
	"InternalFailure":                      sdk.ErrUnavailable,
	"RequestTimeout":                       sdk.ErrUnavailable,
	"Throttling":                           sdk.ErrUnavailable,
	"ThrottlingException":                  sdk.ErrUnavailable,
	"RequestThrottled":                     sdk.ErrUnavailable,
	"RequestLimitExceeded":                 sdk.ErrUnavailable,
	"TooManyRequests":                      sdk.ErrUnavailable,
	"BandwidthLimitExceeded":               sdk.ErrUnavailable,
	"OperationAborted":                     sdk.ErrUnavailable,
	"ConditionalRequestConflict":           sdk.ErrUnavailable,
	"ClientDisconnected":                   sdk.ErrUnavailable,
	"XMinioServerNotInitialized":           sdk.ErrUnavailable,
	"XMinioReadQuorum":                     sdk.ErrUnavailable,
	"XMinioWriteQuorum":                    sdk.ErrUnavailable,
	minio.IncompleteBody:                   sdk.ErrUnavailable, // what was sent did not arrive as it was
	minio.BadDigest:                        sdk.ErrUnavailable,
	minio.XAmzContentSHA256Mismatch:        sdk.ErrUnavailable,
	"XAmzContentChecksumMismatch":          sdk.ErrUnavailable,
	"InvalidChecksum":                      sdk.ErrUnavailable,
	minio.MissingRequestBodyError:          sdk.ErrUnavailable,
	"KMS.KMSInternalException":             sdk.ErrUnavailable,
	"KMS.DependencyTimeoutException":       sdk.ErrUnavailable,
	"KMS.ThrottlingException":              sdk.ErrUnavailable,
	"XMinioBackendDown":                    sdk.ErrUnavailable,
	"XMinioHealNotImplemented":             sdk.ErrUnsupported,
	"XMinioStorageFull":                    sdk.ErrNoSpace,
	"XMinioAdminBucketQuotaExceeded":       sdk.ErrNoSpace,
	"QuotaExceeded":                        sdk.ErrNoSpace,
	"InsufficientStorage":                  sdk.ErrNoSpace,
	"InsufficientCapacity":                 sdk.ErrNoSpace,
	"ServiceQuotaExceeded":                 sdk.ErrNoSpace,
	minio.PreconditionFailed:               sdk.ErrConflict,
	minio.NotImplemented:                   sdk.ErrUnsupported,
	minio.APINotSupported:                  sdk.ErrUnsupported,
	minio.InvalidArgument:                  sdk.ErrInvalid,
	"InvalidRequest":                       sdk.ErrInvalid,
	minio.InvalidBucketName:                sdk.ErrInvalid,
	"InvalidURI":                           sdk.ErrInvalid,
	"KeyTooLongError":                      sdk.ErrInvalid,
	minio.XMinioInvalidObjectName:          sdk.ErrInvalid,
	"ExistingObjectIsDirectory":            sdk.ErrInvalid, // stores on file systems
	"XMinioObjectExistsAsDirectory":        sdk.ErrInvalid,
	"XMinioParentIsObject":                 sdk.ErrInvalid,
	"ObjectParentIsFile":                   sdk.ErrInvalid,
	"InvalidObjectName":                    sdk.ErrInvalid,
	"InvalidStorageClass":                  sdk.ErrInvalid,
	"InvalidEncryptionAlgorithmError":      sdk.ErrInvalid,
	"InvalidEncryptionMethod":              sdk.ErrInvalid,
	"InvalidBucketState":                   sdk.ErrInvalid,
	"InvalidRetentionPeriod":               sdk.ErrInvalid,
	"InvalidObjectState":                   sdk.ErrInvalid,
	"ObjectLockConfigurationNotFoundError": sdk.ErrInvalid,
	"KMS.NotFoundException":                sdk.ErrInvalid,
	"XMinioKMSNotConfigured":               sdk.ErrInvalid,
	"XMinioKMSKeyNotFoundException":        sdk.ErrInvalid,
	minio.EntityTooLarge:                   sdk.ErrInvalid,
	minio.EntityTooSmall:                   sdk.ErrInvalid,
	minio.InvalidRange:                     sdk.ErrInvalid,
	minio.InvalidPart:                      sdk.ErrInvalid,
	minio.InvalidPartOrder:                 sdk.ErrInvalid,
	minio.MalformedXML:                     sdk.ErrInvalid,
	minio.MissingContentLength:             sdk.ErrInvalid,
	minio.AuthorizationHeaderMalformed:     sdk.ErrInvalid,
	minio.InvalidRegion:                    sdk.ErrInvalid,
	"IllegalLocationConstraintException":   sdk.ErrInvalid,
	"PermanentRedirect":                    sdk.ErrInvalid,
	"TemporaryRedirect":                    sdk.ErrUnavailable, // a bucket that was made just now
}

func kindOf(said minio.ErrorResponse) error {
	if wormed(said) {
		return sdk.ErrPermission
	}
	if kind, ok := kinds[said.Code]; ok {
		return kind
	}
	if said.Code == "kms:KeyNotFound" || lockless(said) {
		return sdk.ErrInvalid
	}
	switch s := said.StatusCode; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusMethodNotAllowed:
		return sdk.ErrPermission
	case s == http.StatusPreconditionFailed:
		return sdk.ErrConflict
	case s == http.StatusInsufficientStorage:
		return sdk.ErrNoSpace
	case s == http.StatusNotImplemented:
		return sdk.ErrUnsupported
	case s >= 500, s == http.StatusRequestTimeout, s == http.StatusTooManyRequests, s == http.StatusTooEarly, s == 499:
		return sdk.ErrUnavailable
	case s == http.StatusBadRequest, s == http.StatusRequestedRangeNotSatisfiable, 300 <= s && s < 400:
		return sdk.ErrInvalid
	}
	return nil
}

// wormed recognises the refusal to delete or overwrite a locked object, for which
// there is no code of its own.
func wormed(said minio.ErrorResponse) bool {
	text := strings.ToLower(said.Message)
	return said.Code == "ObjectLocked" || strings.Contains(text, "worm protected") || strings.Contains(text, "object lock") && said.Code == minio.AccessDenied
}

// lockless recognises the refusal to lock an object in a bucket that was made
// without that.
func lockless(said minio.ErrorResponse) bool {
	text := strings.ToLower(strings.ReplaceAll(said.Message, " ", ""))
	return said.StatusCode == http.StatusBadRequest && strings.Contains(text, "objectlockconfiguration")
}

// hinted adds what the user can do about a refusal.
func (c *client) hinted(f *failure, said minio.ErrorResponse) error {
	if hint := c.hint(said); hint != "" {
		return sdk.WithHint(f, hint)
	}
	return f
}

func (c *client) hint(said minio.ErrorResponse) string {
	used := c.keys.use()
	switch {
	case wormed(said):
		return "the object is locked: it can be deleted when its retention is over"
	case lockless(said):
		return "the bucket was made without object lock: leave object_lock out, or use a bucket that has it"
	case speaksOfTLS(said.Message) && !c.secure && said.StatusCode == http.StatusBadRequest:
		return "this server wants TLS: leave secure=false out"
	case customerKeyed(said) && customerKey(c.sse) == nil:
		return "the object was stored with a key of its writer's own: set sse=c:FILE, with the file that holds that key"
	case strings.HasPrefix(strings.ToLower(said.Code), "kms") || strings.HasPrefix(said.Code, "XMinioKMS"):
		return "the key that sse names, or the bucket's rule, must be there, and these credentials allowed to use it"
	}
	switch said.Code {
	case minio.NoSuchBucket:
		return c.elsewhere("make the bucket first, or correct its name: none is made by itself")
	case minio.InvalidBucketName:
		return c.elsewhere(bucketRule)
	case minio.AccessDenied, minio.AllAccessDisabled:
		switch {
		case used.set:
			return c.elsewhere("requests are anonymous, as anonymous=true says: the bucket's policy must allow " + rightsOf(said) + " to everybody")
		case used.anonymous:
			return c.elsewhere("no credentials were found (looked at: " + c.keys.looked + "), and requests are anonymous: give some, or set anonymous=true for a public bucket")
		}
		return c.elsewhere("credentials from " + used.from + " may not do this: allow them " + rightsOf(said))
	case minio.InvalidAccessKeyID, "InvalidClientTokenId":
		return "the store does not know this access key; it is from " + used.from
	case minio.SignatureDoesNotMatch:
		return "the secret key does not belong to the access key; both are from " + used.from
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "InvalidTokenId":
		return "get new temporary credentials; these are from " + used.from
	case minio.RequestTimeTooSkewed:
		return "set this machine's clock, with NTP say"
	case "PermanentRedirect", minio.AuthorizationHeaderMalformed, minio.InvalidRegion, "IllegalLocationConstraintException":
		switch {
		case said.Region != "" && c.t != nil && regionOf(c.t.host) != "":
			return c.elsewhere(fmt.Sprintf("write s3://s3.%s.amazonaws.com/%s/%s", said.Region, c.bucket, c.prefix))
		case said.Region != "":
			return "set region=" + said.Region + ", or leave region out"
		}
		return "leave the setting region out, or set it to the bucket's"
	case "XMinioStorageFull", "InsufficientStorage":
		return "make room on the server's drives"
	case "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "ServiceQuotaExceeded":
		return "the bucket's quota is used up: raise it, or prune old backups"
	case "InvalidBucketState", "ObjectLockConfigurationNotFoundError":
		return "the bucket was made without object lock: leave object_lock out, or use a bucket that has it"
	case "InvalidObjectState":
		return "the object is archived: restore it in the store first, and keep backups in a class that can be read at once"
	case "InvalidStorageClass":
		return "this store does not have that storage_class"
	case minio.EntityTooLarge:
		return "the store takes no parts of that size: set a smaller part_size"
	case minio.NotImplemented, minio.APINotSupported:
		return "this store lacks something: checksum=off, or leaving out sse, storage_class and object_lock, may help"
	}
	return ""
}

// elsewhere adds to a hint that the bucket may be another one than was meant.
func (c *client) elsewhere(otherwise string) string {
	return bucketHint(c.ignored, c.bucket, c.prefix, otherwise)
}

// customerKeyed recognises the refusal to read what was stored with SSE-C.
func customerKeyed(said minio.ErrorResponse) bool {
	text := strings.ToLower(said.Message)
	return said.StatusCode == http.StatusBadRequest && strings.Contains(text, "stored using a form of server side encryption")
}

// rights are the actions that a store's refusal names: Amazon does so, and the
// transport where the store does not.
var rights = regexp.MustCompile(`\bs3:[A-Z][A-Za-z]+`)

// rightsOf returns what these credentials would have to be allowed.
func rightsOf(said minio.ErrorResponse) string {
	named := rights.FindAllString(said.Message, -1)
	if len(named) == 0 {
		return "this"
	}
	return strings.Join(slices.Compact(named), " and ")
}

// speaksOfTLS recognises how servers complain of plain HTTP.
func speaksOfTLS(text string) bool {
	text = strings.ToUpper(text)
	return strings.Contains(text, "HTTPS") || strings.Contains(text, "SSL-ENABLED")
}

func isDNS(err error) bool {
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}

// reasonOf returns the text of a failed request without its URL.
func reasonOf(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err.Error()
}

// networkFailure is for a request that got no answer. Almost all of them are
// worth another try.
func networkFailure(what string, err error, host string) error {
	text := oneLine(reasonOf(err))
	f := &failure{kind: sdk.ErrUnavailable}
	hint := ""
	var (
		dns      *net.DNSError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		notTLS   tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &dns):
		text = "the name " + dns.Name + " has no address"
		if !dns.IsNotFound {
			text = "the name " + dns.Name + " cannot be looked up: " + dns.Err
		} else {
			f.kind = sdk.ErrInvalid
		}
		hint = "is the endpoint spelt right, and does this machine's name service know it?"
	case errors.As(err, &unknown):
		f.kind = sdk.ErrInvalid
		hint = "if the server's certificate is signed by an authority of your own, set ca_file to that authority's certificate"
	case errors.As(err, &hostname):
		f.kind = sdk.ErrInvalid
		hint = "write the endpoint as it is named in the server's certificate"
	case errors.As(err, &invalid):
		f.kind = sdk.ErrInvalid
		hint = "the server's certificate, or this machine's clock, is wrong"
	case strings.Contains(text, "server gave HTTP response to HTTPS client"), errors.As(err, &notTLS):
		text = "the server does not speak TLS on this port"
		f.kind = sdk.ErrInvalid
		hint = "is this the right port? If the server speaks plain HTTP only, set secure=false; credentials then travel in clear text"
	case strings.Contains(text, `malformed HTTP response "\x15\x03`):
		text = "the server wants TLS"
		f.kind = sdk.ErrInvalid
		hint = "leave secure=false out"
	case slices.ContainsFunc(handshakes, func(h string) bool { return strings.Contains(text, h) }):
		f.kind = sdk.ErrInvalid
		hint = "the server must speak TLS 1.2 or later, and must not want a certificate of its clients"
	case errors.Is(err, errProxy):
		f.kind = sdk.ErrInvalid
		hint = "look at HTTP_PROXY and HTTPS_PROXY"
	case strings.HasPrefix(text, "proxyconnect"):
		hint = "the proxy of HTTP_PROXY or HTTPS_PROXY does not connect; NO_PROXY names hosts to reach without one"
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = "is a server running there, and is the port right?"
	case errors.Is(err, context.Canceled):
		text = "given up, for nothing moved any more"
	case isTimeout(err):
		hint = "is a firewall in between?"
	}
	if host != "" && !strings.Contains(text, host) {
		text = host + ": " + text
	}
	f.text = what + ": " + text
	if hint == "" {
		return f
	}
	return sdk.WithHint(f, hint)
}

// handshakes are failures of TLS that come again each time.
var handshakes = []string{
	"tls: protocol version not supported", "tls: server selected unsupported protocol version", "tls: handshake failure",
	"tls: certificate required", "tls: bad certificate", "tls: unrecognized name",
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}
