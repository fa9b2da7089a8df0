package conformance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/access"
	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/launch"
)

// A wire speaks the protocol itself, as no host does that keeps to it: steps in
// the wrong order, sums that do not match, fields that nobody knows.
type wire struct {
	*trial
	meta     pluginpb.MetaServiceClient
	keys     pluginpb.KeyProviderServiceClient
	dst      pluginpb.DestinationServiceClient // where a host puts and gets
	control  pluginpb.DestinationServiceClient // the same, or the other way there is
	instance string
}

// tap reaches through a process to the wire. No instance is open yet.
func tap(t *trial, p *launch.Process) *wire {
	control, bulk := access.Conns(p)
	w := &wire{
		trial:    t,
		meta:     pluginpb.NewMetaServiceClient(stock{control}),
		keys:     pluginpb.NewKeyProviderServiceClient(stock{control}),
		control:  pluginpb.NewDestinationServiceClient(stock{control}),
		instance: "kit-" + rand.Text(),
	}
	if w.dst = w.control; bulk != control {
		w.dst = pluginpb.NewDestinationServiceClient(stock{bulk})
	}
	return w
}

// open opens an instance, until the check is over.
func (w *wire) open(settings map[string]any) error {
	data, err := json.Marshal(revealed(settings))
	if err != nil {
		w.Fatalf("settings: %v", err)
	}
	_, err = w.meta.Open(w.ctx, &pluginpb.OpenRequest{Instance: w.instance, Settings: data})
	if err == nil {
		w.Cleanup(func() {
			_, _ = w.meta.Close(context.WithoutCancel(w.ctx), &pluginpb.CloseRequest{Instance: w.instance})
		})
	}
	return code.Error(err)
}

// wire opens an instance at the place of the check, in the process that all
// checks share.
func (p *place) wire() *wire {
	w := tap(p.trial, p.lab.shared(p.trial))
	if err := w.open(p.lab.Settings); err != nil {
		p.Fatalf("open: %v", err)
	}
	return w
}

// revealed returns settings with their secrets as a host sends them.
func revealed(v any) any {
	switch v := v.(type) {
	case sdk.Secret:
		return v.RevealString()
	case map[string]any:
		m := map[string]any{}
		for name, e := range v {
			m[name] = revealed(e)
		}
		return m
	case []any:
		list := []any{}
		for _, e := range v {
			list = append(list, revealed(e))
		}
		return list
	}
	return v
}

// putOpen is the first step of a Put.
func (w *wire) putOpen(name string) *pluginpb.PutOpen {
	return &pluginpb.PutOpen{
		Instance: w.instance, Name: name, PutId: rand.Text(),
		Condition: pluginpb.Condition_CONDITION_CREATE_ONLY,
	}
}

