//go:build unix

package launch

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

func init() {
	roles["greasy"] = func() {
		serveGreasy(&greasy{kind: pluginpb.Kind_KIND_DESTINATION, puts: 1<<32 - 1})
	}
	roles["greasy kind"] = func() { serveGreasy(&greasy{kind: 99, puts: 1}) }
	roles["greasy one"] = func() { serveGreasy(&greasy{kind: pluginpb.Kind_KIND_DESTINATION, puts: 1}) }
}

func serveGreasy(g *greasy) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: handshake.Config,
		Plugins:         plugin.PluginSet{service: g},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}

// A greasy plugin is from the future: all that it says has something in it that
// this host has never heard of.
type greasy struct {
	plugin.NetRPCUnsupportedPlugin
	pluginpb.UnimplementedMetaServiceServer
	pluginpb.UnimplementedDestinationServiceServer
	kind pluginpb.Kind
	puts uint32
}

// grease adds fields of every wire type that no version of a message has.
func grease[M proto.Message](m M) M {
	b := m.ProtoReflect().GetUnknown()
	b = protowire.AppendVarint(protowire.AppendTag(b, 9001, protowire.VarintType), 1<<60)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 9002, protowire.Fixed32Type), 7)
	b = protowire.AppendFixed64(protowire.AppendTag(b, 9003, protowire.Fixed64Type), 7)
	b = protowire.AppendString(protowire.AppendTag(b, 9004, protowire.BytesType), "from the future")
	b = protowire.AppendGroup(protowire.AppendTag(b, 9005, protowire.StartGroupType), 9005, nil)
	m.ProtoReflect().SetUnknown(b)
	return m
}

func (g *greasy) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	pluginpb.RegisterMetaServiceServer(s, g)
	pluginpb.RegisterDestinationServiceServer(s, g)
	return nil
}

func (*greasy) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, sdk.ErrUnsupported
}

func (g *greasy) Describe(context.Context, *pluginpb.DescribeRequest) (*pluginpb.DescribeResponse, error) {
	return grease(&pluginpb.DescribeResponse{
		Name: "greasy", Version: "9", Kind: g.kind, Schemes: []string{"future"},
		Settings: []*pluginpb.Setting{
			grease(&pluginpb.Setting{Name: "when", Type: "moment", Doc: "a type of tomorrow", Secret: true}),
		},
		Capabilities:  []pluginpb.Capability{0, 99, -1, pluginpb.Capability_CAPABILITY_REPLACE, 1 << 30},
		Limits:        grease(&pluginpb.Limits{ConcurrentPuts: g.puts, ObjectSize: -1, PartSize: -1}),
		ProtocolMinor: 1<<32 - 1,
	}), nil
}

func (*greasy) Open(context.Context, *pluginpb.OpenRequest) (*pluginpb.OpenResponse, error) {
	return grease(&pluginpb.OpenResponse{Capabilities: []pluginpb.Capability{99, pluginpb.Capability_CAPABILITY_REPLACE}}), nil
}

func (*greasy) Close(context.Context, *pluginpb.CloseRequest) (*pluginpb.CloseResponse, error) {
	return grease(&pluginpb.CloseResponse{}), nil
}

func (*greasy) Put(stream pluginpb.DestinationService_PutServer) error {
	for {
		msg, err := stream.Recv()
		if err != nil {
			return err
		}
		if msg.GetCommit() != nil {
			return stream.SendAndClose(grease(&pluginpb.PutResponse{Version: "v"}))
		}
	}
}

func (*greasy) Get(_ *pluginpb.GetRequest, stream pluginpb.DestinationService_GetServer) error {
	var sum frame.Sum
	data := grease(next(&sum, []byte("data")))
	for _, step := range []*pluginpb.GetResponse{
		grease(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_Info{Info: grease(&pluginpb.GetInfo{})}}),
		grease(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_Frame{Frame: data}}),
		grease(&pluginpb.GetResponse{Step: &pluginpb.GetResponse_End{End: grease(&pluginpb.GetEnd{Length: sum.Size, Crc32C: sum.CRC32C})}}),
	} {
		if err := stream.Send(step); err != nil {
			return err
		}
	}
	return nil
}

