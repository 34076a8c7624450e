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
confd=$(dirname -- "$scripts")/.cache/confd/confd
"$scripts/build-go.sh" "$scripts/confd" github.com/kelseyhightower/confd "$confd"

echo "CONFD_BIN=$confd"
