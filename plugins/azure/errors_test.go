package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// kinds are all that an error can be to the host.
var kinds = []error{
	sdk.ErrNotExist, sdk.ErrExist, sdk.ErrPermission, sdk.ErrInvalid, sdk.ErrConflict, sdk.ErrUnavailable, sdk.ErrNoSpace, sdk.ErrCorrupt, sdk.ErrUnsupported,
}

// What Azure answers is of one kind, and tells Azure's code, the HTTP status and
// the request's id; a hint says what to do where there is something.
func TestAnswers(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	for _, c := range []struct {
		status int
		code   string
		kind   error // nil: none
		hint   string
	}{
		{404, "ContainerNotFound", sdk.ErrNotExist, "az storage container create"},
		{404, "BlobNotFound", sdk.ErrNotExist, ""},
		{404, "", nil, "not said by Azure"},
		{403, "AuthenticationFailed", sdk.ErrPermission, "not one of the account"},
		{403, "AuthorizationFailure", sdk.ErrPermission, "firewall"},
		{403, "AuthorizationPermissionMismatch", sdk.ErrPermission, ""},
		{403, "InsufficientAccountPermissions", sdk.ErrPermission, ""},
		{403, "AuthorizationSourceIPMismatch", sdk.ErrPermission, "firewall"},
		{403, "AuthorizationProtocolMismatch", sdk.ErrPermission, "SAS"},
		{403, "KeyBasedAuthenticationNotPermitted", sdk.ErrPermission, "az login"},
		{409, "PublicAccessNotPermitted", sdk.ErrPermission, "credentials"},
		{403, "AccountIsDisabled", sdk.ErrPermission, "disabled"},
		{401, "NoAuthenticationInformation", sdk.ErrPermission, ""},
		{403, "", sdk.ErrPermission, ""},
		{407, "", sdk.ErrPermission, ""},
		{503, "ServerBusy", sdk.ErrUnavailable, ""},
		{500, "OperationTimedOut", sdk.ErrUnavailable, ""},
		{500, "InternalError", sdk.ErrUnavailable, ""},
		{502, "", sdk.ErrUnavailable, ""},
		{429, "", sdk.ErrUnavailable, ""},
		{409, "ContainerBeingDeleted", sdk.ErrUnavailable, "being deleted"},
		{412, "LeaseIdMissing", sdk.ErrUnavailable, "lease"},
		{409, "BlobArchived", nil, "rehydrate"},
		{409, "BlobImmutableDueToPolicy", sdk.ErrPermission, "immutability policy"},
		{400, "InvalidResourceName", sdk.ErrInvalid, ""},
		{409, "InvalidBlobType", sdk.ErrInvalid, "block blob"},
		{507, "", sdk.ErrNoSpace, ""},
		{418, "", nil, ""},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.code), func(t *testing.T) {
			h := http.Header{"X-Ms-Request-Id": {"the-request-id"}}
			if c.code != "" {
				h.Set("X-Ms-Error-Code", c.code)
			}
			f.Do(func(*http.Request) servers.Action { return servers.Action{Status: c.status, Header: h} })
			_, err := d.Get(t.Context(), "object", 0)
			if err == nil {
				t.Fatal("no error")
			}
			for _, kind := range kinds {
				if errors.Is(err, kind) != (kind == c.kind) { //nolint:errorlint // the kinds themselves
					t.Errorf("%v is of the kind %q: %v", err, kind, errors.Is(err, kind))
				}
			}
			want := c.code
			if want == "" {
				want = http.StatusText(c.status)
			}
			if text := fmt.Sprintf("object: %s (HTTP %d, request the-request-id)", want, c.status); !strings.HasPrefix(err.Error(), text) {
				t.Errorf("the error is %q, want %q", err, text)
			}
			if !strings.Contains(sdk.Hint(err), c.hint) {
				t.Errorf("the hint is %q, want %q in it", sdk.Hint(err), c.hint)
			}
		})
	}
}

