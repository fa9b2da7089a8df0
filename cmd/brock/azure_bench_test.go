package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"golang.org/x/sync/errgroup"

	"github.com/brock-backup/brock/sdk/launch"
)

// BenchmarkAzure moves 1 GiB to an Azurite on this machine and back: through the plugin;
// with azblob, and the digest of every block for the service to verify, as the plugin does
// it; and with azblob as it is, where nobody verifies anything. Azurite is slow, reads a block
// again to verify it, and keeps much in memory: what counts is the ratio to the second.
//
// After a put, Azurite clears up for a second, which the plugin's get would pay for: how fast
// gets are is measured when all is stored, by turns and of the same object, and the
// medians are compared.
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
	const size, rounds = 1 << 30, 3
	file := filepath.Join(memoryDir(b), "object")
	writeRandom(b, file, size)
	rivals := []*rival{{name: "plugin"}, {name: "azblob, MD5"}, {name: "azblob"}}
	for b.Loop() {
		for range rounds {
			benchPlugin(b, rivals[0], fmt.Sprintf("azure://%s/%s/%s/plugin?secure=false", env["AZURE_ENDPOINT"], env["AZURE_ACCOUNT"], container), size,
				"AZURE_STORAGE_KEY="+env["AZURE_KEY"])
			benchLibrary(b, rivals[1], size, "azblob-md5", []string{container, file})
			benchLibrary(b, rivals[2], size, "azblob", []string{container, file})
		}
	}
	getByTurns(b, rivals[0], rivals[1], env, container, 7*rounds)
	compareRivals(b, rivals, rivals[1])
}

// getByTurns reads what a library has put, through the plugin and with azblob.
func getByTurns(b *testing.B, plugin, library *rival, env map[string]string, container string, rounds int) {
	b.Helper()
	p, err := launch.Start(b.Context(), "../../bin/plugins/brock-destination-azure", launch.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	d, err := p.OpenDestination(b.Context(), map[string]any{
		"uri":    fmt.Sprintf("azure://%s/%s/%s", env["AZURE_ENDPOINT"], env["AZURE_ACCOUNT"], container),
		"secure": "false", "account_key": env["AZURE_KEY"],
	})
	if err != nil {
		b.Fatal(err)
	}
	var ours, theirs []float64
	for range rounds {
		start := time.Now()
		r, err := d.Get(b.Context(), "library", 0)
		if err != nil {
			b.Fatal(err)
		}
		size, err := io.Copy(io.Discard, r)
		took := time.Since(start)
		if r.Close(); err != nil || size == 0 {
			b.Fatalf("Get = %d bytes, %v", size, err)
		}
		ours = append(ours, float64(size)/1e6/took.Seconds())
		cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^$")
		cmd.Env = append(os.Environ(), libraryEnv+"=azblob,get,"+container+",-")
		theirs = append(theirs, runMeasured(b, cmd, size).rate)
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	plugin.get.rate, library.get.rate = ours[rounds/2], theirs[rounds/2]
}

func azureClient() (*azblob.Client, error) {
	cred, err := azblob.NewSharedKeyCredential(os.Getenv("AZURE_BENCH_ACCOUNT"), os.Getenv("AZURE_BENCH_KEY"))
	if err != nil {
		return nil, err
	}
	return azblob.NewClientWithSharedKeyCredential(os.Getenv("AZURE_BENCH_URL"), cred, nil)
}

// moveWithMD5 puts as moveWithAzblob does, except that the service verifies every
// block.
func moveWithMD5(verb, container, file string) error {
	if verb != "put" {
		return moveWithAzblob(verb, container, file)
	}
	c, err := azureClient()
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, to := context.Background(), c.ServiceClient().NewContainerClient(container).NewBlockBlobClient("library")
	g, all := errgroup.WithContext(ctx)
	g.SetLimit(2)
	var ids []string
	for {
		data := make([]byte, 8<<20)
		n, err := io.ReadFull(f, data)
		if n > 0 {
			id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%08d", len(ids)))
			ids = append(ids, id)
			g.Go(func() error {
				sum := md5.Sum(data[:n])
				_, err := to.StageBlock(all, id, streaming.NopCloser(bytes.NewReader(data[:n])),
					&blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeMD5(sum[:])})
				return err
			})
		}
		if err != nil {
			break
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err = to.CommitBlockList(ctx, ids, nil)
	return err
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
