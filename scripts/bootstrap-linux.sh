#!/bin/sh
# SPDX-License-Identifier: MIT
#
# From a bare Debian or Ubuntu to a first sync. May be run again at any time, as root or not.
# Never touches claude-mem's database except through 'membridge sync'.
set -eu

PACKAGES="build-essential cmake pkg-config libcjson-dev libssl-dev libsqlite3-dev libzstd-dev \
libcurl4-openssl-dev"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
prefix=${PREFIX:-}
store=

usage() {
    cat <<'TEXT'
Usage: scripts/bootstrap-linux.sh [--store FOLDER] [-h]

Installs what membridge needs, builds it, installs it to ~/.local (or $PREFIX), sets up a folder as
the store if none is set up yet, and runs the first sync of this machine's claude-mem. Where there
is no claude-mem yet, it says so and runs 'membridge demo'.

  --store FOLDER  the folder that your machines share (default: what is set up already, else
                  ~/membridge-store)
  -h, --help      this text
TEXT
}

say() {
    printf '%s\n' "$*"
}

step() {
    printf '\n== %s\n' "$*"
}

fail() {
    printf 'bootstrap: %s.\n' "$1" >&2
    printf '  -> %s.\n' "$2" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --store)
        [ $# -ge 2 ] || fail "'--store' needs a folder" "scripts/bootstrap-linux.sh --store FOLDER"
        store=$2
        shift
        ;;
    --store=*) store=${1#--store=} ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
    shift
done

[ -n "${HOME:-}" ] || fail "HOME is not set" "set HOME to your home folder"
prefix=${prefix:-$HOME/.local}

missing_packages() {
    for package in $PACKAGES; do
        state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || printf '%s ' "$package"
    done
}

install_packages() {
    command -v dpkg-query >/dev/null 2>&1 ||
        fail "this is neither Debian nor Ubuntu" \
            "install a C compiler, cmake, and the development files of cJSON, OpenSSL, SQLite, zstd and curl; then: cmake --preset release && cmake --build --preset release"
    missing=$(missing_packages)
    if [ -z "$missing" ]; then
        say "Everything is installed already."
        return
    fi
    say "Missing: $missing"
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1; then
        say "These are installed with sudo, which may ask for your password."
        as_root=sudo
    else
        fail "packages are missing, and there is no sudo" "as root, run: apt-get install $missing"
    fi
    # shellcheck disable=SC2086 # both are lists of words
    if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q ||
        ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
            $missing; then
        fail "the packages could not be installed" "see the lines above; then run this again"
    fi
}

build() {
    (
        cd "$root"
        mkdir -p build
        # A build folder that was copied or moved here cannot be used.
        if [ -f build/release/CMakeCache.txt ] &&
            ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" build/release/CMakeCache.txt; then
            rm -rf build/release
        fi
        cmake --preset release -DBUILD_TESTING=OFF >build/bootstrap.log 2>&1 &&
            cmake --build --preset release -j "$(nproc)" >>build/bootstrap.log 2>&1 &&
            cmake --install build/release --prefix "$prefix" >>build/bootstrap.log 2>&1
    ) || {
        tail -n 30 "$root/build/bootstrap.log" >&2
        fail "the build failed" "see $root/build/bootstrap.log"
    }
    rm -f "$root/build/bootstrap.log"
    say "Installed $prefix/bin/membridge ($("$prefix/bin/membridge" version))."
}

# Exit status 10 of 'status' means: not set up.
set_up() {
    if [ -n "$store" ]; then
        "$membridge" init --yes --store "$store"
        return
    fi
    status=0
    "$membridge" status --quiet >/dev/null 2>&1 || status=$?
    if [ "$status" -eq 10 ]; then
        "$membridge" init --yes --store "$HOME/membridge-store"
    elif [ "$status" -eq 0 ]; then
        say "It is set up already; nothing was changed."
    else
        "$membridge" status >/dev/null
    fi
}

database_is_there() {
    "$membridge" status --json | grep -q '"database_is_there": *true'
}

step "1. What membridge needs"
install_packages
step "2. Build and install"
build
membridge=$prefix/bin/membridge
step "3. Settings"
set_up
result=0
if database_is_there; then
    step "4. First sync"
    "$membridge" sync || result=$?
    say
    "$membridge" status
else
    step "4. Demo"
    say "There is no claude-mem database on this machine yet, so there is nothing to sync. This is"
    say "what it will look like:"
    say
    "$membridge" demo || result=$?
fi

step "Next steps"
case ":$PATH:" in
*":$prefix/bin:"*) ;;
*) say "- Add membridge to your PATH:  export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
say "- On your other machines: run this script there with --store and the folder they share."
say "- Then, on each of them, as often as you like:  membridge sync"
exit "$result"
