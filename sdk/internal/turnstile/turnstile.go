// Package turnstile lets in a few at once. Both sides of the wire keep to a
// plugin's limits with one.
package turnstile

import "context"

// A Turnstile is as wide as it was made. A nil one lets in everybody.
type Turnstile chan struct{}

// New returns a Turnstile that lets in n at once, or any number if n is 0.
func New(n int) Turnstile {
	if n <= 0 {
		return nil
	}
	return make(Turnstile, n)
}

// Enter waits for a place, but no longer than ctx lasts. Whoever was let in
// must Leave.
func (t Turnstile) Enter(ctx context.Context) error {
	if t == nil {
		return nil
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave makes room for another.
func (t Turnstile) Leave() {
	if t != nil {
		<-t
	}
}
