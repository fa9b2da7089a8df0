package sdk_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/brock-backup/brock/sdk/conformance"
)

func TestMain(m *testing.M) {
	conformance.Init()
	goleak.VerifyTestMain(m)
}
