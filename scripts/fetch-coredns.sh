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
coredns=$(dirname -- "$scripts")/.cache/coredns/coredns
"$scripts/build-go.sh" "$scripts/coredns" . "$coredns"

echo "COREDNS_BIN=$coredns"
