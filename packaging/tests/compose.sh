# The compose files with real CoreDNS, Traefik and HAProxy, asked with dig and curl. To be sourced by images.sh, which has made the
# registrator's images; needs scripts/fetch-coredns.sh and fetch-traefik.sh.

readonly COMPOSE=(docker-compose --project-name registrator --file packaging/compose.yml)
readonly WITH_PROXY=("${COMPOSE[@]}" --file packaging/compose.socket-proxy.yml)

# image_of FILE SERVICE
image_of() { sed -n "/^  $2:/,/^  [a-z]/s/^    image: //p" "packaging/$1"; }

# What others make, under the names that the compose files have.
stand_ins_for_compose() {
    local folder
    folder=$(mktemp -d "$work/compose-XXXXXX")
    mkdir -p "$folder"/{coredns,traefik,whoami/bin,whoami/www}
    cp "$COREDNS_BIN" "$folder/coredns/coredns"
    cp "$TRAEFIK_BIN" "$folder/traefik/traefik"
    cp "$(type -P busybox)" "$folder/whoami/bin/busybox"
    echo "This is whoami." >"$folder/whoami/www/index.html"
    printf 'FROM %s\nCOPY coredns /\nENTRYPOINT ["/coredns"]\n' "$(from_of '')" >"$folder/coredns/Dockerfile"
    docker build --quiet --tag "$(image_of compose.yml coredns)" "$folder/coredns"
    printf 'FROM %s\nCOPY traefik /usr/local/bin/\n' "$(from_of '')" >"$folder/traefik/Dockerfile"
    docker build --quiet --tag "$(image_of compose.yml traefik)" "$folder/traefik"
    tar -C "$folder/whoami" -c . | docker import --change 'EXPOSE 80' \
        --change 'ENTRYPOINT ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www"]' - "$(image_of compose.yml whoami)"
    printf 'FROM %s\nCMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]\n' "$(from_of '')" |
        docker build --quiet --tag "$(image_of compose.socket-proxy.yml socket-proxy)" -
}

address_of() { docker inspect --format '{{(index .NetworkSettings.Networks "registrator").IPAddress}}' "$1"; }

# As the comment in compose.yml says.
has_name() { [ "$(inside dig +short +time=1 +tries=1 @127.0.0.1 -p 1053 whoami.skydns.local)" = "$(address_of registrator_whoami_1)" ]; }
has_route() { [ "$(inside curl -s -m 2 -H 'Host: whoami.localhost' http://127.0.0.1:8080/)" = "This is whoami." ]; }
says_ready() {
    local status
    status=$(inside curl -s -m 2 http://127.0.0.1:9790/api/v1/status) && grep -q '"ready": *true' <<<"$status"
}
has_no_name() {
    local answer
    answer=$(inside dig +time=1 +tries=1 @127.0.0.1 -p 1053 whoami.skydns.local) && grep -q 'status: NXDOMAIN' <<<"$answer"
}

stack_answers() {
    wait_until "CoreDNS answers for whoami" has_name
    wait_until "Traefik leads to whoami" has_route
    wait_until "the registrator says that it is ready" says_ready
}

with_its_own_etcd() {
    "${COMPOSE[@]}" up --detach --no-build
    stack_answers
    docker stop --time 0 registrator_whoami_1 >/dev/null
    wait_until "the name goes with its container" has_no_name
    "${COMPOSE[@]}" down
}

# status_at_proxy METHOD PATH
status_at_proxy() {
    local address
    address=$(docker inspect --format '{{.NetworkSettings.Networks.registrator_docker.IPAddress}}' registrator_socket-proxy_1)
    inside curl -s -o /dev/null -m 5 -w '%{http_code}' -X "$1" "http://$address:2375$2"
}

only_five_questions_pass() {
    local id
    id=$(docker inspect --format '{{.Id}}' registrator_whoami_1)
    for path in /_ping /v1.41/info /containers/json "/v1.41/containers/$id/json"; do
        [ "$(status_at_proxy GET "$path")" = 200 ] || fail "the proxy does not let GET $path through"
    done
    for path in /v1.41/containers/create "/v1.41/containers/$id/stop" /_ping; do
        [ "$(status_at_proxy POST "$path")" = 403 ] || fail "the proxy lets POST $path through"
    done
    for path in "/containers/$id/archive?path=/etc/shadow" "/containers/$id/logs" /images/json /containers/../images/json \
        "/containers/json/../$id/export" "/containers/$id%2Fexport" /v1.41/events/../secrets; do
        [ "$(status_at_proxy GET "$path")" = 403 ] || fail "the proxy lets GET $path through"
    done
}

# The stream of events is cut each second, and a container that starts between two is found all the same.
cuts_are_told_once() {
    local lines
    wait_until "the stream was cut" logged registrator_registrator_1 'events ended after'
    docker run -d --name late --network registrator --label com.docker.compose.project=other --label com.docker.compose.service=late --stop-signal KILL busybox sleep 1000000
    wait_until "a container that comes between two cuts has a name" \
        eval '[ "$(inside dig +short +time=1 +tries=1 @127.0.0.1 -p 1053 late.skydns.local)" = "$(address_of late)" ]'
    docker rm --force late >/dev/null
    wait_until "more cuts came" eval '[ "$(cuts)" -ge 4 ]'
    lines=$(docker logs registrator_registrator_1 2>&1 | grep -cE '(lost|connected to) Docker|events ended after')
    # The first connection, and the one line of the cuts.
    [ "$lines" = 2 ] || fail "the cuts fill the log: $lines lines"
}

# How often HAProxy has ended the stream.
cuts() { docker logs registrator_socket-proxy_1 2>&1 | grep -c 'GET /v[^ ]*/events'; }

with_a_proxy_and_a_cluster() {
    etcd_start
    export ETCD_ENDPOINT=$etcd SOCKET_PROXY_IDLE=1s
    "${WITH_PROXY[@]}" up --detach --no-build
    stack_answers
    has_key "/skydns/local/skydns/whoami/$(docker inspect --format '{{printf "%.12s" .Id}}' registrator_whoami_1)" ||
        fail "the name is not in the etcd of ETCD_ENDPOINT"
    only_five_questions_pass
    cuts_are_told_once
    "${WITH_PROXY[@]}" down
    unset ETCD_ENDPOINT SOCKET_PROXY_IDLE
    etcd_stop
}
