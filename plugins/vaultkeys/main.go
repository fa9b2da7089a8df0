// Command brock-keyprovider-vaultkeys keeps the keys of backups in HashiCorp Vault, in one of two ways.
//
// KV: the key is a field of a secret in Vault's key/value store, as Dgraph has it: 16, 24 or 32 bytes, in base64 or
// raw. It is handed out, so that Dgraph reads the backups, and it wraps data keys with another key that is derived
// from it. Where the store keeps versions, a data key is unwrapped with the version that wrapped it.
//
// Transit: the key never leaves Vault, which wraps and unwraps data keys, makes them, and wraps them anew after a
// rotation. A setting transit_key chooses this way.
//
// The least rights for the first are those to read the secret, at secret/data/dgraph say. The second takes
//
//	path "transit/encrypt/NAME"           { capabilities = ["update"] }
//	path "transit/decrypt/NAME"           { capabilities = ["update"] }
//	path "transit/rewrap/NAME"            { capabilities = ["update"] }
//	path "transit/datakey/plaintext/NAME" { capabilities = ["update"] }
//	path "transit/keys/NAME"              { capabilities = ["read"] }
//
// also "update" for transit/keys/NAME/rotate if brock is to rotate the key, and no "create" for encrypt: with it Vault makes a key of any name that is asked for.
//
// A token is used until a third of its life is left; then it is renewed, and if it cannot be, there is a new login. A
// Vault that is away is asked again for 20 seconds.
package main

import "github.com/brock-backup/brock/sdk"

var plugin = sdk.Plugin{
	Name:    "vaultkeys",
	Version: "0.1.0",
	Doc:     "Uses a key in HashiCorp Vault: in its KV store, as Dgraph does, or in its transit engine.",
	Env:     []string{"VAULT_SKIP_VERIFY"},
}

func main() { sdk.ServeKeyProvider(plugin, open) }
