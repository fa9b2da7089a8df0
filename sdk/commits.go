package sdk

import (
	"errors"
	"io"
	"sync"

	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// commits are the Puts that were committed last. A host that did not hear of a
// commit tries again with the same put id, and must not be told that its own
// object is in its way.
type commits struct {
	mu    sync.Mutex
	last  map[place]commit
	order []committed // at most commitLimit
}

const commitLimit = 1024

// A committed place is that of one Put, which another may have taken since.
type committed struct {
	place
	id string
}

// A place is an object's name in an instance.
type place struct{ instance, name string }

// A commit is what a Put has stored.
type commit struct {
	id      string
	sum     frame.Sum
	version string
}

func (c *commits) add(open *pluginpb.PutOpen, sum frame.Sum, version string) {
	if open.GetPutId() == "" {
		c.forget(open.GetInstance(), open.GetName())
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[place]commit{}
	}
	p := place{open.GetInstance(), open.GetName()}
	c.last[p] = commit{open.GetPutId(), sum, version}
	if c.order = append(c.order, committed{p, open.GetPutId()}); len(c.order) > commitLimit {
		if oldest := c.order[0]; c.last[oldest.place].id == oldest.id {
			delete(c.last, oldest.place)
		}
		c.order = c.order[1:]
	}
}

// forget is for an object that is no longer what was put there.
func (c *commits) forget(instance, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.last, place{instance, name})
}

// replay returns what the first try of a Put returned, if this is another try,
// with the same bytes. Else the refusal stands.
func (c *commits) replay(open *pluginpb.PutOpen, r *putReader, refusal error) (string, error) {
	if !errors.Is(refusal, ErrExist) && !errors.Is(refusal, ErrConflict) {
		return "", refusal
	}
	c.mu.Lock()
	first, ok := c.last[place{open.GetInstance(), open.GetName()}]
	c.mu.Unlock()
	if !ok || first.id != open.GetPutId() {
		return "", refusal
	}
	if _, err := io.Copy(io.Discard, r); err != nil || !r.Complete() || r.sum != first.sum {
		return "", refusal
	}
	return first.version, nil
}
