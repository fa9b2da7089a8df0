//go:build unix

package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// roles are what the test binary can be besides a test.
var roles = map[string]func(){
	"memory":  func() { serveMemory(openMemory) },
	"plain":   func() { serveMemory(openPlain) },
	"keys":    serveKeys,
	"hostile": func() { serveMemory(openHostile) },
	"able":    func() { serveMemory(openAble) },
	"clumsy":  func() { serveMemory(openClumsy) },

	// Plugins that do not come up.
	"noise":   func() { print("hello from the plugin"); serveMemory(openMemory) },
	"early":   func() { fmt.Fprintln(os.Stderr, "no disk today"); os.Exit(7) },
	"silent":  func() { os.Exit(0) },
	"hang":    func() { select {} },
	"version": func() { greet("1|2|unix|/nowhere|grpc|" + strings.Repeat("A", 60)) },
	"core":    func() { greet("2|1|unix|/nowhere|grpc|" + strings.Repeat("A", 60)) },
	"netrpc":  func() { greet("1|1|unix|/nowhere|netrpc|" + strings.Repeat("A", 60)) },
	"cookie":  serveOther,
	"notls":   func() { os.Unsetenv("PLUGIN_CLIENT_CERT"); serveMemory(openMemory) },
	"deaf":    serveDeaf,
	"lawless": serveLawless,

	"naked": serveNaked,
	"shout": shout,

	"host":     host,
	"stubborn": func() { signal.Ignore(syscall.SIGTERM); select {} },
	"pid":      func() { fmt.Fprintln(os.Stderr, os.Getpid()); select {} },
}

// print writes a line to standard output.
func print(args ...any) { fmt.Fprintln(os.Stdout, args...) }

func greet(line string) {
	print(line)
	select {}
}

// serveOther is a plugin of another program.
func serveOther() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{MagicCookieKey: "OTHER", MagicCookieValue: "x"},
		Plugins:         plugin.PluginSet{},
	})
}

// serveDeaf greets as it should, and then never answers.
func serveDeaf() {
	l, err := net.Listen("unix", os.Getenv(handshake.SocketDirEnv)+"/deaf")
	if err != nil {
		panic(err)
	}
	cert := "MIIBdzCCAR2gAwIBAgIUQ" + strings.Repeat("A", 60)
	if c := deafCert(); c != "" {
		cert = c
	}
	greet("1|1|unix|" + l.Addr().String() + "|grpc|" + cert)
}

// shout ends when nobody listens any more.
func shout() {
	for {
		fmt.Fprintln(os.Stderr, `{"@level":"info","@message":5}`)
		<-time.After(10 * time.Millisecond)
	}
}

// serveNaked greets with a certificate, and serves without TLS.
func serveNaked() {
	l, err := net.Listen("unix", os.Getenv(handshake.SocketDirEnv)+"/naked")
	if err != nil {
		panic(err)
	}
	s := grpc.NewServer()
	_ = new(lawless).GRPCServer(nil, s)
	go func() { panic(s.Serve(l)) }()
	greet("1|1|unix|" + l.Addr().String() + "|grpc|" + deafCert())
}

// host starts a plugin and waits to be killed.
func host() {
	o := Options{Env: []string{roleEnv + "=" + os.Getenv("BROCK_TEST_PLUGIN")}, StartTimeout: time.Minute}
	if o.Env[0] == roleEnv+"=pid" {
		o.Stderr = os.Stdout
	}
	p, err := Start(context.Background(), os.Args[0], o)
	if err != nil {
		print(err)
		return
	}
	d, err := p.OpenDestination(context.Background(), nil)
	if err != nil {
		print(err)
		return
	}
	print(p.Pid(), say(context.Background(), d, "fork"), p.runner.dir)
	select {}
}

// A hostile destination does what it is told by the name of an object. It tells
// with Version what came of it.
type hostile struct {
	*memory
	config config
}

func openHostile(_ context.Context, c config) (*hostile, error) {
	if info, err := os.Stat(os.Getenv(startsEnv)); err == nil &&
		(c.URI == fmt.Sprint("crash in ", info.Size()) || c.URI == "crash but in 1" && info.Size() > 1) {
		os.Exit(5)
	}
	once, isOnce := strings.CutPrefix(c.URI, "once ")
	if _, err := os.Stat(once); isOnce && err != nil {
		isOnce = false
		if err := os.WriteFile(once, nil, 0o600); err != nil {
			return nil, err
		}
	}
	if c.URI == "refused" || isOnce {
		return nil, fmt.Errorf("token %s is not good for %s: %w", c.Token.RevealString(), c.URI, sdk.ErrPermission)
	}
	return &hostile{&memory{objects: map[string][]byte{}}, c}, nil
}

// say has a hostile destination do something.
func say(ctx context.Context, d sdk.Destination, what string) string {
	v, err := d.(sdk.Replacer).Version(ctx, what)
	if err != nil {
		return "error: " + err.Error()
	}
	return v
}

var errTwoKinds = fmt.Errorf("slow down: %w", errors.Join(sdk.ErrNoSpace, sdk.ErrUnavailable))

