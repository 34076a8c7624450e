#!/bin/bash
# Installs what the project's commands need and this machine lacks: Debian's and Ubuntu's packages, through apt-get.
#
#   scripts/install-deps.sh run     what `make run` needs: a Docker Engine, busybox, etcdctl, a C compiler
#   scripts/install-deps.sh test    that, and what `make test` needs: an etcd server, HAProxy,
#                                   nginx, dig, iproute2, iptables, Python, Ruby, Go, Prometheus, Chromium, Node
#   scripts/install-deps.sh dist    what `make dist` needs, and the tests of what it makes
#
# Installs only what is missing and prints nothing when nothing is. Without root, or without apt-get, it says exactly what
# to install and ends with an error. It never installs a Rust toolchain, nor a Go newer than the distribution's: it says
# what to do.
set -euo pipefail

readonly RUST_NEEDED=1.95
# From here on Go gets by itself the newer Go that a module asks for.
readonly GO_NEEDED=1.21
missing=()

say() { printf '%s\n' "$*" >&2; }

# need PACKAGE COMMAND: the package is wanted if there is no such program; what the shell has built in does not count.
need() {
    # dockerd, ip and iptables live where an ordinary user's PATH does not lead.
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin" type -P "$2" >/dev/null || missing+=("$1")
}

# Only a static busybox makes an image by itself.
has_static_busybox() {
    local busybox
    busybox=$(PATH="$PATH:/usr/sbin:/sbin" command -v busybox) && ! ldd "$busybox" >/dev/null 2>&1
}

can_link() { echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null; }

needed_to_run() {
    can_link || missing+=(gcc libc6-dev)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    need etcd-client etcdctl
    need util-linux setpriv
    need util-linux flock
    has_static_busybox || missing+=(busybox-static)
    if ! docker info >/dev/null 2>&1; then
        need docker.io dockerd
        need docker.io docker
        need iproute2 ip
        need util-linux nsenter
    fi
}

needed_to_test() {
    need docker.io dockerd
    need docker.io docker
    need etcd-server etcd
    need haproxy haproxy
    need nginx-light nginx
    need bind9-dnsutils dig
    need iproute2 ip
    need util-linux nsenter
    need iptables iptables
    need procps kill
    need podman podman
    # Its networks are made by this one. Debian has it where no PATH leads.
    [ -e /usr/lib/podman/netavark ] || missing+=(netavark)
    need ruby ruby
    # What reads the metrics and the alerts, and what judges the unit.
    need prometheus promtool
    need systemd systemd-analyze
    need curl curl
    # The page in a browser. CHROMIUM names another Chromium or Chrome, as on Ubuntu, whose package needs snap.
    [ -n "${CHROMIUM:-}" ] || need chromium chromium
    need nodejs node
    need npm npm
    need python3 python3
    if command -v python3 >/dev/null 2>&1; then
        python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
    else
        missing+=(python3-pip)
    fi
    need golang-go go
}

# What `make dist` and its tests need.
needed_for_packages() {
    need binutils objcopy
    need debhelper dh
    need dpkg-dev dpkg-buildpackage
    need lintian lintian
    need mmdebstrap mmdebstrap
    need docker-compose docker-compose
    need curl curl
}

# Debian starts what it installs. An etcd nobody asked for would sit on the port of the embedded one, so its service stays
# down, and those of HAProxy and nginx with it; and without systemd, as in a container, nothing could be started properly.
without_starting_services() {
    local policy=/usr/sbin/policy-rc.d kept_down='etcd|haproxy|nginx|prometheus'
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    [ -d /run/systemd/system ] || kept_down='*'
    printf '#!/bin/sh\ncase "$1" in %s) exit 101 ;; esac\n' "$kept_down" >"$policy"
    chmod 755 "$policy"
    local outcome=0
    "$@" || outcome=$?
    rm -f "$policy"
    return "$outcome"
}

apt_install() {
    local log
    log=$(mktemp)
    if ! { apt-get -qq update && DEBIAN_FRONTEND=noninteractive without_starting_services \
        apt-get -qq -y --no-install-recommends -o Dpkg::Options::=--force-confold install "$@"; } >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        say "Could not install: $*"
        exit 1
    fi
    rm -f "$log"
}

install_missing() {
    [ "${#missing[@]}" -gt 0 ] || return 0
    local packages
    mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
    if ! command -v apt-get >/dev/null 2>&1; then
        say "Missing on this machine, under Debian's package names: ${packages[*]}"
        say "Install them and try again."
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        say "Missing on this machine. Install it and try again:"
        say "    sudo apt-get install ${packages[*]}"
        exit 1
    fi
    say "Installing ${packages[*]} ..."
    apt_install "${packages[@]}"
}

# at_least NEEDED FOUND compares versions.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }

explain_rust() {
    say "$1"
    if command -v rustup >/dev/null 2>&1; then
        say "Install it and try again:"
        say "    rustup update stable && rustup default stable"
    elif [[ $(LC_ALL=C apt-cache policy rustup 2>/dev/null) == *"Candidate: "[^\(]* ]]; then
        say "Install it and try again:"
        say "    sudo apt-get install rustup && rustup default stable"
    else
        say "This distribution has no recent Rust. Install rustup as the Rust project's own site explains, then try again:"
        say "    rustup default stable"
    fi
    exit 1
}

check_rust() {
    # rustup's installer puts Cargo where only a new login shell looks.
    PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"
    command -v cargo >/dev/null 2>&1 || explain_rust "Rust $RUST_NEEDED or newer is needed, and there is no cargo on this machine."
    local found
    found=$(rustc --version | cut -d' ' -f2)
    at_least "$RUST_NEEDED" "$found" ||
        explain_rust "Rust $RUST_NEEDED or newer is needed, and this machine has $found."
}

check_go() {
    local found
    found=$(PATH="$PATH:/usr/local/go/bin" go env GOVERSION) && found=${found#go}
    at_least "$GO_NEEDED" "$found" && return
    say "Go $GO_NEEDED or newer is needed to build etcd 3.6, CoreDNS and confd for the tests, and this machine has $found."
    say "Install a newer one, as the Go project's own site explains or from your distribution's backports, and try again."
    exit 1
}

case "${1:-}" in
run) needed_to_run ;;
test)
    needed_to_run
    needed_to_test
    ;;
dist)
    can_link || missing+=(gcc libc6-dev)
    needed_for_packages
    ;;
*)
    say "usage: scripts/install-deps.sh run|test|dist"
    exit 2
    ;;
esac
check_rust
install_missing
[ "$1" != test ] || check_go
