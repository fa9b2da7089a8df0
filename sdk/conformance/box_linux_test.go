package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A box is a destination plugin that speaks the protocol itself, as one in
// another language does: nothing of the SDK protects it from its own mistakes.
// Each object is a file; its name stands at the beginning.
type box struct {
	pluginpb.UnimplementedMetaServiceServer
	pluginpb.UnimplementedDestinationServiceServer

	doors     sync.Mutex // of instances alone
	instances map[string]boxSettings
	mu        sync.Mutex
	puts      int                      // under way
	ids       map[string]string        // of the Puts that were committed
	memory    map[string][]byte        // instead of files, in a mutant
	shared    []byte                   // by all Puts, in a mutant
	leaked    []any                    // in mutants
	slots     chan struct{}            // for Gets, in a mutant
	torn      map[string]func() []byte // Puts under way, in a mutant
}

type boxSettings struct {
	URI   string `json:"uri"`
	Token string `json:"token"`
	Place string `json:"place"` // what is wrong with it
}

// stderr is the real one: go-plugin puts a stream of its own in its place, of
// which the end may be lost.
var stderr = os.Stderr

// is reports whether the box is broken like this.
func is(mutant string) bool { return os.Getenv("BROCK_TEST_MUTANT") == mutant }

const (
	boxPart   = 2 << 20
	boxObject = 24 << 20
	boxPuts   = 32
)

func init() { plugins["box"] = serveBox }

func serveBox() {
	version := "1.0"
	if is("a new version every time") {
		version = rand.Text()
	}
	if os.Getenv(handshake.Config.MagicCookieKey) == "" {
		boxByHand(version)
	}
	h := handshake.Config
	if is("the host's version is its own") {
		n, _ := strconv.ParseUint(os.Getenv("PLUGIN_PROTOCOL_VERSIONS"), 10, 16)
		h.ProtocolVersion = uint(n)
	}
	stdout := os.Stdout
	if is("noise on stdout") {
		fmt.Fprintln(stdout, "welcome to the box")
	}
	b := &box{instances: map[string]boxSettings{}, ids: map[string]string{}, memory: map[string][]byte{}, torn: map[string]func() []byte{}, slots: make(chan struct{}, 6)}
	b.watch(stdout)
	limit := 2 << 20
	if is("dies of an oversize message") {
		limit = 16 << 20
	}
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(limit)}
	if fd, err := strconv.Atoi(os.Getenv(handshake.BulkEnv)); err == nil {
		bulk := b
		if is("two tables of instances") {
			bulk = &box{instances: map[string]boxSettings{}}
		}
		serveBulk(fd, bulk, options)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: h,
		Plugins:         plugin.PluginSet{handshake.Service: boxService{box: b, version: version}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, options...)...)
		},
		Logger: hclog.NewNullLogger(),
	})
	os.Exit(0)
}

func boxByHand(version string) {
	if strings.Join(os.Args[1:], " ") == "describe --json" {
		if is("a description that grew old") {
			version = "0.9"
		}
		fmt.Fprintf(os.Stdout, `{"name":"box","version":%q,"kind":"destination","schemes":["box"]}`, version)
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "this is a plugin of brock")
	if is("content without a host") {
		os.Exit(0)
	}
	os.Exit(2)
}

// watch ends the box with its host.
func (b *box) watch(stdout *os.File) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if is("outlives its host") {
		return
	}
	go func() {
		<-term
		switch {
		case is("goodbye on stdout"):
			fmt.Fprintln(stdout, "goodbye")
		case is("stores at SIGTERM"):
			b.mu.Lock()
			for path, data := range b.torn {
				_ = os.WriteFile(path, data(), 0o600)
			}
		case is("waits at SIGTERM"):
			<-time.After(30 * time.Second)
		}
		os.Exit(0)
	}()
	if is("does not survive a stop") {
		cont := make(chan os.Signal, 1)
		signal.Notify(cont, syscall.SIGCONT)
		go func() {
			<-cont
			os.Exit(3)
		}()
	}
	fd, err := strconv.Atoi(os.Getenv(handshake.LivenessEnv))
	if err != nil {
		return
	}
	syscall.CloseOnExec(fd)
	go func() {
		_, _ = os.NewFile(uintptr(fd), "liveness").Read(make([]byte, 1))
		_ = syscall.Kill(-os.Getpid(), syscall.SIGKILL)
		os.Exit(0)
	}()
}

