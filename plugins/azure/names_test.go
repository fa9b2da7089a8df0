package main

import (
	"slices"
	"strings"
	"testing"
)

// Blobs are listed in the order of the objects' names, and by their prefixes.
func TestBlobNames(t *testing.T) {
	var all []string
	letters := []string{"\x01", "\t", "\n", "\x1f", " ", "!", ".", "/", "A", "[", "\\", "]", "~", "\x7f", "é", "日"}
	for _, a := range letters {
		for _, b := range letters {
			all = append(all, "x"+a, "x"+a+b, "x"+a+b+"A")
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for i, name := range all {
		blob := blobName(name)
		if got, ok := objectName(blob); got != name || !ok {
			t.Errorf("the blob %q of %q is the object %q, %v", blob, name, got, ok)
		}
		if i > 0 && blobName(all[i-1]) >= blob {
			t.Errorf("the blob of %q is not before that of %q", all[i-1], name)
		}
		for _, other := range all {
			if strings.HasPrefix(other, name) != strings.HasPrefix(blobName(other), blob) {
				t.Errorf("%q begins with %q, and %q with %q, does not hold together", other, name, blobName(other), blob)
			}
		}
	}
	for _, blob := range []string{"a\tb", "a\t", "a\n", "\t`", "\t@", "\x01A", "a[", "a[b", "a\\b"} {
		if got, ok := objectName(blob); ok {
			t.Errorf("somebody's blob %q is taken for the object %q", blob, got)
		}
	}
}
