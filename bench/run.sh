#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
folder=${XDG_CACHE_HOME:-${HOME:?}/.cache}/membridge-bench
build=
arguments=()

usage() {
    cat <<'TEXT'
Usage: bench/run.sh [--quick | --smoke] [--strict] [--dir FOLDER] [--build FOLDER]

Builds membridge as it is shipped, measures it against the whole-file way of sharing a database, and
prints one table. docs/PERFORMANCE.md says what is measured and why. Linux, Python 3, git, zstd.

  --quick         leaves out the database of 1 GB (else: some 10 minutes and 4 GB of disk)
  --smoke         a tiny database, to see that everything can be measured; no figure means anything
  --strict        exit status 1 if a bar is missed (else: only if something could not be measured)
  --dir FOLDER    where to work, and to keep the grown databases: on the disk that the figures are for
                  (default: ~/.cache/membridge-bench)
  --build FOLDER  measure this build, instead of making a release build
TEXT
}

while [ $# -gt 0 ]; do
    case "$1" in
    --quick | --smoke | --strict) arguments+=("$1") ;;
    --dir | --build)
        [ $# -ge 2 ] || {
            usage >&2
            exit 64
        }
        if [ "$1" = --dir ]; then folder=$2; else build=$2; fi
        shift
        ;;
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

if [ -z "$build" ]; then
    build=$root/build/release
    (cd "$root" && cmake --preset release && cmake --build --preset release --target bench) >&2
fi
exec python3 "$root/bench/measure.py" --build "$build" --dir "$folder" ${arguments[@]+"${arguments[@]}"}
