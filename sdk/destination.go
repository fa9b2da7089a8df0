package sdk

import (
	"context"
	"io"
	"iter"
)

// A Destination keeps immutable objects under slash-separated names.
//
// Names are clean relative paths of at most 1024 bytes: without empty, "." or
// ".." elements, and without NUL. An object appears under its name whole or not
// at all. Once Put has returned, Get and List see it.
//
// Methods may be called concurrently, and return soon after ctx has ended. A
// Destination that also implements [io.Closer] is closed when the host is done
// with it.
type Destination interface {
	// Put stores what r yields under name. If r fails, or ctx ends, Put fails
	// too and leaves nothing under that name. If there is an object of that
	// name already, Put leaves it alone and returns ErrExist.
	Put(ctx context.Context, name string, r io.Reader) error

	// Get opens an object, beginning at offset. It returns ErrNotExist if there
	// is no such object, and ErrInvalid if offset lies beyond its end.
	Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error)

	// List yields the objects whose names begin with prefix, in the byte order
	// of their names. An error ends the sequence. It is ErrNotExist if the
	// location itself is missing, where the storage can tell.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]

	// Delete removes an object. Deleting one that is not there is no error: a
	// Delete may be repeated until it succeeds.
	Delete(ctx context.Context, name string) error
}

// An Object is one entry of a Destination's List.
type Object struct {
	Name string
	Size int64
}

// A Replacer is a Destination that can overwrite an object, for the few that
// Dgraph rewrites. A version is an opaque token of an object's content; "" is
// that of an object that is not there.
type Replacer interface {
	// Replace stores r's bytes under name if the object's present version is
	// the one given, and returns the new version. It returns ErrConflict
	// otherwise, and leaves the object alone whenever it fails.
	Replace(ctx context.Context, name string, r io.Reader, version string) (newVersion string, err error)

	// Version returns the version of the object as it is now.
	Version(ctx context.Context, name string) (string, error)
}

// A Prober is a Destination that can try itself out.
type Prober interface {
	// Probe finds out whether the place can be read and written with these
	// settings. It leaves nothing behind.
	Probe(ctx context.Context) error
}

// A Reporter is a Destination that tells what it found out about its place, for
// `brock plugin doctor`: which credentials are used, the region, what the storage
// honours of what was asked of it, what was left behind, how far its clock is off.
type Reporter interface {
	// Report looks at the place as it is now, and changes nothing. What it
	// cannot find out, it leaves out; it fails only if nothing can be said.
	Report(ctx context.Context) ([]Finding, error)
}

// A Finding is one thing that a Reporter found out.
type Finding struct {
	Name    string `json:"name"`              // one word, as in "credentials"; "clock" takes the place of the host's own look at the clock
	Detail  string `json:"detail,omitempty"`  // what was found; never a secret: of credentials their source
	Hint    string `json:"hint,omitempty"`    // what the user can do about it
	Problem bool   `json:"problem,omitempty"` // something is wrong, or weaker than it should be
}
