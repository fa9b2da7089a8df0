package admin

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/graph-gophers/graphql-go"
	gqlerrors "github.com/graph-gophers/graphql-go/errors"
	"github.com/hashicorp/go-hclog"
)

//go:embed schema.graphql
var schemaText string

// What one request may ask for.
const (
	mostBody       = 1 << 20
	mostQuery      = 64 << 10 // of its text; what it means takes 100 times as much, and its variables do not
	mostDepth      = 20       // introspection queries of clients have up to 15
	mostSelections = 1000     // introspection queries have up to 200; each of them may be answered by thousands of fields
	mostPairs      = 200_000
	mostOperations = 16 // that reach for a destination, in one request
	mostParallel   = 4
	requestTime    = 5 * time.Minute
)

// An Admin answers /admin, and the older form of a backup at /admin/backup. It does not
// look at who asks: a [Server] has done that.
type Admin struct {
	node   *Node
	tasks  *Tasks
	log    hclog.Logger
	schema *graphql.Schema
	mux    *http.ServeMux
}

// NewAdmin returns the handler of /admin and what is below it.
func NewAdmin(node *Node, tasks *Tasks, log hclog.Logger) (*Admin, error) {
	if log == nil {
		log = nullLogger
	}
	a := &Admin{node: node, tasks: tasks, log: log, mux: http.NewServeMux()}
	var err error
	a.schema, err = graphql.ParseSchema(schemaText, &resolver{a},
		graphql.UseStringDescriptions(), graphql.UseFieldResolvers(), graphql.MaxDepth(mostDepth),
		graphql.MaxSelections(mostSelections), graphql.OverlapValidationLimit(mostPairs), graphql.MaxParallelism(mostParallel),
		graphql.MaxQueryLength(mostQuery), graphql.Tracer(variablesCheck{}), graphql.Logger(panicLog{log}), graphql.PanicHandler(panicLog{log}))
	if err != nil {
		return nil, fmt.Errorf("schema of /admin: %w", err)
	}
	a.mux.HandleFunc("/admin", a.admin)
	a.mux.HandleFunc("/admin/{$}", a.admin)
	a.mux.HandleFunc("/admin/backup", a.backupForm)
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, codeInvalidRequest, hinted("there are /admin and /admin/backup", "no such path: %s", cut(r.URL.Path)))
	})
	return a, nil
}

// ServeHTTP implements http.Handler.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// admin answers GraphQL, and a browser that only looks with a page.
func (a *Admin) admin(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if wantsPage(r) {
			a.page(w)
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
			writeError(w, http.StatusForbidden, codeInvalidRequest, errors.New("a link of another place asks nothing here"))
			return
		}
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, POST")
		writeError(w, http.StatusMethodNotAllowed, codeInvalidMethod, errors.New("Invalid method")) //nolint:staticcheck // Dgraph's words
		return
	}
	q, err := readRequest(w, r)
	if err != nil {
		writeError(w, http.StatusOK, codeInvalidRequest, err)
		return
	}
	writeJSON(w, http.StatusOK, a.execute(r.Context(), q))
}

// A gqlRequest is what GraphQL over HTTP sends. Extensions may name a query by its digest.
type gqlRequest struct {
	Query         string          `json:"query"`
	OperationName string          `json:"operationName"`
	Variables     map[string]any  `json:"variables"`
	Extensions    json.RawMessage `json:"extensions"`

	safe bool // by GET, which changes nothing
}

// errPersisted has a client send the query that it has named by its digest, in the words for which
// clients look.
var errPersisted = errors.New("PersistedQueryNotSupported")

func (q *gqlRequest) persisted() bool {
	return bytes.Contains(q.Extensions, []byte(`"persistedQuery"`))
}

