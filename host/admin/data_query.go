package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

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
		err = knownParameters(r, "namespace", "startTs", "timeout", "ro", "be")
	}
	if err != nil {
		writeError(w, http.StatusOK, codeInvalidRequest, err)
		return
	}
	limit, err := timeout(r)
	if err == nil {
		err = readsNow(r)
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
	view, err := s.store().View()
	if err != nil {
		writeError(w, http.StatusOK, codeError, err)
		return
	}
	defer view.Close()
	ctx, cancel := context.WithTimeout(r.Context(), limit)
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

// readsNow refuses to read the past: of what was rolled up since, it is not whole.
func readsNow(r *http.Request) error {
	if text := r.URL.Query().Get("startTs"); text != "" && text != "0" {
		return hinted("leave it out; the past is in the backups", "startTs: transactions of several requests are not offered")
	}
	return nil
}

// timeout is how long the client wants to wait, and no more than queryTime.
func timeout(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("timeout")
	if text == "" {
		return queryTime, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, hinted("for example timeout=20s", "timeout %q is no time", cut(text))
	}
	return min(d, queryTime), nil
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
