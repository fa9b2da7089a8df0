package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, main) }

func TestDestination(t *testing.T) {
	a := servers.Azurite(t)
	c := newContainer(t, a)
	settings := func(change map[string]any) map[string]any {
		s := map[string]any{"uri": a.uri(c) + "/pre/fix", "secure": "false", "block_size": "256KiB"}
		for k, v := range change {
			s[k] = v
		}
		return s
	}
	f := servers.Proxy(t, a.Endpoint)
	f.Answer(1, 1, servers.Action{Status: http.StatusServiceUnavailable, Header: http.Header{"X-Ms-Error-Code": {"ServerBusy"}}})
	sdktest.TestDestination(t, settings(map[string]any{"account_key": a.Key}),
		sdktest.Denied(settings(map[string]any{"sas": a.sas(t, c, "t", time.Hour)})),
		sdktest.ReadOnly(settings(map[string]any{"sas": a.sas(t, c, "rl", time.Hour)})),
		sdktest.Missing(settings(map[string]any{"uri": a.uri("not-here"), "account_key": a.Key})),
		sdktest.Throttled(settings(map[string]any{"uri": strings.Replace(a.uri(c), a.Endpoint, f.Addr, 1), "account_key": a.Key})),
	)
}
