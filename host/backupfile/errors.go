package backupfile

import "errors"

var (
	// ErrCorrupt says that bytes are not what was written.
	ErrCorrupt = errors.New("corrupt")

	// ErrTruncated says that bytes are missing at the end.
	ErrTruncated = errors.New("truncated")

	// ErrWrongKey says that the data key at hand is not the one that was used:
	// another one, one where none was used, or none where one was.
	ErrWrongKey = errors.New("wrong data key")
)
