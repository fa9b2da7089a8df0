package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// refusedPut takes the steps of a Put that must store nothing, and wants it
// refused.
func (p *place) refusedPut(w *wire, what, name string, steps ...*pluginpb.PutRequest) {
	if _, err := w.put(steps...); err == nil {
		p.Errorf("%s: the Put succeeds, want an error", what)
	}
	p.absent(name, "after "+what)
}

// halfClose ends the stream at every step before the commit.
func halfClose(p *place) {
	w := p.wire()
	data := pattern(2*frame.Size + 10)
	for _, size := range []int{0, 10, len(data)} {
		name := fmt.Sprintf("half/%d", size)
		steps := w.steps(p.root+name, data[:size])
		for n := range len(steps) {
			p.refusedPut(w, fmt.Sprintf("a half-close after %d of %d steps", n, len(steps)), name, steps[:n]...)
		}
		if _, err := w.put(w.steps(p.root+name, data[:size])...); err != nil {
			p.Errorf("Put of %d bytes after some that were not committed: %v", size, err)
		}
		p.want(name, data[:size])
	}
}

// cancelSteps cancels the call at every step before the commit.
func cancelSteps(p *place) {
	w := p.wire()
	data := pattern(frame.Size + 10)
	steps := w.steps(p.root+"cancel", data)
	for n := 1; n < len(steps); n++ {
		ctx, cancel := context.WithCancel(w.ctx)
		stream, err := w.dst.Put(ctx)
		for i := 0; i < n && err == nil; i++ {
			err = stream.Send(steps[i])
		}
		if err != nil {
			cancel()
			p.Fatalf("Put: %v", code.Error(err))
		}
		p.absent("cancel", "during the Put") // a round trip, in which the steps arrive
		cancel()
		_, _ = stream.CloseAndRecv()
		p.absent("cancel", fmt.Sprintf("after a cancel after %d steps", n))
	}
	p.put("cancel", data)
	p.want("cancel", data)
}

// damagedFrames sends frames that cannot be what was read from the source.
func damagedFrames(p *place) {
	w := p.wire()
	const f = frame.Size
	data := pattern(3 * f)
	frameOf := func(i int) *pluginpb.PutRequest { return stepFrame(int64(i)*f, data[i*f:(i+1)*f]) }
	with := func(change func(*pluginpb.Frame)) *pluginpb.PutRequest {
		s := frameOf(1)
		change(s.GetFrame())
		return s
	}
	for what, middle := range map[string][]*pluginpb.PutRequest{
		"a frame with a wrong checksum":    {frameOf(0), with(func(f *pluginpb.Frame) { f.Crc32C ^= 1 }), frameOf(2)},
		"a frame without its checksum":     {frameOf(0), with(func(f *pluginpb.Frame) { f.Crc32C = 0 }), frameOf(2)},
		"a frame with a flipped bit":       {frameOf(0), with(func(f *pluginpb.Frame) { f.Data = flipped(f.GetData()) }), frameOf(2)},
		"a frame too far behind":           {frameOf(0), with(func(f *pluginpb.Frame) { f.Offset++ }), frameOf(2)},
		"a frame that says it is the next": {frameOf(0), with(func(f *pluginpb.Frame) { f.Offset += frame.Size }), frameOf(2)},
		"a frame that comes twice":         {frameOf(0), frameOf(1), frameOf(1), frameOf(2)},
		"frames in the wrong order":        {frameOf(1), frameOf(0), frameOf(2)},
		"a frame at a negative offset":     {stepFrame(-1, data[:f]), frameOf(1), frameOf(2)},
	} {
		steps := append([]*pluginpb.PutRequest{stepOpen(w.putOpen(p.root + "damaged"))}, middle...)
		p.refusedPut(w, what, "damaged", append(steps, stepCommit(data))...)
	}
}

func flipped(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)/2] ^= 0x10
	return data
}

// wrongCommits ends good frames with a commit that does not match them.
func wrongCommits(p *place) {
	w := p.wire()
	for _, size := range []int{0, 10, frame.Size + 1} {
		data := pattern(size)
		for what, change := range map[string]func(*pluginpb.PutCommit){
			"one byte more than came":        func(c *pluginpb.PutCommit) { c.Size++ },
			"one byte less than came":        func(c *pluginpb.PutCommit) { c.Size-- },
			"another checksum than the data": func(c *pluginpb.PutCommit) { c.Crc32C ^= 1 << 31 },
		} {
			name := fmt.Sprintf("wrong/%d", size)
			steps := w.steps(p.root+name, data)
			change(steps[len(steps)-1].GetCommit())
			p.refusedPut(w, fmt.Sprintf("a commit of %d bytes that says %s", size, what), name, steps...)
		}
	}
	data := pattern(2 * frame.Size)
	steps := w.steps(p.root+"lost", data)
	p.refusedPut(w, "a commit although a frame was lost", "lost", steps[0], steps[1], steps[3])
}

