// Command brock-keyprovider-keyfile keeps the key of backups in a file: the very
// file that Dgraph's encryption is given, 16, 24 or 32 bytes and nothing else.
package main

import "github.com/brock-backup/brock/sdk"

var plugin = sdk.Plugin{
	Name:    "keyfile",
	Version: "0.1.0",
	Doc:     "Uses the key in a file, as Dgraph does.",
}

func main() { sdk.ServeKeyProvider(plugin, open) }
