//go:build unix

package launch

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/socket"
)

// Whoever changes the hop must keep to these: CPU time per byte, of both
// processes together, as a multiple of what a bare socket takes.
const (
	maxBulk = 3.0 // of a unix socket, without TLS
	maxTLS  = 1.5 // of TLS on a unix socket, with it
)

// BenchmarkHop compares ways to move bytes from one process to another and back,
// in one run and by turns, so that what else the machine does hits all of them.
// The best of several rounds counts.
func BenchmarkHop(b *testing.B) {
	ways := []*way{
		{name: "unix socket", open: openBare("bare")},
		{name: "TLS on it", open: openBare("bare-tls")},
		{name: "protobuf, as gRPC does it", open: openStock},
		{name: "plugin", open: openPlugin(Options{})},
		{name: "plugin, TLS", open: openPlugin(Options{NoBulk: true})},
	}
	const size, rounds = 512 << 20, 12
	for _, w := range ways {
		w.hop = w.open(b)
		w.best = map[string]cost{}
	}
	for b.Loop() {
		for range rounds {
			for _, w := range ways {
				w.measure(b, "put", w.hop.put, size)
				w.measure(b, "get", w.hop.get, size)
			}
		}
	}
	b.Logf("%-28s %26s   %26s", "CPU of both processes", "put", "get")
	for _, w := range ways {
		b.Logf("%-28s %26v   %26v", w.name, w.best["put"], w.best["get"])
	}
	for _, verb := range []string{"put", "get"} {
		check(b, verb, ways[3], ways[0], maxBulk)
		check(b, verb, ways[4], ways[1], maxTLS)
	}
}

// check says whether a way keeps to what is required of it.
func check(b *testing.B, verb string, w, bare *way, limit float64) {
	b.Helper()
	ratio := w.best[verb].cpu / bare.best[verb].cpu
	b.ReportMetric(ratio, strings.ReplaceAll(w.name, ", ", "-")+"-"+verb+"/bare")
	verdict := "met"
	if ratio > limit {
		verdict = "NOT MET"
	}
	b.Logf("%s, %s: %.2f times the CPU of %q; at most %.1f times is required: %s", w.name, verb, ratio, bare.name, limit, verdict)
}

// A way is one way to move bytes.
type way struct {
	name string
	open func(*testing.B) hop
	hop  hop
	best map[string]cost // by verb
}

// A hop moves bytes to another process and back.
type hop struct {
	put, get func(size int64) error
	farCPU   func() (time.Duration, error) // that the other process has used so far
}

// A cost is what a transfer takes.
type cost struct {
	cpu  float64 // seconds per GiB
	rate float64 // MB/s
}

func (c cost) String() string { return fmt.Sprintf("%.3f s/GiB %5.0f MB/s", c.cpu, c.rate) }

func (w *way) measure(b *testing.B, verb string, move func(int64) error, size int64) {
	b.Helper()
	begin, before := time.Now(), w.cpu(b)
	if err := move(size); err != nil {
		b.Fatalf("%s, %s: %v", w.name, verb, err)
	}
	took, cpu := time.Since(begin), w.cpu(b)-before
	c := cost{cpu.Seconds() / (float64(size) / (1 << 30)), float64(size) / 1e6 / took.Seconds()}
	if best, ok := w.best[verb]; ok {
		c = cost{min(c.cpu, best.cpu), max(c.rate, best.rate)}
	}
	w.best[verb] = c
}

// cpu is that of both processes.
func (w *way) cpu(b *testing.B) time.Duration {
	b.Helper()
	far, err := w.hop.farCPU()
	if err != nil {
		b.Fatal(err)
	}
	return far + usedCPU()
}

// usedCPU is what this process has used so far.
func usedCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// source yields size bytes without touching them: what produces them is not part
// of the hop.
func source(size int64) io.Reader {
	return io.LimitReader(readerFunc(func(p []byte) (int, error) { return len(p), nil }), size)
}

var block = make([]byte, frame.Size)

