package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/brock-backup/brock/sdk"
)

// fail says what went wrong with an object or with the location, as one of the
// SDK's kinds, or that ctx has ended. Azure's own texts and the addresses of
// requests are left out: they are long, and may show what a request was signed
// with.
func (d *destination) fail(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: %w", what, ended)
	}
	if e, ok := errors.AsType[*tokenError](err); ok {
		return d.unidentified(what, e)
	}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return d.refused(what, e)
	}
	return d.unreachable(what, err)
}

// codeOf returns Azure's name of what went wrong, or "".
func codeOf(err error) bloberror.Code {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return bloberror.Code(e.ErrorCode)
	}
	return ""
}

// A meaning is what an error of Azure's is for the host, and for the user.
type meaning struct {
	kind error // nil: the user has to read it
	hint string
}

var (
	inTransit = meaning{sdk.ErrUnavailable, ""}
	busy      = meaning{sdk.ErrUnavailable, ""}
	leased    = meaning{sdk.ErrUnavailable, "somebody holds a lease on it: wait until it ends, or end it with \"az storage blob lease break\""}
	firewall  = meaning{sdk.ErrPermission, "the account may refuse this network: look at its firewall, its private endpoints and the SAS's allowed addresses and services"}
	kept      = meaning{sdk.ErrPermission, "an immutability policy or a legal hold protects it: it can be changed when that has ended"}
	wrongSAS  = meaning{sdk.ErrPermission, "the SAS is not for this: make one for the blob service, for containers and objects, over https"}
	misnamed  = meaning{sdk.ErrInvalid, ""}
	asleep    = meaning{nil, "it is in the archive tier: rehydrate it with \"az storage blob set-tier --tier Hot\", which takes hours"}
)

