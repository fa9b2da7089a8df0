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
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	answer, readTs, sent, err := s.ask(ctx, q, ns)
	if err != nil {
		writeError(w, http.StatusOK, codeError, err)
		return
	}
	defer sent()
	done := time.Now()
	writeData(w, answer.JSON, dataExtensions{
		Latency: &latency{
			Parsing: parsed.Sub(began).Nanoseconds(), Processing: done.Sub(parsed).Nanoseconds(), Total: done.Sub(began).Nanoseconds(),
		},
		Txn:      &txn{StartTs: readTs},
		Warnings: answer.Warnings,
	})
}

const (
	queriesAtOnce = 8 // run; their answers grow to 64 MiB each
	answersMemory = 256 << 20
	smallAnswer   = 1 << 20
)

// ask runs a query when it is its turn. Call sent when its answer has gone: clients that
// read slowly have no more than answersMemory together, but for small answers.
func (s *Server) ask(ctx context.Context, q *query.Query, ns uint64) (answer *query.Answer, readTs uint64, sent func(), err error) {
	const remedy = "ask again later"
	if !s.queries.TryAcquire(1) && s.queries.Acquire(ctx, 1) != nil {
		return nil, 0, nil, hinted(remedy, "there were too many other queries")
	}
	defer s.queries.Release(1)
	view, err := s.store().View()
	if err != nil {
		return nil, 0, nil, err
	}
	defer view.Close()
	if answer, err = q.Run(ctx, s.store(), view, ns); err != nil {
		return nil, 0, nil, err
	}
	size := int64(len(answer.JSON))
	if size <= smallAnswer {
		return answer, view.ReadTs(), func() {}, nil
	}
	if !s.answers.TryAcquire(size) { // to wait for them would keep other queries from running
		return nil, 0, nil, hinted(remedy, "there are too many other large answers on their way")
	}
	return answer, view.ReadTs(), func() { s.answers.Release(size) }, nil
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