// drain reads until the end, and fails if that is not after size bytes.
func drain(r io.Reader, size int64) error {
	n, err := io.Copy(io.Discard, r)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes arrive of %d", n, size)
	}
	return err
}

func init() {
	roles["bench"] = func() { serveMemory(openDrain) }
	roles["bare"] = serveBare
	roles["bare-tls"] = serveBareTLS
	roles["stock"] = serveStock
}

// A sink is a destination that keeps nothing.
type sink struct{ *memory }

func openDrain(context.Context, config) (*sink, error) {
	return &sink{&memory{objects: map[string][]byte{}}}, nil
}

func (*sink) Put(_ context.Context, name string, r io.Reader) error {
	return drain(r, nameSize(name))
}

func (*sink) Get(_ context.Context, name string, _ int64) (io.ReadCloser, error) {
	return io.NopCloser(source(nameSize(name))), nil
}

// Version tells how much CPU the plugin has used.
func (*sink) Version(context.Context, string) (string, error) {
	return strconv.FormatInt(int64(usedCPU()), 10), nil
}

func nameSize(name string) int64 {
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// openPlugin is for what users get.
func openPlugin(o Options) func(*testing.B) hop {
	return func(b *testing.B) hop {
		o.Env = append(o.Env, roleEnv+"=bench")
		p, err := Start(b.Context(), os.Args[0], o)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { p.Close() })
		d, err := p.OpenDestination(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		return hop{
			put: func(size int64) error {
				return d.Put(b.Context(), strconv.FormatInt(size, 10), source(size))
			},
			get: func(size int64) error {
				r, err := d.Get(b.Context(), strconv.FormatInt(size, 10), 0)
				if err != nil {
					return err
				}
				defer r.Close()
				return drain(r, size)
			},
			farCPU: func() (time.Duration, error) {
				v, err := d.(sdk.Replacer).Version(b.Context(), "cpu")
				if err != nil {
					return 0, err
				}
				n, err := strconv.ParseInt(v, 10, 64)
				return time.Duration(n), err
			},
		}
	}
}

// A far is a process that does what it is told by lines on its standard input,
// with the socket that it has inherited.
type far struct {
	conn net.Conn
	in   io.Writer
	out  *bufio.Reader
}

func startFar(b *testing.B, role string) *far {
	b.Helper()
	conn, theirs, err := socket.Pair()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs}, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	theirs.Close()
	b.Cleanup(func() {
		in.Close() // that ends it
		conn.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("%s: %v", role, err)
		}
	})
	return &far{conn, in, bufio.NewReader(out)}
}

// tell gives an order.
func (f *far) tell(order string, size int64) error {
	_, err := fmt.Fprintln(f.in, order, size)
	return err
}

// done waits until the order is carried out, and returns how much CPU has been
// used so far.
func (f *far) done() (time.Duration, error) {
	line, err := f.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return time.Duration(n), err
}

func (f *far) cpu() (time.Duration, error) {
	if err := f.tell("cpu", 0); err != nil {
		return 0, err
	}
	return f.done()
}

// obey is the other process.
func obey(orders map[string]func(size int64) error) {
	for {
		var order string
		var size int64
		if _, err := fmt.Scanln(&order, &size); err != nil {
			return
		}
		if do := orders[order]; do != nil {
			if err := do(size); err != nil {
				panic(err)
			}
		}
		print(int64(usedCPU()))
	}
}

func inheritedSocket() net.Conn {
	conn, err := net.FileConn(os.NewFile(3, "socket"))
	if err != nil {
		panic(err)
	}
	return conn
}

// openBare is for a socket, and nothing else.
func openBare(role string) func(*testing.B) hop {
	return func(b *testing.B) hop {
		f := startFar(b, role)
		conn := f.conn
		if role == "bare-tls" {
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // it costs the same
		}
		return hop{
			put: func(size int64) error {
				if err := f.tell("put", size); err != nil {
					return err
				}
				if err := writeAll(conn, size); err != nil {
					return err
				}
				_, err := f.done()
				return err
			},
			get: func(size int64) error {
				if err := f.tell("get", size); err != nil {
					return err
				}
				if err := readN(conn, size); err != nil {
					return err
				}
				_, err := f.done()
				return err
			},
			farCPU: f.cpu,
		}
	}
}

