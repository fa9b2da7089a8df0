package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk"
)

func TestLocate(t *testing.T) {
	for uri, want := range map[string]location{
		"azure://acme/backups":                                     {"https", "acme.blob.core.windows.net", "", "acme", "backups", ""},
		"azure://acme/backups/":                                    {"https", "acme.blob.core.windows.net", "", "acme", "backups", ""},
		"azure://acme/backups/a/b/":                                {"https", "acme.blob.core.windows.net", "", "acme", "backups", "a/b/"},
		"azure://acme/backups/a%20b":                               {"https", "acme.blob.core.windows.net", "", "acme", "backups", "a b/"},
		"azure://acme.blob.core.windows.net/backups/a":             {"https", "acme.blob.core.windows.net", "", "acme", "backups", "a/"},
		"https://acme.blob.core.windows.net/backups/a":             {"https", "acme.blob.core.windows.net", "", "acme", "backups", "a/"},
		"azure://acme.blob.core.chinacloudapi.cn/backups":          {"https", "acme.blob.core.chinacloudapi.cn", "", "acme", "backups", ""},
		"azure://acme.blob.core.usgovcloudapi.net/backups":         {"https", "acme.blob.core.usgovcloudapi.net", "", "acme", "backups", ""},
		"azure://acme.privatelink.blob.core.windows.net/backups":   {"https", "acme.privatelink.blob.core.windows.net", "", "acme", "backups", ""},
		"azure://acme.z01.blob.storage.azure.net/backups":          {"https", "acme.z01.blob.storage.azure.net", "", "acme", "backups", ""},
		"azure://127.0.0.1:10000/devstoreaccount1/backups/a":       {"https", "127.0.0.1:10000", "/devstoreaccount1", "devstoreaccount1", "backups", "a/"},
		"azure://localhost/acme/backups":                           {"https", "localhost", "/acme", "acme", "backups", ""},
		"azure://storage.internal.example.com:8443/acme/backups/a": {"https", "storage.internal.example.com:8443", "/acme", "acme", "backups", "a/"},
		"azure://[::1]:10000/acme/backups":                         {"https", "[::1]:10000", "/acme", "acme", "backups", ""},
		"https://127.0.0.1:10000/devstoreaccount1/backups":         {"https", "127.0.0.1:10000", "/devstoreaccount1", "devstoreaccount1", "backups", ""},
		"azure:///backups/a":                                       {"https", "fromenv.blob.core.windows.net", "", "fromenv", "backups", "a/"},
		"azure://ACME.Blob.Core.Windows.NET/backups":               {"https", "acme.blob.core.windows.net", "", "acme", "backups", ""},
	} {
		got, err := locate(uri, true, environment{account: "fromenv"})
		if got != want || err != nil {
			t.Errorf("%s is %+v, %v; want %+v", uri, got, err, want)
		}
	}
	got, err := locate("azure://127.0.0.1:10000/acme/backups", false, environment{})
	if got.url() != "http://127.0.0.1:10000/acme/backups" || err != nil {
		t.Errorf("without TLS the container is %s, %v", got.url(), err)
	}
}

func TestLocateRefuses(t *testing.T) {
	for uri, secure := range map[string]bool{
		"":                                      true,
		"/backups":                              true,
		"s3://acme/backups":                     true,
		"http://127.0.0.1:10000/acme/backups":   true,
		"https://acme.blob.core.windows.net/c1": false,
		"https:///backups":                      true,
		"azure://acme":                          true,
		"azure://acme/":                         true,
		"azure://acme/UPPER":                    true,
		"azure://acme/ab":                       true,
		"azure://acme/a--b":                     true,
		"azure://acme/-ab":                      true,
		"azure://acme/" + strings.Repeat("a", 64): true,
		"azure://acme/backups//a":                 true,
		"azure://acme/backups/../a":               true,
		"azure://acme/backups/./a":                true,
		"azure://acme/backups/a%00":               true,
		"azure://127.0.0.1:10000":                 true,
		"azure://127.0.0.1:10000/acme":            true,
		"azure:///backups":                        true,
		"azure://acme/backups#x":                  true,
		"azure://acme/backups%zz":                 true,
	} {
		_, err := locate(uri, secure, environment{})
		if !errors.Is(err, sdk.ErrInvalid) || sdk.Hint(err) == "" {
			t.Errorf("%q: %v with hint %q, want ErrInvalid and a hint", uri, err, sdk.Hint(err))
		}
		if err != nil && strings.Contains(err.Error(), "azure://") {
			t.Errorf("%q: %v, which has the location that the host shows in front of it", uri, err)
		}
	}
}

// What may be a password or a signature is not repeated.
func TestLocateHidesSecrets(t *testing.T) {
	for _, uri := range []string{
		"azure://user:hunter2@acme/-", "azure://user:hunter2@acme/backups%zz", "https://acme.blob.core.windows.net/backups?sig=hunter2", "azure://acme/c1?sig=hunter2",
	} {
		if _, err := locate(uri, true, environment{}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a secret, or there is none: %v", err)
		}
	}
}

