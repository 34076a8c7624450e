# A private Docker Engine with stand-ins for the images of others, and what the tests of images share. To be sourced by a bash
# script; needs root.
#
#   engine_start     sets DOCKER_HOST; everything goes at the end of the script
#   stand_in_for_build, stand_in_for_ruby, …    images with the names that Dockerfile and compose files ask for, made of Debian's
#                    packages and of this machine's Rust: no registry of images is asked. Their files are kept in .cache/roots
#   etcd_start       an etcd that containers reach; sets etcd to its endpoint
#   inside COMMAND   in the engine's network, where its containers and the ports that they publish are reached
#   wait_until WHAT COMMAND...    for a minute at most
#
# What is tested is the Dockerfile and the compose files as they are, with the classic builder.

. scripts/private-docker.sh
. packaging/tests/roots.sh

export DOCKER_BUILDKIT=0
readonly PATIENCE_SECONDS=60
readonly SOCKET_GROUP=4201
work=""
etcd=""
etcd_process=""

say() { printf '%s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

clean_up() {
    local outcome=$?
    trap - EXIT
    trap '' INT TERM HUP
    [ "$outcome" -eq 0 ] || [ -z "$private_docker_id" ] || show_logs >&2 || true
    etcd_stop
    private_docker_stop
    [ -z "$work" ] || scripts/leftovers.sh "$work" || outcome=1
    exit "$outcome"
}

show_logs() {
    local container
    for container in $(docker ps --all --format '{{.Names}}'); do
        say "-- $container"
        docker logs --tail 30 "$container" 2>&1
    done
}

# Locked for as long as the script lives, so that nobody takes it for a leftover: scripts/leftovers.sh.
engine_start() {
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    until [ -d "$work" ]; do
        work=$(mktemp -d -t registrator-engine-XXXXXX)
        { exec {lock}<"$work"; } && flock "$lock" || true
    done
    # Where users have it too: the socket's folder is the engine's own.
    # The socket has a group of its own, as where Docker was installed.
    private_docker_start "$work" --host unix:///run/docker.sock --userland-proxy=true --group "$SOCKET_GROUP"
    export DOCKER_HOST=$PRIVATE_DOCKER_HOST
}

inside() { nsenter --target "$private_docker_id" --net -- "$@"; }

# Not with the file descriptors that keep engine and folder.
etcd_start() {
    local address
    address=$(inside ip -4 -o address show docker0 | awk '{ sub("/.*", "", $4); print $4 }')
    etcd=http://$address:2379
    inside setpriv --pdeathsig KILL etcd --data-dir "$work/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
        --listen-peer-urls http://127.0.0.1:2380 >"$work/etcd.log" 2>&1 {lock}>&- {private_docker_input}>&- &
    etcd_process=$!
    wait_until "etcd answers" etcdctl_inside endpoint health
}

etcd_stop() {
    [ -n "$etcd_process" ] || return 0
    kill "$etcd_process" 2>/dev/null || true
    wait "$etcd_process" 2>/dev/null || true
    etcd_process=""
}

etcdctl_inside() { inside env ETCDCTL_API=3 etcdctl --endpoints="${etcd:-http://127.0.0.1:2379}" "$@" 2>/dev/null; }

wait_until() {
    local what=$1 deadline=$((SECONDS + PATIENCE_SECONDS))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "not within $PATIENCE_SECONDS s: $what"
        sleep 0.1
    done
}

# The official image of Rust: Debian with a linker, the toolchain of this machine, what was fetched for it already, and what `make dist`
# has built, so that the Dockerfile builds only what has changed since. It has no network.
stand_in_for_build() {
    local home=${CARGO_HOME:-$HOME/.cargo} root=$ROOTS/tools
    make_root tools $TOOLS
    # In a table of mounts that ends with the command.
    unshare --mount bash -euc '
        root=$1 home=$2 sysroot=$3 target=$4
        mount -t tmpfs none /mnt
        mkdir /mnt/work /mnt/upper /mnt/whole
        mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/whole
        mkdir -p "/mnt/whole$home" /mnt/whole/usr/src/registrator/target
        mount --bind "$sysroot" /mnt/whole/usr/local
        mount --bind "$home" "/mnt/whole$home"
        mount --bind "$target" /mnt/whole/usr/src/registrator/target
        cd /mnt/whole
        # 1: somebody builds something else at the same time.
        tar -c --exclude=./dev/\* --exclude=./usr/local/share --exclude=".$home/bin" \
            --exclude=./usr/src/registrator/target/{debug,release,doc,tmp} --exclude=./usr/src/registrator/target/\*/\*/kontena-registrator . || [ $? -eq 1 ]
    ' bash "$root" "$home" "$(rustc --print sysroot)" "$(realpath "${CARGO_TARGET_DIR:-target}")" |
        docker import --change "ENV CARGO_HOME=$home" --change "ENV CARGO_NET_OFFLINE=true" - "$(from_of build)" >/dev/null
}

stand_in_for_ruby() {
    make_root tools $TOOLS
    tar -C "$ROOTS/tools" -c . | docker import - "$(from_of '')" >/dev/null
}

# from_of STAGE: the image that a stage of the Dockerfile begins with; the last one has no name.
from_of() {
    if [ -n "$1" ]; then
        sed -n "s/^FROM \(.*\) AS $1\$/\1/p" Dockerfile
    else
        sed -n 's/^FROM \([^ ]*\)$/\1/p' Dockerfile
    fi
}

# busybox alone, as an image.
make_busybox() {
    mkdir -p "$work/busybox/bin"
    cp "$(type -P busybox)" "$work/busybox/bin/busybox"
    tar -C "$work/busybox" -c . | docker import --change 'ENTRYPOINT ["/bin/busybox"]' - busybox >/dev/null
}
