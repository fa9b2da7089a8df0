package sdk

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decode reads a JSON object of settings into a C. What C does not have is an
// error; what is absent comes from the environment, or is the default.
func decode[C any](data []byte) (C, error) {
	var c C
	var given map[string]json.RawMessage
	if json.Unmarshal(data, &given) != nil {
		return c, fmt.Errorf("settings are no JSON object: %w", ErrInvalid)
	}
	fields := fieldsOf(reflect.TypeFor[C]())
	if err := known(fields, given); err != nil {
		return c, err
	}
	v := reflect.ValueOf(&c).Elem()
	for _, f := range fields {
		if err := f.fill(v.FieldByIndex(f.index), given[f.Name]); err != nil {
			return c, fmt.Errorf("setting %s: %w: %w", f.Name, err, ErrInvalid)
		}
	}
	return c, nil
}

// A field is one setting and its place in the settings struct.
type field struct {
	Setting
	index []int
}

// fieldsOf returns the settings of a struct type, those of embedded structs
// among them.
func fieldsOf(t reflect.Type) []field {
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("sdk: settings must be a struct, not %v", t))
	}
	var fields []field
	for _, sf := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if !sf.IsExported() || name == "-" || sf.Anonymous && name == "" {
			continue
		}
		fields = append(fields, field{describe(sf, name), sf.Index})
	}
	return fields
}

func describe(sf reflect.StructField, name string) Setting {
	if name == "" {
		name = sf.Name
	}
	return Setting{
		Name:     name,
		Type:     typeName(sf.Type),
		Required: sf.Tag.Get("required") == "true",
		Secret:   holdsSecret(sf.Type, nil),
		Default:  sf.Tag.Get("default"),
		Env:      sf.Tag.Get("env"),
		Example:  sf.Tag.Get("example"),
		Doc:      sf.Tag.Get("doc"),
	}
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()), t.Kind() == reflect.String:
		return "string"
	case t.Kind() == reflect.Bool:
		return "bool"
	case reflect.Int <= t.Kind() && t.Kind() <= reflect.Uint64:
		return "int"
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		return "float"
	}
	return "json"
}

// holdsSecret reports whether a value of type t may have a Secret in it.
func holdsSecret(t reflect.Type, seen []reflect.Type) bool {
	if t == reflect.TypeFor[Secret]() {
		return true
	}
	if slices.Contains(seen, t) {
		return false
	}
	seen = append(seen, t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return holdsSecret(t.Elem(), seen)
	case reflect.Struct:
		for sf := range t.Fields() {
			if holdsSecret(sf.Type, seen) {
				return true
			}
		}
	}
	return false
}

// settingsOf describes the settings of a struct type.
func settingsOf(t reflect.Type) []Setting {
	settings := []Setting{}
	for _, f := range fieldsOf(t) {
		settings = append(settings, f.Setting)
	}
	return settings
}

// fill sets v to what was given, or else to what stands in for it.
func (f *field) fill(v reflect.Value, given json.RawMessage) error {
	if len(given) == 0 || string(given) == "null" {
		text, ok := f.absent()
		if !ok {
			return nil
		}
		if text == "" && f.Required {
			return errors.New("required, but absent" + f.eg())
		}
		given, _ = json.Marshal(text) //nolint:errchkjson // a string
	}
	if f.Required && string(given) == `""` {
		return errors.New("required, but empty" + f.eg())
	}
	if err := f.set(v, given); err != nil {
		if f.Secret && f.Type == "string" {
			return err
		}
		if f.Secret { // an error of package json may show a value
			return fmt.Errorf("not the %s that is wanted%s", f.Type, f.eg())
		}
		if _, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok && given[0] == '"' {
			return fmt.Errorf("%w%s", err, f.eg()) // the plugin's own words
		}
		return fmt.Errorf("%.80s is no %s%s", given, f.Type, f.eg())
	}
	return nil
}

// absent returns the text that stands in for a setting that was not given.
func (f *field) absent() (string, bool) {
	if text := os.Getenv(f.Env); f.Env != "" && text != "" {
		return text, true
	}
	return f.Default, f.Default != "" || f.Required
}

func (f *field) eg() string {
	if f.Example == "" {
		return ""
	}
	return ", as in " + strconv.Quote(f.Example)
}

// set decodes a value. Text is good for every plain type: that is how a
// parameter of a URI and a variable of the environment arrive.
func (f *field) set(v reflect.Value, given json.RawMessage) error {
	var text string
	if json.Unmarshal(given, &text) == nil {
		switch f.Type {
		case "duration":
			d, err := time.ParseDuration(text)
			v.SetInt(int64(d))
			return err
		case "bool":
			b, err := strconv.ParseBool(text)
			v.SetBool(b)
			return err
		case "int", "float":
			var n json.Number // else null and text in quotation marks would do
			if err := json.Unmarshal([]byte(text), &n); err != nil || n.String() != strings.TrimSpace(text) {
				return errors.New("not a number")
			}
			given = []byte(text)
		}
	} else if f.Type == "duration" {
		return errors.New("a duration is text")
	}
	d := json.NewDecoder(bytes.NewReader(given))
	d.DisallowUnknownFields()
	if err := d.Decode(v.Addr().Interface()); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// known refuses what is no setting, and says which there are.
func known(fields []field, given map[string]json.RawMessage) error {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	for _, name := range sortedKeys(given) {
		if slices.Contains(names, name) {
			continue
		}
		text := fmt.Sprintf("unknown setting %q", name)
		if near := nearest(name, names); near != "" {
			text += fmt.Sprintf(", did you mean %q?", near)
		}
		return fmt.Errorf("%s (known: %s): %w", text, strings.Join(names, ", "), ErrInvalid)
	}
	return nil
}

func sortedKeys(m map[string]json.RawMessage) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
