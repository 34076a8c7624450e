#!/bin/bash
# `make dist`: what is given to others, in dist/.
#
#   scripts/dist.sh program    the program, which needs no library of the machine, and the lines of its source beside it, for debuggers
#   scripts/dist.sh files      that, completions, manual pages, and the file with every option
#   scripts/dist.sh package    that, and the Debian package; needs debhelper
#   scripts/dist.sh images     the images, by `docker build`
#   scripts/dist.sh            all of it, and checksums
set -euo pipefail
cd "$(dirname "$0")/.."

readonly DIST=dist
readonly NAME=kontena-registrator
readonly IMAGE=kontena/registrator
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
readonly version
PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"

say() { printf '%s\n' "$*" >&2; }

# The C library is linked into the program. That concerns the program alone, and not what runs while it is built: hence the target.
program() {
    local target built
    target=$(rustc --version --verbose | sed -n 's/^host: //p')
    built=${CARGO_TARGET_DIR:-target}/$target/dist/$NAME
    RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
        cargo build --locked --profile dist --target "$target" --package registrator --bin "$NAME"
    mkdir -p "$DIST"
    objcopy --only-keep-debug --compress-debug-sections=zlib "$built" "$DIST/$NAME.debug"
    # Another name first: the one that is there may be running.
    (cd "$DIST" && objcopy --strip-all --add-gnu-debuglink="$NAME.debug" "$OLDPWD/$built" "$NAME.new" && mv "$NAME.new" "$NAME")
}

files() {
    local shell
    program
    mkdir -p "$DIST/completions"
    for shell in bash zsh fish; do
        "$DIST/$NAME" generate completions "$shell" >"$DIST/completions/$NAME.$shell"
    done
    "$DIST/$NAME" generate environment >"$DIST/$NAME.default"
    rm -rf "$DIST/man"
    "$DIST/$NAME" generate man "$DIST/man"
}

# Debian's tools want a source of its own, with debian/ in it.
package() {
    local source=$DIST/package/$NAME-$version
    files
    rm -rf "$DIST/package" "$DIST/$NAME"_*.deb
    mkdir -p "$source"
    cp -r packaging/debian "$source/debian"
    cp -r etc docs README.md CHANGELOG.md LICENSE "$source/"
    cp -r packaging/prometheus "$source/"
    cp packaging/$NAME.service "$source/debian/"
    cp -r "$DIST/completions" "$DIST/man" "$DIST/$NAME.default" "$source/"
    cp "$DIST/$NAME" "$DIST/$NAME.debug" "$source/"
    changelog >"$source/debian/changelog"
    (cd "$source" && dpkg-buildpackage --build=binary --no-sign)
    mv "$DIST/package/"*.deb "$DIST/"
}

# The version is that of the program, the rest stands in CHANGELOG.md.
changelog() {
    local date
    date=$(git log -1 --format=%cD 2>/dev/null) || date=$(date --rfc-email --reference CHANGELOG.md)
    cat <<END
$NAME ($version-1) unstable; urgency=medium

  * What changed stands in CHANGELOG.md.

 -- $(sed -n 's/^Maintainer: //p' packaging/debian/control)  $date
END
}

images() {
    local static=$IMAGE:$version-static
    docker build --tag "$IMAGE" --tag "$IMAGE:$version" .
    docker build --tag "$static" --target static .
    say "Built the images $IMAGE:$version and $static."
}

checksums() {
    (cd "$DIST" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
}

everything() {
    package
    checksums
    if docker info >/dev/null 2>&1; then
        images
    else
        say "No Docker Engine answers, so the images are not built. Everything else is in $DIST/."
        return 1
    fi
}

case "${1:-everything}" in
program | files | package | images | everything) "${1:-everything}" ;;
*)
    say "usage: scripts/dist.sh [program | files | package | images]"
    exit 2
    ;;
esac
