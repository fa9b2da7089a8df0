package launch

import (
	"fmt"
	"io"

	"github.com/brock-backup/brock/sdk"
)

// fitting refuses an object that is known to be too large, and returns a source
// that fails as soon as it turns out to be.
func (p *Process) fitting(name string, r io.Reader) (io.Reader, error) {
	limit := p.description.Limits.ObjectSize
	if limit == 0 {
		return r, nil
	}
	tooLarge := func(what string) error {
		return sdk.WithHint(
			fmt.Errorf("%s %s, plugin %s takes %d at most: %w", name, what, p.name, limit, sdk.ErrInvalid),
			"that is the plugin's own limit: brock plugin info shows it")
	}
	if size, ok := sdk.SizeHint(r); ok && size > limit {
		return nil, tooLarge(fmt.Sprintf("has %d bytes", size))
	}
	return &limited{r, limit, tooLarge("is too large")}, nil
}

// A limited reader fails after more bytes than are left.
type limited struct {
	r    io.Reader
	left int64
	err  error
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, l.err
	}
	return n, err
}
