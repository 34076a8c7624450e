#!/bin/sh
# Builds the confd that the tests in crates/registrator/tests/apps let make configurations, and prints where it is:
#
#     eval "$(scripts/fetch-confd.sh | sed 's/^/export /')"
#     cargo test -p registrator --test apps proxies
#
# It is made of its Go module, whose release has no go.mod: scripts/confd pins it and what it needs.
# Needs Go. What is there already is not made again. Messages go to stderr.
set -eu

scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=$(dirname -- "$scripts")/.cache/confd
confd=$cache/confd
mkdir -p "$cache"

outdated() {
    [ ! -x "$confd" ] || [ -n "$(find "$scripts/confd" -type f -newer "$confd")" ]
}

# Made under another name first: a run that was cut off leaves nothing that looks finished.
if outdated; then
    echo "building confd" >&2
    (cd "$scripts/confd" && go build -trimpath -o "$confd.new" github.com/kelseyhightower/confd) >&2
    mv "$confd.new" "$confd"
fi

echo "CONFD_BIN=$confd"
