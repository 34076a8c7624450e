#!/bin/bash
# Builds the images as the README says, and runs them: the line that users of the original program type, Ruby policies that leave
# processes behind, and the image without Ruby with every right taken away. Needs what `scripts/dist.sh files` has built.
set -euo pipefail
cd "$(dirname "$0")/../.."
. packaging/tests/engine.sh
. packaging/tests/compose.sh

readonly STATIC_IMAGE_LIMIT=25000000
readonly NODE=/skydns/local/skydns

# Each reads all of it first: grep ends at the first match, and the program before it in a pipe would fail.
has_key() { local keys && keys=$(etcdctl_inside get --prefix --keys-only "$1") && grep -qxF "$1" <<<"$keys"; }
logged() { local log && log=$(docker logs "$1" 2>&1) && grep -qE "$2" <<<"$log"; }
is_gone() { ! docker inspect "$1" >/dev/null 2>&1; }

is_healthy() { [ "$(of_container "$1" '{{.State.Health.Status}}')" = healthy ]; }

of_image() { docker image inspect --format "$2" "$1"; }
of_container() { docker inspect --format "$2" "$1"; }

# ends_within CONTAINER SECONDS CODE: on being asked, in order.
ends_within() {
    local began=$SECONDS code
    docker stop "$1" >/dev/null
    [ $((SECONDS - began)) -le "$2" ] || fail "$1 took $((SECONDS - began)) s to end"
    code=$(of_container "$1" '{{.State.ExitCode}}')
    [ "$code" = "$3" ] || fail "$1 ended with exit code $code, not $3"
}

build() {
    local began=$SECONDS
    docker build -t kontena/registrator .
    docker build -t kontena/registrator:static --target static .
    say "built in $((SECONDS - began)) s"
}

images_are_as_documented() {
    local size user
    size=$(of_image kontena/registrator:static '{{.Size}}')
    [ "$size" -le "$STATIC_IMAGE_LIMIT" ] || fail "the image without Ruby has $size bytes, more than $STATIC_IMAGE_LIMIT"
    user=$(of_image kontena/registrator:static '{{.Config.User}}')
    [ "$user" = 65532:65532 ] || fail "the image without Ruby runs as $user"
    say "kontena/registrator:static has $size bytes, kontena/registrator $(of_image kontena/registrator '{{.Size}}')"
    docker run --rm kontena/registrator:static check
    docker run --rm kontena/registrator check
}

# As its users have it in their units and notes.
the_line_of_the_original() {
    inside_docker_line &
    wait_until "the node of web is there" has_key "$NODE/web"
    wait_until "all that ended is waited for" no_zombies kontena-registrator
    docker stop kontena-registrator >/dev/null
    wait "$!" || fail "docker run ended with exit code $?"
    wait_until "the container is removed" is_gone kontena-registrator
}

inside_docker_line() {
    docker run --rm --name kontena-registrator --net host -v /var/run/docker.sock:/var/run/docker.sock -e LOG_LEVEL=info -e KONTENA_REGISTRATOR_POLICIES=etc/policies/*.rb kontena/registrator
}

no_zombies() {
    local zombies
    zombies=$(docker top "$1" -eo pid,stat,args | awk 'NR > 1 && $2 ~ /^Z/') && [ -z "$zombies" ]
}

# Each evaluation leaves a process behind: the registrator kills it, and as the first process of the container has to wait for it.
processes_that_policies_leave() {
    local id
    mkdir -p "$work/policies"
    cat >"$work/policies/leaves.rb" <<'END'
docker_container -> (container) {
  spawn('sleep 1000000')
  { "/left/#{container.name}" => 'x' }
}
END
    docker run -d --name left --net host -v /var/run/docker.sock:/var/run/docker.sock -v "$work/policies:/policies:ro" \
        -e KONTENA_REGISTRATOR_POLICIES=/policies kontena/registrator >/dev/null
    wait_until "the policy is stopped for what it leaves" logged left 'policy failed for container web'
    wait_until "all that was killed is waited for" nothing_but_the_registrator left
    # Nothing but the program knows what to do with it.
    docker kill --signal HUP left >/dev/null
    ends_within left 5 0
    docker rm left >/dev/null
}

# The first process, the program, an interpreter; neither zombies nor what was left.
nothing_but_the_registrator() {
    local others
    others=$(docker top "$1" -eo pid,stat,args | awk 'NR > 1 && ($2 ~ /^Z/ || $0 ~ /sleep/)')
    [ -z "$others" ]
}

without_any_right() {
    mkdir -p "$work/services/skydns"
    echo '{"network": "bridge"}' >"$work/services/skydns/bridge.json"
    docker run -d --name registrator --restart unless-stopped --network host \
        --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /run/kontena-registrator --health-interval 1s \
        --group-add "$SOCKET_GROUP" -v /var/run/docker.sock:/var/run/docker.sock \
        -v "$work/services:/registrator/services:ro" kontena/registrator:static >/dev/null
    wait_until "the node of web is there" has_key "$NODE/web/$(docker inspect --format '{{printf "%.12s" .Id}}' web)"
    wait_until "it is healthy" is_healthy registrator
    docker exec registrator /kontena-registrator status
    ends_within registrator 5 0
    docker rm registrator >/dev/null
}

engine_start
stand_in_for_build
stand_in_for_ruby
build
images_are_as_documented
make_busybox
docker run -d --name web --hostname web --stop-signal KILL busybox sleep 1000000 >/dev/null
the_line_of_the_original
processes_that_policies_leave
without_any_right
docker rm --force web >/dev/null
stand_ins_for_compose
with_its_own_etcd
with_a_proxy_and_a_cluster
say "The images work."
