package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
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

// A place is a container of the test's own, which ends with it.
type place struct {
	servers.Azure
	container string
	client    *container.Client // with the account's key
	key       *container.SharedKeyCredential
}

// newPlace makes a container, for everybody if access is given.
func newPlace(t *testing.T, a servers.Azure, access ...container.PublicAccessType) *place {
	t.Helper()
	p := &place{Azure: a, container: "brock-" + strings.ToLower(rand.Text())}
	conns := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
	if a.CAFile != "" {
		pem, err := os.ReadFile(a.CAFile)
		if err != nil {
			t.Fatal(err)
		}
		conns.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem)
	}
	t.Cleanup(conns.CloseIdleConnections)
	var err error
	if p.key, err = container.NewSharedKeyCredential(a.Account, a.Key); err != nil {
		t.Fatal(err)
	}
	p.client, err = container.NewClientWithSharedKeyCredential(a.URL()+"/"+p.container, p.key,
		&container.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: conns}}})
	if err != nil {
		t.Fatal(err)
	}
	options := &container.CreateOptions{}
	if len(access) > 0 {
		options.Access = &access[0]
	}
	if _, err := p.client.Create(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if _, err := p.client.Delete(ctx, nil); err != nil {
			t.Error(err)
		}
	})
	return p
}

// onAzurite makes a container on the Azurite without TLS.
func onAzurite(t *testing.T) *place {
	t.Helper()
	return newPlace(t, servers.Azurite(t))
}

// uri is where objects are kept in these tests.
func (p *place) uri() string {
	return "azure://" + p.Endpoint + "/" + p.Account + "/" + p.container + "/pre/fix"
}

// sas signs what grants permissions on the container from an hour ago on.
func (p *place) sas(t *testing.T, permissions string, lasts time.Duration) sdk.Secret {
	t.Helper()
	now := time.Now().UTC()
	q, err := sas.BlobSignatureValues{
		ContainerName: p.container, Permissions: permissions, StartTime: now.Add(-time.Hour), ExpiryTime: now.Add(lasts),
	}.SignWithSharedKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return sdk.NewSecret(q.Encode())
}

// config is that of a destination with the account's key and small blocks.
func (p *place) config() Config {
	return Config{URI: p.uri(), Secure: p.Secure, CAFile: p.CAFile, AccountKey: sdk.NewSecret(p.Key), BlockSize: minBlockSize}
}

// settings are what a host sends of a config.
func (p *place) settings(change ...map[string]any) map[string]any {
	s := map[string]any{"uri": p.uri(), "account_key": p.Key, "block_size": "64KiB"}
	if !p.Secure {
		s["secure"] = "false"
	} else {
		s["ca_file"] = p.CAFile
	}
	for _, c := range change {
		for k, v := range c {
			if v == nil {
				delete(s, k)
			} else {
				s[k] = v
			}
		}
	}
	return s
}

// open opens a destination in this process, changed by each option.
func (p *place) open(t *testing.T, change ...func(*Config)) *destination {
	t.Helper()
	cfg := p.config()
	for _, c := range change {
		c(&cfg)
	}
	d, err := open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// behind opens a destination whose requests go through a Fault.
func (p *place) behind(t *testing.T, change ...func(*Config)) (*destination, *servers.Fault) {
	t.Helper()
	f := servers.Proxy(t, p.Endpoint)
	return p.open(t, append(change, func(c *Config) { c.URI = strings.Replace(c.URI, p.Endpoint, f.Addr, 1) })...), f
}

// plugged opens the plugin, in a process of its own.
func plugged(t *testing.T, settings map[string]any, env ...string) sdk.Destination {
	t.Helper()
	d, err := sdktest.Start(t, env...).OpenDestination(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// pattern returns bytes that are different everywhere.
func pattern(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)*7
	}
	return data
}

func put(t *testing.T, d sdk.Destination, name string, data []byte) {
	t.Helper()
	if err := d.Put(t.Context(), name, bytes.NewReader(data)); err != nil {
		t.Fatalf("Put(%q): %v; hint: %s", name, err, sdk.Hint(err))
	}
}

func get(t *testing.T, d sdk.Destination, name string) []byte {
	t.Helper()
	r, err := d.Get(t.Context(), name, 0)
	if err != nil {
		t.Errorf("Get(%q): %v", name, err)
		return nil
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("Get(%q): %v", name, err)
	}
	return data
}

func names(t *testing.T, d sdk.Destination, prefix string) (names []string) {
	t.Helper()
	for o, err := range d.List(t.Context(), prefix) {
		if err != nil {
			t.Errorf("List(%q): %v", prefix, err)
			return names
		}
		names = append(names, o.Name)
	}
	return names
}
