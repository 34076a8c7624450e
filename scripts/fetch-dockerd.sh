#!/bin/sh
# Builds the newest Docker Engine, which no distribution has yet, for `make test-engines`, and prints what to set:
#
#     eval "$(scripts/fetch-dockerd.sh | sed 's/^/export /')"
#     cargo test -p registrator --test e2e
#
# It is made of its Go module (scripts/dockerd pins it), as is the runc that it needs (scripts/runc): about 10 minutes on two
# cores the first time. The machine's containerd serves both. What is there already is not made again. Messages go to stderr.
set -eu

scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=$(dirname -- "$scripts")/.cache
export CGO_ENABLED=0
GOFLAGS='-tags=exclude_graphdriver_btrfs,exclude_graphdriver_zfs,no_systemd' \
    "$scripts/build-go.sh" "$scripts/dockerd" github.com/moby/moby/v2/cmd/dockerd "$cache/dockerd/dockerd"
# Its parts that are written in C start the processes of containers.
CGO_ENABLED=1 "$scripts/build-go.sh" "$scripts/runc" github.com/opencontainers/runc "$cache/dockerd/runc"

echo "REGISTRATOR_TEST_DOCKERD=$cache/dockerd"
