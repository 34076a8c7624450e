#!/bin/bash
# Checks deny.toml: licences, sources, bans and doubles without the network; known advisories where their list can be fetched.
#
# An advisory does not fail the check, for it comes without a change of ours: it is printed in full. Gets cargo-deny once, into
# .cache, unless the machine has it.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly VERSION=0.20.2
readonly OWN=$PWD/.cache/cargo-deny-$VERSION
PATH="$OWN/bin:$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"

# Built without optimisation: it runs for seconds, and building it takes minutes.
if ! command -v cargo-deny >/dev/null 2>&1; then
    echo "Building cargo-deny $VERSION ..."
    CARGO_TARGET_DIR=$OWN/target cargo install --quiet --locked --debug --version "$VERSION" --root "$OWN" cargo-deny
    rm -rf "$OWN/target"
fi

# The packages themselves are fetched by any build; after that nothing needs the network.
cargo fetch --quiet --locked
cargo deny --offline --locked check --hide-inclusion-graph --allow unused-wrapper licenses sources bans

if ! cargo deny --locked check --hide-inclusion-graph advisories; then
    echo
    echo "WARNING: the advisories were not checked, or some apply: see above. This does not fail the check."
fi
