#!/bin/bash
# Removes what killed tests and demos have left behind: their folders, and the cgroups of their containers.
#
# Whoever makes such a folder holds a lock (flock) on it: one without a lock belongs to nobody any more. Their processes,
# interfaces and mounts have gone with their namespaces: scripts/namespaces.sh. Prints what it removes.
set -euo pipefail
shopt -s nullglob

readonly BASE=${TMPDIR:-/tmp}
readonly PATIENCE_SECONDS=10

# A frozen process of the first version of cgroups does not even die.
thaw() {
    local state
    while read -r state; do
        echo THAWED >"$state"
    done < <(find "$1" -name freezer.state -not -path "$1/freezer.state")
}

# The cgroup has the name of the folder.
remove_cgroups() {
    local cgroup deadline=$((SECONDS + PATIENCE_SECONDS))
    for cgroup in /sys/fs/cgroup/"$1"/ /sys/fs/cgroup/*/"$1"/; do
        thaw "${cgroup%/}"
        until find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null; do
            [ -d "$cgroup" ] || break
            [ "$SECONDS" -lt "$deadline" ] || { echo "The cgroup $cgroup is in use." >&2; return 1; }
            sleep 0.1
        done
    done
}

outcome=0
for folder in "$BASE"/registrator-{engine,demo,test}-*/; do
    folder=${folder%/}
    # Its owner may remove it in this moment.
    { exec {lock}<"$folder"; } 2>/dev/null || continue
    if flock --nonblock "$lock"; then
        if remove_cgroups "${folder##*/}"; then
            rm -rf "$folder"
            echo "Removed $folder, left by a run that was killed."
        else
            outcome=1
        fi
    fi
    exec {lock}<&-
done
exit "$outcome"
