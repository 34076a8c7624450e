#!/bin/bash
# Format, lints, documentation links, and the syntax of shell scripts and Ruby files. Prints nothing if all is well but what Cargo prints.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
for script in scripts/*.sh packaging/tests/*.sh; do
    bash -n "$script"
done
if command -v ruby >/dev/null 2>&1; then
    for file in crates/registrator-policy/src/ruby/host/*.rb etc/policies-ruby/*.rb; do
        ruby -c "$file" >/dev/null
    done
else
    echo "SKIPPED: the syntax of Ruby files because there is no ruby: apt-get install ruby"
    [ "${REGISTRATOR_REQUIRE_ALL:-}" != 1 ]
fi
