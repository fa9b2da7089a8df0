package admin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/brock-backup/brock/host"
)

// Codes of errors, as Dgraph's clients know them.
const (
	codeError          = "Error"
	codeInvalidMethod  = "ErrorInvalidMethod"
	codeInvalidRequest = "ErrorInvalidRequest"
	codeUnauthorized   = "ErrorUnauthorized"
)

// A hint is an error with a remedy beside its text.
type hint struct {
	error
	remedy string
}

func hinted(remedy, format string, args ...any) error {
	return &hint{fmt.Errorf(format, args...), remedy}
}

func (h *hint) Unwrap() error { return h.error }

// Hint says what to do.
func (h *hint) Hint() string { return h.remedy }

func remedy(err error) string {
	var own interface{ Hint() string }
	if errors.As(err, &own) {
		return own.Hint()
	}
	return host.Hint(err)
}

// writeError answers as Dgraph does: {"errors":[{"message":...,"extensions":{"code":...}}]}. A
// remedy stands in the extensions.
func writeError(w http.ResponseWriter, status int, code string, err error) {
	type extensions struct {
		Code string `json:"code"`
		Hint string `json:"hint,omitempty"`
	}
	type answer struct {
		Message    string     `json:"message"`
		Extensions extensions `json:"extensions"`
	}
	writeJSON(w, status, map[string][]answer{"errors": {{err.Error(), extensions{code, remedy(err)}}}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"errors":[{"message":"an answer that is no JSON","extensions":{"code":"Error"}}]}`)
	}
	isJSON(w.Header())
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func isJSON(h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

// writeData answers with data, which may be large and is not copied, and what is said beside it.
func writeData(w http.ResponseWriter, data []byte, beside dataExtensions) {
	end, err := json.Marshal(beside)
	if err != nil || !json.Valid(data) {
		writeError(w, http.StatusInternalServerError, codeError, errors.New("an answer that is no JSON"))
		return
	}
	parts := [][]byte{[]byte(`{"data":`), data, []byte(`,"extensions":`), end, []byte("}")}
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	isJSON(w.Header())
	w.Header().Set("Content-Length", strconv.Itoa(n))
	w.WriteHeader(http.StatusOK)
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return
		}
	}
}

// zipped packs h's answers for clients that accept gzip.
func zipped(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h(w, r)
			return
		}
		z := zippers.Get().(*gzip.Writer)
		defer zippers.Put(z)
		z.Reset(w)
		h(&zipWriter{w, z}, r)
		_ = z.Close() // the client has gone
	}
}

var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // of a level that there is
	return z
}}

type zipWriter struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (w *zipWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.Header().Set("Content-Encoding", "gzip")
	w.ResponseWriter.WriteHeader(status)
}

func (w *zipWriter) Write(p []byte) (int, error) { return w.z.Write(p) }

// Unwrap is for http.ResponseController.
func (w *zipWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// allowMethod refuses other methods than the one.
func allowMethod(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", method)
	writeError(w, http.StatusMethodNotAllowed, codeInvalidMethod, errors.New("Invalid method")) //nolint:staticcheck // Dgraph's words
	return false
}