// An object that is there is told to be there, whatever else is the matter with
// it; one that is not is not.
func TestImmutableObjects(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	put(t, d, "taken", []byte("x"))
	f.Do(func(r *http.Request) servers.Action {
		if r.Method == http.MethodPut {
			return servers.Action{Status: 409, Header: http.Header{"X-Ms-Error-Code": {"BlobImmutableDueToPolicy"}}}
		}
		return servers.Action{}
	})
	if err := d.Put(t.Context(), "taken", strings.NewReader("y")); !errors.Is(err, sdk.ErrExist) {
		t.Errorf("Put of what is there and immutable: %v, want ErrExist", err)
	}
	if err := d.Put(t.Context(), "new", strings.NewReader("y")); !errors.Is(err, sdk.ErrPermission) || errors.Is(err, sdk.ErrExist) {
		t.Errorf("Put of what is not there: %v, want ErrPermission", err)
	}
}

// How long Azure asks to be left alone reaches the host.
func TestRetryAfter(t *testing.T) {
	p := onAzurite(t)
	f := servers.Proxy(t, p.Endpoint)
	f.Do(func(*http.Request) servers.Action {
		return servers.Action{Status: 503, Header: http.Header{"X-Ms-Error-Code": {"ServerBusy"}, "Retry-After": {"77"}}}
	})
	d := plugged(t, p.settings(map[string]any{"uri": strings.Replace(p.uri(), p.Endpoint, f.Addr, 1)}))
	start := time.Now()
	_, err := d.Get(t.Context(), "object", 0)
	if !errors.Is(err, sdk.ErrUnavailable) || sdk.RetryAfter(err) != 77*time.Second {
		t.Errorf("Get: %v, to be tried again after %v; want 77s", err, sdk.RetryAfter(err))
	}
	if n := f.Requests(); n != 1 || time.Since(start) > 20*time.Second {
		t.Errorf("%d requests in %v, want 1: there is no time for another", n, time.Since(start))
	}
}

// Credentials that are refused because of the clock are not blamed.
func TestClockSkew(t *testing.T) {
	p := onAzurite(t)
	d, f := p.behind(t)
	for ahead, want := range map[time.Duration]string{
		30 * time.Minute:  "the clock of this machine is 30m behind Azure's",
		-20 * time.Minute: "the clock of this machine is 20m ahead of Azure's",
	} {
		f.Do(func(*http.Request) servers.Action {
			return servers.Action{Status: 403, Header: http.Header{
				"X-Ms-Error-Code": {"AuthenticationFailed"}, "Date": {time.Now().Add(ahead).UTC().Format(http.TimeFormat)},
			}}
		})
		_, err := d.Get(t.Context(), "object", 0)
		got := sdk.Hint(err)
		for _, near := range []string{"29m59s", "30m1s", "29m58s"} {
			got = strings.ReplaceAll(got, near, "30m")
		}
		for _, near := range []string{"19m59s", "20m1s", "20m2s"} {
			got = strings.ReplaceAll(got, near, "20m")
		}
		if !errors.Is(err, sdk.ErrPermission) || !strings.Contains(got, want) {
			t.Errorf("with a clock %v off: %v with hint %q, want %q", ahead, err, sdk.Hint(err), want)
		}
		found, err := d.Report(t.Context())
		if err != nil || len(found) == 0 {
			t.Fatal(found, err)
		}
		if clock := found[len(found)-1]; clock.Name != "clock" || !clock.Problem {
			t.Errorf("doctor says %+v, want a problem with the clock", clock)
		}
	}
}

// Errors of Azure's libraries become a line, without what requests are signed
// with.
func TestOneLine(t *testing.T) {
	got := oneLine("Get \"https://acme.blob.core.windows.net/c?comp=list&sig=hunter2\": EOF\n----------------------------\nRESPONSE 403:\n\tx\n")
	if want := `Get "https://acme.blob.core.windows.net/c": EOF RESPONSE 403: x`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := oneLine(strings.Repeat("x", 5000)); len(got) > 700 {
		t.Errorf("a line has %d bytes", len(got))
	}
}

// A connection that cannot be made in time is not taken for a call that has run
// out of time.
func TestDialTimeout(t *testing.T) {
	_, err := (&net.Dialer{Timeout: time.Nanosecond}).DialContext(t.Context(), "tcp", "127.0.0.1:1")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Skipf("this is another error: %v", err)
	}
	err = new(destination).fail(t.Context(), "object", err)
	if !errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it has become %v, want ErrUnavailable", err)
	}
}
