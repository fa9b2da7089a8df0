//go:build unix

package python_test

import (
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// inPackage runs Python with the SDK on its path, by way of a plugin's file.
func inPackage(t *testing.T, stdin, code string) string {
	t.Helper()
	return run(t, stdin, interpreter, "-c", "import sys; sys.path.insert(0, sys.argv[1])\n"+code, buildTree(t))
}

// The messages in Python are those of the protocol: generate.sh was run since it
// changed.
func TestMessages(t *testing.T) {
	files := []protoreflect.FileDescriptor{
		pluginpb.File_brock_plugin_v1_meta_proto,
		pluginpb.File_brock_plugin_v1_destination_proto,
		pluginpb.File_brock_plugin_v1_keyprovider_proto,
		pluginpb.File_brock_plugin_v1_error_proto,
	}
	const code = `
from brock_plugin import meta_pb2, destination_pb2, keyprovider_pb2, error_pb2
for m in meta_pb2, destination_pb2, keyprovider_pb2, error_pb2:
    print(m.DESCRIPTOR.serialized_pb.hex())`
	for i, text := range strings.Fields(inPackage(t, "", code)) {
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		got, want := &descriptorpb.FileDescriptorProto{}, protodesc.ToFileDescriptorProto(files[i])
		if err := proto.Unmarshal(data, got); err != nil {
			t.Fatal(err)
		}
		bare(got)
		bare(want)
		if !proto.Equal(got, want) {
			t.Errorf("the messages of %s are others in Python: run sdk/python/generate.sh", files[i].Path())
		}
	}
}

// bare takes away what is not on the wire.
func bare(f *descriptorpb.FileDescriptorProto) {
	f.Options = nil
	for _, m := range f.GetMessageType() {
		for _, field := range m.GetField() {
			field.Options, field.JsonName = nil, nil
		}
	}
}

// The checksum that needs no package is the right one, at every size at which it
// is computed in another way.
func TestChecksum(t *testing.T) {
	const code = `
from brock_plugin import crc32c
whole = b""
for line in sys.stdin:
    data = bytes.fromhex(line)
    print(crc32c.soft(data), crc32c.concat(crc32c.soft(whole), crc32c.soft(data), len(data)), crc32c.crc32c(data))
    whole += data`
	var in, want strings.Builder
	var whole []byte
	table := crc32.MakeTable(crc32.Castagnoli)
	random := rand.NewChaCha8([32]byte{})
	for _, size := range []int{0, 1, 9, 2048*8 - 1, 2048 * 8, 2048*8 + 1, 0, 100_000, 1 << 20, 3} {
		data := make([]byte, size)
		_, _ = random.Read(data)
		fmt.Fprintf(&in, "%x\n", data)
		whole = append(whole, data...)
		sum := crc32.Checksum(data, table)
		fmt.Fprintln(&want, sum, crc32.Checksum(whole, table), sum)
	}
	if got := inPackage(t, in.String(), code); got != want.String() {
		t.Errorf("checksums\n%swant\n%s", got, want.String())
	}
}

// Settings are read as the SDK in Go reads them.
func TestSettings(t *testing.T) {
	const code = `
import json
from brock_plugin import Setting, Error, settings
for line in sys.stdin:
    kind, _, given = line.strip().partition(" ")
    try:
        value = settings.decode([Setting("s", "", type=kind.rstrip("!"), secret="!" in kind)], '{"s": ' + given + "}").s
        print(repr(value))
    except Error as e:
        print(type(e).__name__, e)`
	var in, want strings.Builder
	for _, c := range [][3]string{
		{"string", `"x"`, `'x'`},
		{"string", `null`, `None`},
		{"string", `7`, `Invalid setting s: 7 is no string`},
		{"string!", `"hunter2"`, `[secret]`},
		{"int!", `"hunter2"`, `Invalid setting s: not the int that is wanted`},
		{"int", `7`, `7`},
		{"int", `"7"`, `7`},
		{"int", `7.5`, `Invalid setting s: 7.5 is no int`},
		{"int", `"7 "`, `Invalid setting s: "7 " is no int`},
		{"int", `true`, `Invalid setting s: true is no int`},
		{"float", `"1.5e3"`, `1500.0`},
		{"float", `"nan"`, `Invalid setting s: "nan" is no float`},
		{"bool", `"true"`, `True`},
		{"bool", `"yes"`, `Invalid setting s: "yes" is no bool`},
		{"duration", `"1h2m3.5s"`, `3723.5`},
		{"duration", `"5"`, `Invalid setting s: "5" is no duration`},
		{"duration", `5`, `Invalid setting s: 5 is no duration`},
		{"json", `[1, {"a": null}]`, `[1, {'a': None}]`},
	} {
		fmt.Fprintln(&in, c[0], c[1])
		fmt.Fprintln(&want, c[2])
	}
	if got := inPackage(t, in.String(), code); got != want.String() {
		t.Errorf("settings\n%swant\n%s", got, want.String())
	}
}

// How long a storage wants to be left alone arrives in whole milliseconds, and
// never sooner than it was said.
func TestRetryAfter(t *testing.T) {
	const code = `
from brock_plugin import Unavailable, error_pb2, errors
class Call:
    def set_trailing_metadata(self, metadata): print(metadata[0][1].hex())
    def abort(self, code, text): pass
for line in sys.stdin:
    errors.answer(Call(), Unavailable("slow down", retry_after=float(line)), "o")`
	var in, got strings.Builder
	fmt.Fprint(&in, "0\n1.5\n0.0001\n-3\ninf\n")
	for text := range strings.FieldsSeq(inPackage(t, in.String(), code)) {
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		p := status.New(codes.Unavailable, "").Proto()
		if err := proto.Unmarshal(data, p); err != nil {
			t.Fatal(err)
		}
		for _, d := range status.FromProto(p).Details() {
			fmt.Fprintln(&got, d.(*pluginpb.ErrorDetail).GetRetryAfterMs())
		}
	}
	if want := "0\n1500\n1\n0\n86400000\n"; got.String() != want {
		t.Errorf("milliseconds\n%swant\n%s", got.String(), want)
	}
}

// Names that lead elsewhere are refused by the plugin, whatever its host does: a
// host that keeps the protocol never sends one.
func TestNames(t *testing.T) {
	const code = `
from brock_plugin import Invalid, destination
for line in sys.stdin:
    check, name = json.loads(line)
    try:
        getattr(destination, check)(name)
        print("good", check, json.dumps(name))
    except Invalid:
        print("bad", check, json.dumps(name))`
	var in, want strings.Builder
	for verdict, names := range map[string][]string{
		"good": {"a", "a/b", "..a", "a..", "...", ".a/b", "a\\\\..", strings.Repeat("n", 1024)},
		"bad":  {"", ".", "..", "/", "/etc", "a/", "a//b", "./a", "a/.", "a/../b", "../a", "a\\u0000", strings.Repeat("n", 1025)},
	} {
		for _, name := range names {
			fmt.Fprintf(&in, "[\"check_name\", \"%s\"]\n", name)
			fmt.Fprintf(&want, "%s check_name \"%s\"\n", verdict, name)
		}
	}
	for verdict, prefixes := range map[string][]string{
		"good": {"", "a", "a/", "a/b", ".", "a/."},
		"bad":  {"/", "/a", "..", "../", "a/..", "a//", "./a", "a\\u0000"},
	} {
		for _, prefix := range prefixes {
			fmt.Fprintf(&in, "[\"check_prefix\", \"%s\"]\n", prefix)
			fmt.Fprintf(&want, "%s check_prefix \"%s\"\n", verdict, prefix)
		}
	}
	if got := inPackage(t, in.String(), "import json"+code); got != want.String() {
		t.Errorf("names\n%swant\n%s", got, want.String())
	}
}
