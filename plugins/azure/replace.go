package main

import (
	"context"
	"io"
	"regexp"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"github.com/brock-backup/brock/sdk"
)

// anETag is what a version looks like. What does not, no object ever had.
var anETag = regexp.MustCompile(`^[A-Za-z0-9_.:+/=-]+$`)

// Replace overwrites an object under the condition that it still has the ETag
// version. What is to be replaced is never made immutable.
func (d *destination) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	u := d.newUpload(name, blob.ModifiedAccessConditions{}, sdk.ErrConflict)
	switch any, etag := azcore.ETagAny, azcore.ETag(`"`+version+`"`); {
	case version == "":
		u.condition.IfNoneMatch = &any
	case anETag.MatchString(version):
		u.condition.IfMatch = &etag
	default:
		return "", u.refusal()
	}
	return u.store(ctx, r)
}
