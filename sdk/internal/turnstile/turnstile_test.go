package turnstile

import (
	"context"
	"errors"
	"testing"
)

func TestTurnstile(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	two, wide := New(2), New(0)
	for range 2 {
		if err := errors.Join(two.Enter(t.Context()), wide.Enter(t.Context()), wide.Enter(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	if err := two.Enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the third enters: %v", err)
	}
	two.Leave()
	wide.Leave()
	if err := two.Enter(t.Context()); err != nil {
		t.Errorf("the third does not enter after one has left: %v", err)
	}
}
