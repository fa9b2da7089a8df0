package sdk

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"runtime"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// ServeDestination runs a destination plugin. It is called from main and
// returns when the host is done with the plugin.
//
// Open is called for every place that the host wants to use, with the user's
// settings decoded into a C, the place's URI as setting "uri" among them. If D
// is a type of the plugin's own, its Replacer, Prober and Reporter are announced
// before Open is called.
func ServeDestination[C any, D Destination](p Plugin, open func(context.Context, C) (D, error)) {
	m := newMeta[C, D](p, handshake.Destination, open)
	s := newDestinationServer(m) // one for all connections, for it remembers what was put
	m.serve(func(g *grpc.Server) { pluginpb.RegisterDestinationServiceServer(g, s) })
}

// ServeKeyProvider runs a key provider plugin. It is called from main and
// returns when the host is done with the plugin.
//
// Open is called with the user's settings decoded into a C. If K is a type of
// the plugin's own, its KeyExporter and KeyRotator are announced before Open is
// called.
func ServeKeyProvider[C any, K KeyProvider](p Plugin, open func(context.Context, C) (K, error)) {
	m := newMeta[C, K](p, handshake.KeyProvider, open)
	m.serve(func(g *grpc.Server) {
		pluginpb.RegisterKeyProviderServiceServer(g, &keyProviderServer{meta: m})
	})
}

func newMeta[C, T any](p Plugin, kind string, open func(context.Context, C) (T, error)) *meta {
	if l := p.Limits; min(int64(l.ConcurrentPuts), l.ObjectSize, l.PartSize) < 0 {
		panic(fmt.Sprintf("sdk: limits must not be negative: %+v", l))
	}
	return &meta{
		description: Description{
			Plugin:        p,
			Kind:          kind,
			Protocol:      handshake.Protocol,
			ProtocolMinor: handshake.Minor,
			Settings:      settingsOf(reflect.TypeFor[C]()),
			Capabilities:  capabilitiesOf(reflect.TypeFor[T]()),
		},
		open: func(ctx context.Context, settings []byte) (any, error) {
			c, err := decode[C](settings)
			if err != nil {
				return nil, err
			}
			return open(ctx, c)
		},
		instances: map[string]any{},
	}
}

// capabilitiesOf says what a value of type t can do beyond the common verbs.
func capabilitiesOf(t reflect.Type) []string {
	names := []string{}
	for _, c := range []struct {
		name string
		face reflect.Type
	}{
		{handshake.Replace, reflect.TypeFor[Replacer]()},
		{handshake.Probe, reflect.TypeFor[Prober]()},
		{handshake.Report, reflect.TypeFor[Reporter]()},
		{handshake.Export, reflect.TypeFor[KeyExporter]()},
		{handshake.Rotate, reflect.TypeFor[KeyRotator]()},
	} {
		if t.Implements(c.face) {
			names = append(names, c.name)
		}
	}
	return names
}

func (m *meta) serve(register func(*grpc.Server)) {
	all := func(g *grpc.Server) {
		pluginpb.RegisterMetaServiceServer(g, m)
		register(g)
	}
	if !underHost() {
		if len(os.Args) > 1 && os.Args[1] == "debug" {
			os.Exit(m.debug(all, os.Args[2:]))
		}
		os.Exit(byHand(m.description, os.Args[1:]))
	}
	harden(m.description.Kind)
	share()
	s := new(server)
	life := watch(s, m.close)
	hello, err := newGreeting()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", m.description.Name, err)
		os.Exit(1)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: handshake.Config,
		Plugins:         plugin.PluginSet{handshake.Service: &service{register: all}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			g := s.start(hello.options(opts))
			m.bulk = s.startBulk(all)
			return g
		},
		TLSProvider: hello.tls,
		Logger:      newLogger("warn", true),
	})
	life.end()
}

// share leaves half of the processors to the host, unless GOMAXPROCS says how
// many there are for the plugin. Measured on two: with one each, fewer threads
// are woken to find nothing to do, and the same bytes take a tenth to a fifth
// less CPU.
func share() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	}
}

// A service adapts a registration to go-plugin.
type service struct {
	plugin.NetRPCUnsupportedPlugin
	register func(*grpc.Server)
}

func (s *service) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	s.register(g)
	return nil
}

func (*service) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, ErrUnsupported
}