type boxService struct {
	plugin.NetRPCUnsupportedPlugin
	box     *box
	version string
}

func (s boxService) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	s.box.register(g, s.version)
	return nil
}

func (boxService) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported
}

func (b *box) register(g *grpc.Server, version string) {
	pluginpb.RegisterMetaServiceServer(g, boxMeta{box: b, version: version})
	pluginpb.RegisterDestinationServiceServer(g, b)
}

// serveBulk serves on the socket that the box has inherited.
func serveBulk(fd int, b *box, options []grpc.ServerOption) {
	f := os.NewFile(uintptr(fd), "bulk")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return
	}
	g := grpc.NewServer(options...)
	pluginpb.RegisterDestinationServiceServer(g, b)
	once := make(chan net.Conn, 1)
	once <- conn
	go func() { _ = g.Serve(oneConn{once, conn.LocalAddr()}) }()
}

type oneConn struct {
	conns chan net.Conn
	addr  net.Addr
}

func (l oneConn) Accept() (net.Conn, error) { return <-l.conns, nil }
func (oneConn) Close() error                { return nil }
func (l oneConn) Addr() net.Addr            { return l.addr }

// say returns an error as the protocol wants it.
func say(c codes.Code, reason pluginpb.Reason, format string, args ...any) error {
	if is("codes say nothing") {
		c = codes.Unknown
	}
	s, err := status.New(c, fmt.Sprintf(format, args...)).WithDetails(&pluginpb.ErrorDetail{Reason: reason, Retryable: c == codes.Unavailable})
	if err != nil {
		return err
	}
	return s.Err()
}

func invalid(format string, args ...any) error {
	return say(codes.InvalidArgument, pluginpb.Reason_REASON_INVALID, format, args...)
}

func forbidden(name string) error {
	return say(codes.PermissionDenied, pluginpb.Reason_REASON_PERMISSION, "%s: forbidden", name)
}

func absentHere(name string) error {
	switch {
	case is("absent is said to be forbidden"):
		return forbidden(name)
	case is("absent is nothing special"):
		return status.Errorf(codes.Unknown, "%s: no such file", name)
	}
	return say(codes.NotFound, pluginpb.Reason_REASON_NOT_EXIST, "%s: no such object", name)
}

var boxCan = []pluginpb.Capability{
	pluginpb.Capability_CAPABILITY_REPLACE, pluginpb.Capability_CAPABILITY_PROBE, pluginpb.Capability_CAPABILITY_REPORT,
}

type boxMeta struct {
	pluginpb.UnimplementedMetaServiceServer
	box     *box
	version string
}

func (m boxMeta) Describe(_ context.Context, req *pluginpb.DescribeRequest) (*pluginpb.DescribeResponse, error) {
	env := []string{"BOX_TRACE"}
	if is("a variable and its value") {
		env[0] += "=1"
	}
	return &pluginpb.DescribeResponse{
		Name: "box", Version: m.version, Doc: "Keeps objects in a directory.",
		Kind: pluginpb.Kind_KIND_DESTINATION, Schemes: []string{"box"},
		Capabilities:  boxCan,
		ProtocolMinor: 2, BulkSocket: os.Getenv(handshake.BulkEnv) != "", Environment: env,
		Limits: &pluginpb.Limits{ConcurrentPuts: boxPuts, ObjectSize: boxObject, PartSize: boxPart},
		Settings: []*pluginpb.Setting{
			{Name: "uri", Type: "string", Doc: "The directory.", Required: true},
			{Name: "token", Type: "string", Doc: "A password.", Secret: true},
			{Name: "place", Type: "string", Doc: "What is wrong with the place."},
		},
	}, nil
}

