#!/bin/sh
# Builds the CoreDNS that the tests in crates/registrator/tests/apps ask, and prints where it is:
#
#     eval "$(scripts/fetch-coredns.sh | sed 's/^/export /')"
#     cargo test -p registrator --test apps
#
# It is made of its Go module (pinned in scripts/coredns) with the plugins that serve names from etcd.
# Needs Go. What is there already is not made again. Messages go to stderr.
set -eu

scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=$(dirname -- "$scripts")/.cache/coredns
coredns=$cache/coredns
mkdir -p "$cache"

outdated() {
    [ ! -x "$coredns" ] || [ -n "$(find "$scripts/coredns" -type f -newer "$coredns")" ]
}

# Made under another name first: a run that was cut off leaves nothing that looks finished.
if outdated; then
    echo "building CoreDNS" >&2
    (cd "$scripts/coredns" && go build -trimpath -o "$coredns.new" .) >&2
    mv "$coredns.new" "$coredns"
fi

echo "COREDNS_BIN=$coredns"
