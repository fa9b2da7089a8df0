package launch

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A viewer shows messages without what must not be shown: fields that the
// protocol marks as secret, bytes of every kind, and the values that the process
// hides wherever else they appear.
type viewer struct {
	safe     func(string) string
	settings func() []sdk.Setting // as the plugin describes them
}

// message returns a message's size on the wire, and what may be shown of it,
// named as protojson names it.
func (v viewer) message(m any) (int, map[string]any) {
	if f, ok := m.(interface{ Proto() proto.Message }); ok { // of package wire
		m = f.Proto()
	}
	p, ok := m.(proto.Message)
	if !ok {
		return 0, map[string]any{"type": fmt.Sprintf("%T", m)}
	}
	return proto.Size(p), v.fields(p.ProtoReflect())
}

func (v viewer) fields(m protoreflect.Message) map[string]any {
	shown := map[string]any{}
	m.Range(func(fd protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		shown[fd.JSONName()] = v.field(m, fd, value)
		return true
	})
	if n := len(m.GetUnknown()); n > 0 {
		shown["unknownFields"] = fmt.Sprintf("[%d bytes]", n)
	}
	return shown
}

func (v viewer) field(m protoreflect.Message, fd protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch o, _ := fd.Options().(*descriptorpb.FieldOptions); {
	case m.Descriptor().FullName() == (*pluginpb.OpenRequest)(nil).ProtoReflect().Descriptor().FullName() && fd.Name() == "settings":
		return v.openSettings(value.Bytes())
	case o.GetDebugRedact(), fd.IsMap():
		return hidden
	case fd.IsList():
		var all []any
		for i := range value.List().Len() {
			all = append(all, v.value(fd, value.List().Get(i)))
		}
		return all
	}
	return v.value(fd, value)
}

const hidden = "[secret]"

func (v viewer) value(fd protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return v.fields(value.Message())
	case protoreflect.BytesKind:
		return showBytes(value.Bytes())
	case protoreflect.StringKind:
		return v.safe(value.String())
	case protoreflect.EnumKind:
		if e := fd.Enum().Values().ByNumber(value.Enum()); e != nil {
			return string(e.Name())
		}
		return value.Enum()
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return value.String() // as protojson does: a JSON number has 53 bits
	}
	return value.Interface()
}

func showBytes(b []byte) string {
	return fmt.Sprintf("[%d bytes, crc32c %08x]", len(b), crc32.Checksum(b, castagnoli))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openSettings shows the plain settings that the plugin describes as no secrets.
// Of all others it shows that they were given.
func (v viewer) openSettings(data []byte) any {
	var given map[string]any
	if json.Unmarshal(data, &given) != nil {
		return hidden
	}
	for name, value := range given {
		known := slices.ContainsFunc(v.settings(), func(s sdk.Setting) bool {
			return s.Name == name && !s.Secret && s.Type != "json"
		})
		switch text := value.(type) {
		case string:
			given[name] = v.safe(withoutUser(text))
		case map[string]any, []any:
			known = false
		}
		if !known {
			given[name] = hidden
		}
	}
	return given
}

// withoutUser takes user and password out of what looks like a URI.
func withoutUser(text string) string {
	if !strings.Contains(text, "@") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return hidden
	}
	if u.User == nil {
		return text
	}
	u.User = nil
	return u.String()
}
