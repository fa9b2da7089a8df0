package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, main) }

func TestDestination(t *testing.T) {
	p := onAzurite(t)
	f := servers.Proxy(t, p.Endpoint)
	f.Answer(1, 1, servers.Action{Status: http.StatusServiceUnavailable, Header: http.Header{"X-Ms-Error-Code": {"ServerBusy"}}})
	signed := func(permissions string) map[string]any {
		return map[string]any{"account_key": nil, "sas": p.sas(t, permissions, time.Hour).RevealString()}
	}
	sdktest.TestDestination(t, p.settings(map[string]any{"block_size": "256KiB"}),
		sdktest.Denied(p.settings(signed("t"))),
		sdktest.ReadOnly(p.settings(signed("rl"))),
		sdktest.Missing(p.settings(map[string]any{"uri": "azure://" + p.Endpoint + "/" + p.Account + "/not-here"})),
		sdktest.Throttled(p.settings(map[string]any{"uri": strings.Replace(p.uri(), p.Endpoint, f.Addr, 1)})),
	)
}

// The same over HTTPS, with a SAS.
func TestDestinationTLS(t *testing.T) {
	p := newPlace(t, servers.AzuriteTLS(t))
	sdktest.TestDestination(t, p.settings(map[string]any{
		"account_key": nil, "sas": p.sas(t, "racwdl", time.Hour).RevealString(), "block_size": "1MiB",
	}))
}
