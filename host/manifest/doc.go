// Package manifest knows what a location holds: backups, the series they form,
// and the chain that must be restored to reach one of them. It reads and writes
// bytes and does no I/O.
//
// # Model
//
// A [Manifest] records one backup, whoever made it. Predicates and drop operations
// are held as (namespace, name), whatever the form they were written in; what
// is written keeps its form. [Merge] makes one list of all that a location
// says of its backups, [Latest] and [Chain] select from it.
//
// # Format
//
// Dgraph 21.03 and later keep one master manifest, [MasterName] in the root of
// the location:
//
//	{"Manifests":[{"type":"full","since":0,"read_ts":8,"backup_id":"keen_leakey6","backup_num":1,
//	"version":2105,"path":"dgraph.20261121.041813.437","encrypted":false,"compression":"snappy",
//	"groups":{"1":["0-name"]},"drop_operations":null}]}
//
// The version says how names are written: 2105 as here, 2103 as eight bytes of
// namespace and the name. One master may hold entries of several versions,
// 0 included, because Dgraph takes older manifests over as they are. Up to 25.3.3
// the keys come in another order. An absent compression means gzip, a read_ts of 0
// that since holds it.
//
// Dgraph 20.x keeps one manifest per backup, <directory>/manifest.json, in which
// since is the backup's own read timestamp and names are bare:
//
//	{"type":"incremental","since":60,"groups":{"1":["name"]},"backup_id":"wizardly_buck0",
//	"backup_num":2,"encrypted":false,"drop_operations":[{},{"drop_op":1},{"drop_op":2,"drop_value":"age"}]}
//
// The operations there are DROP_ALL, DROP_DATA and DROP_ATTR; 3 is DROP_NS.
//
// Brock's own commit record is brock/<series>/<number>.json. It is created once and
// never changed, holds everything that the manifests say and what they have
// no place for, and ends in a digest of itself. See [EncodeRecord]. Beside it lie, signed in
// the same way, key-<n>.json, a [KeyRecord], and pin-<number>.json, a [Pin]. A series that
// is going to be removed ends with a [Closing] in place of the next commit record.
//
// All of these are hostile input. Sizes, names and the memory that a document
// takes are bounded, a key that comes twice is refused, and no path leaves the location.
package manifest
