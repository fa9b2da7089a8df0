package main

import (
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, main) }

func TestKeyProvider(t *testing.T) {
	key := func(digit string) Config { return Config{Key: sdk.NewSecret(strings.Repeat(digit, 64))} }
	sdktest.TestKeyProvider(t, key("a"), sdktest.Other(key("b")))
}
