package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/brock-backup/brock/sdk"
)

// List yields the blobs below the location, page by page.
func (d *destination) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	if dir := strings.TrimSuffix(prefix[:strings.LastIndexByte(prefix, '/')+1], "/"); prefix != "" && (dir != "" || prefix[0] == '/') {
		if err := checkName(dir); err != nil {
			return func(yield func(sdk.Object, error) bool) { yield(sdk.Object{}, err) }
		}
	}
	return inOrder(d.pages(ctx, prefix, container.ListBlobsInclude{}))
}

// An entry is one thing that Azure lists.
type entry struct {
	sdk.Object
	folder bool
}

// pages yields what Azure lists, with the names that objects have here.
func (d *destination) pages(ctx context.Context, prefix string, include container.ListBlobsInclude) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		full := d.at.prefix + blobName(prefix)
		options := &container.ListBlobsFlatOptions{Prefix: &full, Include: include}
		if d.pageSize > 0 {
			options.MaxResults = &d.pageSize
		}
		pager := d.container.NewListBlobsFlatPager(options)
		for pager.More() {
			var page container.ListBlobsFlatResponse
			err := d.persist(ctx, brief, "list of "+d.at.String(), func(ctx context.Context) (err error) {
				page, err = pager.NextPage(ctx)
				return err
			})
			if err != nil {
				yield(entry{}, err)
				return
			}
			if page.Segment == nil {
				continue
			}
			for _, item := range page.Segment.BlobItems {
				if e, ok := d.entry(item); ok && !yield(e, nil) {
					return
				}
			}
		}
		if err := ctx.Err(); err != nil {
			yield(entry{}, err)
		}
	}
}

func (d *destination) entry(item *container.BlobItem) (entry, bool) {
	if item == nil || item.Name == nil {
		return entry{}, false
	}
	blob, ok := strings.CutPrefix(*item.Name, d.at.prefix)
	if !ok {
		return entry{}, false
	}
	name, ok := objectName(blob)
	if !ok {
		return entry{}, false
	}
	e := entry{Object: sdk.Object{Name: name}}
	if p := item.Properties; p != nil {
		e.folder = p.ResourceType != nil && *p.ResourceType == "directory"
		if p.ContentLength != nil {
			e.Size = *p.ContentLength
		}
	}
	return e, true
}

// maxSorted is how many names inOrder holds.
const maxSorted = 1 << 20

// inOrder leaves out what is no object, and sees to the order. Accounts with
// hierarchical namespaces list folders, and what is in a folder comes before
// "folder.x"; from the first folder on, names are collected and sorted. All that
// came before it is in order.
func inOrder(entries iter.Seq2[entry, error]) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		var rest []sdk.Object
		last, folders := "", false
		for e, err := range entries {
			switch {
			case err != nil:
				yield(sdk.Object{}, err)
				return
			case e.folder:
				folders = true
			case !valid(e.Name):
			case folders && len(rest) == maxSorted:
				yield(sdk.Object{}, fmt.Errorf("more than %d objects in an account with a hierarchical namespace: %w", maxSorted, sdk.ErrUnsupported))
				return
			case folders:
				rest = append(rest, e.Object)
			case e.Name <= last:
				yield(sdk.Object{}, fmt.Errorf("%q is listed behind %q, out of order: %w", e.Name, last, sdk.ErrUnsupported))
				return
			default:
				last = e.Name
				if !yield(e.Object, nil) {
					return
				}
			}
		}
		slices.SortFunc(rest, func(a, b sdk.Object) int { return strings.Compare(a.Name, b.Name) })
		for _, o := range rest {
			if !yield(o, nil) {
				return
			}
		}
	}
}
