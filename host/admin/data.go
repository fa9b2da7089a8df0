package admin

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brock-backup/brock/host/store/nquad"
)

// A latency is how long the parts of an answer took, as Dgraph names them.
type latency struct {
	Parsing    int64 `json:"parsing_ns,omitempty"`
	Processing int64 `json:"processing_ns,omitempty"`
	Encoding   int64 `json:"encoding_ns,omitempty"`
	Total      int64 `json:"total_ns"`
}

type txn struct {
	StartTs  uint64 `json:"start_ts"`
	CommitTs uint64 `json:"commit_ts,omitempty"`
}

type dataExtensions struct {
	Latency  *latency `json:"server_latency,omitempty"`
	Txn      *txn     `json:"txn,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// mutate answers POST /mutate?commitNow=true: one transaction.
func (s *Server) mutate(w http.ResponseWriter, r *http.Request) {
	if !allowMethod(w, r, http.MethodPost) {
		return
	}
	if err := commitsNow(r); err != nil {
		writeError(w, http.StatusOK, codeInvalidRequest, err)
		return
	}
	ns, err := namespace(r)
	if err != nil {
		writeError(w, http.StatusOK, codeInvalidRequest, err)
		return
	}
	var parse func([]byte) (*nquad.Request, error)
	switch contentType(r) {
	case "application/rdf":
		parse = nquad.ParseRDF
	case "application/json":
		parse = nquad.ParseJSON
	default:
		//nolint:staticcheck // Dgraph's words
		writeError(w, http.StatusOK, codeInvalidRequest, errors.New("Unsupported Content-Type. Supported content types are application/json, application/rdf"))
		return
	}
	data, release, err := s.change(w, r)
	if err != nil {
		refuseBody(w, err)
		return
	}
	defer release()

	began := time.Now()
	req, err := parse(data)
	if err != nil {
		writeError(w, http.StatusOK, codeInvalidRequest, err)
		return
	}
	parsed := time.Now()
	startTs := s.store().State().MaxTs
	uids, commitTs, err := s.commit(r.Context(), ns, req)
	if err != nil {
		writeError(w, http.StatusOK, codeError, err)
		return
	}
	done := time.Now()
	type result struct {
		Code    string            `json:"code"`
		Message string            `json:"message"`
		Queries any               `json:"queries"`
		UIDs    map[string]string `json:"uids"`
	}
	writeJSON(w, http.StatusOK, struct {
		Data       result         `json:"data"`
		Extensions dataExtensions `json:"extensions"`
	}{
		result{Code: "Success", Message: "Done", UIDs: uids},
		dataExtensions{
			Latency: &latency{
				Parsing: parsed.Sub(began).Nanoseconds(), Processing: done.Sub(parsed).Nanoseconds(), Total: done.Sub(began).Nanoseconds(),
			},
			Txn: &txn{startTs, commitTs},
		},
	})
}

// commit gives blank nodes their uids and commits. Nodes are named as the client did.
func (s *Server) commit(ctx context.Context, ns uint64, req *nquad.Request) (uids map[string]string, ts uint64, err error) {
	blank := req.Blank()
	var first uint64
	if len(blank) > 0 {
		if first, err = s.store().NewUIDs(len(blank)); err != nil { //nolint:contextcheck // it waits for nobody
			return nil, 0, err
		}
	}
	given := make(map[string]uint64, len(blank))
	uids = make(map[string]string, len(blank))
	for i, name := range blank {
		uid := first + uint64(i)
		given[name] = uid
		uids[strings.TrimPrefix(name, "_:")] = fmt.Sprintf("%#x", uid)
	}
	m, err := req.Mutation(ns, func(name string) uint64 { return given[name] })
	if err != nil {
		return nil, 0, err
	}
	ts, err = s.store().Mutate(ctx, m)
	return uids, ts, err
}

// commitsNow refuses transactions of several requests.
func commitsNow(r *http.Request) error {
	if err := knownParameters(r, "commitNow", "startTs", "namespace"); err != nil {
		return err
	}
	q := r.URL.Query()
	const remedy = "put all of the transaction into one request to /mutate?commitNow=true"
	if q.Has("startTs") {
		return hinted(remedy, "startTs: transactions of several requests are not offered")
	}
	if now, err := strconv.ParseBool(q.Get("commitNow")); err != nil || !now {
		return hinted(remedy, "a mutation without commitNow=true: transactions of several requests are not offered")
	}
	return nil
}

// knownParameters refuses what would be misunderstood: a misspelt namespace is another one.
func knownParameters(r *http.Request, known ...string) error {
	for name := range r.URL.Query() {
		if !slices.Contains(known, name) {
			return hinted("there are "+strings.Join(known, ", "), "there is no parameter %q of %s", cut(name), cut(r.URL.Path))
		}
	}
	return nil
}

// namespace returns the one that ?namespace= names, in decimal or as 0x hex, and 0 without.
func namespace(r *http.Request) (uint64, error) {
	text := r.URL.Query().Get("namespace")
	if text == "" {
		return 0, nil
	}
	ns, err := strconv.ParseUint(text, 0, 64)
	if err != nil || strings.ContainsRune(text, '_') {
		return 0, hinted("for example namespace=1, or namespace=0x1f", "%q is no namespace", cut(text))
	}
	return ns, nil
}

// contentType is that of the body, without parameters; "" if there is none or it is wrong.
func contentType(r *http.Request) string {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}
