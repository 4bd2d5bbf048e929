#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Three machines that share a folder: membridge is killed with SIGKILL at any moment (killed), or runs several
times at once (together), while rows are written, changed and deleted.

In the end all machines hold every row that was written and not deleted, once, and nothing is left behind.

MEMBRIDGE_BIN=build/dev/membridge python3 tests/kills/test_kills.py killed [--kills N] [--seed N] [--rows N]
MEMBRIDGE_BIN=build/dev/membridge python3 tests/kills/test_kills.py together [--rounds N] [--seed N]
"""

import argparse
import collections
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # the source tree stays as it is
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fixtures"))

import fleet
from fleet import require
from machine import BINARY, RUN_SECONDS_MAX

KILLS_OF_A_FLEET = 50  # then a new one begins: the first merges, which are the longest, are worth most
LOCKED = 7
OPERATIONS = ("push", "pull", "sync")


class Clock:
    """How long an operation takes, as measured on a fleet of its own: with nothing to do, and for each row."""

    def __init__(self, root, rows):
        some = fleet.Fleet(root, 0, rows)
        sender, receiver = some.machines[:2]
        send = self.measure(sender, "push")
        receive = self.measure(receiver, "pull")
        self.idle = {"push": self.measure(sender, "push"), "pull": self.measure(receiver, "pull")}
        self.row = {
            "push": max(send - self.idle["push"], 0) / rows,
            "pull": max(receive - self.idle["pull"], 0) / rows,
        }
        self.scale = {operation: 1.0 for operation in OPERATIONS}
        print(
            f"measured: push {self.idle['push'] * 1000:.0f} ms and {self.row['push'] * 1e6:.0f} us a row,"
            f" pull {self.idle['pull'] * 1000:.0f} ms and {self.row['pull'] * 1e6:.0f} us a row",
            flush=True,
        )

    @staticmethod
    def measure(machine, operation):
        begin = time.monotonic()
        machine.run(operation)
        return time.monotonic() - begin

    def seconds(self, operation, rows_out, rows_in):
        push = self.idle["push"] + self.row["push"] * rows_out
        pull = self.idle["pull"] + self.row["pull"] * rows_in
        return self.scale[operation] * {"push": push, "pull": pull, "sync": push + pull}[operation]

    def learn(self, operation, expected, seconds):
        """A run has ended by itself after so many seconds, or was killed later than it was expected to end."""
        self.scale[operation] *= 0.7 + 0.3 * seconds / expected


def signature(machine):
    """Changes whenever a run has changed anything: the state, the database or the store."""
    return [
        (str(path), status.st_mtime_ns, status.st_size)
        for folder in (machine.home, machine.store)
        for path in sorted(folder.rglob("*"))
        for status in [path.stat()]
        if path.is_file()
    ]


def look_at_state(machine, scratch):
    """What a killed run has left undone; looked up in a copy, so that the next run finds what was left."""
    found = list((machine.home / "state").rglob("state.db"))
    if not found:
        return []
    for path in found[0].parent.glob("state.db*"):
        shutil.copy(path, scratch / path.name)
    db = sqlite3.connect(scratch / "state.db")
    try:
        left = [
            what
            for what, query in (
                ("a batch in flight", "SELECT count(*) FROM journal WHERE in_flight"),
                ("segments half sent", "SELECT count(*) FROM sending"),
            )
            if db.execute(query).fetchone()[0]
        ]
    except sqlite3.OperationalError:
        left = []  # killed before it had made its tables
    db.close()
    for path in scratch.glob("state.db*"):
        path.unlink()
    return left


class Run:
    """A run that is killed after a while, if it has not ended before."""

    def __init__(self, machine, operation, expected, delay):
        self.machine = machine
        self.operation = operation
        self.expected = expected
        self.begin = time.monotonic()
        self.until = self.begin + delay
        self.process = machine.start(operation)

    def kill(self, clock):
        """What it has said."""
        with self.process as process:
            try:
                process.wait(max(0, self.until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
            seconds = time.monotonic() - self.begin
            texts = process.communicate()
        if process.returncode == 0 or (process.returncode == -9 and seconds > self.expected):
            clock.learn(self.operation, self.expected, seconds)
        return texts


class Killer:
    """Starts operations on a fleet and kills them; counts what it hit."""

    def __init__(self, clock, seed):
        self.clock = clock
        self.random = random.Random(seed)
        self.hits = collections.Counter()
        self.unsent = collections.Counter()  # rows written since a push of that machine ended

    def rows_to_come(self, some, machine):
        db = some.connect(machine)
        here = sum(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in fleet.TITLES)
        db.close()
        return max(len(some.ledger.alive) - here, 0)

    def edit(self, some):
        machine = self.random.choice(some.machines)
        rows = self.random.choice((0, 1, 30, 100, 300))
        some.write(machine, rows)
        self.unsent[machine] += rows
        some.delete(machine, self.random.choice((0, 0, 1, 3)))
        some.change(machine, self.random.choice((0, 1, 4)))

    def run(self, some, count, scratch):
        """Kills that many, one or two at once."""
        while count > 0:
            self.edit(some)
            pair = count > 1 and self.random.random() < 0.3
            first = self.random.choice(some.machines)
            victims = [(first, self.random.choice(OPERATIONS))]
            if pair:
                victims.append((self.random.choice(some.machines), self.random.choice(OPERATIONS)))
            self.kill(some, victims, scratch)
            count -= len(victims)

    def kill(self, some, victims, scratch):
        before = [signature(machine) for machine, _ in victims]
        same = len({machine for machine, _ in victims}) < len(victims)
        allowed = (0, -9, LOCKED) if same else (0, -9)
        runs = []
        for machine, operation in victims:
            expected = self.clock.seconds(operation, self.unsent[machine], self.rows_to_come(some, machine))
            delay = self.random.uniform(0, 1.1 * expected)
            runs.append(Run(machine, operation, expected, delay))
        for run in sorted(runs, key=lambda run: run.until):
            machine, operation, process = run.machine, run.operation, run.process
            stdout, stderr = run.kill(self.clock)
            require(
                process.returncode in allowed,
                f"{machine.home.name}: {operation} ends with {process.returncode}:\n{stdout}{stderr}",
            )
            if process.returncode == 0 and operation != "pull":
                self.unsent[machine] = 0
        for run, old in zip(runs, before):
            self.count(run.machine, run.process.returncode, old, scratch)

    def count(self, machine, status, before, scratch):
        if status != -9:
            self.hits["after the end"] += 1
        elif signature(machine) == before:
            self.hits["before anything was done"] += 1
        else:
            self.hits["in the middle"] += 1
            for what in look_at_state(machine, scratch):
                self.hits[what] += 1


def run_killed(root, words):
    clock = Clock(root / "clock", words.rows)
    killer = Killer(clock, words.seed)
    left, number = words.kills, 0
    scratch = root / "scratch"
    scratch.mkdir()
    temporaries = 0
    while left > 0:
        some = fleet.Fleet(root / str(number), words.seed + number, words.rows)
        killer.unsent.clear()
        killer.run(some, min(left, KILLS_OF_A_FLEET), scratch)
        temporaries += len(some.temporaries())
        rounds = some.settle()
        some.check()
        some.check_temporaries()
        alive, deleted = len(some.ledger.alive), len(some.ledger.deleted)
        print(
            f"fleet {number} ({', '.join(machine.home.name for machine in some.machines)}): all {alive} rows"
            f" everywhere, {deleted} deleted, settled in {rounds} rounds",
            flush=True,
        )
        shutil.rmtree(root / str(number))
        left -= KILLS_OF_A_FLEET
        number += 1
    hits = killer.hits
    print(
        f"{sum(hits[key] for key in ('before anything was done', 'in the middle', 'after the end'))} kills: "
        + ", ".join(f"{count} {key}" for key, count in sorted(hits.items()))
        + f", {temporaries} left a temporary file in the store"
    )
    require(
        hits["in the middle"] * 3 > words.kills, "too few kills were in the middle: this proves little"
    )


class Together:
    """Several runs on every machine at once, and people who write meanwhile."""

    RUNNERS = 2

    def __init__(self, some, seed, rounds):
        self.some = some
        self.rounds = rounds
        self.statuses = collections.Counter()
        self.problems = []
        self.threads = [
            threading.Thread(target=self.guard, args=(self.sync, machine, random.Random(seed * 100 + number)))
            for number, machine in enumerate(some.machines * self.RUNNERS)
        ]
        self.threads.append(threading.Thread(target=self.guard, args=(self.edit,)))

    def guard(self, work, *words):
        try:
            work(*words)
        except Exception as problem:  # whatever it is, the main thread has to hear of it
            self.problems.append(problem)

    def sync(self, machine, choices):
        for _ in range(self.rounds):
            with machine.start(choices.choice(OPERATIONS)) as process:
                stdout, stderr = process.communicate(timeout=RUN_SECONDS_MAX)
            self.statuses[process.returncode] += 1
            require(
                process.returncode in (0, LOCKED),
                f"{machine.home.name} ends with {process.returncode}:\n{stdout}{stderr}",
            )

    def edit(self):
        for _ in range(self.rounds):
            for machine in self.some.machines:
                self.some.write(machine, 60)
                self.some.delete(machine, 1)
                self.some.change(machine, 2)

    def run(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()
        if self.problems:
            raise self.problems[0]


def run_together(root, words):
    some = fleet.Fleet(root / "fleet", words.seed, words.rows)
    together = Together(some, words.seed, words.rounds)
    together.run()
    rounds = some.settle()
    some.check()
    require(not some.temporaries(), "a temporary file was left although nobody was killed")
    statuses = together.statuses
    print(
        f"{sum(statuses.values())} runs at once: {statuses[0]} done, {statuses[LOCKED]} found the machine"
        f" locked; all {len(some.ledger.alive)} rows everywhere, settled in {rounds} rounds"
    )
    require(statuses[LOCKED] > 0 and statuses[0] > 0, "no two runs met: this proves nothing")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("killed", "together"))
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--rows", type=int, default=1500, help="on each machine, before the first sync")
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    if not BINARY:
        parser.error("MEMBRIDGE_BIN does not say where the binary is")
    root = pathlib.Path(tempfile.mkdtemp(prefix="membridge-kills-", dir=fleet.drive()))
    try:
        {"killed": run_killed, "together": run_together}[words.what](root, words)
    except fleet.Wrong as problem:
        print(f"WRONG (seed {words.seed}): {problem}")
        return 1
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
