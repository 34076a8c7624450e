#!/bin/bash
# The one-minute start behind `make run`: real containers of its own in, true etcd nodes out.
#
# Builds the program, starts two small containers, runs the registrator with the shipped policies on its embedded etcd, shows
# the nodes, follows the log, and on ^C takes everything away again that it made: containers, image, processes, folders, and
# the Docker daemon if it had to start one.
#
#   DEMO_ONCE=1 scripts/demo.sh                         do it once, check that nodes come and go, and end
#   KONTENA_REGISTRATOR_EMBEDDED_LISTEN=127.0.0.1:4001  where the embedded etcd shall listen
#   DEMO_PROGRAM=target/release/kontena-registrator     run this program instead of building one
#
# Only processes that this script started are ended, each by its process id.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/private-docker.sh

readonly IMAGE=registrator-demo:busybox
readonly LABEL=registrator-demo
readonly PREFIX=registrator-demo
readonly PATIENCE_SECONDS=60

work=""
registrator=""
follower=""
containers_may_exist=""
image_is_ours=""

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
fail() {
    printf '\nThe demo failed: %s\n' "$*" >&2
    if [ -s "$work/registrator.log" ]; then
        printf '%s\n' "-- what the registrator said:" >&2
        cat "$work/registrator.log" >&2
    fi
    exit 1
}

end_process() {
    [ -n "$1" ] && kill "$1" 2>/dev/null || return 0
    wait "$1" 2>/dev/null || true
}

own_containers() { docker ps --all --quiet --filter "label=$LABEL=$$"; }

