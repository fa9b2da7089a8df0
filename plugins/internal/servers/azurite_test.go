package servers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

// azureClient returns a client of a that connects to url.
func azureClient(t *testing.T, a Azure, url string) *azblob.Client {
	t.Helper()
	cred, err := azblob.NewSharedKeyCredential(a.Account, a.Key)
	if err != nil {
		t.Fatal(err)
	}
	hc, err := client(a.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := azblob.NewClientWithSharedKeyCredential(url, cred,
		&azblob.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: hc}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAzuriteKeepsBlobs(t *testing.T) {
	for name, server := range map[string]func(testing.TB) Azure{"azurite": Azurite, "azurite-tls": AzuriteTLS} {
		t.Run(name, func(t *testing.T) {
			a := server(t)
			c := azureClient(t, a, a.URL())
			container := "t-" + bucketName()
			if _, err := c.CreateContainer(t.Context(), container, nil); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if _, err := c.DeleteContainer(context.Background(), container, nil); err != nil {
					t.Error(err)
				}
			})
			if _, err := c.UploadBuffer(t.Context(), container, "a", []byte("hello"), nil); err != nil {
				t.Error(err)
			}
			resp, err := c.DownloadStream(t.Context(), container, "a", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "hello" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestProxyAnswersAsAzure(t *testing.T) {
	a := Azurite(t)
	f := Proxy(t, a.Endpoint)
	f.Answer(1, 0, Action{Status: http.StatusForbidden, Header: http.Header{"x-ms-error-code": {"AuthorizationFailure"}}})
	_, err := azureClient(t, a, "http://"+f.Addr+"/"+a.Account).CreateContainer(t.Context(), "t-"+bucketName(), nil)
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) || answer.ErrorCode != string(bloberror.AuthorizationFailure) {
		t.Errorf("the client reads %v", err)
	}
}
