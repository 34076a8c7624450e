#!/bin/bash
# The program of `make dist` needs nothing of the machine it runs on: an empty folder is its root. Needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."

# 20 MiB.
readonly SIZE_LIMIT=20971520
readonly NAME=kontena-registrator
root=$(mktemp -d)
# Others than its owner have to see it.
chmod 755 "$root"
trap 'rm -rf "$root"' EXIT

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}
in_root() { chroot --userspec=65534:65534 "$root" "/$NAME" "$@"; }
# says TEXT COMMAND...
says() {
    local text=$1 output
    shift
    output=$("$@" 2>&1) || true
    grep -qF "$text" <<<"$output" || fail "'$*' does not say '$text' but: $output"
}

has_a_size() {
    local size
    size=$(stat -c %s "dist/$NAME")
    [ "$size" -le "$SIZE_LIMIT" ] || fail "the program has $size bytes, more than $SIZE_LIMIT"
    echo "dist/$NAME has $size bytes"
}

# It is found by the one that has none. All is read first: grep ends at the first match, and readelf would fail in a pipe.
has_its_lines_beside() {
    local links lines sections
    links=$(readelf --debug-dump=links "dist/$NAME")
    grep -qF "$NAME.debug" <<<"$links" || fail "the program does not name its file of lines"
    lines=$(readelf --sections --wide "dist/$NAME.debug")
    grep -q '\.debug_line' <<<"$lines" || fail "there are no lines in $NAME.debug"
    sections=$(readelf --sections --wide "dist/$NAME")
    ! grep -q '\.symtab' <<<"$sections" || fail "the program has symbols"
}

runs_in_an_empty_root() {
    cp "dist/$NAME" "$root/$NAME"
    says "$NAME $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)" in_root --version
    cp -r etc "$root/etc"
    cat >"$root/containers.json" <<'END'
[{"Id": "4f1c2a9b7d3e4f1c2a9b7d3e4f1c2a9b7d3e4f1c2a9b7d3e4f1c2a9b7d3e4f1c", "Name": "/web", "State": {"Status": "running", "Running": true},
  "Config": {"Hostname": "web", "Labels": {}}, "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}}}]
END
    says '+ /skydns/local/skydns/web/4f1c2a9b7d3e {"host":"172.17.0.2","ttl":30}' in_root plan --no-etcd --containers /containers.json
}

# Names come from /etc/hosts, and the system's authorities from where they are put.
finds_names() {
    says "no.such.test" in_root plan --containers /containers.json --etcd-endpoint http://no.such.test:1
    echo '127.0.0.1 known.test' >"$root/etc/hosts"
    says "Connection refused" in_root plan --containers /containers.json --etcd-endpoint http://known.test:1
}

has_a_size
has_its_lines_beside
runs_in_an_empty_root
finds_names
echo "The program needs nothing."
