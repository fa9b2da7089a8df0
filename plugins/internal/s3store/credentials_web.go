package s3store

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// web finds credentials by asking for them: a token service, the container's
// agent, or the machine's metadata.
type web struct {
	client *http.Client // for the token service: own CA, proxies
	near   *http.Client // for what is on this machine: no proxy, short timeouts
	sts    string       // URL of the token service
	plain  bool         // secure=false: the token service too may speak plain HTTP
}

// answerSize is how much of an answer is read, in bytes.
const answerSize = 64 << 10

// newWeb knows whom to ask. MinIO has a token service of its own.
func newWeb(cfg *Config, l location, host string, client, near *http.Client) *web {
	w := &web{client: client, near: near, plain: !cfg.Secure, sts: os.Getenv("AWS_ENDPOINT_URL_STS")}
	switch {
	case w.sts != "":
	case l.scheme == "minio":
		w.sts = (&url.URL{Scheme: httpScheme(cfg.Secure), Host: host}).String()
	default:
		w.sts = "https://" + stsHost(firstOf(cfg.Region, regionOf(host), os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")))
	}
	return w
}

func stsHost(region string) string {
	switch {
	case region == "":
		return "sts.amazonaws.com"
	case strings.HasPrefix(region, "cn-"):
		return "sts." + region + ".amazonaws.com.cn"
	}
	return "sts." + region + ".amazonaws.com"
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func httpScheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

// identity exchanges a web identity token, as Kubernetes writes it into a file,
// for credentials. The file is read anew each time.
func (w *web) identity(ctx context.Context) (*credential, error) {
	file := os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	if file == "" {
		return nil, nil
	}
	role := os.Getenv("AWS_ROLE_ARN")
	u, err := url.Parse(w.sts)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("credentials: AWS_ENDPOINT_URL_STS holds no URL: %w", sdk.ErrInvalid)
	}
	switch {
	case u.Scheme == "http" && !w.plain && !isLocal(u.Hostname()):
		return nil, sdk.WithHint(fmt.Errorf("credentials: the token service %s would get the token in clear text: %w", u.Host, sdk.ErrInvalid),
			"name it in AWS_ENDPOINT_URL_STS with https://")
	case role == "" && strings.Contains(u.Hostname(), "amazonaws.com"):
		return nil, fmt.Errorf("credentials: AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not: %w", sdk.ErrInvalid)
	}
	token, err := readToken(file)
	if err != nil {
		return nil, err
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"WebIdentityToken": {token.RevealString()}, "RoleSessionName": {firstOf(os.Getenv("AWS_ROLE_SESSION_NAME"), "brock")},
	}
	if role != "" {
		form.Set("RoleArn", role)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("credentials: AWS_ENDPOINT_URL_STS holds no URL: %w", sdk.ErrInvalid)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	from := fmt.Sprintf("web identity %s, token service %s", short(file), u.Host)
	if role != "" {
		from += ", role " + role
	}
	body, err := ask(w.client, req, from)
	if err != nil {
		return nil, err
	}
	var res struct {
		Credentials struct {
			ID     sdk.Secret `xml:"AccessKeyId"`
			Secret sdk.Secret `xml:"SecretAccessKey"`
			Token  sdk.Secret `xml:"SessionToken"`
			Until  time.Time  `xml:"Expiration"`
		} `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	if err := xml.Unmarshal(body, &res); err != nil || //nolint:gosec // into three texts and a time
		res.Credentials.ID.IsZero() || res.Credentials.Secret.IsZero() {
		return nil, fmt.Errorf("credentials: %s: the answer holds none: %w", from, sdk.ErrUnavailable)
	}
	c := res.Credentials
	return &credential{id: c.ID, secret: c.Secret, token: c.Token, until: c.Until, from: from}, nil
}

// readToken reads a file that holds a token and nothing else.
func readToken(file string) (sdk.Secret, error) {
	f, err := os.Open(file) //nolint:gosec // that the user names
	if err != nil {
		return sdk.Secret{}, fmt.Errorf("credentials: token file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, answerSize))
	if err != nil {
		return sdk.Secret{}, fmt.Errorf("credentials: token file: %w", err)
	}
	token := sdk.NewSecret(strings.TrimSpace(string(data)))
	if token.IsZero() {
		return token, fmt.Errorf("credentials: token file %s is empty: %w", file, sdk.ErrPermission)
	}
	return token, nil
}

// agents are the addresses, beyond this machine's own, that may be sent the
// token of a container in clear text.
var agents = []string{"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}

// container asks the agent of Amazon's container services.
func (w *web) container(ctx context.Context) (*credential, error) {
	address := os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if relative := os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); relative != "" {
		address = "http://" + agents[0] + relative
	}
	if address == "" {
		return nil, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("credentials: AWS_CONTAINER_CREDENTIALS_FULL_URI holds no URL: %w", sdk.ErrInvalid)
	}
	if u.Scheme != "https" && !isLocal(u.Hostname()) && !slices.Contains(agents, u.Hostname()) {
		return nil, fmt.Errorf("credentials: AWS_CONTAINER_CREDENTIALS_FULL_URI: %s is not on this machine: %w", u.Host, sdk.ErrInvalid)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody) //nolint:gosec // checked above
	if err != nil {
		return nil, fmt.Errorf("credentials: AWS_CONTAINER_CREDENTIALS_FULL_URI holds no URL: %w", sdk.ErrInvalid)
	}
	token := sdk.NewSecret(os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
	if file := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		if token, err = readToken(file); err != nil {
			return nil, err
		}
	}
	if !token.IsZero() {
		req.Header.Set("Authorization", token.RevealString())
	}
	return w.document(req, "container credentials of "+u.Host)
}

func isLocal(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// instance asks the metadata service of Amazon's machines, version 2, for the
// credentials of the machine's role. Unless it was asked for, it is tried only
// where the firmware says that this is such a machine: elsewhere nobody answers.
func (w *web) instance(ctx context.Context, asked bool) (*credential, error) {
	base := firstOf(os.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "http://169.254.169.254")
	if strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") || !asked && !onAmazon() {
		return nil, nil
	}
	const from, path = "instance metadata", "/latest/meta-data/iam/security-credentials/"
	base = strings.TrimSuffix(base, "/")
	get := func(method, path, header, value string) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, method, base+path, http.NoBody) //nolint:gosec // that the user names
		if err != nil {
			return nil, fmt.Errorf("credentials: AWS_EC2_METADATA_SERVICE_ENDPOINT holds no URL: %w", sdk.ErrInvalid)
		}
		req.Header.Set(header, value)
		return ask(w.near, req, from)
	}
	token, err := get(http.MethodPut, "/latest/api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
	if err != nil {
		return nil, absentUnless(asked, err)
	}
	roles, err := get(http.MethodGet, path, "X-Aws-Ec2-Metadata-Token", string(token))
	role, _, _ := strings.Cut(strings.TrimSpace(string(roles)), "\n")
	if err != nil || role == "" {
		return nil, absentUnless(asked, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path+url.PathEscape(role), http.NoBody) //nolint:gosec // that the user names
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Aws-Ec2-Metadata-Token", string(token))
	return w.document(req, from+", role "+role)
}

// absentUnless is for a machine that has no role, or a metadata service that is
// switched off.
func absentUnless(asked bool, err error) error {
	if !asked {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("credentials: instance metadata: this machine has no role: %w", sdk.ErrPermission)
	}
	return err
}

// onAmazon reports whether the firmware says that this is a machine of Amazon's.
func onAmazon() bool {
	for _, file := range []string{"/sys/class/dmi/id/sys_vendor", "/sys/class/dmi/id/board_vendor", "/sys/class/dmi/id/bios_vendor"} {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), "Amazon EC2") {
			return true
		}
	}
	return false
}

// document reads credentials as the agents and the metadata service write them.
func (w *web) document(req *http.Request, from string) (*credential, error) {
	body, err := ask(w.near, req, from)
	if err != nil {
		return nil, err
	}
	var doc struct {
		ID     sdk.Secret `json:"AccessKeyId"`
		Secret sdk.Secret `json:"SecretAccessKey"`
		Token  sdk.Secret `json:"Token"`
		Until  time.Time  `json:"Expiration"`
	}
	if err := json.Unmarshal(body, &doc); err != nil || doc.ID.IsZero() || doc.Secret.IsZero() {
		return nil, fmt.Errorf("credentials: %s: the answer holds none: %w", from, sdk.ErrPermission)
	}
	return &credential{id: doc.ID, secret: doc.Secret, token: doc.Token, until: doc.Until, from: from}, nil
}

// ask sends a request, and returns the body of the answer if that is a good one.
// No error shows what was sent.
func ask(client *http.Client, req *http.Request, from string) ([]byte, error) {
	res, err := client.Do(req) //nolint:gosec // see those who call
	if err != nil {
		return nil, networkFailure("credentials: "+from, err, req.URL.Host)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerSize))
	if err != nil {
		return nil, networkFailure("credentials: "+from, err, req.URL.Host)
	}
	if res.StatusCode == http.StatusOK {
		return body, nil
	}
	var said struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
		Request string `xml:"RequestId"`
	}
	_ = xml.Unmarshal(body, &said)
	text := fmt.Sprintf("credentials: %s: HTTP %d", from, res.StatusCode)
	if said.Code != "" {
		text = fmt.Sprintf("credentials: %s: %s (%s, HTTP %d, request %s)", from, oneLine(said.Message), said.Code, res.StatusCode, said.Request)
	}
	kind := sdk.ErrPermission
	if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests || said.Code == "IDPCommunicationError" {
		kind = sdk.ErrUnavailable
	}
	return nil, fmt.Errorf("%s: %w", text, kind)
}
