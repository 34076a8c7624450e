#!/bin/bash
# The Debian package: clean for lintian; installed, configured, upgraded, removed and purged on a fresh Debian that runs systemd, in a
# container of a private Docker Engine, beside a real etcd. Needs what `scripts/dist.sh package` has built.
set -euo pipefail
cd "$(dirname "$0")/../.."
. packaging/tests/engine.sh

readonly NAME=kontena-registrator
readonly ETC=/etc/$NAME
readonly CONFIGURATION=$ETC/services/skydns/bridge.json

# Of a failure.
show_logs() { on_host journalctl --quiet --no-pager --lines 40; }

on_host() { docker exec host "$@"; }
nodes() { etcdctl_inside get --prefix /skydns "$@"; }

# Each key with the revision of its last change.
revisions() { nodes --write-out=fields | grep -E '^"(Key|ModRevision)"'; }

# Each reads all of it first: grep ends at the first match, and the program before it in a pipe would fail.
has_node() { local keys && keys=$(nodes --keys-only) && grep -qF "/$1/" <<<"$keys"; }
has_none() { local keys && keys=$(nodes --keys-only) && [ -z "$keys" ]; }
log_has() { local log && log=$(on_host journalctl --quiet --no-pager --unit "$NAME") && grep -qE "$1" <<<"$log"; }
is_up() { case $(on_host systemctl is-system-running 2>/dev/null) in running | degraded) ;; *) return 1 ;; esac; }
state_is() { [ "$(on_host systemctl is-active "$NAME")" = "$1" ]; }

assert() { "$@" || fail "$*"; }
assert_not() { ! "$@" || fail "not expected: $*"; }

the_package() {
    local packages=(dist/"$NAME"_*.deb)
    [ "${#packages[@]}" -eq 1 ] || fail "there is not one package in dist/: ${packages[*]}"
    package=${packages[0]}
}

# The same package with a higher version, and a policy that was changed by us.
make_newer() {
    dpkg-deb --raw-extract "$package" "$work/newer"
    sed -i 's/^Version: .*/&+1/' "$work/newer/DEBIAN/control"
    echo "# changed in the newer version" >>"$work/newer$ETC/policies/vulcand.star"
    dpkg-deb --root-owner-group --build "$work/newer" "$work/newer.deb" >/dev/null
}

# A Debian with systemd as its first process. Docker's socket is that of the engine it runs on.
start_host() {
    make_root debian systemd systemd-sysv dbus
    tar -C "$ROOTS/debian" -c . | docker import - debian-with-systemd >/dev/null
    docker run -d --name host --cgroupns=host --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined --tmpfs /run --tmpfs /run/lock --tmpfs /tmp:exec \
        -v /sys/fs/cgroup:/sys/fs/cgroup:rw -v /var/run/docker.sock:/docker.sock -v "$work:/packages:ro" -e container=docker \
        --stop-signal SIGRTMIN+3 debian-with-systemd /lib/systemd/systemd >/dev/null
    wait_until "systemd is up" is_up
}

installed() {
    cp "$package" "$work/package.deb"
    # As on a host with Docker.
    on_host groupadd --gid "$SOCKET_GROUP" docker
    on_host dpkg --install /packages/package.deb
    assert on_host "$NAME" --version
    assert on_host test -s /usr/share/man/man1/"$NAME"-plan.1.gz
    assert on_host bash -n /usr/share/bash-completion/completions/"$NAME"
    assert on_host test -s /usr/share/zsh/vendor-completions/_"$NAME"
    assert on_host test -s /usr/share/fish/vendor_completions.d/"$NAME".fish
    assert on_host id "$NAME"
    assert on_host systemctl is-enabled "$NAME"
    assert on_host "$NAME" check --policies "$ETC/policies" --services "$ETC/services"
}

configured() {
    printf '%s\n' DOCKER_HOST=unix:///docker.sock "ETCD_ENDPOINT=$etcd" | on_host_write /etc/default/"$NAME"
    on_host systemctl restart "$NAME"
    assert state_is active
    wait_until "nothing is registered without a configuration" log_has 'in sync: 0 nodes'
    assert has_none
    on_host mkdir -p "$(dirname "$CONFIGURATION")"
    on_host cp "/usr/share/doc/$NAME/examples/services/skydns/bridge.json" "$CONFIGURATION"
    wait_until "a configuration counts as soon as it is there" has_node web
    wait_until "it says that it is ready" on_host "$NAME" status --ready
}

on_host_write() { docker exec -i host tee -a "$1" >/dev/null; }

# Without a process for a moment, and without a write to any node.
upgraded() {
    local before after process
    before=$(revisions)
    process=$(on_host systemctl show --property MainPID --value "$NAME")
    echo "# mine" | on_host_write "$ETC/policies/skydns.star"
    on_host dpkg --force-confold --install /packages/newer.deb
    wait_until "the new version is in sync" log_has 'took over lease'
    wait_until "the new version is in sync" state_is active
    assert_not test "$process" = "$(on_host systemctl show --property MainPID --value "$NAME")"
    docker run -d --name later --stop-signal KILL busybox sleep 1000000 >/dev/null
    wait_until "the new version registers" has_node later
    docker rm --force later >/dev/null
    wait_until "the new version removes" assert_absent later
    after=$(revisions)
    [ "$before" = "$after" ] || fail "an upgrade changes nodes: $(diff <(echo "$before") <(echo "$after"))"
    assert on_host grep -q '^# mine' "$ETC/policies/skydns.star"
    assert on_host grep -q '^# changed in the newer' "$ETC/policies/vulcand.star"
}

# An etcd that does not answer has no node, and has none gone either.
assert_absent() { local keys && keys=$(nodes --keys-only) && ! grep -qF "/$1/" <<<"$keys"; }

removed() {
    on_host dpkg --remove "$NAME"
    assert_not on_host test -e "/usr/bin/$NAME"
    assert_not state_is active
    assert on_host test -e "$CONFIGURATION"
    assert on_host test -e "/etc/default/$NAME"
    on_host dpkg --purge "$NAME"
    assert_not on_host test -e "$ETC"
    assert_not on_host test -e "/etc/default/$NAME"
    [ -z "$(on_host find / -xdev -name "*$NAME*" -not -path '/proc/*' -not -path '/sys/*' -not -path '/var/log/*' -not -path '/run/*')" ] ||
        fail "a purge leaves $(on_host find / -xdev -name "*$NAME*" -not -path '/proc/*' -not -path '/sys/*')"
}

the_package
lintian --fail-on error,warning "$package"
engine_start
make_newer
make_busybox
etcd_start
docker run -d --name web --stop-signal KILL busybox sleep 1000000 >/dev/null
start_host
installed
configured
upgraded
removed
say "The package works."
