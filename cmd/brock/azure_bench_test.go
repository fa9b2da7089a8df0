package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
)

// BenchmarkAzure moves 1 GiB to an Azurite on this machine and back, through the plugin
// and with azblob as its users have it. Azurite is slow, and keeps much in memory:
// what counts is the ratio.
func BenchmarkAzure(b *testing.B) {
	env := serverEnv(b, "azurite")
	b.Setenv("AZURE_BENCH_URL", fmt.Sprintf("http://%s/%s/", env["AZURE_ENDPOINT"], env["AZURE_ACCOUNT"]))
	b.Setenv("AZURE_BENCH_ACCOUNT", env["AZURE_ACCOUNT"])
	b.Setenv("AZURE_BENCH_KEY", env["AZURE_KEY"])
	client, err := azureClient()
	if err != nil {
		b.Fatal(err)
	}
	container := "bench-" + strings.ToLower(rand.Text())
	if _, err := client.CreateContainer(b.Context(), container, nil); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = client.DeleteContainer(context.Background(), container, nil) })
	const size = 1 << 30
	file := filepath.Join(memoryDir(b), "object")
	writeRandom(b, file, size)
	rivals := []*rival{{name: "plugin"}, {name: "azblob"}}
	for b.Loop() {
		benchPlugin(b, rivals[0], fmt.Sprintf("azure://%s/%s/%s/plugin?secure=false", env["AZURE_ENDPOINT"], env["AZURE_ACCOUNT"], container), size,
			"AZURE_STORAGE_KEY="+env["AZURE_KEY"])
		benchLibrary(b, rivals[1], size, "azblob", []string{container, file})
	}
	compareRivals(b, rivals, rivals[1])
}

func azureClient() (*azblob.Client, error) {
	cred, err := azblob.NewSharedKeyCredential(os.Getenv("AZURE_BENCH_ACCOUNT"), os.Getenv("AZURE_BENCH_KEY"))
	if err != nil {
		return nil, err
	}
	return azblob.NewClientWithSharedKeyCredential(os.Getenv("AZURE_BENCH_URL"), cred, nil)
}

func moveWithAzblob(verb, container, file string) error {
	c, err := azureClient()
	if err != nil {
		return err
	}
	ctx := context.Background()
	if verb == "put" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = c.UploadStream(ctx, container, "library", bufio.NewReader(f), nil)
		return err
	}
	res, err := c.DownloadStream(ctx, container, "library", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.NewRetryReader(ctx, nil))
	return err
}
