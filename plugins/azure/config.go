package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/brock-backup/brock/sdk"
)

// Config is what a user writes for this destination.
type Config struct {
	URI             string       `json:"uri"              required:"true" doc:"the container that holds the backups" example:"azure://account/container/prefix"`
	Secure          bool         `json:"secure"           default:"true"  doc:"whether to use TLS; for emulators, it may be false"`
	Anonymous       bool         `json:"anonymous"        doc:"use no credentials: the container is public, and can be read only"`
	SAS             sdk.Secret   `json:"sas"              doc:"shared access signature of the container or the account, percent-encoded in a URI"`
	AccountKey      sdk.Secret   `json:"account_key"      doc:"key of the storage account, in base64"`
	TenantID        string       `json:"tenant_id"        doc:"tenant of the identity; default: AZURE_TENANT_ID"`
	ClientID        string       `json:"client_id"        doc:"client id of a service principal, a workload or a managed identity; default: AZURE_CLIENT_ID"`
	BlockSize       byteSize     `json:"block_size"       default:"8MiB"  doc:"size of the blocks of large objects, 64KiB to 4000MiB; three are held in memory for each object being written" example:"16MiB"`
	Tier            string       `json:"tier"             doc:"access tier: Hot, Cool, Cold or Archive; default: the account's. Archive is for *.backup alone, since all else is read again soon" example:"Cool"`
	Immutability    immutability `json:"immutability"     doc:"for how many days objects cannot be changed or deleted, and whether that is unlocked (the default) or locked" example:"30,locked"`
	CAFile          string       `json:"ca_file"          doc:"certificates (PEM) of authorities to trust besides the system's"`
	EncryptionScope string       `json:"encryption_scope" doc:"encryption scope of the account that objects are encrypted with"`

	signed
}

// open returns the destination at cfg.URI. It asks Azure nothing: a container
// that is missing, or credentials that are refused, are found by the first call.
func open(ctx context.Context, cfg Config) (*destination, error) {
	vars := readEnvironment()
	at, err := locate(cfg.URI, cfg.Secure, vars)
	if err != nil {
		return nil, err
	}
	tier, err := parseTier(cfg.Tier)
	if err != nil {
		return nil, err
	}
	conns, err := newTransport(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	who, err := identify(ctx, cfg, vars, at, conns)
	if err != nil {
		conns.CloseIdleConnections()
		return nil, err
	}
	warn(at, who)
	d := &destination{
		at:        at,
		who:       who,
		wire:      &wire{conns: conns, sas: who.sas},
		conns:     conns,
		blockSize: int64(cfg.BlockSize),
		tier:      tier,
		locked:    cfg.Immutability,
	}
	if d.blockSize == 0 {
		d.blockSize = defaultBlockSize
	}
	if cfg.EncryptionScope != "" {
		d.scope = &blob.CPKScopeInfo{EncryptionScope: &cfg.EncryptionScope}
	}
	if d.container, err = newClient(at, who, d.wire); err != nil {
		conns.CloseIdleConnections()
		return nil, fmt.Errorf("%s: %w: %w", at, err, sdk.ErrInvalid)
	}
	return d, nil
}

// warned are the places that have been warned of: a place may be opened often.
var warned sync.Map

// warn says what is permitted and unwise, once for each place.
func warn(at location, who *identity) {
	if _, twice := warned.LoadOrStore(at, true); twice {
		return
	}
	if at.scheme != "https" {
		sdk.Logger().Warn("secure=false: credentials and backups travel in clear text", "place", at.String())
	}
	for _, note := range who.notes {
		sdk.Logger().Warn(note, "place", at.String(), "credentials", who.source)
	}
}

func newClient(at location, who *identity, wire policy.Transporter) (*container.Client, error) {
	options := &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: wire,
		Retry:     policy.RetryOptions{MaxRetries: -1}, // see persist
		Telemetry: policy.TelemetryOptions{ApplicationID: "brock"},
	}}
	switch {
	case who.key != nil:
		return container.NewClientWithSharedKeyCredential(at.url(), who.key, options)
	case who.token != nil:
		return container.NewClient(at.url(), who.token, options)
	}
	return container.NewClientWithNoCredential(at.url(), options)
}

// A byteSize is a number of bytes, written as such or with KiB, MiB or GiB.
type byteSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *byteSize) UnmarshalText(text []byte) error {
	digits, unit := string(text), int64(1)
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits, unit = rest, u
		}
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || int64(n)*unit < minBlockSize || int64(n)*unit > maxBlockSize {
		return fmt.Errorf("%.40q is no size between 64KiB and 4000MiB", text)
	}
	*s = byteSize(int64(n) * unit)
	return nil
}

// An immutability says for how long objects cannot be changed.
type immutability struct {
	days int // 0: they can
	mode blob.ImmutabilityPolicySetting
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *immutability) UnmarshalText(text []byte) error {
	days, mode, given := strings.Cut(string(text), ",")
	n, err := strconv.ParseUint(days, 10, 31)
	i.days, i.mode = int(n), blob.ImmutabilityPolicySettingUnlocked
	switch {
	case err != nil || n < 1 || n > 146_000:
		return fmt.Errorf("%.40q is no number of days between 1 and 146000", days)
	case !given || strings.EqualFold(mode, "unlocked"):
	case strings.EqualFold(mode, "locked"):
		i.mode = blob.ImmutabilityPolicySettingLocked
	default:
		return fmt.Errorf("mode %.40q is neither unlocked nor locked", mode)
	}
	return nil
}

// until returns the moment when an object that is written now can be deleted.
func (i immutability) until() *time.Time {
	if i.days == 0 {
		return nil
	}
	t := time.Now().UTC().AddDate(0, 0, i.days)
	return &t
}

func parseTier(tier string) (blob.AccessTier, error) {
	if tier == "" {
		return "", nil
	}
	for _, known := range []blob.AccessTier{blob.AccessTierHot, blob.AccessTierCool, blob.AccessTierCold, blob.AccessTierArchive} {
		if strings.EqualFold(tier, string(known)) {
			return known, nil
		}
	}
	return "", fmt.Errorf("setting tier: %.40q is none of Hot, Cool, Cold and Archive: %w", tier, sdk.ErrInvalid)
}

func (i immutability) policy() *blob.ImmutabilityPolicySetting {
	if i.days == 0 {
		return nil
	}
	return &i.mode
}
