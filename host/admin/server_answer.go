package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

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
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// allowMethod refuses other methods than the one.
func allowMethod(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", method)
	writeError(w, http.StatusMethodNotAllowed, codeInvalidMethod, errors.New("Invalid method")) //nolint:staticcheck // Dgraph's words
	return false
}
