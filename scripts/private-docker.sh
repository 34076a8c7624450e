# A Docker Engine of one's own, beside any other on the machine. To be sourced by a bash script; needs root.
#
#   private_docker_start FOLDER [OPTION...]
#                                 starts dockerd with all its files in FOLDER and namespaces of its own, so that it cannot touch
#                                 the machine's interfaces, rules, mounts and other engines; sets PRIVATE_DOCKER_HOST,
#                                 and private_docker_id to the process whose namespaces they are
#                                 FOLDER is locked by the file descriptor in `lock`
#   private_docker_stop           ends it with all its containers; their cgroups are left for scripts/leftovers.sh FOLDER
#
# Its containers reach each other, and neither this host nor the world. When the script is killed, all of it ends.

readonly PRIVATE_DOCKER_PATIENCE_SECONDS=60
private_docker_process=""
private_docker_keeper=""
private_docker_id=""

private_docker_start() {
    local folder=$1
    shift
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    mkdir -p "$folder"
    # It lives for as long as its standard input is open, whose other end only this script has. Without the lock: a frozen
    # container would keep it.
    coproc PRIVATE_DOCKER { exec setsid unshare --net --mount --propagation=slave --pid --fork --kill-child \
        sh scripts/namespaces.sh 2>>"$folder/log" {lock}>&-; }
    private_docker_keeper=$PRIVATE_DOCKER_PID
    exec {private_docker_input}>&"${PRIVATE_DOCKER[1]}"-
    if ! read -r private_docker_id <&"${PRIVATE_DOCKER[0]}"; then
        cat "$folder/log" >&2
        return 1
    fi
    PRIVATE_DOCKER_HOST=unix://$folder/docker.sock
    setsid nsenter --target "$private_docker_id" --net --mount --pid -- dockerd --host "$PRIVATE_DOCKER_HOST" --pidfile "$folder/pid" \
        --data-root "$folder/data" --exec-root /run/docker --exec-opt native.cgroupdriver=cgroupfs \
        --cgroup-parent "/${REGISTRATOR_TEST_RUN:+$REGISTRATOR_TEST_RUN/}${folder##*/}" \
        --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false --userland-proxy=false "$@" \
        >>"$folder/log" 2>&1 </dev/null &
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
    [ -n "$private_docker_keeper" ] || return 0
    exec {private_docker_input}>&-
    wait "$private_docker_keeper" 2>/dev/null || true
    private_docker_keeper=""
}
