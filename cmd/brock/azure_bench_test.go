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
// Azurite gets slower the more was put, and clears up for a second after each put. So
// how fast gets are is measured first, of one object: see getByTurns.
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
		if err := moveWithMD5("put", container, file); err != nil {
			b.Fatal(err)
		}
		ours, theirs := getByTurns(b, env, container, size, 15*rounds)
		for range rounds {
			benchPlugin(b, rivals[0], fmt.Sprintf("azure://%s/%s/%s/plugin?secure=false", env["AZURE_ENDPOINT"], env["AZURE_ACCOUNT"], container), size,
				"AZURE_STORAGE_KEY="+env["AZURE_KEY"])
			benchLibrary(b, rivals[1], size, "azblob-md5", []string{container, file})
			benchLibrary(b, rivals[2], size, "azblob", []string{container, file})
		}
		rivals[0].get.rate, rivals[1].get.rate = ours, theirs
	}
	compareRivals(b, rivals, rivals[1])
}

// getByTurns reads what the library has put, through a plugin and with azblob, each
// time in new processes, whose start does not count. It returns the medians in MB/s. Who is
// first alternates: Azurite collects its garbage when it likes.
func getByTurns(b *testing.B, env map[string]string, container string, size int64, rounds int) (ours, theirs float64) {
	b.Helper()
	var rates [2][]float64
	for i := range 2 * rounds {
		who, took := (i+i/2)%2, 0.0
		if who == 0 {
			took = getWithPlugin(b, env, container, size)
		} else {
			cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^$")
			cmd.Env = append(os.Environ(), libraryEnv+"=azblob,get,"+container+",-")
			out, err := cmd.Output()
			if _, bad := fmt.Sscan(string(out), &took); err != nil || bad != nil {
				b.Fatalf("azblob: %v, %v: %s", err, bad, out)
			}
		}
		rates[who] = append(rates[who], float64(size)/1e6/took)
	}
	for i := range rates {
		slices.Sort(rates[i])
	}
	return rates[0][rounds/2], rates[1][rounds/2]
}

func getWithPlugin(b *testing.B, env map[string]string, container string, size int64) (seconds float64) {
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
	start := time.Now()
	r, err := d.Get(b.Context(), "library", 0)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if err != nil || n != size {
		b.Fatalf("get = %d bytes, %v", n, err)
	}
	return time.Since(start).Seconds()
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
