#!/bin/sh
# Refuses a change of the protocol that plugins which people have built would notice: the frozen protocols below
# sdk/testdata are compared with today's. It begins with a change that must be refused, so that it cannot rot.
set -eu
cd "$(dirname "$0")/../.."
planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
cp -r sdk/proto/brock "$planted"
sed -i.orig 's/int64 offset = 1;/int64 place = 1;/' "$planted/brock/plugin/v1/destination.proto"
rm "$planted/brock/plugin/v1/destination.proto.orig"

for frozen in sdk/testdata/frozen/*/; do
	if buf breaking "$planted" --against "${frozen}sdk/proto" >/dev/null; then
		echo "a field was given another name, and buf did not notice, against $frozen" >&2
		exit 1
	fi
	buf breaking sdk/proto --against "${frozen}sdk/proto"
done
