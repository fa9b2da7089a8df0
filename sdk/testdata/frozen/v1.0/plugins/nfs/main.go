// Command brock-destination-nfs keeps backups in a directory: on an NFS share,
// or on anything else that is mounted on the backup host.
//
// An object is a file of the same name below the location. While it is being
// written it has another name, which begins with ".brock-", in the directory
// where it will be; such files are never listed. Those that a crash left behind
// are removed by a later backup.
package main

import "github.com/brock-backup/brock/sdk"

var plugin = sdk.Plugin{
	Name:    "nfs",
	Version: "0.1.0",
	Doc:     "Keeps backups in a directory: a mounted NFS share, or a local path.",
	Schemes: []string{"", "file", "nfs"},
}

func main() { sdk.ServeDestination(plugin, open) }