func stepOpen(o *pluginpb.PutOpen) *pluginpb.PutRequest {
	return &pluginpb.PutRequest{Step: &pluginpb.PutRequest_Open{Open: o}}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func stepFrame(offset int64, data []byte) *pluginpb.PutRequest {
	f := &pluginpb.Frame{Offset: offset, Crc32C: crc32.Checksum(data, castagnoli), Data: data}
	return &pluginpb.PutRequest{Step: &pluginpb.PutRequest_Frame{Frame: f}}
}

func stepCommit(data []byte) *pluginpb.PutRequest {
	c := &pluginpb.PutCommit{Size: int64(len(data)), Crc32C: crc32.Checksum(data, castagnoli)}
	return &pluginpb.PutRequest{Step: &pluginpb.PutRequest_Commit{Commit: c}}
}

// steps are those of a good Put.
func (w *wire) steps(name string, data []byte) []*pluginpb.PutRequest {
	return w.stepsAfter(w.putOpen(name), data)
}

func (w *wire) stepsAfter(open *pluginpb.PutOpen, data []byte) []*pluginpb.PutRequest {
	steps := []*pluginpb.PutRequest{stepOpen(open)}
	for at := 0; at < len(data); at += frame.Size {
		steps = append(steps, stepFrame(int64(at), data[at:min(at+frame.Size, len(data))]))
	}
	return append(steps, stepCommit(data))
}

// put takes the steps given, then ends the stream, and returns the answer.
func (w *wire) put(steps ...*pluginpb.PutRequest) (*pluginpb.PutResponse, error) {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	stream, err := w.dst.Put(ctx, grpc.MaxCallSendMsgSize(16<<20))
	if err != nil {
		return nil, code.Error(err)
	}
	for _, s := range steps {
		if stream.Send(s) != nil { // why, the answer says
			break
		}
	}
	res, err := stream.CloseAndRecv()
	return res, code.Error(err)
}

// get reads an object as hosts do, and wants every step to be right.
func (w *wire) get(name string, offset int64) ([]byte, error) {
	stream, err := w.dst.Get(w.ctx, &pluginpb.GetRequest{Instance: w.instance, Name: name, Offset: offset})
	if err != nil {
		return nil, code.Error(err)
	}
	var data []byte
	for step := 0; ; step++ {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return data, errors.New("the stream is over, without an end")
		}
		if err != nil {
			return data, code.Error(err)
		}
		f, end := msg.GetFrame(), msg.GetEnd()
		switch {
		case step == 0:
			if msg.GetInfo() == nil {
				return data, errors.New("the first step is no info")
			}
		case end != nil:
			if end.GetLength() != int64(len(data)) || end.GetCrc32C() != crc32.Checksum(data, castagnoli) {
				w.Errorf("Get(%q, %d): the end does not match the %d bytes in the frames", name, offset, len(data))
			}
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				w.Errorf("Get(%q, %d): something follows the end: %v", name, offset, err)
			}
			return data, nil
		case f == nil:
			return data, errors.New("a step is neither frame nor end")
		default:
			if f.GetOffset() != int64(len(data)) || f.GetCrc32C() != crc32.Checksum(f.GetData(), castagnoli) {
				w.Errorf("Get(%q, %d): a frame at %d of %d bytes comes after %d bytes, or has a wrong checksum",
					name, offset, f.GetOffset(), len(f.GetData()), len(data))
			}
			if len(f.GetData()) > frame.Size {
				w.Errorf("Get(%q, %d): a frame has %d bytes, want at most %d", name, offset, len(f.GetData()), frame.Size)
			}
			data = append(data, f.GetData()...)
		}
	}
}

// list returns the names below a prefix.
func (w *wire) list(prefix string) ([]string, error) {
	stream, err := w.dst.List(w.ctx, &pluginpb.ListRequest{Instance: w.instance, Prefix: prefix})
	if err != nil {
		return nil, code.Error(err)
	}
	var names []string
	for {
		page, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return names, code.Error(err)
		}
		for _, o := range page.GetObjects() {
			names = append(names, o.GetName())
		}
	}
}

// grease gives a message, and all that it holds, fields that nobody knows.
func grease[M proto.Message](m M) M {
	greaseAll(m.ProtoReflect())
	return m
}

func greaseAll(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() != nil && !f.IsList() && !f.IsMap() {
			greaseAll(v.Message())
		}
		return true
	})
	b := protowire.AppendTag(nil, 4242, protowire.VarintType)
	b = protowire.AppendVarint(b, 1<<40)
	b = protowire.AppendTag(b, 4243, protowire.BytesType)
	b = protowire.AppendString(b, strings.Repeat("grease", 10))
	b = protowire.AppendTag(b, 4244, protowire.Fixed32Type)
	b = protowire.AppendFixed32(b, 7)
	m.SetUnknown(b)
}

// A stock connection encodes messages as everybody does.
type stock struct{ grpc.ClientConnInterface }

func (c stock) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	return c.ClientConnInterface.Invoke(ctx, method, in, out, append(opts, grpc.ForceCodec(stockCodec{}))...)
}

func (c stock) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.ClientConnInterface.NewStream(ctx, d, method, append(opts, grpc.ForceCodec(stockCodec{}))...)
}

type stockCodec struct{}

func (stockCodec) Name() string { return "proto" }

func (stockCodec) Marshal(v any) ([]byte, error) { return proto.Marshal(v.(proto.Message)) }

func (stockCodec) Unmarshal(data []byte, v any) error {
	return proto.Unmarshal(data, v.(proto.Message))
}
