package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/semaphore"

	"github.com/brock-backup/brock/host/store"
)

// Config says what a Server answers, and to whom.
type Config struct {
	Node    *Node
	Admin   http.Handler // of /admin and what is below it; nil: there is none
	Metrics http.Handler // of /metrics; nil: there is none
	Guard   *Guard       // who may call; nil: this machine only
	TLS     *tls.Config  // nil: plain HTTP
	Logger  hclog.Logger // never gets a body or a query; nothing if nil

	MutateBytes int64         // of a body of /mutate, /alter and /query; 64 MiB if 0
	AdminBytes  int64         // of a body of /admin; 1 MiB if 0
	Patience    time.Duration // for a client that sends or reads slowly, 30 s if 0; large bodies get more
	Drain       time.Duration // for requests under way when the server is to stop; 20 s if 0
}

// A Server is the HTTP side of a running host.
type Server struct {
	node     *Node
	guard    *Guard
	log      hclog.Logger
	conf     Config
	memory   *semaphore.Weighted // bytes of bodies
	work     *semaphore.Weighted // bytes of mutations that are being understood and committed
	quick    *semaphore.Weighted // the same of small ones, which wait for no large one
	queries  *semaphore.Weighted // that run
	answers  *semaphore.Weighted // bytes of large answers to queries
	stopping atomic.Bool
	http     *http.Server
}

const (
	bodiesMemory = 256 << 20 // of all bodies together
	smallBody    = 64 << 10  // is not counted before it has arrived
	quickMemory  = 16 << 20
	slowest      = 64 << 10 // bytes per second that a client must manage beyond Patience
	headerBytes  = 64 << 10
)

// New returns a server that does not listen yet.
func New(c Config) (*Server, error) {
	if c.Node == nil || c.Node.Operations == nil || c.Node.Operations.Store == nil {
		return nil, errors.New("a server needs a store")
	}
	if c.Guard == nil {
		c.Guard = &Guard{}
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	c.MutateBytes = orDefault(c.MutateBytes, 64<<20)
	c.AdminBytes = orDefault(c.AdminBytes, 1<<20)
	c.Patience = orDefault(c.Patience, 30*time.Second)
	c.Drain = orDefault(c.Drain, 20*time.Second)
	if c.MutateBytes > bodiesMemory || c.AdminBytes > bodiesMemory {
		return nil, fmt.Errorf("a body may have at most %d bytes", bodiesMemory)
	}
	s := &Server{
		node: c.Node, guard: c.Guard, log: c.Logger, conf: c,
		memory: semaphore.NewWeighted(bodiesMemory), work: semaphore.NewWeighted(c.MutateBytes), quick: semaphore.NewWeighted(quickMemory),
		queries: semaphore.NewWeighted(queriesAtOnce), answers: semaphore.NewWeighted(answersMemory),
	}
	s.http = &http.Server{
		Handler:           s.handler(),
		TLSConfig:         c.TLS,
		ReadHeaderTimeout: min(c.Patience, 10*time.Second),
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          c.Logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	return s, nil
}

func orDefault[T int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Serve answers on ln until ctx ends. Then no new request is taken, and those under way have
// their time to end; it returns nil when they have. The store stays open.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ln = &boundedListener{Listener: ln, guard: s.guard}
	s.http.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { stopped <- s.shutdown(ctx) })
	var err error
	if s.conf.TLS != nil {
		err = s.http.ServeTLS(ln, "", "")
	} else {
		err = s.http.Serve(ln)
	}
	if stop() { // ctx has not ended
		return fmt.Errorf("listening on %s: %w", ln.Addr(), err)
	}
	return <-stopped
}

func (s *Server) shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.conf.Drain)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("requests did not end in time", "waited", s.conf.Drain)
		return s.http.Close()
	}
	return nil
}

// handler is all that the server answers. Nothing is answered before the guard has looked.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/mutate", zipped(s.mutate))
	mux.HandleFunc("/alter", zipped(s.alter))
	mux.HandleFunc("/query", zipped(s.query))
	mux.HandleFunc("/health", s.health)
	mux.HandleFunc("/state", s.state)
	if s.conf.Metrics != nil {
		mux.Handle("/metrics", s.conf.Metrics)
	}
	if s.conf.Admin != nil {
		mux.Handle("/admin", s.wholeBody(s.conf.Admin))
		mux.Handle("/admin/", s.wholeBody(s.conf.Admin))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, codeInvalidRequest, hinted(
			"there are /query, /mutate, /alter, /health, /state, /metrics and /admin", "no such path: %s", cut(r.URL.Path)))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w, patience: s.conf.Patience, slack: s.conf.Patience, began: time.Now()}
		defer s.end(rec, r)
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Time{}) // that of the request before has passed, perhaps
		if r.Body != http.NoBody {
			// What nobody reads is read by net/http, for the next request: it may not take for ever.
			_ = control.SetReadDeadline(time.Now().Add(s.conf.Patience))
		}
		from, err := s.guard.admit(r)
		if err != nil {
			// A refused client is not worth another request on this connection.
			rec.Header().Set("Connection", "close")
			s.log.Warn("refused", "from", from, "method", r.Method, "path", cut(r.URL.Path), "reason", err)
			writeError(rec, http.StatusForbidden, codeUnauthorized, err)
			return
		}
		if err := s.guard.authorize(r); err != nil {
			s.log.Warn("refused", "from", from, "method", r.Method, "path", cut(r.URL.Path), "reason", err)
			writeError(rec, http.StatusForbidden, codeUnauthorized, hinted("the request came from "+from, "%w", err))
			return
		}
		mux.ServeHTTP(rec, r)
	})
}

// end logs a request, never its query or body: both may hold secrets.
func (s *Server) end(rec *recorder, r *http.Request) {
	if v := recover(); v != nil {
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
		s.log.Error("a request ended in a panic", "path", cut(r.URL.Path), "stack", string(debug.Stack()))
		if rec.status == 0 {
			writeError(rec, http.StatusInternalServerError, codeError, errors.New("internal error: the log has more"))
		}
	}
	s.log.Debug("answered", "method", r.Method, "path", cut(r.URL.Path), "status", rec.status, "took", time.Since(rec.began).Round(time.Microsecond))
}

// A recorder knows what was answered, and gives up on a client that does not read.
type recorder struct {
	http.ResponseWriter
	patience time.Duration
	slack    time.Duration // that is left of patience
	began    time.Time
	status   int
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Write allows the client its time for p.
func (r *recorder) Write(p []byte) (n int, err error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	control := http.NewResponseController(r.ResponseWriter)
	for {
		part := p[n:min(len(p), n+writeAtOnce)]
		began := time.Now()
		// A writer that knows no deadlines, as in a test, has no slow client either.
		_ = control.SetWriteDeadline(began.Add(r.slack + owed(len(part))))
		k, err := r.ResponseWriter.Write(part)
		r.slack = min(r.patience, r.slack+owed(k)-time.Since(began))
		if n += k; err != nil || n == len(p) {
			return n, err
		}
	}
}

const writeAtOnce = 256 << 10

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// owed is how long a client may take for n bytes. What it is slower than that is taken from its
// patience, and what it is faster given back.
func owed(n int) time.Duration { return time.Duration(n) * time.Second / slowest }

// cut shortens what a client has sent, for messages.
func cut(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

func (s *Server) store() *store.Store { return s.node.Operations.Store }
