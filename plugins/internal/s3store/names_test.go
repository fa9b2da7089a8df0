package s3store

import (
	"cmp"
	"strings"
	"testing"
)

// Keys give names back, and are in the order of the names; of keys that no name
// has, none is taken for one.
func FuzzKeyName(f *testing.F) {
	for _, name := range []string{"a", "a[b", "a\\b", "a[]b", "a\tb", "\x01\x1f", "[", "\\", "ü/日本", "a]b", "\n", "[[", "a\\..\\b"} {
		f.Add(name, "a[", "x\t")
	}
	f.Fuzz(func(t *testing.T, a, b, foreign string) {
		if !valid(a) || !valid(b) {
			return
		}
		if got, ok := objectName(keyName(a)); !ok || got != a {
			t.Errorf("objectName(keyName(%q)) = %q, %v", a, got, ok)
		}
		if cmp.Compare(a, b) != cmp.Compare(keyName(a), keyName(b)) {
			t.Errorf("%q and %q have the keys %q and %q, in another order", a, b, keyName(a), keyName(b))
		}
		if strings.HasPrefix(a, b) != strings.HasPrefix(keyName(a), keyName(b)) {
			t.Errorf("%q begins with %q: %v, and keys do not agree", a, b, strings.HasPrefix(a, b))
		}
		if name, ok := objectName(foreign); ok && keyName(name) != foreign {
			t.Errorf("the key %q is taken for that of %q, which is %q", foreign, name, keyName(name))
		}
	})
}
