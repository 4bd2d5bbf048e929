# SPDX-License-Identifier: MIT
"""Machines with a home, a database and a store, and what a command costs on them."""

import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys

import grow

HERE = pathlib.Path(__file__).resolve().parent
TABLES = ("sdk_sessions", "observations", "session_summaries", "user_prompts")
SESSION = {"prompts": 9, "observations": 14, "summaries": 3}
SESSION_ROWS = 27


class Failed(Exception):
    """Something did not do its work, so that its time means nothing."""


def expect(is_so, what):
    if not is_so:
        raise Failed(what)


class Tools:
    """The programs of a build."""

    def __init__(self, build):
        self.membridge = build / "membridge"
        self.once = build / "bench" / "once"
        self.lockwatch = build / "bench" / "lockwatch.so"

    def check(self):
        for path in (self.membridge, self.once, self.lockwatch):
            expect(path.exists(), f"{path} is not built")


class Cost:
    """What one run took: seconds, kilobytes, and what the command said."""

    def __init__(self, line, output):
        cost = json.loads(line)
        self.wall, self.cpu = cost["wall"], cost["cpu"]
        self.rss_kb, self.anonymous_kb = cost["rss_kb"], cost["anonymous_kb"]
        self.output = output
        self.holds = []  # seconds that the write lock was held, each time

    def said(self, name):
        return json.loads(self.output)[name]


def run(tools, scratch, words, env=None, sampled=False):
    """Runs a command after everything before it has reached the disk, so that it pays for itself only."""
    log = scratch / "once.log"
    log.unlink(missing_ok=True)
    os.sync()
    result = subprocess.run(
        [tools.once, *(["-s"] if sampled else []), log, *words],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    told = result.stderr.decode()
    expect(result.returncode == 0, f"{words} ended with {result.returncode}: {told}{result.stdout}")
    cost = Cost(log.read_text(), result.stdout.decode())
    cost.told = told
    return cost


def run_peer(tools, scratch, machine):
    words = [sys.executable, HERE / "peer.py", machine.db, scratch / "peer-store"]
    cost = run(tools, scratch, words, env={"PATH": os.environ["PATH"]})
    shutil.rmtree(scratch / "peer-store")
    return cost


class Machine:
    """A home folder with a claude-mem database that a worker has open, as on a machine in use."""

    def __init__(self, tools, scratch, name, source, store):
        self.tools, self.scratch, self.store = tools, scratch, store
        self.home = scratch / name
        self.home.mkdir()
        self.db = self.home / "claude-mem.db"
        shutil.copyfile(source, self.db)
        self.worker = None
        self.growers = {}
        self.open()

    def open(self):
        self.worker = sqlite3.connect(self.db, isolation_level=None, timeout=10)
        (mode,) = self.worker.execute("PRAGMA journal_mode").fetchone()
        expect(mode == "wal", f"{self.db} is not in WAL mode")
        self.worker.execute("PRAGMA foreign_keys=ON")
        for grower in self.growers.values():
            grower.db = self.worker  # it goes on where it was

    def close(self):
        self.worker.close()

    def environment(self):
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "MEMBRIDGE_STORE": str(self.store),
            "CLAUDE_MEM_DB": str(self.db),
        }

    def membridge(self, *words, sampled=False, **env):
        env = {**self.environment(), **env}
        return run(self.tools, self.scratch, [self.tools.membridge, *words], env, sampled)

    def watched(self, *words, sampled=False):
        """As membridge(), and tells how long each write lock of the database was held."""
        log = self.scratch / "locks.log"
        log.unlink(missing_ok=True)
        cost = self.membridge(
            *words,
            sampled=sampled,
            LD_PRELOAD=str(self.tools.lockwatch),
            LOCKWATCH_FILE=os.path.realpath(self.db) + "-shm",
            LOCKWATCH_LOG=str(log),
        )
        if log.exists():
            cost.holds = [int(line.split()[1]) / 1e9 for line in log.read_text().splitlines()]
        return cost

    def row_count(self):
        return sum(self.worker.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES)

    def add_session(self, kind, seed):
        if kind not in self.growers:
            self.growers[kind] = grow.Grower(self.worker, kind, seed)
        self.worker.execute("BEGIN")
        rows = self.growers[kind].session(**SESSION)
        self.worker.execute("COMMIT")
        expect(rows == SESSION_ROWS, f"a session of {rows} rows")

    def forget(self):
        """As if membridge had never run here."""
        shutil.rmtree(self.home / "state", ignore_errors=True)

    def remove(self):
        self.close()
        shutil.rmtree(self.home)


class Store:
    def __init__(self, path):
        self.path = path
        path.mkdir()

    def objects(self):
        return {p: p.stat().st_size for p in self.path.rglob("*") if p.is_file()}

    def empty(self):
        shutil.rmtree(self.path)
        self.path.mkdir()

    def __str__(self):
        return str(self.path)


def pushed_bytes(cost, before, after):
    """What a push put into the store, as it says itself; what is new there must be among it."""
    new = sum(size for path, size in after.items() if path not in before)
    expect(0 < new <= cost.said("bytes_sent"), f"{new} new bytes, {cost.said('bytes_sent')} told")
    return cost.said("bytes_sent")


@contextlib.contextmanager
def writer_beside(machine, result):
    """Runs worker.py meanwhile; what it tells is put into the dict."""
    words = [sys.executable, HERE / "worker.py", machine.db]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        expect(process.stdout.readline() == b"ready\n", "worker.py did not start")
        yield
        told, _ = process.communicate()  # closes its input, which ends it
        expect(process.returncode == 0, "worker.py failed")
        result.update(json.loads(told))
