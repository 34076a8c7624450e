#!/bin/bash
# Removes what killed tests and demos have left behind: their folders, the cgroups of their containers, networks of several hosts.
#
#   scripts/leftovers.sh             what nobody has any more
#   scripts/leftovers.sh FOLDER...   these, by their owner
#
# Whoever makes such a folder holds a lock (flock) on it: one without a lock belongs to nobody any more. Their processes,
# interfaces and mounts have gone with their namespaces: scripts/namespaces.sh. A network of several hosts has an interface whose
# alias names the process that has made it. Prints what it removes.
set -euo pipefail
shopt -s nullglob

readonly BASE=${TMPDIR:-/tmp}
readonly PATIENCE_SECONDS=10
# As in crates/registrator/tests/hosts/network.rs.
readonly NETWORKS_LOCK=/tmp/registrator-tests-of-hosts.lock
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# A frozen process of the first version of cgroups does not even die.
thaw() {
    local state
    while read -r state; do
        echo THAWED >"$state"
    done < <(find "$1" -mindepth 2 -name freezer.state)
}

# The cgroup of a folder has its name.
remove_cgroups() {
    local cgroup all=() deadline=$((SECONDS + PATIENCE_SECONDS))
    # In the only hierarchy of the second version, or in each of the first.
    for cgroup in /sys/fs/cgroup/"$1" /sys/fs/cgroup/*/"$1"; do
        [ ! -d "$cgroup" ] || all+=("$cgroup")
    done
    for cgroup in "${all[@]}"; do
        thaw "$cgroup"
    done
    for cgroup in "${all[@]}"; do
        until find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null; do
            [ "$SECONDS" -lt "$deadline" ] || { echo "The cgroup $cgroup is in use." >&2; return 1; }
            sleep 0.1
        done
    done
}

remove() {
    local inner
    # A test of these scripts.
    for inner in "$1"/registrator-test-*/; do
        inner=${inner%/}
        remove_cgroups "${inner##*/}" || return 1
    done
    # A run of tests has one cgroup for all of its engines.
    remove_cgroups "${REGISTRATOR_TEST_RUN:+$REGISTRATOR_TEST_RUN/}${1##*/}" && rm -rf "$1"
}

# is_abandoned INTERFACE: whether the process that its alias names is no more. One of another table of processes is not seen from
# here, and takes its network along when the table goes.
is_abandoned() {
    local pid began table stat
    read -r _ pid _ began _ table <"/sys/class/net/$1/ifalias" || return 1
    [ "$table" = "$(readlink /proc/self/ns/pid)" ] || return 1
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 0
    # From the third field on: the second may have spaces.
    read -r -a stat <<<"${stat##*) }"
    [ "${stat[19]}" != "$began" ]
}

# The interface goes last: it is what says that the rest may be there.
remove_network() {
    local namespace
    for namespace in /run/netns/"$1"-*; do
        namespace=${namespace##*/}
        ip netns pids "$namespace" | xargs -r kill -KILL 2>/dev/null || true
        ip netns delete "$namespace" || true
    done
    ip link delete "$1"
    echo "Removed the network $1, left by a run that was killed."
}

# Not while another run makes one, perhaps with the same name.
remove_networks() {
    local networks=(/sys/class/net/rgh*/) network lock
    [ "${#networks[@]}" -gt 0 ] || return 0
    exec {lock}>"$NETWORKS_LOCK"
    flock "$lock"
    for network in "${networks[@]}"; do
        network=$(basename "$network")
        ! is_abandoned "$network" || remove_network "$network"
    done
    exec {lock}>&-
}

outcome=0
for folder in "$@"; do
    remove "$folder" || outcome=1
done
[ "$#" -eq 0 ] || exit "$outcome"
[ "$(id -u)" -ne 0 ] || remove_networks
for folder in "$BASE"/registrator-{engine,demo,test}-*/; do
    folder=${folder%/}
    # Its owner may remove it in this moment.
    { exec {lock}<"$folder"; } 2>/dev/null || continue
    if flock --nonblock "$lock"; then
        if remove "$folder"; then
            echo "Removed $folder, left by a run that was killed."
        else
            outcome=1
        fi
    fi
    exec {lock}<&-
done
exit "$outcome"
