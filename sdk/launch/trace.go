package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// A tracer writes down every call of one plugin process, as JSON lines: when it
// began, each message as it passes, and how it ended. A call that hangs is seen
// by its missing end. Secrets, keys and the bytes of objects are left out.
//
// A nil tracer does nothing.
type tracer struct {
	view viewer

	mu    sync.Mutex
	file  *os.File // nil after the end
	err   error    // the first failure to write
	count int
	open  map[*call]struct{}
}

// newTracer makes the file for one process in dir, and dir if need be. Only this
// user may read them.
func newTracer(dir, name string, view viewer) (*tracer, error) {
	if dir == "" {
		return nil, nil //nolint:nilnil // no trace is wanted
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	pattern := fmt.Sprintf("%s.%s.%d.*.jsonl", filepath.Base(name), time.Now().UTC().Format("20060102T150405"), os.Getpid())
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return &tracer{view: view, file: f, open: map[*call]struct{}{}}, nil
}

// dialOptions have the calls of a connection written down under its name.
func (t *tracer) dialOptions(connection string) []grpc.DialOption {
	if t == nil {
		return nil
	}
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, res any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			c := t.begin(connection, method)
			c.message("send", req)
			err := invoke(ctx, method, req, res, cc, opts...)
			if err == nil {
				c.message("receive", res)
			}
			c.end(err)
			return err
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			c := t.begin(connection, method)
			s, err := stream(ctx, desc, cc, method, opts...)
			if err != nil {
				c.end(err)
				return nil, err
			}
			// Who has seen enough of a stream ends its context, and asks no more.
			stop := context.AfterFunc(ctx, func() { c.end(ctx.Err()) })
			return &tracedStream{ClientStream: s, call: c, answers: desc.ServerStreams, stop: stop}, nil
		}),
	}
}

// finish ends the calls that are still open, and the file.
func (t *tracer) finish() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	var left []*call
	for c := range t.open {
		left = append(left, c)
	}
	t.mu.Unlock()
	for _, c := range left {
		c.end(errors.New("not over when the process was closed"))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	if t.err != nil {
		err = t.err
	}
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}

// A traceLine is one line of a trace.
type traceLine struct {
	Time       time.Time      `json:"time"`
	Call       int            `json:"call"`  // number of the call, from 1
	Event      string         `json:"event"` // "begin", "send", "receive" or "end"
	Method     string         `json:"method"`
	Connection string         `json:"connection,omitempty"` // of a begin: "control", "bulk" or "debug"
	Size       int            `json:"size,omitempty"`       // of a message on the wire
	Message    map[string]any `json:"message,omitempty"`
	End        *traceEnd      `json:"end,omitempty"`
}

// A traceEnd is what is known once a call is over.
type traceEnd struct {
	Status        string  `json:"status"`
	Error         string  `json:"error,omitempty"`
	Milliseconds  float64 `json:"ms"`
	Sent          int     `json:"sent"` // messages
	SentBytes     int     `json:"sent_bytes"`
	Received      int     `json:"received"`
	ReceivedBytes int     `json:"received_bytes"`
}

func (t *tracer) write(line *traceLine) {
	data, err := json.Marshal(line)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return
	}
	if err == nil {
		_, err = t.file.Write(append(data, '\n'))
	}
	if err != nil && t.err == nil {
		t.err = err
	}
}

// A call is one call that is written down.
type call struct {
	t      *tracer
	number int
	method string
	began  time.Time
	once   sync.Once

	mu  sync.Mutex
	sum traceEnd
}

func (t *tracer) begin(connection, method string) *call {
	c := &call{t: t, method: method, began: time.Now()}
	t.mu.Lock()
	t.count++
	c.number = t.count
	t.open[c] = struct{}{}
	t.mu.Unlock()
	t.write(&traceLine{Time: c.began, Call: c.number, Event: "begin", Method: method, Connection: connection})
	return c
}

func (c *call) message(event string, m any) {
	size, shown := c.t.view.message(m)
	c.passed(event, size, shown)
}

// passed writes down a message that has been looked at.
func (c *call) passed(event string, size int, shown map[string]any) {
	c.mu.Lock()
	if event == "send" {
		c.sum.Sent++
		c.sum.SentBytes += size
	} else {
		c.sum.Received++
		c.sum.ReceivedBytes += size
	}
	c.mu.Unlock()
	c.t.write(&traceLine{Time: time.Now(), Call: c.number, Event: event, Method: c.method, Size: size, Message: shown})
}

// end writes the call's end, once.
func (c *call) end(err error) {
	c.once.Do(func() {
		c.mu.Lock()
		sum := c.sum
		c.mu.Unlock()
		s := status.FromContextError(err)
		if own, ok := status.FromError(err); ok {
			s = own
		}
		sum.Status, sum.Error = s.Code().String(), c.t.view.safe(s.Message())
		sum.Milliseconds = float64(time.Since(c.began).Microseconds()) / 1000
		c.t.write(&traceLine{Time: time.Now(), Call: c.number, Event: "end", Method: c.method, End: &sum})
		c.t.mu.Lock()
		delete(c.t.open, c)
		c.t.mu.Unlock()
	})
}

// A tracedStream writes down what passes through a stream.
type tracedStream struct {
	grpc.ClientStream
	call    *call
	answers bool // there may be more than one
	stop    func() bool
}

// SendMsg implements grpc.ClientStream. Why a message could not be sent, the
// next RecvMsg tells.
func (s *tracedStream) SendMsg(m any) error {
	size, shown := s.call.t.view.message(m) // once it is sent, its bytes may be another's
	err := s.ClientStream.SendMsg(m)
	if err == nil {
		s.call.passed("send", size, shown)
	}
	return err
}

// RecvMsg implements grpc.ClientStream.
func (s *tracedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		s.call.message("receive", m)
		if !s.answers {
			s.over(nil)
		}
		return nil
	}
	if errors.Is(err, io.EOF) {
		s.over(nil)
	} else {
		s.over(err)
	}
	return err
}

func (s *tracedStream) over(err error) {
	s.stop()
	s.call.end(err)
}
