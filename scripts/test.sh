#!/bin/bash
# `make test`: installs what is missing, then checks everything that must hold before a change lands.
#
#   scripts/test.sh        all of it
#   scripts/test.sh e2e    the end-to-end tests alone
#
# Says how long each phase took. Quiet about what succeeds; of what fails it shows the end of the output, and where the rest
# is. No test skips itself for want of a component: REGISTRATOR_REQUIRE_ALL=1 turns that into a failure.
# With ETCD_ENDPOINT set, the tests use that server too, and may destroy its /kontena sub-tree.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly LOGS=.cache/test-logs
readonly LINES_OF_A_FAILURE=200
export REGISTRATOR_REQUIRE_ALL=1
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin"

# phase NAME COMMAND...
phase() {
    local name=$1 log=$LOGS/${1// /-}.log began=$SECONDS outcome=0
    shift
    "$@" >"$log" 2>&1 </dev/null || outcome=$?
    printf '%-8s %-24s %4d s\n' "$([ "$outcome" -eq 0 ] && echo ok || echo FAILED)" "$name" "$((SECONDS - began))"
    grep -E '^(SKIPPED|WARNING)' "$log" || true
    [ "$outcome" -ne 0 ] || return 0
    printf '\n'
    show_failure "$log"
    printf '\nThe whole output is in %s.\n' "$log"
    exit 1
}

# Cargo repeats what failed under "failures:", before what the other test programs print.
show_failure() {
    if grep -q '^failures:$' "$1"; then
        sed -n '/^failures:$/,/^test result:/p' "$1" | tail -n "$LINES_OF_A_FAILURE"
        grep '^error' "$1" || true
    else
        tail -n "$LINES_OF_A_FAILURE" "$1"
    fi
}

fetch_etcd() { scripts/fetch-etcd.sh >"$LOGS/etcd.env"; }

export_etcd() {
    set -a
    . "$LOGS/etcd.env"
    set +a
}

# Each library by itself: its Cargo.toml must ask for all that it uses, and not live on what another crate asks for.
each_crate_alone() {
    local crate
    for crate in etcd-api etcd-mem registrator-core registrator-policy; do
        cargo check --locked --package "$crate" --all-targets
    done
    cargo test --locked --package registrator-core --package etcd-mem --lib
}

# The last line, for those who read only that. Counts what Cargo's test programs reported.
summary() {
    cat "$LOGS"/tests*.log | awk '
        /^test result:/ { passed += $4; failed += $6; ignored += $8 }
        END             { printf "%d passed, %d failed, %d skipped\n", passed, failed, ignored }'
}

everything() {
    phase "etcd 3.5 and 3.6" fetch_etcd
    export_etcd
    phase "lints" scripts/lint.sh
    phase "build" cargo test --locked --workspace --no-run
    phase "tests" cargo test --locked --workspace --no-fail-fast
    phase "each crate alone" each_crate_alone
    phase "demo" env DEMO_ONCE=1 scripts/demo.sh
    phase "licences and sources" scripts/deny.sh
}

end_to_end() {
    phase "etcd 3.5 and 3.6" fetch_etcd
    export_etcd
    phase "build" cargo test --locked --package registrator --no-run
    phase "tests end to end" cargo test --locked --package registrator --test e2e --no-fail-fast
}

scripts/install-deps.sh test
rm -rf "$LOGS"
mkdir -p "$LOGS"
case "${1:-all}" in
all) everything ;;
e2e) end_to_end ;;
*)
    echo "usage: scripts/test.sh [e2e]" >&2
    exit 2
    ;;
esac
printf 'all in %d s\n' "$SECONDS"
summary
