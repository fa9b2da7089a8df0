package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// exchange makes each of two directories take the other's name, at once.
func exchange(a, b string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("%w: %w", errNotExchanged, err)
	}
	return nil
}
