package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/brock-backup/brock/sdk"
)

// Report tells which credentials are used and what they allow, where the
// container is, what it does for what is kept in it, how far the clocks are
// apart, and which uploads were never finished.
func (d *destination) Report(ctx context.Context) ([]sdk.Finding, error) {
	found := []sdk.Finding{d.credentials(), d.endpoint(), d.tls()}
	switch d.createOnly.Load() {
	case honoured:
		found = append(found, sdk.Finding{Name: "create-only", Detail: "If-None-Match is honoured"})
	case ignored:
		found = append(found, sdk.Finding{
			Name: "create-only", Detail: "If-None-Match is ignored", Problem: true,
			Hint: "this is no service of Azure's, and of two hosts that write one name, the later one wins: use another",
		})
	}
	found = append(found, d.properties(ctx)...)
	found = append(found, d.leftovers(ctx)...)
	if skew, ok := d.wire.clockSkew(); ok {
		f := sdk.Finding{Name: "clock", Detail: fmt.Sprintf("within %s of Azure's", spoken(max(time.Second, skew.Abs())))}
		if skew.Abs() > time.Minute {
			f.Problem, f.Hint = true, clockHint(skew)
		}
		found = append(found, f)
	}
	return found, ctx.Err()
}

// soon is how long before its end a SAS is worth a word.
const soon = 7 * 24 * time.Hour

func (d *destination) credentials() sdk.Finding {
	f := sdk.Finding{Name: "credentials", Detail: d.who.source}
	g := d.who.grant
	if !d.who.sas.IsZero() {
		f.Detail += fmt.Sprintf(", permissions %q", g.permissions)
		if !g.end.IsZero() {
			f.Detail += ", until " + g.end.UTC().Format(time.RFC3339)
		}
		switch {
		case !g.end.IsZero() && time.Until(g.end) < soon:
			f.Problem, f.Hint = true, "make a new SAS before this one has expired"
		case g.permissions != "" && !strings.Contains(g.permissions, "d"):
			f.Hint = "old backups cannot be removed with this SAS; leave it so if that is what you want"
		}
	}
	if d.who.token != nil {
		switch last := d.who.token.last.Load(); {
		case last == nil:
			f.Detail += ", not asked for a token yet"
		case *last != nil:
			f.Problem, f.Detail, f.Hint = true, (*last).Error(), howToAuthenticate
		}
	}
	f.Detail += told(d.who.notes)
	return f
}

func (d *destination) endpoint() sdk.Finding {
	return sdk.Finding{Name: "endpoint", Detail: fmt.Sprintf("%s, account %s, container %s", d.at.scheme+"://"+d.at.host, d.at.account, d.at.container)}
}

func (d *destination) tls() sdk.Finding {
	if d.at.scheme == "https" {
		f := sdk.Finding{Name: "tls", Detail: "required"}
		if v := d.wire.tls.Load(); v != 0 {
			f.Detail = tls.VersionName(uint16(v))
		}
		return f
	}
	host, _, err := net.SplitHostPort(d.at.host)
	if err != nil {
		host = d.at.host
	}
	ip := net.ParseIP(host)
	return sdk.Finding{
		Name: "tls", Detail: "none: credentials and backups travel in clear text", Problem: host != "localhost" && (ip == nil || !ip.IsLoopback()),
		Hint: "leave secure=false out if the server can speak TLS",
	}
}

// properties are those of the container. A SAS for a container alone cannot see
// them.
func (d *destination) properties(ctx context.Context) (found []sdk.Finding) {
	var p container.GetPropertiesResponse
	err := d.persist(ctx, brief, d.at.String(), func(ctx context.Context) (err error) {
		p, err = d.container.GetProperties(ctx, nil)
		return err
	})
	if err != nil {
		if d.locked.days > 0 {
			found = append(found, d.immutability(nil))
		}
		return found
	}
	if p.BlobPublicAccess != nil && *p.BlobPublicAccess != "" {
		found = append(found, sdk.Finding{
			Name: "access", Problem: true, Detail: "everybody may read this container",
			Hint: "\"az storage container set-permission --public-access off\" ends that",
		})
	}
	policy := p.HasImmutabilityPolicy != nil && *p.HasImmutabilityPolicy || p.HasLegalHold != nil && *p.HasLegalHold
	switch {
	case d.locked.days > 0:
		found = append(found, d.immutability(p.IsImmutableStorageWithVersioningEnabled))
	case policy:
		found = append(found, sdk.Finding{
			Name: "immutability", Detail: "the container has a policy of its own, or a legal hold",
			Hint: "Dgraph's manifest.json has to be overwritten with every backup, which such a policy forbids",
		})
	}
	if p.DefaultEncryptionScope != nil && d.scope == nil && *p.DefaultEncryptionScope != "" && *p.DefaultEncryptionScope != "$account-encryption-key" {
		found = append(found, sdk.Finding{Name: "encryption", Detail: "scope " + *p.DefaultEncryptionScope})
	}
	return found
}

// immutability tells what becomes of the setting in a container that has
// version-level immutability, or has not, or of which that is not known.
func (d *destination) immutability(versioned *bool) sdk.Finding {
	f := sdk.Finding{Name: "immutability", Detail: fmt.Sprintf("each object for %d days, %s", d.locked.days, strings.ToLower(string(d.locked.mode)))}
	switch seen := d.locks.Load(); {
	case seen == ignored:
		f.Problem, f.Detail = true, "the service does not make objects immutable, although it was asked to"
	case seen == honoured:
		f.Detail += ", as an object shows"
	case versioned == nil:
		f.Problem, f.Detail = true, "the container does not tell whether it has version-level immutability"
	case !*versioned:
		f.Problem, f.Detail = true, "the container does not have version-level immutability"
	}
	if f.Problem {
		f.Hint = "enable version-level immutability for the account or the container, or leave out the setting immutability"
	}
	return f
}

// maxLeftovers is how many unfinished uploads are looked into.
const maxLeftovers = 100

// leftovers are blobs of which there are only blocks that nobody has committed.
func (d *destination) leftovers(ctx context.Context) []sdk.Finding {
	var uploads, blocks int
	var size int64
	var first string
	for e, err := range d.pages(ctx, "", container.ListBlobsInclude{UncommittedBlobs: true}) {
		if err != nil {
			return nil
		}
		if uploads == maxLeftovers {
			break
		}
		if e.Size > 0 || e.folder {
			continue
		}
		list, err := d.blob(e.Name).GetBlockList(ctx, blockblob.BlockListTypeUncommitted, nil)
		if err != nil || len(list.UncommittedBlocks) == 0 {
			continue
		}
		if uploads == 0 {
			first = e.Name
		}
		uploads++
		blocks += len(list.UncommittedBlocks)
		for _, b := range list.UncommittedBlocks {
			if b.Size != nil {
				size += *b.Size
			}
		}
	}
	if uploads == 0 {
		return []sdk.Finding{{Name: "uploads", Detail: "no unfinished ones"}}
	}
	some := strconv.Itoa(uploads)
	if uploads == maxLeftovers {
		some += " or more"
	}
	return []sdk.Finding{{
		Name:   "uploads",
		Detail: fmt.Sprintf("%s unfinished, such as that of %s; their blocks: %d, of %d MiB together", some, first, blocks, (size+1<<20-1)>>20),
		Hint:   "Azure removes them a week after the last block; an upload that is under way looks the same",
	}}
}