clean_up() {
    local outcome=$?
    trap - EXIT
    trap '' INT TERM HUP
    [ -z "$work" ] || printf '\n%s\n' "Cleaning up ..." >&2
    end_process "$follower"
    end_process "$registrator"
    if [ -n "$containers_may_exist" ]; then
        own_containers | xargs -r docker rm --force --volumes >/dev/null || outcome=1
    fi
    [ -z "$image_is_ours" ] || docker rmi "$IMAGE" >/dev/null || outcome=1
    private_docker_stop
    [ -z "$work" ] || scripts/leftovers.sh "$work" || outcome=1
    exit "$outcome"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

build() {
    program=${DEMO_PROGRAM:-${CARGO_TARGET_DIR:-target}/debug/kontena-registrator}
    [ -z "${DEMO_PROGRAM:-}" ] || return 0
    step "Building the registrator (the first time takes some minutes)"
    PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin" cargo build --locked --package registrator --bin kontena-registrator
}

# Locked for as long as this script lives, so that nobody takes it for a leftover: scripts/leftovers.sh.
make_folder() {
    until [ -d "$work" ]; do
        work=$(mktemp -d -t registrator-demo-XXXXXX)
        { exec {lock}<"$work"; } && flock "$lock" || true
    done
}

# The daemon that `docker` talks to, or else a private one. The registrator is told the same address.
find_docker() {
    if docker info >/dev/null 2>&1; then
        # A context chosen with `docker context use` is known to the client alone.
        export DOCKER_HOST=${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}')}
        say "Using the Docker Engine at $DOCKER_HOST."
        return
    fi
    [ "$(id -u)" -eq 0 ] || fail "no Docker Engine answers. Start Docker, or let this user reach it (group docker), or run 'sudo make run'."
    say "No Docker Engine answers here, so the demo starts one of its own."
    private_docker_start "$work" || fail "the Docker Engine does not start; see above"
    export DOCKER_HOST=$PRIVATE_DOCKER_HOST
}

refuse_a_second_demo() {
    local container owner
    for container in $(docker ps --all --quiet --filter "label=$LABEL"); do
        owner=$(docker inspect --format "{{index .Config.Labels \"$LABEL\"}}" "$container")
        if kill -0 "$owner" 2>/dev/null; then
            fail "another demo is running here (process $owner)"
        fi
        docker rm --force --volumes "$container" >/dev/null
    done
}

make_image() {
    mkdir -p "$work/image/bin" "$work/image/www"
    cp "$(PATH="$PATH:/usr/sbin:/sbin" command -v busybox)" "$work/image/bin/busybox"
    printf 'This is the container of the demo.\n' >"$work/image/www/index.html"
    tar -C "$work/image" -c . |
        docker import --change 'ENTRYPOINT ["/bin/busybox"]' - "$IMAGE" >/dev/null
    image_is_ours=yes
}

# start_container NAME OPTIONS COMMAND...
start_container() {
    local name=$1 options=$2
    shift 2
    containers_may_exist=yes
    # Process 1 of a container ignores the usual signal.
    # shellcheck disable=SC2086 # several options, or none
    docker run --detach --label "$LABEL=$$" --stop-signal KILL --name "$PREFIX-$name" $options "$IMAGE" "$@" >/dev/null
    say "docker run --name $PREFIX-$name $options${options:+ }$IMAGE $*"
}

port_is_taken() { (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null; }

choose_listen_address() {
    listen=${KONTENA_REGISTRATOR_EMBEDDED_LISTEN:-}
    [ -z "$listen" ] || return 0
    local port
    for port in 2379 12379 22379 32379; do
        listen=127.0.0.1:$port
        port_is_taken "$listen" || break
        say "Something listens on $listen already; trying the next port."
        listen=""
    done
    [ -n "$listen" ] || fail "no free port found; choose one with KONTENA_REGISTRATOR_EMBEDDED_LISTEN=127.0.0.1:PORT"
}

start_registrator() {
    say "$program run --policies etc/policies/ --services etc/services/ --embedded-listen $listen --admin-socket $work/admin.sock --admin-listen 127.0.0.1:0"
    # Its own session: ^C reaches this script alone, which then ends things in order; it ends with this script, whatever ends
    # that. No etcd of the caller's is written to.
    env -u ETCD_ENDPOINT -u ETCD_ENDPOINTS setsid setpriv --pdeathsig KILL "$program" run --policies etc/policies/ --services etc/services/ \
        --embedded-listen "$listen" --admin-socket "$work/admin.sock" --admin-listen 127.0.0.1:0 >"$work/registrator.log" 2>&1 </dev/null &
    registrator=$!
}

registrator_lives() { kill -0 "$registrator" 2>/dev/null; }
nodes() { ETCDCTL_API=3 etcdctl --endpoints="$listen" get --prefix /skydns "$@" 2>/dev/null; }

# Both read etcd first: an etcd that does not answer has no node, and has none gone either.
has_node() { local keys && keys=$(nodes --keys-only) && grep -q "/$PREFIX-$1/" <<<"$keys"; }
gone() { local keys && keys=$(nodes --keys-only) && ! grep -q "/$PREFIX-$1/" <<<"$keys"; }

# wait_until WHAT COMMAND...: polls until the command succeeds, the registrator ends, or patience does.
wait_until() {
    local what=$1
    shift
    local deadline=$((SECONDS + PATIENCE_SECONDS))
    until "$@"; do
        registrator_lives || fail "the registrator ended"
        [ "$SECONDS" -lt "$deadline" ] || fail "$what not within $PATIENCE_SECONDS seconds"
        sleep 0.05
    done
}

show_nodes() {
    say "ETCDCTL_API=3 etcdctl --endpoints=$listen get --prefix /skydns"
    say ""
    nodes
}

# Why the nodes are there, in words and on a page.
show_answers() {
    step "Why is it there?"
    say "$program explain --admin-socket $work/admin.sock $PREFIX-web"
    "$program" explain --admin-socket "$work/admin.sock" "$PREFIX-web"
    say ""
    say "All of it on a page: $(sed -n 's/.*the page is at //p' "$work/registrator.log")"
}

explain() {
    step "Your turn, in a second terminal"
    if [ -n "${PRIVATE_DOCKER_HOST:-}" ]; then
        say "export DOCKER_HOST=$DOCKER_HOST"
    fi
    cat <<END
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=$listen KONTENA_REGISTRATOR_EMBEDDED_LISTEN=$listen
etcdctl watch --prefix /skydns &
docker run --detach --label $LABEL=$$ --name $PREFIX-more $IMAGE sleep 1000000
docker stop $PREFIX-db
docker rename $PREFIX-web $PREFIX-site
$program plan
$program check

== The registrator's log; ^C ends the demo and takes everything away again
END
}

follow_until_stopped() {
    cat "$work/registrator.log"
    setpriv --pdeathsig KILL tail -n 0 -f "$work/registrator.log" &
    follower=$!
    local outcome=0
    wait "$registrator" || outcome=$?
    registrator=""
    fail "the registrator ended with exit code $outcome"
}

prove_and_end() {
    step "Stopping the container $PREFIX-db"
    docker stop "$PREFIX-db" >/dev/null
    wait_until "its node went away:" gone db
    has_node web || fail "the node of $PREFIX-web is gone too"
    show_nodes
    say ""
    say "The demo works: nodes came with their containers and went with them."
}

scripts/install-deps.sh run
build
scripts/leftovers.sh
make_folder
step "Two containers"
find_docker
refuse_a_second_demo
make_image
start_container web '--expose 80' httpd -f -p 80 -h /www
start_container db "" sleep 1000000
step "The registrator, with an etcd of its own"
choose_listen_address
start_registrator
wait_until "the nodes of both containers were not there:" has_node web
wait_until "the nodes of both containers were not there:" has_node db
step "The nodes in etcd"
show_nodes
show_answers
if [ "${DEMO_ONCE:-}" = 1 ]; then
    prove_and_end
else
    explain
    follow_until_stopped
fi
