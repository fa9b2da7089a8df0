package sdk

import (
	"fmt"
	"testing"

	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

func TestCommitsAreBounded(t *testing.T) {
	var c commits
	for i := range 3 * commitLimit {
		name := fmt.Sprint(i)
		c.add(&pluginpb.PutOpen{Instance: "1", Name: name, PutId: "id"}, frame.Sum{}, "")
		if i%2 == 0 {
			c.forget("1", name)
		}
	}
	if len(c.order) > commitLimit || len(c.last) > commitLimit {
		t.Errorf("%d names and %d commits are remembered, want at most %d", len(c.order), len(c.last), commitLimit)
	}
	if _, ok := c.last[place{"1", fmt.Sprint(3*commitLimit - 1)}]; !ok {
		t.Error("the newest is forgotten")
	}
}

// An object that is replaced again and again, like a lock, is the newest each
// time.
func TestCommitsOfOneObjectAreRemembered(t *testing.T) {
	var c commits
	for i := range 3 * commitLimit {
		id := fmt.Sprint(i)
		c.add(&pluginpb.PutOpen{Instance: "1", Name: "lock", PutId: id}, frame.Sum{}, "")
		if got := c.last[place{"1", "lock"}].id; got != id {
			t.Fatalf("after put %s, put %q is remembered", id, got)
		}
	}
}

func TestLimitsMustNotBeNegative(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	newMeta[struct{}, KeyProvider](Plugin{Limits: Limits{ObjectSize: -1}}, "keyprovider", nil)
}
