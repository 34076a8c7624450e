#!/bin/bash
# Format, lints, documentation links, and the syntax of the shell scripts. Prints nothing if all is well but what Cargo prints.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
for script in scripts/*.sh; do
    bash -n "$script"
done