// readRequest never says what the body or the variables are: they may hold secrets.
func readRequest(w http.ResponseWriter, r *http.Request) (q gqlRequest, err error) {
	if r.Method != http.MethodPost {
		values := r.URL.Query()
		q = gqlRequest{Query: values.Get("query"), OperationName: values.Get("operationName"), Extensions: []byte(values.Get("extensions")), safe: true}
		if text := values.Get("variables"); text != "" && json.Unmarshal([]byte(text), &q.Variables) != nil {
			return q, hinted("send an object, as in variables={}", "the variables are not valid JSON")
		}
		if q.Query == "" && q.persisted() {
			return q, errPersisted
		}
		if q.Query == "" {
			return q, hinted("POST it, or give ?query=", "there is no query")
		}
		return q, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && kind != "application/graphql" {
		return q, hinted(`send Content-Type: application/json with {"query": "..."}`,
			"Unrecognised Content-Type. Please use application/json or application/graphql for GraphQL requests")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return q, fmt.Errorf("the request is larger than %d bytes", large.Limit)
	}
	if err != nil {
		return q, fmt.Errorf("reading the request: %w", err)
	}
	if kind == "application/graphql" {
		q.Query = string(body)
	} else if json.Unmarshal(body, &q) != nil {
		what := "the body is not valid JSON"
		if json.Valid(body) {
			what = "the body is not a GraphQL request"
		}
		return q, hinted(`it is {"query": "...", "variables": {...}, "operationName": "..."}`, "%s", what)
	}
	if q.Query == "" && q.persisted() {
		return q, errPersisted
	}
	if strings.TrimSpace(q.Query) == "" {
		return q, errors.New("there is no query in the request")
	}
	return q, nil
}

// A gqlResponse has Dgraph's extensions beside what GraphQL says.
type gqlResponse struct {
	Errors     []*gqlerrors.QueryError `json:"errors,omitempty"`
	Data       json.RawMessage         `json:"data,omitempty"`
	Extensions gqlExtensions           `json:"extensions"`
}

type gqlExtensions struct {
	Tracing gqlTracing `json:"tracing"`
}

// gqlTracing tells when a request was answered, and how long it took in nanoseconds.
type gqlTracing struct {
	Version   int       `json:"version"`
	StartTime time.Time `json:"startTime"`
	EndTime   time.Time `json:"endTime"`
	Duration  int64     `json:"duration"`
}

// A call is one GraphQL request while it is executed.
type call struct {
	safe       bool
	operations atomic.Int32
	also       chan error            // of fields that answer something beside their error
	refused    *gqlerrors.QueryError // why nothing was executed
}

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

func (a *Admin) execute(ctx context.Context, q gqlRequest) *gqlResponse {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	c := &call{safe: q.safe, also: make(chan error, mostOperations)}
	res := a.exec(context.WithValue(ctx, callKey{}, c), q)
	answer := &gqlResponse{Data: res.Data}
	for _, e := range res.Errors {
		answer.Errors = append(answer.Errors, scrub(e))
	}
	if c.refused != nil {
		answer = &gqlResponse{Errors: []*gqlerrors.QueryError{c.refused}}
	}
	close(c.also)
	for err := range c.also {
		e := &gqlerrors.QueryError{Message: err.Error()}
		if x, ok := errors.AsType[*fieldError](err); ok {
			e.Path, e.Extensions = []any{x.field}, x.Extensions()
		}
		answer.Errors = append(answer.Errors, e)
	}
	if bytes.Equal(answer.Data, []byte("null")) && len(answer.Errors) == 0 {
		answer.Errors = []*gqlerrors.QueryError{{Message: "internal error: the log has more"}}
	}
	end := time.Now()
	answer.Extensions.Tracing = gqlTracing{1, began.UTC(), end.UTC(), end.Sub(began).Nanoseconds()}
	return answer
}

// exec survives what the parser thinks impossible, such as an integer of 40 digits.
func (a *Admin) exec(ctx context.Context, q gqlRequest) (res *graphql.Response) {
	defer func() {
		if v := recover(); v != nil {
			a.log.Error("a GraphQL request ended in a panic", "stack", string(debug.Stack()))
			res = &graphql.Response{Errors: []*gqlerrors.QueryError{{Message: "the request has a value that cannot be read"}}}
		}
	}()
	res = a.schema.Exec(ctx, q.Query, q.OperationName, q.Variables)
	if query := older(q.Query, res.Errors); query != "" {
		res = a.schema.Exec(ctx, query, q.OperationName, q.Variables)
		res.Data = notRepeatable(res.Data)
	}
	return res
}

// panicLog has panics logged without what they were about.
type panicLog struct{ log hclog.Logger }

// LogPanic implements log.Logger of graphql-go.
func (p panicLog) LogPanic(context.Context, any) {
	p.log.Error("a GraphQL request ended in a panic", "stack", string(debug.Stack()))
}

// MakePanicError implements errors.PanicHandler of graphql-go.
func (p panicLog) MakePanicError(context.Context, any) *gqlerrors.QueryError {
	return &gqlerrors.QueryError{Message: panicText}
}

const panicText = "internal error: the log has more"