// afterCommit goes on after the commit.
func afterCommit(p *place) {
	w := p.wire()
	data := pattern(100)
	for what, more := range map[string][]*pluginpb.PutRequest{
		"a second commit":                   {stepCommit(data)},
		"a frame after the commit":          {stepFrame(100, data)},
		"a frame and a commit after it":     {stepFrame(100, data), stepCommit(append(data, data...))},
		"an open after the commit":          {stepOpen(w.putOpen(p.root + "after"))},
		"a whole second Put after a commit": w.steps(p.root+"other", data),
	} {
		p.refusedPut(w, what, "after", append(w.steps(p.root+"after", data), more...)...)
		p.absent("other", "after "+what)
	}
	good := w.steps(p.root+"after", data)
	p.refusedPut(w, "a frame before the open", "after", good[1], good[0], good[2])
	p.refusedPut(w, "a Put that is opened twice", "after", good[0], good[0], good[1], good[2])
}

// unknownCondition asks for what a later host may know.
func unknownCondition(p *place) {
	w := p.wire()
	p.put("there", []byte("before"))
	for _, c := range []pluginpb.Condition{0, 99, -1} {
		for _, name := range []string{"there", "new"} {
			open := w.putOpen(p.root + name)
			open.Condition = c
			if _, err := w.put(w.stepsAfter(open, []byte("after"))...); err == nil {
				p.Errorf("Put(%q) under the condition %d succeeds, want it refused", name, c)
			}
		}
	}
	p.want("there", []byte("before"))
	p.absent("new", "after a Put under an unknown condition")
	if _, ok := p.dst.(sdk.Replacer); ok {
		return
	}
	open := w.putOpen(p.root + "new")
	open.Condition = pluginpb.Condition_CONDITION_IF_VERSION
	if _, err := w.put(w.stepsAfter(open, []byte("after"))...); err == nil {
		p.Errorf("Put under a version succeeds, though the plugin is no Replacer")
	}
	p.absent("new", "after a Put under a version")
}

// replayedPut sends a Put again whose answer was lost.
func replayedPut(p *place) {
	w := p.wire()
	data := pattern(frame.Size + 1)
	open := w.putOpen(p.root + "replayed")
	if _, err := w.put(w.stepsAfter(open, data)...); err != nil {
		p.Fatalf("Put: %v", err)
	}
	for range 2 {
		if _, err := w.put(w.stepsAfter(open, data)...); err != nil && !errors.Is(err, sdk.ErrExist) {
			p.Errorf("a second Put under the same put id: %v, want success or %q", err, sdk.ErrExist)
		}
		p.want("replayed", data)
	}
	_, _ = w.put(w.stepsAfter(open, []byte("something else"))...)
	p.want("replayed", data)
	other := w.putOpen(p.root + "replayed")
	if _, err := w.put(w.stepsAfter(other, data)...); !errors.Is(err, sdk.ErrExist) {
		p.Errorf("a Put of the same bytes under another put id: %v, want %q", err, sdk.ErrExist)
	}
	again := w.putOpen(p.root + "another")
	again.PutId = open.GetPutId()
	if _, err := w.put(w.stepsAfter(again, data)...); err != nil {
		p.Errorf("a Put at another name under a put id that was used: %v", err)
	}
	p.want("another", data)
}

// getSealed reads what no reader sees: the steps of a Get.
func getSealed(p *place) {
	w := p.wire()
	for _, size := range []int{0, 1, frame.Size, 2*frame.Size + 5} {
		name, data := fmt.Sprintf("sealed/%d", size), pattern(size)
		p.put(name, data)
		for _, at := range []int{0, size / 2, size} {
			got, err := w.get(p.root+name, int64(at))
			if err != nil || !bytes.Equal(got, data[at:]) {
				p.Errorf("Get(%q, %d): %s, %v; want %s", name, at, show(got), err, show(data[at:]))
			}
		}
	}
}

