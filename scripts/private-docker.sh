# A Docker Engine of one's own, beside any other on the machine. To be sourced by a bash script; needs root.
#
#   private_docker_start FOLDER NAME   starts dockerd with all its files in FOLDER and a bridge called NAME;
#                                      sets PRIVATE_DOCKER_HOST
#   private_docker_stop                ends it, by its process id, and takes the bridge away
#
# Its containers reach this host and each other, not the world: it leaves the machine's firewall and routing alone.

readonly PRIVATE_DOCKER_PATIENCE_SECONDS=60
private_docker_process=""
private_docker_folder=""
private_docker_bridge=""

# 172.31.N.1 for the first N whose network no interface has yet.
private_docker_address() {
    local n taken
    taken=$(ip -4 -oneline address show)
    for n in $(seq 213 233); do
        if [[ "$taken" != *"inet 172.31.$n."* ]]; then
            echo "172.31.$n.1/24"
            return
        fi
    done
    echo "No free network among 172.31.213.0/24 to 172.31.233.0/24." >&2
    return 1
}

private_docker_start() {
    local folder=$1 address
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    mkdir -p "$folder"
    private_docker_folder=$folder
    address=$(private_docker_address) || return 1
    if ip link show dev "$2" >/dev/null 2>&1; then
        # Left by a run that was killed: a bridge that nothing is plugged into.
        [ -z "$(ip -oneline link show master "$2")" ] || { echo "The network bridge $2 is in use." >&2; return 1; }
        ip link delete dev "$2"
    fi
    ip link add name "$2" type bridge || return 1
    private_docker_bridge=$2
    ip address add "$address" dev "$2" && ip link set dev "$2" up || return 1
    PRIVATE_DOCKER_HOST=unix://$folder/docker.sock
    setsid dockerd --host "$PRIVATE_DOCKER_HOST" --data-root "$folder/data" --exec-root "$folder/exec" \
        --pidfile "$folder/pid" --bridge "$2" --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false \
        --userland-proxy=false >"$folder/log" 2>&1 </dev/null &
    private_docker_process=$!
    private_docker_wait "$folder/log"
}

private_docker_wait() {
    local deadline=$((SECONDS + PRIVATE_DOCKER_PATIENCE_SECONDS))
    until docker --host "$PRIVATE_DOCKER_HOST" info >/dev/null 2>&1; do
        if ! kill -0 "$private_docker_process" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            tail -n 20 "$1" >&2
            return 1
        fi
        sleep 0.1
    done
}

private_docker_stop() {
    if [ -n "$private_docker_process" ]; then
        kill "$private_docker_process" 2>/dev/null || true
        wait "$private_docker_process" 2>/dev/null || true
        private_docker_process=""
        private_docker_unmount "$private_docker_folder"
    fi
    if [ -n "$private_docker_bridge" ]; then
        ip link delete dev "$private_docker_bridge" || return 1
        private_docker_bridge=""
    fi
}

# What a daemon that was cut short has left mounted below its folder: the innermost first.
private_docker_unmount() {
    local mounted
    while read -r mounted; do
        umount "$mounted" || true
    done < <(awk -v folder="$1/" 'index($2, folder) == 1 { print $2 }' /proc/mounts | sort -r)
}
