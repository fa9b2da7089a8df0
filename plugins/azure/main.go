// Command brock-destination-azure keeps backups in Azure Blob Storage.
//
// An object is a block blob of the same name below the location's prefix. A
// large one is sent as blocks, which nobody sees until the list of them is
// committed: under the condition that there is no such blob, or that it is
// still the one that is to be replaced. The blocks of an upload that died
// disappear after a week; Azure has no way of removing them sooner.
package main

import "github.com/brock-backup/brock/sdk"

var plugin = sdk.Plugin{
	Name:    "azure",
	Version: "0.1.0",
	Doc:     "Keeps backups in a container of Azure Blob Storage.",
	Schemes: []string{"azure", "https"},
	Env:     variables,
	Limits: sdk.Limits{
		ConcurrentPuts: concurrentPuts,
		ObjectSize:     maxObjectSize,
		PartSize:       defaultBlockSize,
	},
}

func main() { sdk.ServeDestination(plugin, open) }
