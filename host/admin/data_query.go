package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/brock-backup/brock/host/store"
	"github.com/brock-backup/brock/host/store/query"
)

// queryTime is how long a query may take: those without an index read much.
const queryTime = time.Minute

// query answers POST /query.
func (s *Server) query(w http.ResponseWriter, r *http.Request) {
	if !allowMethod(w, r, http.MethodPost) {
		return
	}
	ns, err := namespace(r)
	if err == nil {
		err = knownParameters(r, "namespace", "startTs", "timeout", "ro", "be", "debug", "respFormat")
	}
	if err != nil {
		writeError(w, http.StatusOK, codeInvalidRequest, err)
		return
	}
	data, release, err := s.body(w, r, s.conf.AdminBytes)
	if err != nil {
		refuseBody(w, err)
		return
	}
	defer release()
	text, variables, err := queryText(r, data)
	if err != nil {
		writeError(w, http.StatusOK, codeInvalidRequest, err)
		return
	}
	began := time.Now()
	q, err := query.Parse(text, variables)
	if err != nil {
		writeError(w, http.StatusOK, codeInvalidRequest, err)
		return
	}
	parsed := time.Now()
	view, err := s.view(r)
	if err != nil {
		writeError(w, http.StatusOK, codeError, err)
		return
	}
	defer view.Close()
	ctx, cancel := context.WithTimeout(r.Context(), queryTime)
	defer cancel()
	answer, err := q.Run(ctx, s.store(), view, ns)
	if err != nil {
		writeError(w, http.StatusOK, codeError, err)
		return
	}
	done := time.Now()
	writeJSON(w, http.StatusOK, struct {
		Data       json.RawMessage `json:"data"`
		Extensions dataExtensions  `json:"extensions"`
	}{
		answer.JSON,
		dataExtensions{
			Latency: &latency{
				Parsing: parsed.Sub(began).Nanoseconds(), Processing: done.Sub(parsed).Nanoseconds(), Total: done.Sub(began).Nanoseconds(),
			},
			Txn:      &txn{StartTs: view.ReadTs()},
			Warnings: answer.Warnings,
		},
	})
}

// view opens the database as it is, or as it was at ?startTs=.
func (s *Server) view(r *http.Request) (*store.View, error) {
	text := r.URL.Query().Get("startTs")
	if text == "" {
		return s.store().View()
	}
	ts, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, hinted("a timestamp is a number, such as the commit_ts of a mutation", "startTs %q is no timestamp", cut(text))
	}
	return s.store().ViewAt(ts)
}

// queryText returns a request's query and its variables.
func queryText(r *http.Request, data []byte) (text string, variables map[string]string, err error) {
	switch contentType(r) {
	case "application/json":
		var body struct {
			Query     string            `json:"query"`
			Variables map[string]string `json:"variables"`
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&body); err != nil {
			return "", nil, hinted(`as JSON it is {"query": "...", "variables": {"$name": "..."}}, all variables as strings`, "no query: %w", err)
		}
		return body.Query, body.Variables, nil
	case "application/dql", "application/graphql+-":
		return string(data), nil, nil
	}
	//nolint:staticcheck // Dgraph's words
	return "", nil, errors.New("Unsupported Content-Type. Supported content types are application/json, application/graphql+-,application/dql")
}