func (m boxMeta) Open(_ context.Context, req *pluginpb.OpenRequest) (*pluginpb.OpenResponse, error) {
	b := m.box
	var s boxSettings
	d := json.NewDecoder(bytes.NewReader(req.GetSettings()))
	if !is("settings that nobody knows are ignored") {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(&s); err != nil {
		return nil, invalid("settings: %v", err)
	}
	if s.URI == "" {
		return nil, invalid("setting uri is missing")
	}
	switch {
	case is("the token on standard error"):
		fmt.Fprintln(stderr, "logging in with", hex.EncodeToString([]byte(s.Token)))
	case is("the token in an error") && s.Token != boxToken:
		return nil, forbidden("token " + s.Token)
	case is("the token on a command line"):
		b.child("/bin/sh", "-c", "sleep 30; :", "x", s.Token)
	case is("a child that survives"):
		b.child("/bin/sleep", "30")
	}
	b.doors.Lock()
	defer b.doors.Unlock()
	if _, ok := b.instances[req.GetInstance()]; ok && !is("a second open replaces the first") {
		return nil, say(codes.AlreadyExists, pluginpb.Reason_REASON_EXIST, "instance %s is open", req.GetInstance())
	}
	b.instances[req.GetInstance()] = s
	return &pluginpb.OpenResponse{Capabilities: boxCan}, nil
}

// child starts a process, in one mutant where nobody looks for it.
func (b *box) child(name string, args ...string) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: is("a child that survives")}
	if cmd.Start() == nil {
		go func() { _ = cmd.Wait() }()
	}
}

func (m boxMeta) Close(_ context.Context, req *pluginpb.CloseRequest) (*pluginpb.CloseResponse, error) {
	m.box.doors.Lock()
	defer m.box.doors.Unlock()
	delete(m.box.instances, req.GetInstance())
	if is("close closes all") {
		clear(m.box.instances)
	}
	return &pluginpb.CloseResponse{}, nil
}

// enter returns the settings of an instance, for a call about a name.
func (b *box) enter(instance, name string, writes bool) (boxSettings, error) {
	b.doors.Lock()
	s, ok := b.instances[instance]
	b.doors.Unlock()
	if !ok && is("what is not open is not found") {
		return s, absentHere("instance " + instance)
	}
	if !ok {
		return s, invalid("instance %s is not open", instance)
	}
	if !fs.ValidPath(name) || name == "." || strings.Contains(name, "\x00") {
		if !is("names are not looked at") {
			return s, invalid("name %q", name)
		}
	}
	switch place := s.Place; {
	case place == "denied" && is("forbidden is said to be absent"):
		return s, absentHere(name)
	case place == "denied":
		return s, forbidden(name)
	case place == "throttled" && is("throttled is said to be absent"):
		return s, absentHere(name)
	case place == "throttled":
		return s, say(codes.Unavailable, pluginpb.Reason_REASON_UNAVAILABLE, "slow down")
	case place == "read-only" && writes && is("read-only is said to be a moment's trouble"):
		return s, say(codes.Unavailable, pluginpb.Reason_REASON_UNAVAILABLE, "%s: read-only", name)
	case place == "read-only" && writes:
		return s, forbidden(name)
	}
	return s, nil
}

func (s boxSettings) file(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.URI, hex.EncodeToString(sum[:]))
}

// pack puts an object's name before its content.
func pack(name string, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(name)))
	return append(append(b, name...), data...)
}

func (b *box) read(path string) (name string, data []byte, err error) {
	file, ok := b.memory[path]
	if !is("objects in memory") {
		file, err = os.ReadFile(path)
	} else if !ok {
		err = fs.ErrNotExist
	}
	if err != nil {
		return "", nil, err
	}
	n := 2 + int(binary.BigEndian.Uint16(file))
	return string(file[2:n]), file[n:], nil
}

