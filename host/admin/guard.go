package admin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// A Guard decides who may call. This machine always may, and nobody else unless the
// whitelist has the address. Web pages of other places may not, whatever machine their
// reader sits at.
type Guard struct {
	whitelist []addresses
	proxies   []addresses
	token     sdk.Secret
	hosts     map[string]bool // names that this host is called by
}

// GuardConfig says what a Guard allows.
type GuardConfig struct {
	Whitelist string     // addresses, ranges a:b, CIDR and names, separated by commas
	Proxies   string     // the same: those that are believed what they say in X-Forwarded-For
	Token     sdk.Secret // that /admin and /alter want in X-Dgraph-AuthToken; none if empty
	Hosts     []string   // further names that this host is called by, without a port
}

// NewGuard looks up the names in c.
func NewGuard(ctx context.Context, c GuardConfig) (*Guard, error) {
	g := &Guard{token: c.Token, hosts: map[string]bool{}}
	var err error
	if g.whitelist, err = parseAddresses(ctx, c.Whitelist); err != nil {
		return nil, fmt.Errorf("whitelist: %w", err)
	}
	if g.proxies, err = parseAddresses(ctx, c.Proxies); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	for _, name := range c.Hosts {
		g.hosts[strings.ToLower(name)] = true
	}
	if name, err := os.Hostname(); err == nil {
		g.hosts[strings.ToLower(name)] = true
	}
	return g, nil
}

// addresses are those from first to last.
type addresses struct{ first, last netip.Addr }

func (a addresses) has(ip netip.Addr) bool {
	return ip.BitLen() == a.first.BitLen() && a.first.Compare(ip) <= 0 && ip.Compare(a.last) <= 0
}

func has(list []addresses, ip netip.Addr) bool {
	for _, a := range list {
		if a.has(ip) {
			return true
		}
	}
	return false
}

// parseAddresses reads a list as Dgraph's --security "whitelist=..." has it.
func parseAddresses(ctx context.Context, text string) (list []addresses, err error) {
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		some, err := parseEntry(ctx, entry)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	return list, nil
}

func parseEntry(ctx context.Context, entry string) ([]addresses, error) {
	if ip, err := netip.ParseAddr(entry); err == nil {
		ip = ip.Unmap().WithZone("")
		return []addresses{{ip, ip}}, nil
	}
	if p, err := netip.ParsePrefix(entry); err == nil {
		return []addresses{prefixRange(p)}, nil
	}
	if from, to, ok := strings.Cut(entry, ":"); ok {
		a, errA := netip.ParseAddr(strings.TrimSpace(from))
		b, errB := netip.ParseAddr(strings.TrimSpace(to))
		if errA != nil || errB != nil || !a.Is4() || !b.Is4() || b.Less(a) {
			return nil, hinted("a range is two IPv4 addresses, the lower one first, as in 10.0.0.1:10.0.0.99", "%s is no range of addresses", cut(entry))
		}
		return []addresses{{a, b}}, nil
	}
	if strings.ContainsAny(entry, "/ ") {
		return nil, hinted("there are addresses, ranges a:b, CIDR as 10.0.0.0/8, and names", "%s is no address", cut(entry))
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", entry)
	if err != nil {
		return nil, hinted("names are looked up once, at the start: write the address", "%s: %w", cut(entry), err)
	}
	var list []addresses
	for _, ip := range found {
		ip = ip.Unmap().WithZone("")
		list = append(list, addresses{ip, ip})
	}
	return list, nil
}

// prefixRange returns the addresses of p.
func prefixRange(p netip.Prefix) addresses {
	bits, ip := p.Bits(), p.Addr()
	if ip.Is4In6() && bits >= 96 {
		ip, bits = ip.Unmap(), bits-96
	}
	p = netip.PrefixFrom(ip, bits).Masked()
	last := p.Addr().AsSlice()
	for i := bits; i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	to, _ := netip.AddrFromSlice(last) // of 4 or 16 bytes
	return addresses{p.Addr(), to}
}

// admit returns the address that a request comes from, and an error if it may not come.
func (g *Guard) admit(r *http.Request) (from string, err error) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr, fmt.Errorf("unauthorized ip address: %s", r.RemoteAddr)
	}
	ip := peer.Addr().Unmap().WithZone("")
	proxied := has(g.proxies, ip)
	if proxied {
		if ip, err = g.forwarded(r, ip); err != nil {
			return ip.String(), err
		}
	}
	if !ip.IsLoopback() && !has(g.whitelist, ip) {
		return ip.String(), hinted("--whitelist lists who may call besides this machine", "unauthorized ip address: %s", ip)
	}
	return ip.String(), g.page(r, proxied, !proxied && ip.IsLoopback())
}

// forwarded returns the address that a request had when it came to the first of our proxies.
func (g *Guard) forwarded(r *http.Request, proxy netip.Addr) (netip.Addr, error) {
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	ip := proxy
	for _, hop := range slices.Backward(hops) {
		hop = strings.TrimSpace(hop)
		if with, err := netip.ParseAddrPort(hop); err == nil {
			hop = with.Addr().String()
		}
		next, err := netip.ParseAddr(strings.Trim(hop, "[]"))
		if err != nil {
			return ip, hinted("let the proxy set X-Forwarded-For to its client's address", "unauthorized ip address: %s is a proxy and does not say for whom it asks", proxy)
		}
		if ip = next.Unmap().WithZone(""); !has(g.proxies, ip) {
			break
		}
	}
	return ip, nil
}

// page refuses what a web page of another place makes its reader's browser ask for. Local
// says that the request is admitted only because it comes from this machine. A page
// whose name is changed to this machine's address after it was loaded shows
// its own name as host. Our proxies may give another one than the browser knows.
func (g *Guard) page(r *http.Request, proxied, local bool) error {
	origin := r.Header.Get("Origin")
	if origin != "" {
		u, err := url.Parse(origin)
		ours := err == nil && u.Host != "" && (strings.EqualFold(u.Host, r.Host) || proxied && g.hosts[strings.ToLower(u.Hostname())])
		if !ours {
			return hinted("ask from a program, or from the page at /admin", "unauthorized origin: %s", cut(origin))
		}
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return hinted("ask from a program, or from the page at /admin", "unauthorized origin: another web site")
	}
	if (local || origin != "") && r.TLS == nil && !g.called(r.Host) {
		return hinted("use an address, or give the name to brock serve with --host-name", "unauthorized host name: %s", cut(r.Host))
	}
	return nil
}

// called reports whether host is a name of this one. Addresses are nobody's name.
func (g *Guard) called(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || host == "" {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || g.hosts[host]
}

// errToken is a wrong or missing token, in Dgraph's words.
var errToken = errors.New("Invalid X-Dgraph-AuthToken") //nolint:staticcheck // Dgraph's words

// authorize wants the token where Dgraph does, but for the page on which it is typed.
func (g *Guard) authorize(r *http.Request) error {
	path := r.URL.Path
	if g.token.IsZero() || wantsPage(r) || path != "/alter" && path != "/admin" && !strings.HasPrefix(path, "/admin/") {
		return nil
	}
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Dgraph-AuthToken")), g.token.Reveal()) != 1 {
		return errToken
	}
	return nil
}