const goodKey = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"

func TestConnectionStrings(t *testing.T) {
	for s, want := range map[string]string{
		"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=" + goodKey + "==;EndpointSuffix=core.windows.net": "",
		"AccountName=acme;AccountKey=" + goodKey:                                               "https acme.blob.core.windows.net  acme key",
		"AccountName=acme;AccountKey=" + goodKey + ";EndpointSuffix=core.chinacloudapi.cn;":    "https acme.blob.core.chinacloudapi.cn  acme key",
		"accountname=acme;ACCOUNTKEY=" + goodKey + ";QueueEndpoint=https://q/":                 "https acme.blob.core.windows.net  acme key",
		"BlobEndpoint=https://acme.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x%3D": "https acme.blob.core.windows.net  acme sas",
		"BlobEndpoint=http://127.0.0.1:10000/acme;AccountName=acme;AccountKey=" + goodKey:      "http 127.0.0.1:10000 /acme acme key",
		"UseDevelopmentStorage=true":                                                           "http 127.0.0.1:10000 /devstoreaccount1 devstoreaccount1 key",
	} {
		c, err := parseConnection(s)
		if want == "" {
			if err == nil {
				t.Errorf("a key that is not in base64 was taken")
			}
			continue
		}
		got := strings.Join([]string{c.scheme, c.host, c.path, c.account}, " ")
		switch {
		case !c.key.IsZero():
			got += " key"
		case !c.sas.IsZero():
			got += " sas"
		}
		if got != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", s, got, err, want)
		}
	}
	for _, s := range []string{
		"hunter2", "AccountName", "=hunter2", "Hunter2=x", "AccountName=acme;AccountName=acme;AccountKey=" + goodKey, "AccountName=acme", "AccountName=;AccountKey=" + goodKey,
		"AccountKey=" + goodKey, "AccountName=acme;AccountKey=hunter2!", "AccountName=acme;AccountKey=" + goodKey + ";SharedAccessSignature=sig=hunter2",
		"AccountName=acme;AccountKey=" + goodKey + ";DefaultEndpointsProtocol=ftp", "AccountName=acme;;AccountKey=" + goodKey,
		"BlobEndpoint=hunter2;AccountName=acme;AccountKey=" + goodKey, "BlobEndpoint=https://u:hunter2@h/;AccountName=acme;AccountKey=" + goodKey,
	} {
		if _, err := parseConnection(s); err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), goodKey) {
			t.Errorf("%q: %v, want an error that shows no value", s, err)
		}
	}
}

func TestSettings(t *testing.T) {
	for text, want := range map[string]byteSize{"64KiB": 64 << 10, "8MiB": 8 << 20, "3GiB": 3 << 30, "4000MiB": 4000 << 20, "100000": 100_000} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); got != want || err != nil {
			t.Errorf("block_size %s is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1", "63KiB", "4GiB", "4001MiB", "-8MiB", "8 MiB", "8MB", "8.5MiB", "MiB", "99999999999999999999"} {
		if err := new(byteSize).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("block_size %q was taken", text)
		}
	}
	for text, want := range map[string]immutability{"30": {30, "Unlocked"}, "30,unlocked": {30, "Unlocked"}, "1,Locked": {1, "Locked"}} {
		var got immutability
		if err := got.UnmarshalText([]byte(text)); got != want || err != nil {
			t.Errorf("immutability %s is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "30d", "30,", "30,forever", "locked", "200000"} {
		if err := new(immutability).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("immutability %q was taken", text)
		}
	}
	for text, want := range map[string]string{"": "", "hot": "Hot", "Cool": "Cool", "COLD": "Cold", "archive": "Archive"} {
		if got, err := parseTier(text); string(got) != want || err != nil {
			t.Errorf("tier %s is %s, %v; want %s", text, got, err, want)
		}
	}
	if _, err := parseTier("Premium"); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("tier Premium: %v, want ErrInvalid", err)
	}
}

// In the archive nothing can be read for hours: what every command reads does not
// go there.
func TestArchiveIsForData(t *testing.T) {
	d := &destination{tier: "Archive"}
	for name, archived := range map[string]bool{
		"dgraph.20261121.041813.437/r8-g1.backup":  true,
		"dgraph.20261121.041813.437/r8-g1.seal":    false,
		"dgraph.20261121.041813.437/manifest.json": false,
		"manifest.json":         false,
		"brock/series/1.json":   false,
		"brock/x.backup/1.json": false,
	} {
		if got := d.tierOf(name); (got != nil) != archived {
			t.Errorf("%s is put into the archive: %v, want %v", name, got != nil, archived)
		}
	}
	d.tier = "Cool"
	if got := d.tierOf("manifest.json"); got == nil || *got != "Cool" {
		t.Error("the tier Cool is not for all")
	}
}
