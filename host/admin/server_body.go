package admin

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// errSlow means a client that did not send its request in time.
var errSlow = errors.New("the request took too long to arrive")

// errEncoding means a body that is packed in a way that nobody here unpacks.
var errEncoding = errors.New("unsupported Content-Encoding")

// body reads all of a request's body, at most limit bytes when it is unpacked. Call release when it is done with.
// What all large ones together have in memory is bounded, and no small one waits for them.
func (s *Server) body(w http.ResponseWriter, r *http.Request, limit int64) (data []byte, release func(), err error) {
	size := r.ContentLength
	if size > limit {
		return nil, nil, &http.MaxBytesError{Limit: limit}
	}
	encoding := strings.ToLower(r.Header.Get("Content-Encoding"))
	if size < 0 || encoding == "gzip" {
		size = limit
	}
	control := http.NewResponseController(w)
	var in io.Reader = &steady{from: http.MaxBytesReader(w, r.Body, limit), control: control, patience: s.conf.Patience, slack: s.conf.Patience}
	switch encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, bodyError(err)
		}
		in = http.MaxBytesReader(w, z, limit)
	default:
		return nil, nil, hinted("send it plain, or as gzip", "%w %q", errEncoding, cut(encoding))
	}
	release = func() {}
	var b bytes.Buffer
	if _, err = io.CopyN(&b, in, smallBody); err == nil {
		if err := s.memory.Acquire(r.Context(), size); err != nil {
			return nil, nil, err
		}
		release = func() { s.memory.Release(size) }
		b.Grow(int(min(size, 1<<20)))
		_, err = io.Copy(&b, in)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		release()
		return nil, nil, bodyError(err)
	}
	_ = control.SetReadDeadline(time.Time{}) // when it passes after the body, it ends the request's context
	return b.Bytes(), release, nil
}

// bodyError says what a client has done by which a deadline passed.
func bodyError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errSlow
	}
	return err
}

// change reads a body that changes data. In memory such a change is many times its text, so
// that all that are under way together are no larger than one may be, but for small ones.
func (s *Server) change(w http.ResponseWriter, r *http.Request) (data []byte, release func(), err error) {
	data, read, err := s.body(w, r, s.conf.MutateBytes)
	if err != nil {
		return nil, nil, err
	}
	work, size := s.work, int64(len(data))
	if size <= smallBody {
		work = s.quick
	}
	if err := work.Acquire(r.Context(), size); err != nil {
		read()
		return nil, nil, err
	}
	return data, func() { work.Release(size); read() }, nil
}

// A steady reader ends when the client falls behind the slowest rate by more than patience.
// That it was fast before does not count.
type steady struct {
	from            io.Reader
	control         *http.ResponseController
	patience, slack time.Duration
}

func (s *steady) Read(p []byte) (int, error) {
	began := time.Now()
	// A connection that knows no deadlines, as in a test, has no slow client either.
	_ = s.control.SetReadDeadline(began.Add(s.slack))
	n, err := s.from.Read(p)
	s.slack = min(s.patience, s.slack+owed(n)-time.Since(began))
	return n, err
}

// refuseBody answers a request whose body could not be read.
func refuseBody(w http.ResponseWriter, err error) {
	w.Header().Set("Connection", "close")
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		writeError(w, http.StatusRequestEntityTooLarge, codeInvalidRequest, hinted(
			"send it in parts, or let brock serve take larger ones", "the request is larger than %d bytes", large.Limit))
	case errors.Is(err, errEncoding):
		writeError(w, http.StatusUnsupportedMediaType, codeInvalidRequest, err)
	case errors.Is(err, errSlow):
		writeError(w, http.StatusRequestTimeout, codeInvalidRequest, err)
	default:
		writeError(w, http.StatusBadRequest, codeInvalidRequest, fmt.Errorf("reading the request: %w", err))
	}
}

// wholeBody gives h requests whose bodies have arrived: h may then take its time.
func (s *Server) wholeBody(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, release, err := s.body(w, r, s.conf.AdminBytes)
		if err != nil {
			refuseBody(w, err)
			return
		}
		defer release()
		r.Body = io.NopCloser(bytes.NewReader(data))
		r.ContentLength = int64(len(data))
		h.ServeHTTP(w, r)
	})
}