func (h *hostile) Version(ctx context.Context, what string) (string, error) {
	verb, arg, _ := strings.Cut(what, " ")
	switch verb {
	case "say":
		fmt.Fprintln(os.Stderr, arg)
	case "print":
		print(arg)
	case "raw": // past whatever os.Stdout is
		_, _ = syscall.Write(1, []byte(arg+"\n"))
	case "token":
		fmt.Fprintf(os.Stderr, "using %s for %q\n", h.config.Token.RevealString(), h.config.Token.RevealString())
		return "", fmt.Errorf("token %s refused: %w", h.config.Token.RevealString(), sdk.ErrPermission)
	case "panic":
		panic("with " + h.config.Token.RevealString())
	case "nil":
		var m *memory
		return m.version(what), nil
	case "goroutine":
		go panic("with " + h.config.Token.RevealString())
		<-ctx.Done()
	case "long":
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 1<<20))
		fmt.Fprintln(os.Stderr, strings.Repeat("y", lineLimit-4)+h.config.Token.RevealString())
	case "flood":
		for range 32 {
			_, _ = syscall.Write(1, []byte(strings.Repeat("z", 1<<15)))
		}
		for i := range 3 * rateLimit {
			fmt.Fprintln(os.Stderr, "line", i)
		}
	case "exit":
		for i := range 100 {
			fmt.Fprintln(os.Stderr, "line", i)
		}
		os.Exit(7)
	case "fork":
		cmd := exec.Command("/bin/sleep", "1000")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if arg == "away" {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		}
		err := cmd.Start()
		return fmt.Sprint(cmd.Process.Pid), err
	case "two":
		return "", sdk.WithRetryAfter(sdk.WithHint(errTwoKinds, "buy a disk"), 1500*time.Millisecond+time.Microsecond)
	case "stall":
		<-ctx.Done()
		return "", ctx.Err()
	case "config":
		return fmt.Sprint(h.config.URI, " ", len(h.config.Token.RevealString()), " ", os.Getpid()), nil
	case "wait":
		fmt.Fprintln(os.Stderr, "waiting")
		<-ctx.Done()
		h.mu.Lock()
		h.objects["waited"] = nil
		h.mu.Unlock()
		return "", ctx.Err()
	}
	return h.memory.Version(ctx, what)
}

// Put refuses "refuse" after its first bytes, and takes "careless" for complete
// whatever its reader says.
func (h *hostile) Put(ctx context.Context, name string, r io.Reader) error {
	switch name {
	case "refuse":
		_, _ = r.Read(make([]byte, 1))
		return fmt.Errorf("refused after a byte: %w", sdk.ErrNoSpace)
	case "stall":
		_, _ = r.Read(make([]byte, 1))
		<-ctx.Done()
		return ctx.Err()
	case "careless":
		_, _ = io.ReadAll(r)
		return nil
	case "tidy":
		defer os.WriteFile(h.config.URI, nil, 0o600)
		_, err := io.ReadAll(r)
		<-time.After(200 * time.Millisecond)
		return err
	case "distracted":
		_, _ = io.ReadAll(r)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return h.memory.Put(ctx, name, strings.NewReader("half"))
	case "crash":
		_, _ = r.Read(make([]byte, 1))
		os.Exit(9)
	case "parts": // as those do who upload in parts
		part := make([]byte, 3)
		var data []byte
		for {
			n, err := io.ReadFull(r, part)
			data = append(data, part[:n]...)
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				break
			}
			if err != nil {
				return err
			}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.objects[name] = data
		return ctx.Err()
	}
	return h.memory.Put(ctx, name, r)
}

// Get never comes to the end of "endless", and stands still in "stall".
func (h *hostile) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if name == "endless" {
		return io.NopCloser(readerFunc(func(p []byte) (int, error) { return len(p), ctx.Err() })), nil
	}
	if name == "stall" {
		return io.NopCloser(readerFunc(func([]byte) (int, error) { <-ctx.Done(); return 0, ctx.Err() })), nil
	}
	return h.memory.Get(ctx, name, offset)
}

// List never comes to the end of "endless/", and stands still in "stall/".
func (h *hostile) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	if prefix != "endless/" && prefix != "stall/" {
		return h.memory.List(ctx, prefix)
	}
	return func(yield func(sdk.Object, error) bool) {
		if prefix == "stall/" {
			<-ctx.Done()
			return
		}
		for i := 0; yield(sdk.Object{Name: fmt.Sprintf("endless/%0200d", i)}, nil); i++ {
		}
	}
}

// An able destination can do all that one can. What it can, it says only of an
// instance, as clumsy does, which can less.
type able struct {
	*memory
	config config
}

func (able) Probe(context.Context) error { return nil }

// Report tells what nobody may see, in bytes that are no text.
func (a able) Report(context.Context) ([]sdk.Finding, error) {
	if a.config.URI == "mem://nothing" {
		return nil, fmt.Errorf("no answer: %w", sdk.ErrUnavailable)
	}
	return []sdk.Finding{
		{Name: "credentials", Detail: "token " + a.config.Token.RevealString(), Hint: "hide " + a.config.Token.RevealString()},
		{Name: "region", Detail: "b\xffd", Problem: true},
	}, nil
}

