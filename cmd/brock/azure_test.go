package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestAzureScripts runs testdata/azure with a real Azurite, in which each script has
// a container of its own: $AT is its location, without settings. Two commands look at it with the
// storage's own client:
//
//	upload DIR [PREFIX]     copies a directory into the container
//	download DIR [PREFIX]   copies it out, every blob of it
func TestAzureScripts(t *testing.T) {
	env := serverEnv(t, "azurite")
	cred, err := azblob.NewSharedKeyCredential(env["AZURE_ACCOUNT"], env["AZURE_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(fmt.Sprintf("http://%s/%s/", env["AZURE_ENDPOINT"], env["AZURE_ACCOUNT"]), cred, nil)
	if err != nil {
		t.Fatal(err)
	}
	params := scripts(t, "testdata/azure", map[string]string{"AZURE_STORAGE_KEY": env["AZURE_KEY"]})
	setup := params.Setup
	params.Setup = func(e *testscript.Env) error {
		container := "script-" + strings.ToLower(rand.Text())
		e.Setenv("CONTAINER", container)
		e.Setenv("AT", fmt.Sprintf("azure://%s/%s/%s", env["AZURE_ENDPOINT"], env["AZURE_ACCOUNT"], container))
		if _, err := client.CreateContainer(context.Background(), container, nil); err != nil {
			return err
		}
		e.Defer(func() { _, _ = client.DeleteContainer(context.Background(), container, nil) })
		return setup(e)
	}
	params.Cmds["upload"] = func(ts *testscript.TestScript, _ bool, args []string) { upload(ts, client, args) }
	params.Cmds["download"] = func(ts *testscript.TestScript, _ bool, args []string) { download(ts, client, args) }
	testscript.Run(t, params)
}

func upload(ts *testscript.TestScript, c *azblob.Client, args []string) {
	dir, prefix := ts.MkAbs(args[0]), strings.Join(args[1:], "")
	ts.Check(filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(file)
		if err == nil {
			_, err = c.UploadBuffer(context.Background(), ts.Getenv("CONTAINER"), prefix+filepath.ToSlash(name), data, nil)
		}
		return err
	}))
}

func download(ts *testscript.TestScript, c *azblob.Client, args []string) {
	dir, prefix := ts.MkAbs(args[0]), strings.Join(args[1:], "")
	ctx, container := context.Background(), ts.Getenv("CONTAINER")
	for pages := c.NewListBlobsFlatPager(container, &azblob.ListBlobsFlatOptions{Prefix: &prefix}); pages.More(); {
		page, err := pages.NextPage(ctx)
		ts.Check(err)
		for _, b := range page.Segment.BlobItems {
			res, err := c.DownloadStream(ctx, container, *b.Name, nil)
			ts.Check(err)
			data, err := io.ReadAll(res.Body)
			ts.Check(err)
			file := filepath.Join(dir, strings.TrimPrefix(*b.Name, prefix))
			ts.Check(os.MkdirAll(filepath.Dir(file), 0o700))
			ts.Check(os.WriteFile(file, data, 0o600))
		}
	}
}