func writeAll(w io.Writer, size int64) error {
	for ; size > 0; size -= frame.Size {
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
	return nil
}

func readN(r io.Reader, size int64) error {
	buf := make([]byte, frame.Size)
	for size > 0 {
		n, err := r.Read(buf)
		if size -= int64(n); err != nil {
			return err
		}
	}
	return nil
}

func serveBare() { serveConn(inheritedSocket()) }

func serveConn(conn net.Conn) {
	obey(map[string]func(int64) error{
		"put": func(size int64) error { return readN(conn, size) },
		"get": func(size int64) error { return writeAll(conn, size) },
	})
}

func serveBareTLS() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		panic(err)
	}
	c := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	serveConn(tls.Server(inheritedSocket(), &tls.Config{Certificates: []tls.Certificate{c}}))
}

// openStock is for the same protocol without package wire and without TLS.
func openStock(b *testing.B) hop {
	f := startFar(b, "stock")
	conn, err := grpc.NewClient("passthrough:///far",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return f.conn, nil }))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	svc := pluginpb.NewDestinationServiceClient(conn)
	return hop{
		put: func(size int64) error {
			stream, err := svc.Put(b.Context())
			if err != nil {
				return err
			}
			var sum frame.Sum
			r, buf := source(size), make([]byte, frame.Size)
			for sum.Size < size {
				if _, err := io.ReadFull(r, buf); err != nil {
					return err
				}
				if err := stream.Send(step(next(&sum, buf))); err != nil {
					return err
				}
			}
			_, err = stream.CloseAndRecv()
			return err
		},
		get: func(size int64) error {
			stream, err := svc.Get(b.Context(), &pluginpb.GetRequest{Offset: size})
			if err != nil {
				return err
			}
			n, err := stockDrain(func() (*pluginpb.Frame, error) {
				m, err := stream.Recv()
				return m.GetFrame(), err
			})
			if err == nil && n != size {
				err = fmt.Errorf("%d bytes arrive of %d", n, size)
			}
			return err
		},
		farCPU: f.cpu,
	}
}

// stockDrain returns how many bytes come in frames until the end.
func stockDrain(recv func() (*pluginpb.Frame, error)) (size int64, err error) {
	var sum frame.Sum
	for {
		f, err := recv()
		if errors.Is(err, io.EOF) {
			return sum.Size, nil
		}
		if err != nil {
			return sum.Size, err
		}
		if next(&sum, f.GetData()).GetCrc32C() != f.GetCrc32C() {
			return sum.Size, fmt.Errorf("damaged at %d", sum.Size)
		}
	}
}

func serveStock() {
	g := grpc.NewServer()
	pluginpb.RegisterDestinationServiceServer(g, stock{})
	l := make(listener, 1)
	l <- inheritedSocket()
	go func() { _ = g.Serve(l) }()
	obey(nil)
}

// A listener hands out what it holds.
type listener chan net.Conn

func (l listener) Accept() (net.Conn, error) { return <-l, nil }
func (listener) Close() error                { return nil }
func (listener) Addr() net.Addr              { return &net.UnixAddr{} }

// stock is a destination that keeps nothing, in generated code.
type stock struct {
	pluginpb.UnimplementedDestinationServiceServer
}

func (stock) Put(stream pluginpb.DestinationService_PutServer) error {
	_, err := stockDrain(func() (*pluginpb.Frame, error) {
		m, err := stream.Recv()
		return m.GetFrame(), err
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pluginpb.PutResponse{})
}

func (stock) Get(req *pluginpb.GetRequest, stream pluginpb.DestinationService_GetServer) error {
	var sum frame.Sum
	r, buf := source(req.GetOffset()), make([]byte, frame.Size)
	for sum.Size < req.GetOffset() {
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
		if err := stream.Send(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_Frame{Frame: next(&sum, buf)}}); err != nil {
			return err
		}
	}
	return nil
}