// write stores an object at once.
func (b *box) write(path string, file []byte) error {
	if is("objects in memory") {
		b.memory[path] = file
		return nil
	}
	tmp := path + ".tmp" + rand.Text()
	if err := os.WriteFile(tmp, file, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func crc(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

func version(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

func (b *box) Put(stream grpc.ClientStreamingServer[pluginpb.PutRequest, pluginpb.PutResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return invalid("a put without an open: %v", err)
	}
	open := first.GetOpen()
	if open == nil {
		return invalid("a put that does not begin with open")
	}
	s, err := b.enter(open.GetInstance(), open.GetName(), true)
	if err != nil {
		return err
	}
	if plain, err := url.PathUnescape(open.GetName()); err == nil && is("names are unescaped") {
		open.Name = plain
	}
	if err := b.may(open); err != nil {
		return err
	}
	b.mu.Lock()
	b.puts++
	tooMany := b.puts > boxPuts || is("fewer puts than said") && b.puts > 4
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.puts--
		b.mu.Unlock()
	}()
	if tooMany {
		return say(codes.Unavailable, pluginpb.Reason_REASON_UNAVAILABLE, "too many puts")
	}
	data, err := b.receive(open, s, stream)
	if err != nil {
		return err
	}
	v, err := b.store(open, s, data)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pluginpb.PutResponse{Version: v})
}

// may refuses what the box does not know.
func (b *box) may(open *pluginpb.PutOpen) error {
	if is("unknown fields are refused") && len(open.ProtoReflect().GetUnknown()) > 0 {
		return invalid("unknown fields")
	}
	switch open.GetCondition() {
	case pluginpb.Condition_CONDITION_CREATE_ONLY, pluginpb.Condition_CONDITION_IF_VERSION:
		return nil
	}
	switch {
	case is("dies at an unknown enum"):
		os.Exit(7)
	case is("an unknown condition is none"):
		open.Condition = pluginpb.Condition_CONDITION_IF_VERSION
		return nil
	}
	return invalid("condition %v", open.GetCondition())
}

// receive returns what was committed.
func (b *box) receive(open *pluginpb.PutOpen, s boxSettings, stream grpc.ClientStreamingServer[pluginpb.PutRequest, pluginpb.PutResponse]) ([]byte, error) {
	var data []byte
	path := s.file(open.GetName())
	if is("cancel is not heard") {
		f, _ := os.Open(os.DevNull)
		defer f.Close()
	}
	if is("a lock that nobody breaks") {
		lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, say(codes.Unavailable, pluginpb.Reason_REASON_UNAVAILABLE, "locked")
		}
		lock.Close()
		defer os.Remove(path + ".lock")
	}
	if is("stores at SIGTERM") {
		b.mu.Lock()
		b.torn[path] = func() []byte { return pack(open.GetName(), data) }
		b.mu.Unlock()
		defer func() {
			b.mu.Lock()
			delete(b.torn, path)
			b.mu.Unlock()
		}()
	}
	if is("replace begins by deleting") && open.GetCondition() == pluginpb.Condition_CONDITION_IF_VERSION {
		_ = os.Remove(path)
	}
	for {
		msg, err := stream.Recv()
		f, commit := msg.GetFrame(), msg.GetCommit()
		switch {
		case err != nil && stream.Context().Err() != nil:
			switch {
			case is("cancel is a commit"):
				return data, nil
			case is("cancel is not heard"):
				<-time.After(time.Minute)
			}
			return nil, stream.Context().Err()
		case err != nil:
			if is("half-close is a commit") || is("half-close after data is a commit") && len(data) > 0 {
				return data, nil
			}
			return nil, invalid("a put without a commit: %v", err)
		case f != nil:
			if len(f.GetData()) > 2<<20 {
				os.Exit(8)
			}
			if f.GetOffset() != int64(len(data)) && !is("offsets are not looked at") {
				return nil, invalid("a frame at %d, want one at %d", f.GetOffset(), len(data))
			}
			if crc(f.GetData()) != f.GetCrc32C() && !is("checksums of frames are not looked at") {
				return nil, invalid("a frame with a wrong checksum")
			}
			if len(data)+len(f.GetData()) > boxObject && !is("larger than the limit") {
				return nil, invalid("an object of more than %d bytes", boxObject)
			}
			data = append(data, f.GetData()...)
			switch {
			case is("a torn write is visible"):
				_ = b.write(path, pack(open.GetName(), data))
			case is("a buffer for all"):
				b.mu.Lock()
				b.shared = append(b.shared[:0], data...)
				b.mu.Unlock()
			}
		case commit == nil:
			return nil, invalid("a step that is neither frame nor commit")
		case commit.GetSize() != int64(len(data)) && !is("the committed size is not looked at"),
			commit.GetCrc32C() != crc(data) && !is("the committed checksum is not looked at") && !is("the committed size is not looked at"):
			return nil, invalid("%d bytes arrived, which do not match the commit", len(data))
		default:
			if _, err := stream.Recv(); err == nil && !is("reads no further than the commit") {
				return nil, invalid("a put that goes on after its commit")
			}
			return b.broken(data), nil
		}
	}
}

// broken loses some of what was committed.
func (b *box) broken(data []byte) []byte {
	n := len(data)
	switch {
	case is("a lost last frame") && n > 1<<20:
		return data[:(n-1)>>20<<20]
	case is("a lost last part") && n > 0 && n%boxPart == 0:
		return data[:n-1]
	case is("a buffer for all"):
		<-time.After(50 * time.Millisecond)
		b.mu.Lock()
		defer b.mu.Unlock()
		return bytes.Clone(b.shared)
	case is("a slow one"):
		for end := time.Now().Add(time.Minute); spent() < 2 && time.Now().Before(end); {
			_ = crc(data)
		}
	case is("memory is kept") && n > 0:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.leaked = append(b.leaked, bytes.Repeat([]byte{1}, 1<<20))
	}
	return data
}

var met sync.Map // channel that the second writer of a path closes, by path

// meet lets the first writer of a path wait for the second one, which need not
// come.
func meet(path string) {
	second := make(chan struct{})
	if first, loaded := met.LoadOrStore(path, second); loaded {
		if met.CompareAndDelete(path, first) {
			close(first.(chan struct{}))
		}
		return
	}
	select {
	case <-second:
	case <-time.After(time.Second):
		met.CompareAndDelete(path, second)
	}
}

// store makes an object visible, if its condition holds.
func (b *box) store(open *pluginpb.PutOpen, s boxSettings, data []byte) (string, error) {
	path, replace := s.file(open.GetName()), open.GetCondition() == pluginpb.Condition_CONDITION_IF_VERSION
	if s.Place == "full" && len(data) > 1<<20 {
		if is("full leaves a torn write") {
			_ = b.write(path, pack(open.GetName(), data[:1<<20]))
		}
		return "", say(codes.ResourceExhausted, pluginpb.Reason_REASON_NO_SPACE, "%s: no room", open.GetName())
	}
	racing := is("looks before it writes") && !replace || is("compares before it writes") && replace
	if !racing {
		b.mu.Lock()
		defer b.mu.Unlock()
	}
	_, old, err := b.read(path)
	there := err == nil
	switch {
	case replace && !is("versions are not looked at") && !is("an unknown condition is none") && !is("replace begins by deleting"):
		if there && version(old) != open.GetVersion() || !there && open.GetVersion() != "" {
			return "", say(codes.Aborted, pluginpb.Reason_REASON_CONFLICT, "%s: changed", open.GetName())
		}
	case replace, is("overwrites"), is("a put id overwrites") && b.ids[path] == open.GetPutId():
	case there:
		return "", say(codes.AlreadyExists, pluginpb.Reason_REASON_EXIST, "%s: there is one", open.GetName())
	}
	if racing {
		meet(path)
		b.mu.Lock()
		defer b.mu.Unlock()
	}
	if replace && is("replaces in place") {
		_ = os.WriteFile(path, pack(open.GetName(), data[:len(data)/2]), 0o600)
		<-time.After(50 * time.Millisecond)
	}
	b.ids[path] = open.GetPutId()
	if err := b.write(path, pack(open.GetName(), data)); err != nil {
		return "", say(codes.Unknown, 0, "%v", err)
	}
	if replace {
		return version(data), nil
	}
	return "", nil
}

func (b *box) Get(req *pluginpb.GetRequest, stream grpc.ServerStreamingServer[pluginpb.GetResponse]) error {
	s, err := b.enter(req.GetInstance(), req.GetName(), false)
	if err != nil {
		return err
	}
	_, data, err := b.read(s.file(req.GetName()))
	if err != nil {
		return absentHere(req.GetName())
	}
	if req.GetOffset() < 0 || req.GetOffset() > int64(len(data)) {
		return invalid("%s: offset %d", req.GetName(), req.GetOffset())
	}
	whole := int64(len(data))
	if !is("the offset is ignored") {
		data = data[req.GetOffset():]
	}
	switch {
	case is("a descriptor for each get"):
		f, _ := os.Open(os.DevNull)
		b.mu.Lock()
		b.leaked = append(b.leaked, f)
		b.mu.Unlock()
	case is("gets that are closed early are kept"):
		select {
		case b.slots <- struct{}{}:
		default:
			return say(codes.Unavailable, pluginpb.Reason_REASON_UNAVAILABLE, "too many gets")
		}
	}
	if err := stream.Send(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_Info{Info: &pluginpb.GetInfo{}}}); err != nil {
		return err
	}
	for at := 0; at < len(data); at += 1 << 20 {
		part := data[at:min(at+1<<20, len(data))]
		f := &pluginpb.Frame{Offset: int64(at), Crc32C: crc(part), Data: part}
		if err := stream.Send(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_Frame{Frame: f}}); err != nil {
			return err
		}
	}
	if is("gets that are closed early are kept") {
		<-b.slots
	}
	end := &pluginpb.GetEnd{Length: int64(len(data)), Crc32C: crc(data)}
	switch {
	case is("the end has the object's length"):
		end.Length = whole
	case is("a get without an end"):
		return nil
	}
	return stream.Send(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_End{End: end}})
}

