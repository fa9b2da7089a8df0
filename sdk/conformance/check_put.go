package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing/iotest"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
)

// inFlight is more than flow control holds back: once a host has sent that much,
// a plugin has read some of it.
const inFlight = 20 << 20

func putSizes(p *place) {
	for _, size := range []int{0, 1, frame.Size - 1, frame.Size, frame.Size + 1, 5<<20 + 7} {
		name := fmt.Sprintf("sizes/%d", size)
		p.put(name, pattern(size))
		p.want(name, pattern(size))
	}
}

func putOddSource(p *place) {
	data := pattern(100_000)
	for name, r := range map[string]io.Reader{
		"odd/one-byte": iotest.OneByteReader(bytes.NewReader(data[:5000])),
		"odd/half":     iotest.HalfReader(bytes.NewReader(data)),
		"odd/eof":      iotest.DataErrReader(bytes.NewReader(data)),
	} {
		if err := p.dst.Put(p.ctx, p.root+name, r); err != nil {
			p.Errorf("Put(%q): %v", name, err)
		}
	}
	p.want("odd/one-byte", data[:5000])
	p.want("odd/half", data)
	p.want("odd/eof", data)
}

func putNeverOverwrites(p *place) {
	for _, first := range []string{"first", ""} {
		name := "twice-" + first
		p.put(name, []byte(first))
		for _, second := range []string{"second", "", first} {
			err := p.dst.Put(p.ctx, p.root+name, bytes.NewReader([]byte(second)))
			p.wantErr("second Put", err, sdk.ErrExist)
		}
		p.want(name, []byte(first))
	}
}

func putRacers(p *place) {
	for round := range 3 {
		name, gate := fmt.Sprintf("race/%d", round), p.newGate()
		var wins atomic.Int32
		racers(func(i int) {
			err := p.dst.Put(p.ctx, p.root+name, gate.source(bytes.Repeat([]byte{byte(i)}, 1<<16)))
			if err == nil {
				wins.Add(1)
				return
			}
			p.wantErr("a Put that lost", err, sdk.ErrExist)
		})
		if wins.Load() != 1 {
			p.Errorf("%d of %d racing Puts won, want 1", wins.Load(), racerCount)
		}
		got := p.get(name, 0)
		if len(got) != 1<<16 || bytes.Count(got, got[:1]) != len(got) {
			p.Errorf("after %d racing Puts the object has %d bytes, want %d that are all alike", racerCount, len(got), 1<<16)
		}
	}
}

func putInvisible(p *place) {
	data, i := pattern(inFlight), 0
	r := readerFunc(func(b []byte) (int, error) {
		if i == len(data) {
			p.absent("slow/object", "during the Put")
			return 0, io.EOF
		}
		n := copy(b, data[i:])
		i += n
		return n, nil
	})
	if err := p.dst.Put(p.ctx, p.root+"slow/object", r); err != nil {
		p.Fatalf("Put: %v", err)
	}
	if objs := p.list(""); len(objs) != 1 {
		p.Errorf("after the Put, List = %v, want the object alone", objs)
	}
	p.want("slow/object", data)
}

func putFailingSource(p *place) {
	broken := errors.New("the source broke")
	for _, size := range []int{0, 1, frame.Size - 1, frame.Size, 3*frame.Size + 5} {
		for _, failure := range []error{broken, io.ErrUnexpectedEOF} {
			name := fmt.Sprintf("broken/%d", size)
			r := io.MultiReader(bytes.NewReader(pattern(size)), iotest.ErrReader(failure))
			p.within(prompt, "Put from a source that fails", func() {
				err := p.dst.Put(p.ctx, p.root+name, r)
				p.wantErr("Put from a source that fails", err, failure)
			})
			if p.failed() {
				return
			}
			p.absent(name, fmt.Sprintf("after a Put whose source failed at %d", size))
		}
	}
	p.put("broken/1", []byte("whole"))
	p.want("broken/1", []byte("whole"))
}

func putCancelled(p *place) {
	for _, size := range []int{0, 1, 2*frame.Size + 1} {
		name := fmt.Sprintf("cancelled/%d", size)
		ctx, cancel := context.WithCancel(p.ctx)
		r := io.MultiReader(bytes.NewReader(pattern(size)), readerFunc(func([]byte) (int, error) {
			cancel()
			<-ctx.Done()
			return 0, ctx.Err()
		}))
		p.putCancelled(ctx, name, r)
		if p.failed() {
			return
		}
	}
	ctx, cancel := context.WithCancel(p.ctx)
	sent := 0
	p.putCancelled(ctx, "cancelled/endless", readerFunc(func(b []byte) (int, error) {
		if sent += len(b); sent > 4*frame.Size {
			cancel()
		}
		return len(b), nil
	}))
	cancel()
}

func (p *place) putCancelled(ctx context.Context, name string, r io.Reader) {
	p.within(prompt, "Put that is cancelled", func() {
		p.wantErr("Put that is cancelled", p.dst.Put(ctx, p.root+name, r), context.Canceled)
	})
	p.absent(name, "after a Put that was cancelled")
	p.put(name, []byte("whole"))
	p.want(name, []byte("whole"))
}

// putTooLate is a cancel that comes before the Put.
func putTooLate(p *place) {
	ctx, cancel := context.WithCancel(p.ctx)
	cancel()
	err := p.dst.Put(ctx, p.root+"late", bytes.NewReader(pattern(10)))
	p.wantErr("Put with a context that has ended", err, context.Canceled)
	p.absent("late", "after a Put with a context that had ended")
}
