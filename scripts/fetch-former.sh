#!/bin/sh
# Builds the version of the program that was before watches of single keys, with which the tests of several hosts mix this one, and prints
# where it is:
#
#     eval "$(scripts/fetch-former.sh | sed 's/^/export /')"
#     cargo test -p registrator --test hosts mixed
#
# It is made of this repository's history. Without that, as in a shallow clone, it says so and prints an empty name. It is built in a folder of
# its own: Cargo takes the crates of two checkouts for the same ones.
# What is there already is not made again. Messages go to stderr.
set -eu

commit=dafc0094a076b219a4f5cb1a00fe60a6f5697ba6
repository=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
former=$repository/.cache/former
program=$former/kontena-registrator-$commit

if [ ! -x "$program" ] && ! git -C "$repository" cat-file -e "$commit^{commit}" 2>/dev/null; then
    echo "WARNING: the former version is not tested beside this one: commit $commit is not in this clone" >&2
    echo "REGISTRATOR_FORMER_BIN="
    exit 0
fi
if [ ! -x "$program" ]; then
    rm -rf "$former"
    mkdir -p "$former/source"
    git -C "$repository" archive "$commit" | tar -x -C "$former/source"
    (cd "$former/source" && cargo build --locked --quiet --package registrator --target-dir "$former/target") >&2
    mv "$former/target/debug/kontena-registrator" "$program"
    rm -rf "$former/source" "$former/target"
fi
echo "REGISTRATOR_FORMER_BIN=$program"