// eitherWay puts over one connection what it gets over the other.
func eitherWay(p *place) {
	w := p.wire()
	if w.dst == w.control {
		p.Skipf("the plugin has one connection: it does not serve a bulk socket")
	}
	other := *w
	other.dst, other.control = w.control, w.dst
	data := pattern(2*frame.Size + 3)
	for name, ways := range map[string][2]*wire{"either/bulk": {w, &other}, "either/control": {&other, w}} {
		if _, err := ways[0].put(w.steps(p.root+name, data)...); err != nil {
			p.Errorf("Put(%q): %v", name, err)
			continue
		}
		if got, err := ways[1].get(p.root+name, 0); err != nil || !bytes.Equal(got, data) {
			p.Errorf("Get(%q) over the other connection: %s, %v", name, show(got), err)
		}
	}
}

// putParts stores objects at the borders that the plugin itself has named.
func putParts(p *place) {
	part := p.lab.shared(p.trial).Description().Limits.PartSize
	switch {
	case part == 0:
		p.Skipf("the plugin names no part size")
	case part > 64<<20:
		p.Skipf("the plugin's parts have %d bytes, and objects of that size are not for a test", part)
	}
	for _, size := range []int{int(part) - 1, int(part), int(part) + 1, 2*int(part) + 1} {
		name := fmt.Sprintf("parts/%d", size)
		p.put(name, pattern(size))
		p.want(name, pattern(size))
	}
}

// putLimit has more Puts under way than the plugin takes, or many if it names
// no limit. Those up to the limit must succeed; the others may wait, or be
// turned away until later.
func putLimit(p *place) {
	w := p.wire()
	limit := p.lab.shared(p.trial).Description().Limits.ConcurrentPuts
	within := limit
	if limit == 0 || limit > 48 {
		within = 48
	}
	p.manyPuts(w, "limit", within, within)
	if !p.failed() {
		p.manyPuts(w, "beyond", within+within/2+1, within)
	}
	p.put("afterwards", []byte("x"))
	p.want("afterwards", []byte("x"))
}

// manyPuts has so many Puts under way at once, as far as the plugin lets it, and
// wants at least some of them to succeed.
func (p *place) manyPuts(w *wire, name string, count, atLeast int) {
	var stored atomic.Int32
	var ready, done sync.WaitGroup
	release := make(chan struct{})
	data := pattern(10_000)
	for i := range count {
		ready.Add(1)
		done.Go(func() {
			name := fmt.Sprintf("%s/%d", name, i)
			steps := w.steps(p.root+name, data)
			ctx, cancel := context.WithTimeout(w.ctx, patience)
			defer cancel()
			stream, err := w.dst.Put(ctx)
			if err == nil {
				_ = stream.Send(steps[0])
				_ = stream.Send(steps[1])
			}
			ready.Done()
			if err != nil {
				p.Errorf("Put: %v", err)
				return
			}
			<-release
			_ = stream.Send(steps[2])
			_, err = stream.CloseAndRecv()
			switch err = code.Error(err); {
			case err == nil:
				stored.Add(1)
				if got := p.get(name, 0); !bytes.Equal(got, data) {
					p.Errorf("Get(%q): %s, want %s", name, show(got), show(data))
				}
			case count <= atLeast:
				p.Errorf("one of %d Puts at once: %v", count, err)
			case !errors.Is(err, sdk.ErrUnavailable) && codeOf(err) != codes.ResourceExhausted:
				p.Errorf("one of %d Puts at once, more than the plugin takes: %v, want the kind %q", count, err, sdk.ErrUnavailable)
			}
		})
	}
	ready.Wait()
	close(release)
	done.Wait()
	if n := int(stored.Load()); n < atLeast {
		p.Errorf("of %d Puts at once %d were stored, want at least %d", count, n, atLeast)
	}
}

// patience is for what takes a second at most, on a machine that is busy.
const patience = 20 * time.Second

func codeOf(err error) codes.Code {
	if remote, ok := errors.AsType[*code.Remote](err); ok {
		return remote.Code
	}
	return codes.Unknown
}

// objectLimit stores the largest object that the plugin takes, and one that is
// larger.
func objectLimit(p *place) {
	limit := p.lab.shared(p.trial).Description().Limits.ObjectSize
	switch {
	case limit == 0:
		p.Skipf("the plugin names no limit for the size of an object")
	case limit > 64<<20:
		p.Skipf("the plugin takes objects of up to %d bytes, which are not for a test", limit)
	}
	w := p.wire()
	p.put("largest", pattern(int(limit)))
	p.want("largest", pattern(int(limit)))
	p.refusedPut(w, "an object that is a byte too large", "larger", w.steps(p.root+"larger", pattern(int(limit)+1))...)
}
