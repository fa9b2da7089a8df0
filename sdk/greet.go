package sdk

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk/internal/mtls"
)

// A greeting is the line on standard output that tells the host where to
// connect. go-plugin writes it, but leaves the place of the certificate empty,
// because the certificate is ours: whoever makes it can also say how the
// connection is read and written.
type greeting struct {
	config *tls.Config // nil if the host wants no TLS
}

// newGreeting makes a certificate, and completes the next line that is written to
// standard output.
func newGreeting() (*greeting, error) {
	host := os.Getenv(mtls.HostEnv)
	if host == "" {
		return &greeting{}, nil
	}
	config, certificate, err := mtls.NewServerConfig(host)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out := os.Stdout
	os.Stdout = w
	go func() {
		defer r.Close()
		defer w.Close()
		if line, err := bufio.NewReader(r).ReadString('\n'); err == nil {
			fmt.Fprintf(out, "%s%s\n", strings.TrimSuffix(line, "\n"), certificate)
		}
	}()
	return &greeting{config}, nil
}

// tls is what go-plugin asks for.
func (g *greeting) tls() (*tls.Config, error) { return g.config, nil }

// options are those of the connection.
func (g *greeting) options(opts []grpc.ServerOption) []grpc.ServerOption {
	if g.config == nil {
		return opts
	}
	return append(opts, grpc.Creds(mtls.Server(g.config)))
}
