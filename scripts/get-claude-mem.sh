#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Fetches real versions of claude-mem, and the bun that runs them, for tests/worker. See usage below.
set -euo pipefail
shopt -s inherit_errexit

bun_version=1.4.5
zod_version=4.4.3 # the one package that the worker does not have within it

usage() {
    cat <<'TEXT'
Usage: scripts/get-claude-mem.sh VERSION...

Fetches these versions of claude-mem and what runs them with npm, from whatever registry npm is set up
for, and prints where they are: the lines "bun FOLDER", "modules FOLDER" (for NODE_PATH), and for each
version "claude-mem VERSION FOLDER".

Only versions whose hash stands in this script are accepted, and no install scripts are run. What is there
already is not fetched again; it lies in $MEMBRIDGE_TEST_CACHE or ~/.cache/membridge-test.
TEXT
}

# The SHA-512 of each package, as registries publish it.
hash_of() {
    case $1 in
    claude-mem@13.4.0) echo c/sO14N1yq23CBAeHXoJqGej2/uhDnWwwJPiOlxlbLXBdy5Bst28dFROYrAmxxwaT76qNuVQ5eDk/p1NOpZ5ug== ;;
    claude-mem@13.25.3) echo Hqa33Vv8YJ5fnaHzZc3HC3JihHagHji5O9R66ZBIKn3DDPOlaDfI5X2oxuSdtp7kRMsEpMc2p7wMXPEe0kZG9g== ;;
    zod@4.4.3) echo ytENFjIJFl2UwYglde2jchW2Hwm4GJFLDiSXWdTrJQBIN9Fcyp7n4DhxJEiWNAJMV1/BqWfW/kkg71UDcHJyTQ== ;;
    @oven/bun-linux-x64@1.4.5) echo IWX9BELoGHAUtMonkeSaNaZwXzRk+oDw6Mk+HBFXd3KHYIBNBsIGRupMZPcgNoDbJpLu6gAJjIoIVPZtt1aJ1g== ;;
    @oven/bun-linux-x64-baseline@1.4.5) echo s8yMwYcFnnrA178gji0gZbkE2WVDej/Ti1x770oPfihxyRxSMNhGhiAQNXV53aDeraZxksdvKV/RAdQBCd0qPA== ;;
    @oven/bun-linux-aarch64@1.4.5) echo 4BXmsSKnjOrlGWqZV4x/oWa7AVoR+B6lCXddMzOAXBIm3t50eslg9wb66gmtW1AamEQ1l1CDvmmruysEhqOWMg== ;;
    *)
        echo "the hash of $1 is not known here" >&2
        return 1
        ;;
    esac
}

bun_package() {
    case $(uname -m) in
    x86_64)
        if grep -qw avx2 /proc/cpuinfo; then
            echo "@oven/bun-linux-x64"
        else
            echo "@oven/bun-linux-x64-baseline"
        fi
        ;;
    aarch64) echo "@oven/bun-linux-aarch64" ;;
    *)
        echo "there is no bun for $(uname -m)" >&2
        return 1
        ;;
    esac
}

# fetch PACKAGE@VERSION [INSIDE]: prints its folder. It appears there whole or not at all. INSIDE is where the
# package lies in that folder.
fetch() {
    local name=$1 inside=${2:-.} wanted folder found tarball
    wanted=$(hash_of "$name")
    folder=$cache/${name//\//-}
    if [ ! -d "$folder" ]; then
        mkdir "$scratch/pack"
        (cd "$scratch/pack" && timeout 300 npm pack --silent --ignore-scripts "$name" >/dev/null)
        tarball=$(echo "$scratch"/pack/*.tgz)
        found=$(openssl dgst -sha512 -binary "$tarball" | base64 -w 0)
        if [ "$found" != "$wanted" ]; then
            echo "$name is not what it was: its SHA-512 is $found" >&2
            return 1
        fi
        mkdir -p "$scratch/whole/$inside"
        tar -xzf "$tarball" -C "$scratch/whole/$inside" --strip-components=1
        mkdir -p "$cache"
        mv -T "$scratch/whole" "$folder" || [ -d "$folder" ] # somebody else may have been faster
        rm -rf "$scratch/pack" "$scratch/whole"
    fi
    echo "$folder"
}

case "${1:-}" in
-h | --help)
    usage
    exit 0
    ;;
"")
    usage >&2
    exit 64
    ;;
esac
cache=${MEMBRIDGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/membridge-test}
mkdir -p "$cache"
scratch=$(mktemp -d "$cache/.new-XXXXXX") # on the same drive, so that a folder can be moved
trap 'rm -rf "$scratch"' EXIT

package=$(bun_package)
folder=$(fetch "$package@$bun_version")
chmod +x "$folder/bin/bun"
echo "bun $folder"
folder=$(fetch "zod@$zod_version" node_modules/zod)
echo "modules $folder/node_modules"
for version in "$@"; do
    folder=$(fetch "claude-mem@$version")
    echo "claude-mem $version $folder"
done