func (b *box) List(req *pluginpb.ListRequest, stream grpc.ServerStreamingServer[pluginpb.ListResponse]) error {
	s, err := b.enter(req.GetInstance(), "any", false)
	if err != nil && is("a list that fails is empty") {
		return nil
	}
	if err != nil {
		return err
	}
	if p := req.GetPrefix(); strings.HasPrefix(p, "/") || slices.Contains(strings.Split(p, "/"), "..") {
		return invalid("prefix %q", p)
	}
	if s.Place == "missing" && !is("missing is empty") {
		return absentHere(s.URI)
	}
	objs := b.objects(s, req.GetPrefix())
	if is("a list that trips over a change") {
		<-time.After(50 * time.Millisecond)
		if again := b.objects(s, req.GetPrefix()); len(again) != len(objs) && len(objs) > 0 {
			objs = objs[1:]
		}
	}
	for page := range slices.Chunk(objs, 500) {
		if err := stream.Send(&pluginpb.ListResponse{Objects: page}); err != nil {
			return err
		}
		if is("a list of one page") {
			break
		}
	}
	return nil
}

func (b *box) objects(s boxSettings, prefix string) (objs []*pluginpb.Object) {
	var paths []string
	if is("objects in memory") {
		for path := range b.memory {
			paths = append(paths, path)
		}
	}
	entries, _ := os.ReadDir(s.URI)
	for _, e := range entries {
		if filepath.Ext(e.Name()) == "" {
			paths = append(paths, filepath.Join(s.URI, e.Name()))
		}
	}
	for _, path := range paths {
		name, data, err := b.read(path)
		if err == nil && strings.HasPrefix(name, prefix) {
			objs = append(objs, &pluginpb.Object{Name: name, Size: int64(len(data))})
		}
	}
	slices.SortFunc(objs, func(x, y *pluginpb.Object) int {
		if is("a list in the order of directories") {
			return slices.Compare(strings.Split(x.GetName(), "/"), strings.Split(y.GetName(), "/"))
		}
		return strings.Compare(x.GetName(), y.GetName())
	})
	return objs
}