func openAble(ctx context.Context, c config) (sdk.Destination, error) {
	m, err := openMemory(ctx, c)
	return able{m, c}, err
}

func openClumsy(ctx context.Context, c config) (sdk.Destination, error) {
	return openMemory(ctx, c)
}

// plain can do no more than it must.
type plain struct{ sdk.Destination }

func openPlain(ctx context.Context, c config) (plain, error) {
	m, err := openMemory(ctx, c)
	return plain{m}, err
}

func (plain) Close() error { return errors.New("closing is hard") }

// lawless is a plugin, perhaps in another language, that breaks the protocol.
type lawless struct {
	plugin.NetRPCUnsupportedPlugin
	pluginpb.UnimplementedMetaServiceServer
	pluginpb.UnimplementedDestinationServiceServer
}

func serveLawless() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: handshake.Config,
		Plugins:         plugin.PluginSet{service: &lawless{}},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}

func (l *lawless) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	pluginpb.RegisterMetaServiceServer(g, l)
	pluginpb.RegisterDestinationServiceServer(g, l)
	return nil
}

func (*lawless) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (*lawless) Describe(context.Context, *pluginpb.DescribeRequest) (*pluginpb.DescribeResponse, error) {
	return &pluginpb.DescribeResponse{
		Name: "lawless", Kind: pluginpb.Kind_KIND_DESTINATION,
		Capabilities: []pluginpb.Capability{99}, // grease
	}, nil
}

func (*lawless) Delete(_ context.Context, req *pluginpb.DeleteRequest) (*pluginpb.DeleteResponse, error) {
	if req.GetName() == "panic" {
		panic("with canary")
	}
	return &pluginpb.DeleteResponse{}, nil
}

func (*lawless) Open(context.Context, *pluginpb.OpenRequest) (*pluginpb.OpenResponse, error) {
	return &pluginpb.OpenResponse{}, nil
}

func (*lawless) Put(stream pluginpb.DestinationService_PutServer) error {
	_, err := stream.Recv()
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pluginpb.PutResponse{})
}

func (*lawless) Get(req *pluginpb.GetRequest, stream pluginpb.DestinationService_GetServer) error {
	var sum frame.Sum
	good := next(&sum, []byte("good"))
	end := &pluginpb.GetEnd{Length: sum.Size, Crc32C: sum.CRC32C}
	steps := []*pluginpb.GetResponse{
		{Step: &pluginpb.GetResponse_Info{Info: &pluginpb.GetInfo{}}},
		{Step: &pluginpb.GetResponse_Frame{Frame: good}},
		{Step: &pluginpb.GetResponse_End{End: end}},
	}
	switch req.GetName() {
	case "noinfo":
		steps = steps[1:]
	case "noend":
		steps = steps[:2]
	case "flipped":
		good.Data = []byte("goof")
	case "gap":
		good.Offset = 1
	case "short":
		end.Length++
	case "sum":
		end.Crc32C++
	case "more":
		steps = append(steps, steps[1])
	case "huge":
		sum = frame.Sum{}
		steps[1] = &pluginpb.GetResponse{Step: &pluginpb.GetResponse_Frame{Frame: next(&sum, make([]byte, frame.Size+1))}}
	case "large":
		sum = frame.Sum{}
		steps[1] = &pluginpb.GetResponse{Step: &pluginpb.GetResponse_Frame{Frame: next(&sum, make([]byte, 3*frame.Size))}}
	case "empty":
		steps[1] = &pluginpb.GetResponse{}
	case "hollow":
		sum = frame.Sum{}
		steps[1] = &pluginpb.GetResponse{Step: &pluginpb.GetResponse_Frame{Frame: next(&sum, nil)}}
	}
	for _, s := range steps {
		if err := stream.Send(s); err != nil {
			return err
		}
	}
	return nil
}

func (*lawless) List(req *pluginpb.ListRequest, stream pluginpb.DestinationService_ListServer) error {
	names := map[string][]string{
		"order/":  {"order/b", "order/a"},
		"twice/":  {"twice/a", "twice/a"},
		"prefix/": {"other"},
		"secret/": {"secret/canary-canary", strings.Repeat("long", 1<<17)},
		"good/":   {"good/a", "good/b"},
	}[req.GetPrefix()]
	for req.GetPrefix() == "endless/" {
		if err := stream.Send(&pluginpb.ListResponse{}); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := stream.Send(&pluginpb.ListResponse{Objects: []*pluginpb.Object{{Name: name}}}); err != nil {
			return err
		}
	}
	return nil
}

// deafCert is a certificate that parses, so that only the first call shows that
// nobody is there.
func deafCert() string {
	der, err := os.ReadFile(os.Getenv("BROCK_TEST_CERT"))
	if err != nil {
		return ""
	}
	return string(der)
}
