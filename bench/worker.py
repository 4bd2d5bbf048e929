#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A worker that writes 20 times a second, and tells how long its slowest write took.

Usage: worker.py DATABASE

Says "ready" after its first write, and ends when its standard input does. Each write is a transaction with
one prompt, full-text search included, as claude-mem makes them; who holds the write lock makes it wait, up
to the busy timeout of 5 s, after which it has failed.
"""

import json
import select
import sqlite3
import sys
import time

BUSY_SECONDS = 5
INTERVAL_SECONDS = 0.05


def write(db, number):
    start = time.perf_counter()
    db.execute("BEGIN IMMEDIATE")
    if number == 0:
        db.execute(
            "INSERT OR IGNORE INTO sdk_sessions(content_session_id, memory_session_id, project, started_at,"
            " started_at_epoch, status) VALUES('bench-worker', 'bench-worker-memory', 'bench',"
            " '2026-01-01T00:00:00.000Z', 1767225600000, 'active')"
        )
    db.execute(
        "INSERT INTO user_prompts(session_db_id, content_session_id, prompt_number, prompt_text, created_at,"
        " created_at_epoch) SELECT id, content_session_id, ?, ?, '2026-01-01T00:00:00.000Z', ?"
        " FROM sdk_sessions WHERE content_session_id = 'bench-worker'",
        (number + 1, f"what the worker wrote, number {number}", 1767225600000 + number),
    )
    db.execute("COMMIT")
    return time.perf_counter() - start


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=BUSY_SECONDS)
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA foreign_keys=ON")
    waits = []
    failed = 0
    while True:
        try:
            waits.append(write(db, len(waits)))
        except sqlite3.OperationalError as error:
            print(error, file=sys.stderr)
            failed += 1
            if db.in_transaction:
                db.execute("ROLLBACK")
        if len(waits) == 1:
            print("ready", flush=True)
        if select.select([sys.stdin], [], [], INTERVAL_SECONDS)[0]:
            break
    waits.sort()
    result = {"writes": len(waits), "failed": failed, "median": waits[len(waits) // 2], "slowest": waits[-1]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
