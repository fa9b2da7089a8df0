#!/usr/bin/env bash
# The main job on real input: a backup that Dgraph 25 made is restored as two days of a database, both days are backed
# up by Brock, encrypted, and what is restored from that is compared with what the live cluster held. Run by make demo.
set -euo pipefail
cd "$(dirname "$0")/../.."
set=host/testdata/fixtures/v25-plain
rm -rf demo && mkdir -m 700 demo
export PATH=$PWD/bin:$PATH BROCK_PLUGIN_DIR=$PWD/bin/plugins
started=$SECONDS

say() { printf '\n%s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

# What the cluster held is compared without Dgraph's own predicates, which its exports leave out.
users() { grep -vE '<dgraph\.' "$1" | LC_ALL=C sort; }
same() {
	if diff <(users "$1") <(gzip -dc "$2" | grep -vE '<dgraph\.' | LC_ALL=C sort) >demo/difference; then
		echo "equal: $1 and what the live cluster held, $(users "$1" | wc -l) quads"
	else
		echo "DIFFERENT: $1 and $2, see demo/difference"
		exit 1
	fi
}

say "A backup that Dgraph 25.4 made:"
run brock ls -l $set/backup

say "Restore two days of it: the first backup, and the one after it."
run brock restore -l $set/backup --backup_num 1 -p demo/monday --keep-versions
run brock restore -l $set/backup --backup_num 2 -p demo/tuesday --keep-versions

say "Back up Monday, encrypted, and then what changed until Tuesday."
(umask 077 && head -c 32 /dev/urandom >demo/key)
run brock backup -p demo/monday -l demo/backups --encryption_key_file demo/key
run brock backup -p demo/tuesday -l demo/backups --encryption_key_file demo/key --prove
run brock ls -l demo/backups

say "Can it be restored? Restore it to a scratch directory and compare fingerprints."
run brock verify -l demo/backups --restore --encryption_key_file demo/key

say "Restore it for good, export it, and compare it with what the live cluster held on both days."
run brock restore -l demo/backups -p demo/restored --encryption_key_file demo/key
run brock export -p demo/restored -o demo/tuesday.rdf --schema demo/tuesday.schema
run brock export -l demo/backups --backup_num 1 -o demo/monday.rdf --encryption_key_file demo/key
same demo/monday.rdf $set/truth/point0.rdf.gz
same demo/tuesday.rdf $set/truth/point1.rdf.gz

say "One bit of the encrypted backup is changed: it is refused."
cp -r demo/backups demo/damaged
file=$(ls demo/damaged/dgraph.*/r8-g1.backup)
byte=$(od -An -tu1 -j5000 -N1 "$file")
printf "\\$(printf %03o $((byte ^ 16)))" | dd of="$file" bs=1 seek=5000 conv=notrunc 2>/dev/null
code=0
run brock restore -l demo/damaged -p demo/never --encryption_key_file demo/key || code=$?
echo "exit code $code"
[ $code -eq 3 ] && [ ! -e demo/never ]

say "Done in $((SECONDS - started)) seconds. Everything is in the folder demo."