func (*greasy) List(_ *pluginpb.ListRequest, stream pluginpb.DestinationService_ListServer) error {
	if err := stream.Send(grease(&pluginpb.ListResponse{})); err != nil { // an empty page is no end
		return err
	}
	return stream.Send(grease(&pluginpb.ListResponse{Objects: []*pluginpb.Object{grease(&pluginpb.Object{Name: "a", Size: 4})}}))
}

// Delete fails in ways that have no name yet.
func (*greasy) Delete(_ context.Context, req *pluginpb.DeleteRequest) (*pluginpb.DeleteResponse, error) {
	detail := grease(&pluginpb.ErrorDetail{Reason: 99, Hint: "wait for the future"})
	c := codes.PermissionDenied
	switch req.GetName() {
	case "gone":
		return grease(&pluginpb.DeleteResponse{}), nil
	case "code":
		c, detail.Retryable = 99, true
	}
	s, err := status.New(c, "of a new kind").WithDetails(grease(&pluginpb.Setting{Name: "no detail of ours"}), detail)
	if err != nil {
		return nil, err
	}
	return nil, s.Err()
}

func TestHostIgnoresWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	p, d := open(t, "greasy", map[string]any{"when": "tomorrow"})
	got := p.Description()
	if len(got.Capabilities) != 1 || got.Settings[0].Type != "moment" || got.Limits.ObjectSize != 0 || got.Limits.PartSize != 0 {
		t.Errorf("described as %+v", got)
	}
	if err := d.Put(t.Context(), "a", strings.NewReader("data")); err != nil {
		t.Error("Put:", err)
	}
	if data, err := readAll(d, "a"); string(data) != "data" || err != nil {
		t.Errorf("Get = %q, %v", data, err)
	}
	if names, err := listAll(d, ""); len(names) != 1 || err != nil {
		t.Errorf("List = %q, %v", names, err)
	}
	if v, err := d.(sdk.Replacer).Replace(t.Context(), "a", strings.NewReader("x"), ""); v != "v" || err != nil {
		t.Errorf("Replace = %q, %v", v, err)
	}
	if err := d.Delete(t.Context(), "gone"); err != nil {
		t.Error("Delete:", err)
	}
	err := d.Delete(t.Context(), "reason")
	if !errors.Is(err, sdk.ErrPermission) || sdk.Hint(err) != "wait for the future" {
		t.Errorf("a reason of tomorrow: %v, hint %q; want what its code says", err, sdk.Hint(err))
	}
	err = d.Delete(t.Context(), "code")
	if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "of a new kind") {
		t.Errorf("a code of tomorrow: %v; want it retryable, with its text", err)
	}
	if _, err := try(t, "greasy kind", Options{}); err == nil || !strings.Contains(err.Error(), "kind unknown to this version of Brock") {
		t.Errorf("a kind of tomorrow: %v", err)
	}
}

// The SDK would keep to a plugin's limits by itself; this plugin does not.
func TestHostKeepsToTheLimits(t *testing.T) {
	t.Parallel()
	_, d := open(t, "greasy one", nil)
	begun, release, result := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		result <- d.Put(t.Context(), "slow", readerFunc(func([]byte) (int, error) {
			close(begun)
			<-release
			return 0, io.EOF
		}))
	}()
	<-begun
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Put(short, "second", strings.NewReader("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second Put at once: %v; want it to wait until its time is over", err)
	}
	close(release)
	if err := <-result; err != nil {
		t.Error("first Put:", err)
	}
	if err := d.Put(t.Context(), "second", strings.NewReader("x")); err != nil {
		t.Error("second Put afterwards:", err)
	}
}
