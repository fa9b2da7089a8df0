package wire

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/brock-backup/brock/sdk/internal/pluginpb"
	"github.com/brock-backup/brock/sdk/internal/wire/wiretest"
)

// message is what a frame is to those who know no codec.
func message(offset int64, crc uint32, data []byte) *pluginpb.PutRequest {
	return &pluginpb.PutRequest{Step: &pluginpb.PutRequest_Frame{
		Frame: &pluginpb.Frame{Offset: offset, Crc32C: crc, Data: data},
	}}
}

// pieces puts data into counted buffers of at most n bytes.
func pieces(pool mem.BufferPool, data []byte, n int) mem.BufferSlice {
	var s mem.BufferSlice
	for len(data) > 0 {
		n = min(n, len(data))
		b := pool.Get(n)
		copy(*b, data)
		s = append(s, mem.NewBuffer(b, pool))
		data = data[n:]
	}
	return s
}

// checkMarshal compares the bytes with protobuf's own.
func checkMarshal(t *testing.T, offset int64, crc uint32, data []byte, n int) {
	t.Helper()
	pool := wiretest.NewPoison()
	f := &Frame{Offset: offset, CRC32C: crc, Data: pieces(pool, data, n)}
	got, err := Codec.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Data.Free() // the codec has references of its own
	want, err := proto.Marshal(message(offset, crc, data))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Materialize(), want) {
		t.Errorf("frame at %d with %d bytes: %.50x; want %.50x", offset, len(data), got.Materialize(), want)
	}
	got.Free()
	if n := pool.Lent(); n != 0 {
		t.Errorf("frame at %d with %d bytes: %d buffers are not freed", offset, len(data), n)
	}
}

// checkUnmarshal compares what arrives with what protobuf makes of it. It
// reports whether it was split without copying.
func checkUnmarshal(t *testing.T, encoded []byte, n int) bool {
	t.Helper()
	pool := wiretest.NewPoison()
	data := pieces(pool, encoded, n)
	step := Step{Frame: new(Frame), Other: new(pluginpb.PutRequest)}
	err := Codec.Unmarshal(data, &step)
	data.Free() // the codec has references of its own
	want := new(pluginpb.PutRequest)
	if wantErr := proto.Unmarshal(encoded, want); (err == nil) != (wantErr == nil) {
		t.Fatalf("%.50x: %v; want %v", encoded, err, wantErr)
	}
	if err == nil && !sameStep(&step, want) {
		t.Errorf("%.50x: %v; want %v", encoded, step.Proto(), want)
	}
	lent := pool.Lent() > 0
	if step.Frame != nil {
		step.Frame.Data.Free()
	}
	if n := pool.Lent(); n != 0 {
		t.Errorf("%.50x: %d buffers are not freed", encoded, n)
	}
	return lent
}

func sameStep(got *Step, want *pluginpb.PutRequest) bool {
	if want.GetFrame() == nil {
		return got.Frame == nil && proto.Equal(got.Other, want)
	}
	f := want.GetFrame()
	return got.Frame != nil && got.Frame.Offset == f.GetOffset() && got.Frame.CRC32C == f.GetCrc32C() &&
		bytes.Equal(got.Frame.Data.Materialize(), f.GetData())
}

func TestFramesAreProtobuf(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 1 << 14, 1<<14 + 1, 1 << 20} {
		data := bytes.Repeat([]byte("data"), size/4+1)[:size]
		for _, offset := range []int64{0, 1, 1 << 20, 1 << 40, -1} {
			for _, crc := range []uint32{0, 1, 0xffffffff} {
				checkMarshal(t, offset, crc, data, 1<<14)
				encoded, err := proto.Marshal(message(offset, crc, data))
				if err != nil {
					t.Fatal(err)
				}
				if split := checkUnmarshal(t, encoded, 1<<14); split != (zeroCopy && size > 0) {
					t.Errorf("frame of %d bytes: split: %t", size, split)
				}
			}
		}
	}
}

func TestOtherMessagesAreProtobuf(t *testing.T) {
	for _, m := range []Message{
		&pluginpb.PutRequest{},
		&pluginpb.PutRequest{Step: &pluginpb.PutRequest_Open{Open: &pluginpb.PutOpen{Name: "a"}}},
		&pluginpb.GetResponse{Step: &pluginpb.GetResponse_End{End: &pluginpb.GetEnd{Length: 7}}},
		message(1, 2, []byte("generated")),
	} {
		encoded, err := Codec.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got := m.ProtoReflect().New().Interface()
		if err := Codec.Unmarshal(encoded, got); err != nil || !proto.Equal(got, m) {
			t.Errorf("%v arrives as %v, %v", m, got, err)
		}
	}
	if _, err := Codec.Marshal("no message"); err == nil {
		t.Error("a string was sent")
	}
}

// What is valid but not as everybody encodes it means the same.
func TestOddFrames(t *testing.T) {
	frame := func(fields ...[]byte) []byte { return field(15, bytes.Join(fields, nil)) }
	data, crc := field(15, []byte("data")), protowire.AppendFixed32([]byte{tagCRC32C}, 7)
	offset, unknown := []byte{tagOffset, 1}, field(14, []byte("unknown"))
	for name, encoded := range map[string][]byte{
		"data first":          frame(data, crc, offset),
		"checksum first":      frame(crc, offset, data),
		"no data":             frame(offset, crc),
		"nothing":             frame(),
		"two data":            frame(data, data),
		"two offsets":         frame(offset, offset, data),
		"unknown before":      frame(unknown, data),
		"unknown behind":      frame(data, unknown),
		"behind the frame":    append(frame(data), unknown...),
		"before the frame":    append(unknown, frame(data)...),
		"two frames":          append(frame(offset), frame(data)...),
		"frame, then commit":  append(frame(data), field(2, nil)...),
		"cut off":             frame(data)[:5],
		"cut off in a number": {tagStep, 0x80},
		"cut off in the sum":  {tagStep, 3, tagCRC32C, 1, 2},
		"too long inside":     field(15, append([]byte{tagData, 5}, "data"...)),
		"too long outside":    append([]byte{tagStep, 9}, data...),
		"number of no end":    append([]byte{tagStep}, bytes.Repeat([]byte{0xff}, 40)...),
		"long numbers":        frame([]byte{tagOffset, 0x81, 0x80, 0x00}, []byte{tagData, 0x81, 0x80, 0x00, 'x'}),
	} {
		for _, n := range []int{1, 3, 1 << 14} {
			split := checkUnmarshal(t, encoded, n)
			if split != (name == "long numbers" && zeroCopy) {
				t.Errorf("%s: split: %t", name, split)
			}
		}
	}
}

func field(n protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), data)
}

func FuzzUnmarshal(f *testing.F) {
	encoded, err := proto.Marshal(message(1<<20, 99, []byte("some data")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded, 3)
	f.Add(append(encoded, encoded...), 100)
	f.Add(field(15, field(14, encoded)), 1)
	f.Add(field(1, field(2, []byte("name"))), 5)
	f.Fuzz(func(t *testing.T, encoded []byte, n int) { checkUnmarshal(t, encoded, max(n, 1)) })
}

func FuzzMarshal(f *testing.F) {
	f.Add(int64(1<<20), uint32(99), []byte("some data"), 3)
	f.Fuzz(func(t *testing.T, offset int64, crc uint32, data []byte, n int) {
		checkMarshal(t, offset, crc, data, max(n, 1))
	})
}
