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

func TestLimitsMustNotBeNegative(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	newMeta[struct{}, KeyProvider](Plugin{Limits: Limits{ObjectSize: -1}}, "keyprovider", nil)
}
