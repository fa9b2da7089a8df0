package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/admin"
	"github.com/brock-backup/brock/sdk"
)

// httpFlags say where a host listens, and who may call.
type httpFlags struct {
	addr      string
	bindAll   bool
	whitelist string
	security  string
	tokenFile string
	proxies   string
	hosts     []string
	tls       string
	files     admin.TLSFiles
	mutate    string
	admin     string

	mutateBytes, adminBytes int64
}

func (h *httpFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&h.addr, "http-addr", "127.0.0.1:8080", "listen on `ADDRESS`; port 0 is any that is free")
	f.BoolVar(&h.bindAll, "bindall", false, "listen on all addresses, at port 8080")
	f.StringVar(&h.whitelist, "whitelist", "", "these may call, too: a `LIST` of addresses, ranges a:b, CIDR and names, with commas")
	f.StringVar(&h.security, "security", "", "the same and the token as Dgraph writes them: `\"whitelist=...; token=...\"`")
	f.StringVar(&h.tokenFile, "auth-token-file", "", "/admin and /alter want the token in `FILE` as X-Dgraph-AuthToken")
	f.StringVar(&h.proxies, "trusted-proxies", "", "a `LIST` of proxies that are believed what X-Forwarded-For says")
	f.StringArrayVar(&h.hosts, "host-name", nil, "this host is called `NAME`, too: browsers are not answered under other names (repeatable)")
	f.StringVar(&h.tls, "tls", "", "certificates as Dgraph writes them: `\"server-cert=...; server-key=...\"`, with ca-cert for those of clients, which client-auth-type=REQUIREANDVERIFY demands")
	f.StringVar(&h.files.Cert, "tls-cert", "", "answer over TLS with the certificate in `FILE`")
	f.StringVar(&h.files.Key, "tls-key", "", "its key is in `FILE`")
	f.StringVar(&h.files.CA, "tls-client-ca", "", "want certificates of clients, by the authority in `FILE`")
	f.StringVar(&h.files.ClientAuth, "tls-client-auth", "", "how much they are wanted: `TYPE` REQUEST, REQUIREANY, VERIFYIFGIVEN or REQUIREANDVERIFY")
	f.StringVar(&h.mutate, "max-mutation", "64MiB", "a mutation has `SIZE` at most")
	f.StringVar(&h.admin, "max-request", "1MiB", "any other request has `SIZE` at most, and one to /admin 1MiB in any case")
}

// guard understands who may call.
func (h *httpFlags) guard(ctx context.Context, a *app) (*admin.Guard, error) {
	for _, size := range []struct {
		flag, text string
		to         *int64
	}{{"--max-mutation", h.mutate, &h.mutateBytes}, {"--max-request", h.admin, &h.adminBytes}} {
		n, err := humanize.ParseBytes(size.text)
		if err != nil || n < 1<<10 || n > 256<<20 {
			return nil, usageError("from 1KiB to 256MiB", "%s %s is not such a size", size.flag, size.text)
		}
		*size.to = int64(n)
	}
	c := admin.GuardConfig{Whitelist: h.whitelist, Proxies: h.proxies, Hosts: h.hosts}
	if h.security != "" {
		options, err := superflag(h.security, "whitelist", "token")
		if err != nil {
			return nil, usageError("", "--security: %v", err)
		}
		if h.whitelist != "" && options["whitelist"] != "" {
			return nil, usageError("keep one of them", "the whitelist stands twice, in --whitelist and in --security")
		}
		c.Whitelist += options["whitelist"]
		c.Token = sdk.NewSecret(options["token"])
	}
	if h.tokenFile != "" {
		if !c.Token.IsZero() {
			return nil, usageError("keep one of them", "the token stands twice, in --security and in --auth-token-file")
		}
		var err error
		if c.Token, err = readToken(h.tokenFile, a); err != nil {
			return nil, err
		}
	}
	if host, _, err := net.SplitHostPort(h.addr); err == nil && host != "" {
		c.Hosts = append(c.Hosts, host)
	}
	guard, err := admin.NewGuard(ctx, c)
	if err != nil {
		return nil, usageError(hintFor(err), "%v", err)
	}
	return guard, nil
}

// readToken returns the token in a file, without the newline that editors leave.
func readToken(file string, a *app) (sdk.Secret, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return sdk.Secret{}, usageError("write the token into a file with mode 0600", "--auth-token-file: %v", err)
	}
	token := sdk.NewSecret(strings.TrimSpace(string(data)))
	if token.IsZero() {
		return token, usageError("write the token into it", "--auth-token-file: %s is empty", file)
	}
	if info, err := os.Stat(file); err == nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		a.logger.Warn("others may read the token; chmod 0600 the file", "file", file, "mode", info.Mode().Perm())
	}
	return token, nil
}

// nodeOptions are those of Dgraph's --tls that are not about clients.
var nodeOptions = []string{"use-system-ca", "internal-port", "client-cert", "client-key", "server-name"}

// secure returns how TLS is spoken, or nil if it is not.
func (h *httpFlags) secure(a *app) (*tls.Config, error) {
	files := h.files
	if h.tls != "" {
		if files != (admin.TLSFiles{}) {
			return nil, usageError("keep one of them", "certificates stand twice, in --tls and in flags of their own")
		}
		options, err := superflag(h.tls, append([]string{"server-cert", "server-key", "ca-cert", "client-auth-type"}, nodeOptions...)...)
		if err != nil {
			return nil, usageError("", "--tls: %v", err)
		}
		for _, name := range nodeOptions {
			if options[name] != "" {
				a.logger.Warn("this option of --tls is for Dgraph's nodes among each other, and does nothing", "option", name)
			}
		}
		if options["ca-cert"] != "" && options["client-auth-type"] == "" {
			options["client-auth-type"] = "VERIFYIFGIVEN" // Dgraph's default
			a.logger.Warn("clients without a certificate are answered, as by Dgraph; client-auth-type=REQUIREANDVERIFY demands one")
		}
		files = admin.TLSFiles{Cert: options["server-cert"], Key: options["server-key"], CA: options["ca-cert"], ClientAuth: options["client-auth-type"]}
	}
	if files == (admin.TLSFiles{}) {
		return nil, nil
	}
	config, err := admin.NewTLS(files, a.logger)
	if err != nil {
		return nil, usageError(hintFor(err), "%v", err)
	}
	return config, nil
}

func (h *httpFlags) listen(ctx context.Context) (net.Listener, error) {
	addr := h.addr
	if h.bindAll {
		addr = ":8080"
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, usageError("for example 127.0.0.1:8080", "--http-addr %s is no address with a port", addr)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, &problem{fmt.Sprint(err), "choose another with --http-addr; port 0 is any that is free", exitFailed}
	}
	return ln, nil
}
