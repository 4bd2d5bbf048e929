#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures membridge against the whole-file way (peer.py). Called by run.sh, which explains the options.

What is measured and where the bars come from is in docs/PERFORMANCE.md.
"""

import argparse
import hashlib
import os
import pathlib
import platform
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # the source tree stays as it is

import grow
import runs
from table import Table

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
SIZES = {"small": 16_500, "large": 240_000, "tiny": 300}  # observations: 71 MB, 1 GB, under 2 MB
KB, MIB = 1000, 1 << 20

BAR_SESSION_BYTES = {"words": 12 * KB, "english": 24 * KB}
BAR_SESSION_OF_PEER = 25
BAR_SESSION_GROWTH = 2
BAR_NOTHING_SECONDS = 0.002
BAR_NOTHING_REQUESTS = 1
BAR_FIRST_BYTES_OF_PEER = 5
BAR_MERGE_ROWS = 12_000
BAR_LOCK_SECONDS = 0.100
BAR_WORKER_SECONDS = 0.250
BAR_MEMORY_BYTES = 16 * MIB


class Bench:
    def __init__(self, options):
        self.tools = runs.Tools(options.build.resolve())
        self.cache = options.dir
        self.scratch = None
        self.is_smoke = options.smoke
        self.table = Table(is_judged=not options.smoke)
        self.memory = {}  # operation: the costs of its runs
        self.session_seconds = {}

    def say(self, text):
        print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)

    def remember(self, operation, cost):
        self.memory.setdefault(operation, []).append(cost)
        return cost

    def fixture(self, version):
        path = self.scratch / f"{version}.db"
        if not path.exists():
            packed = FIXTURES / f"claude-mem-{version}.db.zst"
            subprocess.run(["zstd", "-qd", packed, "-o", path], check=True)
        return path

    def grown(self, observations, kind):
        """A database that was grown once, and is kept for as long as what made it stays as it is."""
        makers = (ROOT / "bench" / "grow.py").read_bytes() + repr(grow.read_english()).encode()
        name = hashlib.sha256(makers).hexdigest()[:12]
        path = self.cache / f"{kind}-{observations}-{name}.db"
        if not path.exists():
            self.say(f"growing {path}")
            partial = path.with_suffix(".partial")
            shutil.copyfile(self.fixture("13.25.3-a"), partial)
            grow.grow(partial, observations, kind, seed=1)
            partial.rename(path)
        return path

    # ---- the work ----

    def first_push(self, name, machine, store, rounds):
        self.say(f"{name}: first push")
        costs, peers, sizes = [], [], []
        for _ in range(rounds):
            machine.forget()
            store.empty()
            before = store.objects()
            cost = self.remember(f"first push, {name}", machine.membridge("push", "--json", sampled=True))
            runs.expect(cost.said("rows_sent") == machine.row_count(), "a first push without all rows")
            sizes.append(runs.pushed_bytes(cost, before, store.objects()))
            costs.append(cost.wall)
            peers.append(runs.run_peer(self.tools, self.scratch, machine))
        work = [peer.said("seconds") for peer in peers]
        self.table.add("first push: time", costs, "s", peer=work, of_peer=1)
        self.table.add("first push: time, the peer as a process", costs, "s", peer=[p.wall for p in peers])
        self.table.add("first push: bytes", sizes, "MB", peer=[p.said("bytes") for p in peers],
                       of_peer=BAR_FIRST_BYTES_OF_PEER)

    def session_push(self, name, kind, machine, store, rounds):
        self.say(f"{name}: push of one session")
        costs, peers, sizes, cpu = [], [], [], []
        for number in range(rounds + 1):
            machine.add_session(kind, "bench")
            before = store.objects()
            # The last one is looked at for its memory, which takes time.
            is_last = number == rounds
            cost = machine.membridge("push", "--json", sampled=is_last)
            runs.expect(cost.said("rows_sent") == runs.SESSION_ROWS, "a push without the session")
            self.remember(f"push of one session, {name}", cost)
            if is_last:
                break
            sizes.append(runs.pushed_bytes(cost, before, store.objects()))
            costs.append(cost.wall)
            cpu.append(cost.cpu)
            peers.append(runs.run_peer(self.tools, self.scratch, machine))
        work = [peer.said("seconds") for peer in peers]
        self.session_seconds[name] = sorted(costs)
        self.table.add("push of one session: time", costs, "ms", peer=work, of_peer=BAR_SESSION_OF_PEER)
        self.table.add("push of one session: processor time", cpu, "ms", peer=[p.cpu for p in peers])
        self.table.add("push of one session: bytes", sizes, "KB", most=BAR_SESSION_BYTES[kind],
                       peer=[p.said("bytes") for p in peers])

    def nothing_new(self, name, machine, rounds):
        for state in ("", ", nobody else has it open"):
            self.say(f"{name}: nothing new{state}")
            if state:
                machine.close()
            costs = {"version": [], "push": [], "pull": []}
            machine.membridge("push", "--json")  # who had it open may have moved its pages
            for _ in range(rounds):
                for word, list_ in costs.items():
                    cost = machine.membridge(word, "--json")
                    list_.append(cost)
                    if word != "version":
                        runs.expect(cost.said("outcome") == "nothing_to_do", f"{word}: {cost.output}")
                        self.remember(f"{word} with nothing new, {name}", cost)
            start = statistics.median(cost.wall for cost in costs["version"])
            for word in ("push", "pull"):
                over = [cost.wall - start for cost in costs[word]]
                self.table.add(f"{word} with nothing new, over 'version'{state}", over, "ms",
                               most=BAR_NOTHING_SECONDS)
            if state:
                machine.open()
                continue
            for word in costs:
                cpu = [cost.cpu for cost in costs[word]]
                self.table.add(f"'{word}': processor time", cpu, "ms")
            starts = [cost.wall for cost in costs["version"]]
            self.table.add("'version': one process start", starts, "ms")
            for word in ("push", "pull"):
                self.remember(f"{word} with nothing new, {name}",
                              machine.membridge(word, "--json", sampled=True))
                cost = machine.membridge(word, "--json", MEMBRIDGE_LOG="store")
                requests = re.findall(r"\bop=(\w+)", cost.told)
                runs.expect(len(requests) == cost.said("requests"), "requests told and traced differ")
                runs.expect(requests == ["list"], f"{word} with nothing new asks for {requests}")
                self.table.add(f"{word} with nothing new: requests (LIST)", [len(requests)], "",
                               most=BAR_NOTHING_REQUESTS)

    def first_pull(self, name, source, store, rounds):
        """Everything of one machine into the database of another, alone and beside a writer."""
        rows = source.row_count()
        alone, beside, waits, quiet = [], [], [], []
        machine = None
        for number in range(rounds):
            for costs, is_beside in ((alone, False), (beside, True)):
                self.say(f"{name}: first pull{', a writer beside it' if is_beside else ''}")
                if machine:
                    machine.remove()
                machine = runs.Machine(self.tools, self.scratch, "puller", self.fixture("13.25.3-b"), store)
                if is_beside:
                    told = {}
                    with runs.writer_beside(machine, told):
                        cost = machine.watched("pull", "--json", sampled=True)
                    runs.expect(told["failed"] == 0, f"the writer failed {told['failed']} times")
                    waits.append(told["slowest"])
                else:
                    cost = machine.watched("pull", "--json", sampled=True)
                runs.expect(cost.holds, "no write lock was seen")
                # One session exists on both machines of the fixtures.
                runs.expect(rows - 10 <= cost.said("rows_inserted") <= rows,
                            f"{cost.said('rows_inserted')} rows of {rows} came")
                costs.append(self.remember(f"first pull, {name}", cost))
        told = {}
        with runs.writer_beside(machine, told):
            machine.membridge("version")
            time.sleep(0 if self.is_smoke else 2)  # nothing is waited for: this is how long it writes
        quiet.append(told["slowest"])

        def rate(cost):
            return cost.said("rows_inserted") / sum(cost.holds)

        self.table.add(f"first pull of {rows:,} rows: time", [cost.wall for cost in alone], "s")
        self.table.add("rows merged for each second of lock", [rate(cost) for cost in alone], "rows/s",
                       least=BAR_MERGE_ROWS)
        self.table.add("the same, a writer beside it", [rate(cost) for cost in beside], "rows/s")
        longest = [max(cost.holds) for cost in alone + beside]
        self.table.add("longest hold of the write lock", longest, "ms", most=BAR_LOCK_SECONDS, figure="max")
        self.table.add("slowest write of the writer beside it", waits, "ms", most=BAR_WORKER_SECONDS,
                       figure="max")
        self.table.add("slowest write of the writer alone", quiet, "ms")
        return machine

    def session_pull(self, name, source, puller, kind, rounds):
        self.say(f"{name}: pull of one session")
        costs = []
        for _ in range(rounds):
            source.add_session(kind, "bench")
            source.membridge("push", "--json")
            cost = puller.watched("pull", "--json")
            runs.expect(cost.said("rows_inserted") == runs.SESSION_ROWS, "a pull without the session")
            costs.append(self.remember(f"pull of one session, {name}", cost))
        self.table.add("pull of one session: time", [cost.wall for cost in costs], "ms")
        self.table.add("pull of one session: lock held", [sum(cost.holds) for cost in costs], "ms")

    # ---- all of it ----

    def measure(self, size, kind, rounds, pulls, nothing):
        source = self.grown(SIZES[size], kind)
        store = runs.Store(self.scratch / "store")
        machine = runs.Machine(self.tools, self.scratch, "pusher", source, store)
        text = "generated words" if kind == "words" else "English text"
        name = f"{os.path.getsize(source) / 1e6:,.0f} MB, {text}"
        self.table.heading(f"{name} ({machine.row_count():,} rows)")
        self.first_push(name, machine, store, max(1, rounds // 3))
        self.session_push(name, kind, machine, store, rounds)
        if nothing:
            self.nothing_new(name, machine, nothing)
        if pulls:
            puller = self.first_pull(name, machine, store, pulls)
            self.session_pull(name, machine, puller, kind, rounds)
            puller.remove()
        machine.remove()
        shutil.rmtree(store.path)
        return name

    def memory_rows(self):
        self.table.heading("Peak memory")
        for operation, costs in self.memory.items():
            rss = [cost.rss_kb * 1024 for cost in costs]
            self.table.add(operation, rss, "MiB", most=BAR_MEMORY_BYTES, figure="max")
            private = [cost.anonymous_kb * 1024 for cost in costs if cost.anonymous_kb > 0]
            if private and max(rss) > BAR_MEMORY_BYTES:
                self.table.add("   of it anonymous (sampled)", private, "MiB")

    def floors(self, rounds):
        """What no program of this kind can go below, here."""
        self.table.heading("Floors")
        synced = []
        for number in range(rounds):
            os.sync()
            start = time.perf_counter()
            name = self.scratch / f"floor-{number}"
            with open(name, "wb") as file:
                file.write(b"x" * 10_000)
                os.fsync(file.fileno())
            synced.append(time.perf_counter() - start)
        self.table.add("write of 10 KB and one fsync", synced, "ms")
        for kind in BAR_SESSION_BYTES:
            self.table.add(f"the rows of one session, {kind}, zstd -19 of JSON",
                           [self.packed_session(kind, seed) for seed in range(rounds)], "KB")

    def packed_session(self, kind, seed):
        rows = []

        class Listing(grow.Grower):
            def insert(self, table, **row):
                rows.append(row)
                return len(rows)

        Listing(None, kind, f"floor-{seed}").session(**runs.SESSION)
        text = grow.json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
        packed = subprocess.run(["zstd", "-19", "-c"], input=text.encode(), stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, check=True)
        return len(packed.stdout)

    def run(self, is_quick):
        if self.is_smoke:
            self.measure("tiny", "words", rounds=2, pulls=1, nothing=2)
            self.measure("tiny", "english", rounds=1, pulls=0, nothing=0)
            self.floors(1)
        else:
            small = self.measure("small", "words", rounds=9, pulls=2, nothing=25)
            self.measure("small", "english", rounds=9, pulls=0, nothing=0)
            if not is_quick:
                large = self.measure("large", "words", rounds=5, pulls=1, nothing=25)
                base = self.session_seconds[small]
                growth = [wall / base[len(base) // 2] for wall in self.session_seconds[large]]
                self.table.heading("From the small database to the large one")
                self.table.add("push of one session: time, large / small", growth, "",
                               most=BAR_SESSION_GROWTH)
            self.floors(9)
        self.memory_rows()


def describe_load():
    return f"{os.getloadavg()[0]:.1f}"


def describe_machine(folder, membridge):
    def ask(*words):
        result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return result.stdout.decode().strip()

    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    commit = ask("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD") or "unknown"
    if ask("git", "-C", str(ROOT), "status", "--porcelain"):
        commit += ", with changes"
    device, file_system = ask("df", "--output=source,fstype", str(folder)).splitlines()[-1].split()
    sqlite = ask(str(membridge), "version", "--verbose").splitlines()[1]
    return file_system, "\n".join((
        f"CPU          {cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} cores",
        f"kernel       {platform.system()} {platform.release()}",
        f"store on     {file_system} ({device}), {folder}",
        f"SQLite       {sqlite.split()[-1]}; the peer's {sqlite3.sqlite_version},"
        f" Python {platform.python_version()}",
        f"commit       {commit}",
        f"load         {describe_load()} at the start",
        "peer         VACUUM INTO, SHA-256, copy to the folder (bench/peer.py), nothing synced; its times"
        " are those of the work, without the start of Python",
    ))


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    try:
        bench.tools.check()
        file_system, machine = describe_machine(options.dir, bench.tools.membridge)
        runs.expect(options.smoke or file_system not in ("tmpfs", "ramfs"),
                    f"{options.dir} is not on a disk ({file_system}): name another folder with --dir")
        print(machine + "\n", flush=True)
        with tempfile.TemporaryDirectory(prefix="run-", dir=options.dir) as scratch:
            bench.scratch = pathlib.Path(scratch)
            bench.run(options.quick)
    except (runs.Failed, KeyboardInterrupt) as reason:
        print(bench.table.text())  # what was measured until then
        print(f"failed: {reason or 'interrupted'}", file=sys.stderr)
        return 1
    print(bench.table.text())
    print(f"\nload of the machine at the end: {describe_load()} (much over 1: there was company, and times mean little)")
    if options.smoke:
        print("\nA smoke run: everything could be measured, and the figures mean nothing.")
        return 0
    print(f"\n{bench.table.missed} bars missed")
    return 1 if options.strict and bench.table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
