package main

import (
	"testing"

	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, main) }

func TestDestination(t *testing.T) {
	sdktest.TestDestination(t, Config{URI: "shelf://" + t.TempDir()})
}