// meanings has Azure's error codes. For those that are not here, the HTTP status
// decides.
var meanings = map[bloberror.Code]meaning{
	bloberror.BlobNotFound:      {sdk.ErrNotExist, ""},
	bloberror.ContainerNotFound: {sdk.ErrNotExist, "the container is missing, and this plugin makes none: \"az storage container create\" does"},
	bloberror.ResourceNotFound:  {sdk.ErrNotExist, ""},

	bloberror.BlobAlreadyExists:         {sdk.ErrExist, ""},
	bloberror.UnauthorizedBlobOverwrite: {sdk.ErrExist, ""},
	bloberror.ConditionNotMet:           {sdk.ErrConflict, ""},
	bloberror.TargetConditionNotMet:     {sdk.ErrConflict, ""},

	bloberror.AuthenticationFailed:              {sdk.ErrPermission, ""}, // see identity.hint
	bloberror.AuthorizationFailure:              {sdk.ErrPermission, ""},
	bloberror.AuthorizationSourceIPMismatch:     firewall,
	bloberror.AuthorizationPermissionMismatch:   {sdk.ErrPermission, ""},
	bloberror.InsufficientAccountPermissions:    {sdk.ErrPermission, ""},
	bloberror.InvalidAuthenticationInfo:         {sdk.ErrPermission, ""},
	bloberror.NoAuthenticationInformation:       {sdk.ErrPermission, ""},
	bloberror.AuthorizationProtocolMismatch:     wrongSAS,
	bloberror.AuthorizationResourceTypeMismatch: wrongSAS,
	bloberror.AuthorizationServiceMismatch:      wrongSAS,
	"KeyBasedAuthenticationNotPermitted":        {sdk.ErrPermission, "the account refuses keys and SAS: use a service principal, a managed identity or \"az login\""},
	"PublicAccessNotPermitted":                  {sdk.ErrPermission, "the account allows no public access: give credentials"},
	"KeyVaultEncryptionKeyNotFound":             {sdk.ErrPermission, "the account's own encryption key cannot be used: look at its key vault"},
	"KeyVaultAccessTokenCannotBeAcquired":       {sdk.ErrPermission, "the account's own encryption key cannot be used: look at its key vault"},
	bloberror.AccountIsDisabled:                 {sdk.ErrPermission, "the account is disabled, as is done with unpaid subscriptions: look at it in the portal"},
	bloberror.ContainerDisabled:                 {sdk.ErrPermission, "the container is disabled: look at it in the portal"},

	bloberror.BlobImmutableDueToPolicy:               kept,
	bloberror.ImmutabilityPolicyDeleteOnLockedPolicy: kept,
	bloberror.SnapshotsPresent:                       {nil, "it has snapshots, which are somebody's: delete them first"},
	bloberror.BlobArchived:                           asleep,
	bloberror.BlobBeingRehydrated:                    {sdk.ErrUnavailable, "it is being taken out of the archive, which takes hours"},

	bloberror.ServerBusy:            busy,
	bloberror.OperationTimedOut:     busy,
	bloberror.InternalError:         busy,
	bloberror.SystemInUse:           busy,
	bloberror.AccountBeingCreated:   busy,
	bloberror.ContainerBeingDeleted: {sdk.ErrUnavailable, "the container is being deleted"},
	bloberror.MD5Mismatch:           inTransit,
	bloberror.CRC64Mismatch:         inTransit,
	bloberror.InvalidBlockList:      {nil, ""}, // see upload.publish

	bloberror.LeaseIDMissing:                     leased,
	bloberror.LeaseIDMismatchWithBlobOperation:   leased,
	bloberror.LeaseLost:                          leased,
	bloberror.LeaseAlreadyPresent:                leased,
	bloberror.LeaseIsBreakingAndCannotBeAcquired: leased,

	bloberror.InvalidResourceName:         misnamed,
	bloberror.InvalidURI:                  misnamed,
	bloberror.OutOfRangeInput:             misnamed,
	bloberror.InvalidRange:                {sdk.ErrInvalid, ""},
	bloberror.InvalidBlobType:             {sdk.ErrInvalid, "it is no block blob: something else has put it there"},
	bloberror.BlockCountExceedsLimit:      {sdk.ErrInvalid, "100000 blocks of uploads that died wait under that name: they expire after a week"},
	bloberror.InvalidBlobTier:             {sdk.ErrInvalid, "this kind of account has no such tier: leave out the setting tier"},
	bloberror.FeatureVersionMismatch:      {sdk.ErrInvalid, ""},
	"AccountRequiresHttps":                {sdk.ErrInvalid, leaveOut},
	"EncryptionScopeNotFound":             {sdk.ErrInvalid, "look at the setting encryption_scope"},
	"EncryptionScopeDisabled":             {sdk.ErrInvalid, "look at the setting encryption_scope"},
	"FeatureNotSupportedForAccount":       {sdk.ErrInvalid, "look at the settings tier, immutability and encryption_scope"},
	"ImmutabilityPolicyNotSupported":      {sdk.ErrInvalid, "the setting immutability needs a container with version-level immutability"},
	"VersionLevelImmutabilityNotEnabled":  {sdk.ErrInvalid, "the setting immutability needs a container with version-level immutability"},
	"ImmutableStorageWithVersionDisabled": {sdk.ErrInvalid, "the setting immutability needs a container with version-level immutability"},

	"InsufficientStorage":  {sdk.ErrNoSpace, ""},
	"AccountLimitExceeded": {sdk.ErrNoSpace, "the account is at the limit of its capacity"},
}

// refused is for what Azure, or something on the way to it, has answered.
func (d *destination) refused(what string, e *azcore.ResponseError) error {
	said, id := e.ErrorCode, ""
	var header http.Header
	if e.RawResponse != nil {
		header = e.RawResponse.Header
		id = header.Get("X-Ms-Request-Id")
	}
	m, known := meanings[bloberror.Code(said)]
	if !known {
		m = meaningOf(e.StatusCode, e.RawResponse)
	}
	if said == string(bloberror.InvalidOperation) && strings.Contains(e.Error(), "contentMD5") { // Azurite's Md5Mismatch
		m = inTransit
	}
	if d.who.anonymous && (said == string(bloberror.ResourceNotFound) || said == string(bloberror.ContainerNotFound)) {
		m = meaning{sdk.ErrPermission, ""} // said of private containers, too
	}
	if said == "" {
		said = http.StatusText(e.StatusCode)
	}
	if id != "" {
		id = ", request " + id
	}
	text := fmt.Sprintf("%s: %s (HTTP %d%s)", what, said, e.StatusCode, id)
	if m.kind == nil {
		return withHint(errors.New(text), m.hint)
	}
	err := fmt.Errorf("%s: %w", text, m.kind)
	if m.kind == sdk.ErrPermission && m.hint == "" { //nolint:errorlint // it is the kind itself
		m.hint = d.permissionHint(bloberror.Code(e.ErrorCode), header)
	}
	if wait := retryAfter(header); wait > 0 && m.kind == sdk.ErrUnavailable { //nolint:errorlint // as above
		err = sdk.WithRetryAfter(err, wait)
	}
	return withHint(err, m.hint)
}

