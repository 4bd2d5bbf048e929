#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Runs every test, from a clean clone on a Debian or Ubuntu that has nothing but git. Ends with one line,
# "N passed, N failed", and is green only if everything ran and passed: what could not run has failed.
set -uo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
packages=(build-essential clang cmake pkg-config libcjson-dev libssl-dev libsqlite3-dev libzstd-dev
    libcurl4-openssl-dev sqlite3 zstd python3 clang-format shellcheck git)
# npm fetches claude-mem for tests/worker. Who has it from elsewhere need not have Debian's.
command -v npm >/dev/null || packages+=(nodejs npm)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/membridge-test-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
complaints=()

usage() {
    cat <<'TEXT'
Usage: scripts/test.sh [--quick] [-h]

Installs what the tests need, builds, and runs them all: every test of the dev build, those of the
sanitizer build, some seconds of fuzzing, the shell scripts' own check, and the two commands of
README.md as a newcomer types them. Exit status 0 only if all of it ran and passed.

  --quick  leaves out the sanitizer build, the fuzzing and the newcomer's commands (which then are
           not counted)
TEXT
}

quick=false
case "${1:-}" in
--quick) quick=true ;;
-h | --help)
    usage
    exit 0
    ;;
"") ;;
*)
    usage >&2
    exit 64
    ;;
esac

step() {
    printf '\n== %s\n' "$*"
}

bad() {
    failed=$((failed + 1))
    complaints+=("$1")
    printf 'FAILED: %s\n' "$1"
}

# try NAME COMMAND...: counts one test.
try() {
    local name=$1
    shift
    if "$@" >"$scratch/log" 2>&1; then
        passed=$((passed + 1))
        printf 'ok: %s\n' "$name"
    else
        cat "$scratch/log"
        bad "$name"
    fi
}

apt_install() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "missing, and there is no sudo: $*"
            return 1
        }
        as_root=(sudo)
    fi
    echo "installing: $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
            --no-install-recommends "$@"
}

install_packages() {
    local missing=() package
    command -v dpkg-query >/dev/null || return 0
    for package in "${packages[@]}"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

has_libfuzzer() {
    echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return !d && n; }' |
        clang -x c -fsanitize=fuzzer,address,undefined -o "$scratch/fuzzer" - 2>/dev/null
}

# The package is named by clang's version, and in some releases is a part of another one.
install_libfuzzer() {
    local version
    has_libfuzzer && return 0
    version=$(clang -dumpversion) || return 1
    command -v apt-get >/dev/null && apt_install "libclang-rt-${version%%.*}-dev" && has_libfuzzer
}

# run_ctest PRESET [ARGS...]: adds what CTest counted.
run_ctest() {
    local preset=$1 total bad_count name
    shift
    ctest --preset "$preset" -j "$(nproc)" --no-tests=error "$@" 2>&1 | tee "$scratch/ctest"
    total=$(sed -n 's/.* tests failed out of \([0-9]*\).*/\1/p' "$scratch/ctest" | tail -n 1)
    bad_count=$(sed -n 's/.*, \([0-9]*\) tests failed out of .*/\1/p' "$scratch/ctest" | tail -n 1)
    if [ -z "$total" ]; then
        bad "$preset: ctest did not run"
        return
    fi
    # A test that was skipped, or has no program, has not passed.
    while read -r name; do
        complaints+=("$preset: $name")
    done < <(sed -n 's/^[[:space:]]*[0-9]* - \(.*\)$/\1/p' "$scratch/ctest" | sort -u)
    local skipped
    skipped=$(grep -cE '\*\*\*(Skipped|Not Run)' "$scratch/ctest")
    local not_run
    not_run=$(grep -cE '\*\*\*Not Run' "$scratch/ctest")
    # CTest counts "Not Run" among the failed ones, "Skipped" among the passed ones.
    passed=$((passed + total - bad_count - (skipped - not_run)))
    failed=$((failed + bad_count + (skipped - not_run)))
}

build_preset() {
    cmake --preset "$1" >"$scratch/log" 2>&1 &&
        cmake --build --preset "$1" -j "$(nproc)" >>"$scratch/log" 2>&1
}

check_build() {
    if build_preset "$1"; then
        passed=$((passed + 1))
        printf 'ok: build %s\n' "$1"
        return 0
    fi
    tail -n 40 "$scratch/log"
    bad "build $1"
    return 1
}

step "What the tests need"
if ! install_packages; then
    bad "installing packages"
fi
if ! $quick && ! install_libfuzzer; then
    bad "installing libFuzzer"
fi

step "Tests of the dev build"
check_build dev && run_ctest dev

step "Warnings of the other compiler"
if check_build clang; then
    passed=$((passed + 1))
fi

step "Shell scripts"
if command -v shellcheck >/dev/null; then
    try "shellcheck" shellcheck scripts/*.sh bench/*.sh .ci/run
else
    bad "shellcheck could not be installed"
fi

if ! $quick; then
    step "Tests of the sanitizer build"
    check_build asan && run_ctest asan -L '^(unit|store|engine|faults|sim|cli|fuzz|kills)$'

    step "Fuzzing"
    check_build fuzz && run_ctest fuzz

    step "The commands of README.md, as a newcomer types them"
    for kind in without with; do
        try "bootstrap, $kind claude-mem on the machine" \
            tests/cli/newcomer.sh "$kind" "$scratch/$kind" "$root"
    done
fi

step "Result"
for complaint in ${complaints[@]+"${complaints[@]}"}; do
    printf 'failed: %s\n' "$complaint"
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
