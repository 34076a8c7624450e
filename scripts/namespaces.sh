#!/bin/sh
# Keeps network, mounts and processes apart from the machine's for as long as standard input is open: a place for a Docker
# Engine of one's own. To be run by
#
#   unshare --net --mount --propagation=slave --pid --fork --kill-child sh scripts/namespaces.sh
#
# Prints the id of the process whose namespaces they are, for `nsenter --target ID --net --mount --pid`. When standard input
# ends, as it does with the process that holds its other end, however that one ends, the kernel kills everything inside and
# takes its interfaces and mounts away. What is left are cgroups and files: scripts/leftovers.sh.
set -eu

# The machine's /proc is still here: this is the id by which those outside know this process.
read -r id _ </proc/self/stat
mount -t proc proc /proc
# Sockets and states of engines, and Docker's key and settings: an engine in here neither sees nor changes the machine's.
mount -t tmpfs tmpfs /run
mkdir -p /etc/docker
mount -t tmpfs tmpfs /etc/docker
ip link set lo up
# Nobody else is on these networks who could have an address already: without this one cannot be used for its first second, and what
# connects then waits for two minutes.
dad=/proc/sys/net/ipv6/conf/default/accept_dad
if [ -w "$dad" ]; then
  echo 0 >"$dad"
fi
echo "$id"

# The first process inside has to wait for the processes that lose their parents.
exec 3<&0
cat <&3 >/dev/null 2>&1 &
wait $!
