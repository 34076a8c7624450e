#!/bin/bash
# Runs a command that has to leave this machine as it found it, and fails, naming the difference, if it does not.
#
#   scripts/guest.sh COMMAND...
#
# The command gets tables of processes and of mounts of its own, which the kernel clears at its end, and a folder for temporary
# files; the machine's Docker Engine is out of its reach. Compared are interfaces, addresses, routes, rules of the firewall,
# mounts, cgroups, network namespaces, and the containers, images, networks and volumes of the machine's engine. Of processes,
# none may be left that the command has started. What other runs of the tests have meanwhile is not looked at.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PATIENCE_SECONDS=10
# Of the machine's engine, for its containers come and go; and of other runs of the tests, older ones too.
readonly OTHERS='interface veth[^ ]* master |/(run|var/lib)/(docker|containerd|containers)/|/run/user/|[/ ]registrator-(engine|demo|test)-|[/ ]rg[ht][0-9]|/rgt[A-Za-z0-9]{6}/'
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf '%s\n' "$*" >&2; }

[ "$(id -u)" -eq 0 ] || { say "This needs root: it starts Docker Engines and makes networks."; exit 1; }

# Locked for as long as this script lives, so that nobody takes it for a leftover: scripts/leftovers.sh.
make_folder() {
    folder=""
    until [ -d "$folder" ]; do
        folder=$(mktemp -d -t registrator-test-XXXXXX)
        { exec {lock}<"$folder"; } && flock "$lock" || true
    done
}

# One line for each thing that somebody else may own.
state() {
    ip -o link | sed -E 's/^[0-9]+: ([^:@]+)[^:]*:.*( master [^ ]+).*/interface \1\2/; t; s/^[0-9]+: ([^:@]+).*/interface \1/'
    ip -o address | awk '$4 !~ /^fe80/ { print "address", $2, $4 }'
    # Whether a link is up changes with the containers on it.
    ip -4 route show table all | sed -E 's/ (linkdown|dead)//g; s/^/route /'
    ip -6 route show table all | grep -vE '^(local |anycast |multicast )?(fe80|ff00):' | sed -E 's/ (linkdown|dead|expires [^ ]+)//g; s/^/route /' || true
    ip rule | sed 's/^/rule /'
    sed 's/^/forwarding of IPv4 /' /proc/sys/net/ipv4/ip_forward
    firewall
    awk '{ print "mount", $5 }' /proc/self/mountinfo
    cgroups
    find /run/netns -mindepth 1 -printf 'network namespace %f\n' 2>/dev/null || true
    engine
}

# Those at the top: below them, services and sessions come and go.
cgroups() {
    local depth=2
    # The second version has one hierarchy, right here.
    [ ! -e /sys/fs/cgroup/cgroup.procs ] || depth=1
    find /sys/fs/cgroup -mindepth "$depth" -maxdepth "$depth" -type d -printf 'cgroup %p\n'
}

firewall() {
    local program
    for program in iptables-save ip6tables-save; do
        ! command -v "$program" >/dev/null || "$program" 2>/dev/null | sed -E '/^#/d; s/ \[[0-9:]+\]$//; s/^/firewall /'
    done
    ! command -v nft >/dev/null || nft list ruleset 2>/dev/null | sed -E 's/ packets [0-9]+ bytes [0-9]+//; s/^/firewall /'
}

engine() {
    local kind
    timeout "$PATIENCE_SECONDS" docker info >/dev/null 2>&1 || return 0
    docker ps --all --no-trunc --format 'container {{.ID}} {{.Names}}'
    docker images --all --no-trunc --format 'image {{.ID}} {{.Repository}}:{{.Tag}}'
    for kind in network volume; do
        docker "$kind" ls --format "$kind {{.Name}}"
    done
}

mine_or_the_machines() { state | grep -vE "$OTHERS" | LC_ALL=C sort -u; }

