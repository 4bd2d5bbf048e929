#!/bin/sh
# SPDX-License-Identifier: MIT
# Usage: newcomer.sh with|without SCRATCH ROOT
#
# Types the first command of README.md on a home that has, or has not, claude-mem in it: twice, because it may be run again.
set -eu

kind=$1
scratch=$2
root=$3
HOME=$scratch/home
TMPDIR=$scratch/tmp
export HOME TMPDIR
unset XDG_CONFIG_HOME XDG_STATE_HOME MEMBRIDGE_STORE CLAUDE_PROJECT_ID CLAUDE_MEM_DB CLAUDE_MEM_DATA_DIR
mkdir -p "$HOME" "$TMPDIR"
database=$HOME/.claude-mem/claude-mem.db
if [ "$kind" = with ]; then
    mkdir "$HOME/.claude-mem"
    zstd -dq "$root/tests/fixtures/claude-mem-13.25.3-a.db.zst" -o "$database"
fi

"$root/scripts/bootstrap-linux.sh" -h >/dev/null
"$root/scripts/bootstrap-linux.sh" >"$scratch/first"
cat "$scratch/first"
"$root/scripts/bootstrap-linux.sh" >"$scratch/second"
membridge=$HOME/.local/bin/membridge

[ "$("$membridge" version)" = "membridge $(cat "$root/VERSION")" ]
[ "$(stat -c %a "$HOME/.config/membridge/config.env")" = 600 ]
[ -f "$HOME/membridge-store/membridge-store" ]
grep -q 'Next steps' "$scratch/first"
grep -q "PATH=\"$HOME/.local/bin" "$scratch/first"
grep -q 'set up already' "$scratch/second"
if [ "$kind" = with ]; then
    grep -q 'Push: done' "$scratch/first"
    grep -q 'nothing to do' "$scratch/second"
    [ "$(sqlite3 "$database" 'PRAGMA integrity_check')" = ok ]
    "$membridge" status
else
    grep -q 'no claude-mem database on this machine yet' "$scratch/first"
    grep -q 'All checks held' "$scratch/first"
    [ ! -e "$database" ]
fi
[ -z "$(ls "$TMPDIR")" ]
