#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The whole-file way to share a database, against which membridge is measured.

Usage: peer.py DATABASE STORE

VACUUM INTO makes a copy that nobody writes to, SHA-256 names it, and the copy goes to the store. It is as
fast as that can be done: SQLite, OpenSSL and the kernel do the work, nothing is synced to the disk, and
no lock, no backup and no integrity check is made. Prints the time of the work, without Python's own start.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import sys
import time


def push(database, store):
    os.makedirs(store, exist_ok=True)
    copy = os.path.join(store, "..", "peer-copy.db")
    if os.path.exists(copy):
        os.remove(copy)
    start = time.perf_counter()
    db = sqlite3.connect(database, isolation_level=None)
    db.execute("VACUUM INTO ?", (copy,))
    db.close()
    vacuumed = time.perf_counter()
    digest = hashlib.sha256()
    with open(copy, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    hashed = time.perf_counter()
    name = os.path.join(store, "claude-mem.db")
    shutil.copyfile(copy, name)
    with open(name + ".sha256", "w", encoding="ascii") as file:
        file.write(f"{digest.hexdigest()}  claude-mem.db\n")
    done = time.perf_counter()
    size = os.path.getsize(name) + os.path.getsize(name + ".sha256")
    os.remove(copy)
    return {
        "seconds": done - start,
        "vacuum": vacuumed - start,
        "hash": hashed - vacuumed,
        "copy": done - hashed,
        "bytes": size,
    }


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(json.dumps(push(*sys.argv[1:])))
