package frame

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/brock-backup/brock/sdk/internal/code"
)

const maxName = 1024

// CheckName refuses what is no object's name, before a plugin sees it: a name
// that is not a clean relative path leads out of the place it is joined to.
func CheckName(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) || len(name) > maxName {
		return fmt.Errorf("object name %s: %w", quote(name), code.ErrInvalid)
	}
	return nil
}

// CheckPrefix refuses what no object's name can begin with.
func CheckPrefix(prefix string) error {
	elems := strings.Split(prefix, "/")
	whole := elems[:len(elems)-1]
	if slices.Contains(elems, "..") || slices.Contains(whole, "") || slices.Contains(whole, ".") ||
		strings.ContainsRune(prefix, 0) || len(prefix) > maxName || !fs.ValidPath("x"+elems[len(elems)-1]) {
		return fmt.Errorf("prefix %s: %w", quote(prefix), code.ErrInvalid)
	}
	return nil
}

func quote(s string) string {
	if len(s) > 100 {
		s = s[:100] + "..."
	}
	return strconv.Quote(s)
}
