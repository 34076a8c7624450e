#!/bin/sh
# Fetches what drives Chromium in the test of the page (crates/registrator/tests/asked/page.rs), and prints where it is:
#
#     eval "$(scripts/fetch-page.sh | sed 's/^/export /')"
#     cargo test -p registrator --test asked page
#
# scripts/page/package.json names the versions. Needs npm. What is there already is not fetched again. Messages go to stderr.
set -eu

scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=$(dirname -- "$scripts")/.cache/page
if ! cmp -s "$scripts/page/package.json" "$folder/package.json"; then
    rm -rf "$folder" "$folder.new"
    mkdir -p "$folder.new"
    cp "$scripts/page/package.json" "$folder.new/"
    npm install --prefix "$folder.new" --ignore-scripts --no-audit --no-fund --no-package-lock --silent >&2
    mv "$folder.new" "$folder"
fi

echo "PAGE_MODULES=$folder/node_modules"
