#!/bin/sh
# Builds a program to test with of its Go module, unless that was done since the module's pins changed:
#
#     scripts/build-go.sh "$PWD/scripts/coredns" . "$PWD/.cache/coredns/coredns"
#
# The arguments are the whole path of the folder with the go.mod that pins all, the package in it, and the whole path of the program to make. Needs Go. Messages go to stderr.
set -eu

module=$1 package=$2 program=$3
if [ -x "$program" ] && [ -z "$(find "$module" -type f -newer "$program")" ]; then
    exit 0
fi
echo "building ${program##*/}" >&2
mkdir -p "$(dirname -- "$program")"
# Made under another name first: a run that was cut off leaves nothing that looks finished.
(cd "$module" && go build -trimpath -o "$program.new" "$package") >&2
mv "$program.new" "$program"
