#!/bin/sh
# Makes brock_plugin/*_pb2.py, or those in the directory given, from the protocol, with Debian 12's protobuf-compiler
# (3.21): what that one writes loads with python3-protobuf 3.21 and later. It does not know debug_redact yet, which is
# for people who print messages and changes nothing on the wire.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/brock/plugin/v1"
for f in ../proto/brock/plugin/v1/*.proto; do
	sed 's/ \[debug_redact = true\]//' "$f" >"$tmp/brock/plugin/v1/${f##*/}"
done
protoc --proto_path="$tmp" --python_out="$tmp" "$tmp"/brock/plugin/v1/*.proto
cp "$tmp"/brock/plugin/v1/*_pb2.py "${1:-brock_plugin}"
