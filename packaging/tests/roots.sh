# Roots of Debian systems, made of its packages. To be sourced by a bash script; needs root.
#
#   make_root NAME PACKAGE...    makes .cache/roots/NAME, unless it is there with these packages

readonly ROOTS=$PWD/.cache/roots
# What stands in for the images that others make.
readonly TOOLS="gcc libc6-dev ca-certificates ruby haproxy"

make_root() {
    local name=$1 release mirrors
    shift
    ! [ "$(cat "$ROOTS/$name.packages" 2>/dev/null)" = "$*" ] || return 0
    release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    # From where this machine has its own packages: the first.
    mirrors=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $release")
    rm -rf "${ROOTS:?}/$name"
    mkdir -p "$ROOTS"
    mmdebstrap --quiet --variant=minbase --include="$(IFS=, && echo "$*")" "$release" "$ROOTS/$name" "${mirrors%%$'\n'*}"
    echo "$*" >"$ROOTS/$name.packages"
}
