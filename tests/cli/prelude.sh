# SPDX-License-Identifier: MIT
# Tools for the commands of a case. MB_DB is where claude-mem keeps its database in the scratch home.
# shellcheck shell=sh

# fixture NAME FILE: a database that claude-mem of that version wrote.
fixture() {
    mkdir -p "$(dirname "$2")" && zstd -dqf "$MB_FIXTURES/claude-mem-$1.db.zst" -o "$2"
}

# claude_mem [NAME]: this machine has claude-mem.
claude_mem() {
    fixture "${1:-13.25.3-a}" "$MB_DB"
}

# sql STATEMENTS [FILE]: claude-mem does something.
sql() {
    sqlite3 "${2:-$MB_DB}" "PRAGMA foreign_keys = ON; $1"
}

# set_up: claude-mem, an empty store, and settings for both.
set_up() {
    claude_mem "${1:-13.25.3-a}" && mkdir store && membridge init --yes --store "$HOME/store" --quiet
}

# on NAME COMMAND...: the same on another machine, which has a home of its own and sees this store.
on() (
    store=$HOME/store
    HOME=$HOME/machines/$1
    mkdir -p "$HOME"
    MB_DB=$HOME/.claude-mem/claude-mem.db
    MEMBRIDGE_STORE=$store
    export HOME MB_DB MEMBRIDGE_STORE
    shift
    cd "$HOME" && "$@"
)

# observe TITLE: claude-mem learns something in its first session.
observe() {
    sql "INSERT INTO observations(memory_session_id, project, type, title, narrative, created_at,
             created_at_epoch, content_hash)
         SELECT memory_session_id, project, 'discovery', '$1', 'It was $1.', '2026-11-23T10:00:00.000Z',
             1795428000000, lower(hex(randomblob(8)))
         FROM sdk_sessions WHERE memory_session_id IS NOT NULL ORDER BY id LIMIT 1"
}

# pty ANSWERS COMMAND...: on a terminal; ANSWERS are typed, one for each word.
pty() {
    python3 "$MB_TOOL" pty "$@"
}

# interrupt TEXT COMMAND...: Ctrl-C as soon as the output holds TEXT.
interrupt() {
    python3 "$MB_TOOL" interrupt "$@"
}

# interrupt_at MS COMMAND...: Ctrl-C after so many milliseconds.
interrupt_at() {
    python3 "$MB_TOOL" interrupt_at "$@"
}

# locked FILE COMMAND...: while another program is writing to that database.
locked() {
    python3 "$MB_TOOL" locked "$@"
}

# beside FILE COMMAND...: while claude-mem's worker has that database open, without the lock that it should hold.
beside() {
    python3 "$MB_TOOL" beside "$@"
}

# nobody COMMAND...: without root's rights; belongs_to_nobody gives the scratch home away first.
nobody() {
    python3 "$MB_TOOL" nobody "$@"
}

belongs_to_nobody() {
    [ "$(id -u)" -ne 0 ] || chown -R 65534 "$HOME" "$TMPDIR"
}

# limited BYTES COMMAND...: no file can grow beyond that.
limited() {
    python3 "$MB_TOOL" limited "$@"
}

# small_disk KIB FOLDER COMMAND...: the folder lies on a drive with so much left.
small_disk() {
    python3 "$MB_TOOL" small_disk "$@"
}

# spoil FILE: a drive that writes rubbish into the middle.
spoil() {
    python3 "$MB_TOOL" spoil "$1"
}

# grow MIB [FILE]: claude-mem has been here for long.
grow() {
    python3 "$MB_TOOL" grow "${2:-$MB_DB}" "$1"
}

# hostile KIND: somebody puts that into the store by hand, under an id before all others and one behind them.
# hostile remove: takes it away. hostile kinds: those that must be refused.
hostile() {
    case $1 in
    kinds) python3 "$(dirname "$MB_TOOL")/hostile.py" kinds ;;
    remove) rm -rf "$HOME"/store/projects/*/*/0000000000000001 "$HOME"/store/projects/*/*/fffffffffffffffe ;;
    *) python3 "$(dirname "$MB_TOOL")/hostile.py" "$HOME/store" "$1" 0000000000000001 fffffffffffffffe ;;
    esac
}