func withHint(err error, hint string) error {
	if hint == "" {
		return err
	}
	return sdk.WithHint(err, hint)
}

// meaningOf is for errors without a code that is known. An object is absent only
// if Azure itself says so, and not some proxy.
func meaningOf(status int, resp *http.Response) meaning {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return meaning{sdk.ErrPermission, ""}
	case http.StatusNotFound:
		if resp != nil && resp.Request != nil && resp.Request.Method == http.MethodHead && resp.Header.Get("X-Ms-Request-Id") != "" {
			return meaning{sdk.ErrNotExist, ""}
		}
		return meaning{nil, "that was not said by Azure: look at the host and at proxies"}
	case http.StatusPreconditionFailed:
		return meaning{sdk.ErrConflict, ""}
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return busy
	case http.StatusInsufficientStorage:
		return meaning{sdk.ErrNoSpace, ""}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestedRangeNotSatisfiable:
		return meaning{sdk.ErrInvalid, ""}
	}
	return meaning{}
}

// retryAfter returns how long a server wants to be left alone.
func retryAfter(h http.Header) time.Duration {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if ms, err := strconv.ParseUint(h.Get(name), 10, 31); err == nil {
			return time.Duration(ms) * time.Millisecond
		}
	}
	if s, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}

// maxSkew is how far Azure lets a clock be off: a quarter of an hour.
const maxSkew = 10 * time.Minute

// permissionHint says what may be wrong with the credentials.
func (d *destination) permissionHint(code bloberror.Code, h http.Header) string {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		if off := time.Until(date).Round(time.Second); off.Abs() > maxSkew {
			return clockHint(off)
		}
	}
	hint := d.credentialHint(code)
	if code == bloberror.AuthorizationFailure {
		hint += "; or the account refuses this network: look at its firewall and its private endpoints"
	}
	return hint
}

func (d *destination) credentialHint(code bloberror.Code) string {
	unknown := code == bloberror.AuthenticationFailed || code == bloberror.AuthorizationFailure
	g, now := d.who.grant, time.Now()
	switch {
	case d.who.anonymous:
		return "the container is missing or not public: give credentials, or allow public access to it"
	case !d.who.sas.IsZero() && !g.end.IsZero() && now.After(g.end):
		return fmt.Sprintf("the SAS (%s) expired at %s: make a new one", d.who.source, g.end.UTC().Format(time.RFC3339))
	case !d.who.sas.IsZero() && now.Before(g.start):
		return fmt.Sprintf("the SAS (%s) is valid from %s: wait, or make another", d.who.source, g.start.UTC().Format(time.RFC3339))
	case !d.who.sas.IsZero() && unknown:
		return fmt.Sprintf("the SAS (%s) is not one of this account and container, or was revoked", d.who.source)
	case !d.who.sas.IsZero():
		return fmt.Sprintf("the SAS (%s) grants %q; backups need \"rwl\", and \"d\" to remove old ones", d.who.source, g.permissions)
	case d.who.key != nil:
		return fmt.Sprintf("the key (%s) is not one of the account %s", d.who.source, d.at.account)
	}
	return fmt.Sprintf("%s needs the role Storage Blob Data Contributor on the container", d.who.source)
}