func (b *box) Delete(_ context.Context, req *pluginpb.DeleteRequest) (*pluginpb.DeleteResponse, error) {
	s, err := b.enter(req.GetInstance(), req.GetName(), true)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.memory, s.file(req.GetName()))
	if err := os.Remove(s.file(req.GetName())); err != nil && is("delete wants something to delete") {
		return nil, absentHere(req.GetName())
	}
	return &pluginpb.DeleteResponse{}, nil
}

func (b *box) Version(_ context.Context, req *pluginpb.VersionRequest) (*pluginpb.VersionResponse, error) {
	s, err := b.enter(req.GetInstance(), req.GetName(), false)
	if err != nil {
		return nil, err
	}
	res := &pluginpb.VersionResponse{}
	if _, data, err := b.read(s.file(req.GetName())); err == nil {
		res.Version = version(data)
	}
	return res, nil
}

func (b *box) Probe(_ context.Context, req *pluginpb.ProbeRequest) (*pluginpb.ProbeResponse, error) {
	s, err := b.enter(req.GetInstance(), "probe", true)
	if err != nil {
		return nil, err
	}
	name := "probe-" + rand.Text()
	if err := b.write(s.file(name), pack(name, []byte("probe"))); err != nil {
		return nil, err
	}
	if !is("probe leaves its object") {
		_ = os.Remove(s.file(name))
	}
	return &pluginpb.ProbeResponse{}, nil
}

func (b *box) Report(_ context.Context, req *pluginpb.ReportRequest) (*pluginpb.ReportResponse, error) {
	s, err := b.enter(req.GetInstance(), "report", false)
	if err != nil {
		return nil, err
	}
	credentials := "none"
	if s.Token != "" {
		credentials = "the setting token"
	}
	switch {
	case is("a finding shows the token"):
		credentials = "token " + s.Token
	case is("a finding is two lines"):
		credentials += "\nand no other"
	case is("report leaves its object"):
		name := "report-" + rand.Text()
		_ = b.write(s.file(name), pack(name, []byte("report")))
	}
	findings := []*pluginpb.Finding{{Name: "credentials", Detail: credentials}}
	if is("two findings of one name") {
		findings = append(findings, findings[0])
	}
	return &pluginpb.ReportResponse{Findings: findings}, nil
}