# Cgroups of engines of this run.
left_cgroups() {
    local cgroup
    for cgroup in /sys/fs/cgroup/"$run"/*/ /sys/fs/cgroup/*/"$run"/*/; do
        [ ! -d "$cgroup" ] || echo "  left cgroup $cgroup"
    done
}

# Interfaces of this run: the alias names its table of processes.
left_interfaces() {
    local alias
    for alias in /sys/class/net/rgh*/ifalias; do
        ! grep -qF "in $processes" "$alias" 2>/dev/null || echo "  left interface $(basename "${alias%/ifalias}")"
    done
}

differences() {
    local after
    after=$(mine_or_the_machines)
    # A veth that belonged to no bridge was about to.
    LC_ALL=C comm -23 <(echo "$before") <(echo "$after") | sed '/^interface veth/d; s/^/  took /'
    LC_ALL=C comm -13 <(echo "$before") <(echo "$after") | sed 's/^/  left /'
    left_interfaces
}

# What the kernel and others have just begun to take away goes in a moment.
compare() {
    local deadline=$((SECONDS + PATIENCE_SECONDS)) found
    while found=$(differences) && [ -n "$found" ]; do
        [ "$SECONDS" -lt "$deadline" ] || break
        sleep 0.5
    done
    found=$1$found
    [ -n "$found" ] || return 0
    printf 'FAILED   the machine is not as it was before, unless somebody else has changed it meanwhile:\n%s\n' "$found"
    return 1
}

# Becomes the first process of the command's table of processes. Root may mount in a table of mounts of its own.
inside() {
    local folder=$1 outcome=0 socket deadline others
    shift
    trap 'exit 143' TERM
    mount -t proc proc /proc
    readlink /proc/self/ns/pid >"$folder/processes"
    mkdir -p /run/netns
    mount -t tmpfs tmpfs /run/netns
    for socket in /run/docker.sock /run/containerd/containerd.sock; do
        [ ! -S "$socket" ] || mount --bind /dev/null "$socket"
    done
    unset DOCKER_HOST
    export REGISTRATOR_TEST_RUN=${folder##*/} TMPDIR=$folder DOCKER_CONTEXT=default
    "$@" || outcome=$?
    deadline=$((SECONDS + PATIENCE_SECONDS))
    while other_processes && [ "$SECONDS" -lt "$deadline" ]; do
        sleep 0.2
    done
    [ "${#others[@]}" -gt 0 ] || return "$outcome"
    printf 'FAILED   processes are left:\n'
    printf '  %s\n' "${others[@]}"
    return 1
}

# Whether there is any besides this one, found without starting one: sets `others`.
other_processes() {
    local process words
    others=()
    for process in /proc/[0-9]*; do
        mapfile -d '' -t words 2>/dev/null <"$process/cmdline" || continue
        # One that has ended has no words.
        [ "$process" = /proc/1 ] || [ "${#words[@]}" -eq 0 ] || others+=("${process#/proc/} ${words[*]}")
    done
    [ "${#others[@]}" -gt 0 ]
}

main() {
    local outcome=0 interrupted="" guest left=""
    scripts/leftovers.sh || say "WARNING: what a killed run has left could not be removed."
    make_folder
    run=${folder##*/}
    before=$(mine_or_the_machines)
    setpriv --pdeathsig KILL unshare --mount --propagation=slave --pid --fork --kill-child scripts/guest.sh inside "$folder" "$@" &
    guest=$!
    # It cannot be asked: the first process of a table takes no signal that it does not handle.
    trap 'interrupted=yes; kill -KILL "$guest"' INT TERM HUP
    wait "$guest" 2>/dev/null || outcome=$?
    trap '' INT TERM HUP
    processes=$(cat "$folder/processes")
    # What is killed does not clean up.
    [ -n "$interrupted" ] || left=$(left_cgroups)
    scripts/leftovers.sh "$folder" || outcome=1
    compare "$left${left:+$'\n'}" || outcome=1
    return "$outcome"
}

# Read to its end before it runs: it may be edited meanwhile.
if [ "$1" = inside ]; then
    shift
    inside "$@"
    exit
else
    main "$@"
    exit
fi