func clockHint(off time.Duration) string {
	if off > 0 {
		return fmt.Sprintf("the clock of this machine is %s behind Azure's: set it", spoken(off))
	}
	return fmt.Sprintf("the clock of this machine is %s ahead of Azure's: set it", spoken(-off))
}

// spoken is a duration of a second or more without the units that are zero at its
// end, as in "30m".
func spoken(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// unidentified is for tokens that were not to be had.
func (d *destination) unidentified(what string, e *tokenError) error {
	kind := sdk.ErrPermission
	if a, ok := errors.AsType[*azidentity.AuthenticationFailedError](e.err); ok && a.RawResponse != nil {
		if m := meaningOf(a.RawResponse.StatusCode, nil); m.kind == sdk.ErrUnavailable { //nolint:errorlint // it is the kind itself
			kind = m.kind
		}
	} else if isNetwork(e.err) {
		kind = sdk.ErrUnavailable
	}
	return sdk.WithHint(fmt.Errorf("%s: %s%s: %w", what, e.Error(), told(d.who.notes), kind), howToAuthenticate)
}

// unreachable is for requests that got no answer.
func (d *destination) unreachable(what string, err error) error {
	text := oneLine(err.Error())
	kind, hint := error(nil), ""
	if isNetwork(err) {
		kind = sdk.ErrUnavailable
	}
	dns, unnamed := errors.AsType[*net.DNSError](err)
	_, untrusted := errors.AsType[x509.UnknownAuthorityError](err)
	_, misnamed := errors.AsType[x509.HostnameError](err)
	_, expired := errors.AsType[x509.CertificateInvalidError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case unnamed && dns.IsNotFound:
		kind, hint = sdk.ErrInvalid, "is the name of the account right?"
	case unnamed:
		hint = "does this machine's name service work?"
	case untrusted:
		kind, hint = sdk.ErrInvalid, "name the certificates of its authority in the setting ca_file"
	case misnamed:
		kind, hint = sdk.ErrInvalid, "write the host as it is named in the server's certificate"
	case expired:
		kind, hint = sdk.ErrInvalid, "the server's certificate, or this machine's clock, is wrong"
	case plain || strings.Contains(text, "server gave HTTP response to HTTPS client"):
		text, kind = d.at.host+": the server does not speak TLS on this port", sdk.ErrInvalid
		hint = "is this the right port? If the server speaks plain HTTP only, give secure=false; credentials then travel in clear text"
	case strings.Contains(text, `malformed HTTP response "\x15\x03`):
		text, kind, hint = d.at.host+": the server wants TLS", sdk.ErrInvalid, leaveOut
	case strings.HasPrefix(text, "proxyconnect"), strings.Contains(text, "\": proxyconnect"):
		hint = "the proxy of HTTP_PROXY or HTTPS_PROXY does not connect; NO_PROXY names hosts to reach without one"
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = "is a server running there, and is the port right?"
	case d.at.scheme != "https" && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) && !d.wire.answered():
		hint = "if the server wants TLS, " + leaveOut
	case isTimeout(err):
		hint = "is a firewall in between?"
	}
	if kind == nil {
		return withHint(fmt.Errorf("%s: %s", what, text), hint)
	}
	return withHint(fmt.Errorf("%s: %s: %w", what, text, kind), hint)
}

const leaveOut = "leave secure=false out"

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// isNetwork reports whether an error is one of the network, which may pass.
func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		strings.Contains(err.Error(), "server closed idle connection") || strings.Contains(err.Error(), "transport connection broken") ||
		strings.Contains(err.Error(), "malformed HTTP")
}

var (
	rules  = regexp.MustCompile(`-{8,}`)
	query  = regexp.MustCompile(`(https?://[^\s"?]+)\?[^\s"]*`)
	spaces = regexp.MustCompile(`\s+`)
)

// oneLine makes a line of an error of Azure's libraries, without the queries of
// addresses.
func oneLine(text string) string {
	text = rules.ReplaceAllString(text, " ")
	text = query.ReplaceAllString(text, "$1")
	text = strings.TrimSpace(spaces.ReplaceAllString(text, " "))
	if len(text) > 600 {
		text = text[:600] + " ..."
	}
	return text
}
