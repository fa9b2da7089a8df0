#!/usr/bin/env bash
# The main job on real input: a backup that Dgraph 25 made is restored and compared with what the live cluster held. Then
# Brock serves it: backups are taken through /admin while it is written to and something is dropped; what is restored from
# them, into files and into the running host, is compared with the database. Run by make demo.
set -euo pipefail
cd "$(dirname "$0")/../.."
set=host/testdata/fixtures/v25-plain
rm -rf demo && mkdir -m 700 demo
export PATH=$PWD/bin:$PATH BROCK_PLUGIN_DIR=$PWD/bin/plugins
started=$SECONDS
trap 'jobs -p | xargs -r kill 2>/dev/null' EXIT

say() { printf '\n%s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

# What the cluster held is compared without Dgraph's own predicates, which its exports leave out.
users() { { [[ $1 == *.gz ]] && gzip -dc "$1" || cat "$1"; } | grep -vE '<dgraph\.' | LC_ALL=C sort; }
same() {
	if diff <(users "$1") <(users "$2") >demo/difference; then
		echo "equal: $1 and $2, $(users "$1" | wc -l) quads besides Dgraph's own"
	else
		echo "DIFFERENT: $1 and $2, see demo/difference"
		exit 1
	fi
}

serve() {
	printf '$ brock serve -p demo/live --encryption_key_file demo/key\n'
	brock serve -p demo/live --http-addr 127.0.0.1:0 --encryption_key_file demo/key >demo/serve.out 2>>demo/serve.log &
	host=$!
	for _ in $(seq 300); do
		url=$(grep -o 'http://.*' demo/serve.out) && break
		sleep 0.1
	done
	cat demo/serve.out
}
stop() { kill $host && wait $host; }

# Requests as Dgraph's documentation has them.
post() { # PATH TYPE BODY
	printf "$ curl -H 'Content-Type: %s' %s -d '%s'\n" "$2" "$1" "$3" >&2
	curl -sS -H "Content-Type: $2" "$url$1" -d "$3"
	echo
}
mutate() { post '/mutate?commitNow=true' application/rdf "$1" | grep -o '"code":"[^"]*"'; }
count() { post /query application/dql '{ people(func: has(name)) { count(uid) } }' | grep -o '"people":.*]'; }
# await waits for a task of /admin and prints what became of it.
await() {
	id=$(grep -o '0x[0-9a-f]*' <<<"$1" | head -n 1)
	for _ in $(seq 300); do
		status=$(curl -sS -H 'Content-Type: application/graphql' "$url/admin" -d "{ task(input: {id: \"$id\"}) { status } }" | grep -o 'Success\|Failed' || true)
		[ -n "$status" ] && break
		sleep 0.1
	done
	echo "task $id: $status"
	[ "$status" = Success ]
}
backup() {
	answer=$(post /admin application/graphql 'mutation { backup(input: {destination: "'"$PWD"'/demo/backups"'"${1:-}"'}) { response { message code } taskId } }')
	echo "$answer" | grep -o '"data":.*}}'
	await "$answer"
}

say "A backup that Dgraph 25.4 made, restored and compared with what the live cluster held:"
run brock ls -l $set/backup
run brock restore -l $set/backup -p demo/live
run brock export -p demo/live -o demo/first.rdf --schema demo/first.schema
same demo/first.rdf $set/truth/point3.rdf.gz

say "Brock serves it; its backups are encrypted."
(umask 077 && head -c 32 /dev/urandom >demo/key)
serve
count

say "Back up through /admin, with the mutation of Dgraph's documentation."
backup

say "Drop a predicate, write, and back up again: an incremental backup that knows of the drop."
post /alter application/json '{"drop_attr": "age"}'
mutate '{ set { _:a <name> "Ada Lovelace" . _:a <age> "36"^^<xs:int> . } }'
backup ', prove: true'
run brock ls -l demo/backups

say "Is it all there? The host ends; its database and what the backups restore are compared."
stop
run brock verify -l demo/backups --restore --encryption_key_file demo/key
run brock restore -l demo/backups -p demo/restored --encryption_key_file demo/key
run brock export -p demo/live -o demo/live.rdf --schema demo/live.schema
run brock export -p demo/restored -o demo/restored.rdf --schema demo/restored.schema
same demo/live.rdf demo/restored.rdf

say "Everything is dropped, and restored into the running host."
serve
post /alter application/json '{"drop_all": true}'
count
answer=$(post /admin application/graphql 'mutation { restore(input: {location: "'"$PWD"'/demo/backups"}) { code message } }')
echo "$answer" | grep -o '"data":.*}}'
for _ in $(seq 300); do
	people=$(count 2>/dev/null) || true
	[[ $people == *'"count":0'* || -z $people ]] || break
	sleep 0.1
done
echo "$people"
stop
run brock export -p demo/live -o demo/online.rdf --schema demo/online.schema
same demo/live.rdf demo/online.rdf

say "One bit of a backup is changed: it is refused."
cp -r demo/backups demo/damaged
file=$(ls -S demo/damaged/dgraph.*/r*-g1.backup | head -n 1)
byte=$(od -An -tu1 -j5000 -N1 "$file")
printf "\\$(printf %03o $((byte ^ 16)))" | dd of="$file" bs=1 seek=5000 conv=notrunc 2>/dev/null
code=0
run brock restore -l demo/damaged -p demo/never --encryption_key_file demo/key || code=$?
echo "exit code $code"
[ $code -eq 3 ] && [ ! -e demo/never ]

say "Done in $((SECONDS - started)) seconds. Everything is in the folder demo."
