package s3store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
)

// Version is the object's ETag, as an opaque token.
func (s *Store) Version(ctx context.Context, name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	info, err := s.head(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", s.present(ctx)
	}
	return info.ETag, err
}

// Replace writes the object under the condition that its ETag is the version.
func (s *Store) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	c := condition{etag: version, replace: true}
	if strings.ContainsFunc(version, strange) {
		return "", c.refusal(name)
	}
	if !c.create() {
		s.tryMatch(ctx)
	}
	return s.write(ctx, name, r, c)
}

// strange reports whether no ETag has such a character. "*" would mean any.
func strange(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '*' }
