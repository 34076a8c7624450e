#!/bin/bash
# `make test`: installs what is missing, then checks everything that must hold before a change lands.
#
#   scripts/test.sh        all of it
#   scripts/test.sh e2e    the end-to-end tests alone
#   scripts/test.sh engines    those with a Docker Engine, on the newest one instead of the machine's
#   scripts/test.sh packages   the static program, the images, the compose files, the Debian package alone
#
# Harms nobody's machine, and fails if it has left or taken anything: scripts/guest.sh. What a run that was killed has left is
# removed by the next.
#
# Says how long each phase took. Quiet about what succeeds; of what fails it shows the end of the output, and where the rest
# is. Goes on after a phase that failed, unless the next ones need it, and fails at the end. No test skips itself for want of a component: REGISTRATOR_REQUIRE_ALL=1 turns that into a failure.
# With ETCD_ENDPOINT set, the tests use that server too, and may destroy its /kontena sub-tree.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly LOGS=.cache/test-logs
readonly LINES_OF_A_FAILURE=200
export REGISTRATOR_REQUIRE_ALL=1
# Most tests wait for other processes and for leases, and need little of a processor.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
export RUST_TEST_THREADS
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin"

failed=()

# phase NAME COMMAND... tells by its exit code whether the command succeeded. A function that is its command must see to
# errors itself: bash does not stop at one inside of a condition.
phase() {
    local name=$1 log=$LOGS/${1// /-}.log began=$SECONDS verdict=ok
    shift
    "$@" >"$log" 2>&1 </dev/null || verdict=FAILED
    printf '%-8s %-24s %4d s\n' "$verdict" "$name" "$((SECONDS - began))"
    grep -E '^(SKIPPED|WARNING)' "$log" || true
    [ "$verdict" = FAILED ] || return 0
    failed+=("$name")
    printf '\n'
    show_failure "$log"
    printf '\nThe whole output is in %s.\n\n' "$log"
    return 1
}

# Cargo repeats what failed under "failures:", before what the other test programs print.
show_failure() {
    if grep -q '^failures:$' "$1"; then
        sed -n '/^failures:$/,/^test result:/p' "$1" | tail -n "$LINES_OF_A_FAILURE"
        grep '^error' "$1" || true
    else
        grep -vE '^ +(Blocking|Checking|Compiling|Documenting|Downloaded|Downloading|Finished|Running) ' "$1" |
            tail -n "$LINES_OF_A_FAILURE"
    fi
}

fetch_servers() {
    local name
    for name in "$@"; do
        "scripts/fetch-$name.sh" || return 1
    done >"$LOGS/servers.env"
}

fetch_former() {
    scripts/fetch-former.sh >>"$LOGS/servers.env"
}

export_servers() {
    set -a
    . "$LOGS/servers.env"
    set +a
}

# Each library by itself: its Cargo.toml must ask for all that it uses, and not live on what another crate asks for.
each_crate_alone() {
    local crate
    for crate in etcd-api fuzz etcd-mem registrator-core registrator-policy; do
        cargo check --locked --package "$crate" --all-targets || return 1
    done
}

# The last line, for those who read only that. Counts what Cargo's test programs reported.
summary() {
    cat "$LOGS"/tests*.log 2>/dev/null | awk '
        /^test result:/ { passed += $4; failed += $6; ignored += $8 }
        END             { printf "%d passed, %d failed, %d skipped\n", passed, failed, ignored }'
}

everything() {
    phase "servers to test with" fetch_servers etcd coredns traefik confd page && export_servers || return 0
    phase "lints" scripts/lint.sh || true
    phase "former version" fetch_former || return 0
    export_servers
    phase "build" cargo test --locked --workspace --no-run || return 0
    phase "tests" cargo test --locked --workspace --no-fail-fast || true
    phase "each crate alone" each_crate_alone || true
    phase "demo" env DEMO_ONCE=1 scripts/demo.sh || true
    phase "licences and sources" scripts/deny.sh || true
    phase "what is given to others" scripts/dist.sh package && packages || true
}

packages() {
    phase "the program by itself" packaging/tests/program.sh || true
    phase "images" packaging/tests/images.sh || true
    phase "package" packaging/tests/package.sh || true
}

# Of what is given to others alone.
only_packages() {
    phase "servers to test with" fetch_servers coredns traefik && export_servers || return 0
    phase "what is given to others" scripts/dist.sh package && packages || true
}

end_to_end() {
    phase "servers to test with" fetch_servers etcd && export_servers || return 0
    phase "former version" fetch_former || return 0
    export_servers
    phase "build" cargo test --locked --package registrator --no-run || return 0
    phase "tests end to end" cargo test --locked --package registrator --test e2e --test faults --test hosts --no-fail-fast || true
}

newest_engine() {
    phase "servers to test with" fetch_servers etcd dockerd && export_servers || return 0
    phase "build" cargo test --locked --package registrator --no-run || return 0
    phase "tests" cargo test --locked --package registrator --bins --test e2e --no-fail-fast -- --skip etcd:: || true
}

if [ -z "${REGISTRATOR_TEST_RUN:-}" ]; then
    scripts/install-deps.sh test
    case "${1:-all}" in all | packages) scripts/install-deps.sh dist ;; esac
    exec scripts/guest.sh scripts/test.sh "$@"
fi
rm -rf "$LOGS"
mkdir -p "$LOGS"
case "${1:-all}" in
all) everything ;;
e2e) end_to_end ;;
engines) newest_engine ;;
packages) only_packages ;;
*)
    echo "usage: scripts/test.sh [e2e | engines | packages]" >&2
    exit 2
    ;;
esac
printf 'all in %d s\n' "$SECONDS"
summary
if [ "${#failed[@]}" -gt 0 ]; then
    printf 'FAILED: %s\n' "$(IFS=, && echo "${failed[*]}")"
    exit 1
fi
