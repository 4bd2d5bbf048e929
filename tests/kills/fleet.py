# SPDX-License-Identifier: MIT
"""Three machines over one folder, people at work on them, and a ledger of what must come of it."""

import os
import pathlib
import random
import re
import shutil
import sqlite3
import time

import memory
import upgraded
from machine import Machine

EPOCH = 1_780_000_000_000
DAY_SECONDS = 86400
MEMORY_BYTES_MIN = 500_000_000
SETTLE_ROUNDS_MAX = 6
TEXT = "what was found in the code and why it had been written in this way and no other; "
# How claude-mem's versions write rows; the newest may be there twice.
VERSIONS = ("13.25.3-a", "13.25.3-b", "13.4.0", "13.12.2", "13.25.3-a", "10.6.3")
# Everything that may lie in a state folder and beside a database once all is quiet.
STATE_FILES = re.compile(r"state\.db(-wal|-shm)?|lock")
DATABASE_FILES = re.compile(r"claude-mem\.db(-wal|-shm)?")
STORE_FILES = re.compile(
    r"membridge-store|projects/[0-9a-f]{16}/(heads|segments)/[0-9a-f]{16}/[0-9]{10}-[0-9a-f]{32,64}"
)
TEMPORARY = ".membridge-tmp-"
TITLES = {  # what the ledger knows a row by
    "sdk_sessions": lambda identity: identity[1],
    "observations": lambda identity: identity[2],
    "session_summaries": lambda identity: identity[1],
    "user_prompts": lambda identity: identity[2],
}


class Wrong(AssertionError):
    """What a test found; it ends the run."""


def require(holds, text):
    if not holds:
        raise Wrong(text)


class Ledger:
    """Every row that was written, by its title, and what became of it."""

    def __init__(self):
        self.alive = {}  # title -> table
        self.deleted = {}
        self.custom_titles = {}  # content id of a session -> the one title that it was ever given
        self.completed = set()

    def add(self, table, title):
        self.alive[title] = table

    def delete(self, title):
        """False if it is no row of ours, or dead already."""
        table = self.alive.pop(title, None)
        if table:
            self.deleted[title] = table
        return table is not None


class Fleet:
    """Machines whose rows are changed with plain SQL, as claude-mem's versions do."""

    def __init__(self, root, seed, rows):
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.count = 0
        (root / "store").mkdir(parents=True)
        versions = [VERSIONS[(seed + i) % len(VERSIONS)] for i in range(3)]
        self.machines = [
            Machine(root, f"{i}-{version}", root / "store").take(version)
            for i, version in enumerate(versions)
        ]
        self.before = [memory.Memory(machine.db) for machine in self.machines]
        for machine in self.machines:
            self.write(machine, rows)

    @staticmethod
    def connect(machine):
        """Waits for a lock as long as it takes: what is tested here is not the writer's patience."""
        db = sqlite3.connect(machine.db, isolation_level=None, timeout=120)
        db.execute("PRAGMA foreign_keys=ON")
        return db

    # ---- what people and claude-mem do ----

    def write(self, machine, rows):
        """Sessions of some 25 rows, in one transaction each."""
        db = self.connect(machine)
        while rows > 0:
            size = min(rows, self.random.randint(5, 40))
            rows -= size
            self.count += 1
            db.execute("BEGIN IMMEDIATE")
            self._write_session(db, self.count, size)
            db.execute("COMMIT")
        db.close()

    def _write_session(self, db, number, size):
        content, epoch = f"session-{number}-end", EPOCH + number * 1_000_000
        hanging = f"memory-{number}"
        session = upgraded.session(db, content, hanging, "ours", epoch)
        self.ledger.add("sdk_sessions", content)
        by_id = "session_db_id" in memory.columns(db, "user_prompts")
        for i in range(size - 1):
            title, at = f"row-{number}-{i}-end", epoch + i
            kind = self.random.choices(("observations", "session_summaries", "user_prompts"), (8, 1, 1))[0]
            if kind == "observations":
                db.execute(
                    "INSERT INTO observations(memory_session_id, project, type, title, narrative, facts,"
                    " content_hash, created_at, created_at_epoch) VALUES(?,'ours','change',?,?,?,?,?,?)",
                    (
                        hanging,
                        title,
                        TEXT * self.random.randint(1, 30),
                        f'["{title}"]',
                        f"hash-{title}",
                        upgraded.stamp(at),
                        at,
                    ),
                )
            elif kind == "session_summaries":
                db.execute(
                    "INSERT INTO session_summaries(memory_session_id, project, request, learned,"
                    " created_at, created_at_epoch) VALUES(?,'ours',?,?,?,?)",
                    (hanging, title, TEXT, upgraded.stamp(at), at),
                )
            elif by_id:
                upgraded.prompt(db, session, content, at, title)
            else:
                db.execute(
                    "INSERT INTO user_prompts(content_session_id, prompt_number, prompt_text,"
                    " created_at, created_at_epoch) VALUES(?,1,?,?,?)",
                    (content, title, upgraded.stamp(at), at),
                )
            self.ledger.add(kind, title)

    def delete(self, machine, count):
        """Single rows, as claude-mem's viewer does it; now and then a whole session."""
        db = self.connect(machine)
        for _ in range(count):
            table, column = self.random.choice(
                (("observations", "title"), ("session_summaries", "request"), ("user_prompts", "prompt_text"))
            )
            self._delete_where(db, table, column, "'row-%'")
        if count and self.random.random() < 0.1:
            self._delete_where(db, "sdk_sessions", "content_session_id", "'session-%'")
        db.close()

    def _delete_where(self, db, table, column, like):
        db.execute("BEGIN IMMEDIATE")
        rows = db.execute(f"SELECT id, {column} FROM {table} WHERE {column} LIKE {like}").fetchall()
        if rows:
            row_id, title = self.random.choice(rows)
            gone = [title]
            if table == "sdk_sessions":
                gone += self._children(db, row_id)
            db.execute(f"DELETE FROM {table} WHERE id=?", (row_id,))
            for title in gone:
                self.ledger.delete(title)
        db.execute("COMMIT")

    @staticmethod
    def _children(db, session):
        """What the foreign keys take along."""
        content, hanging = db.execute(
            "SELECT content_session_id, memory_session_id FROM sdk_sessions WHERE id=?", (session,)
        ).fetchone()
        by_id = "session_db_id" in memory.columns(db, "user_prompts")
        prompts = ("session_db_id", session) if by_id else ("content_session_id", content)
        return [
            row[0]
            for query, key in (
                ("SELECT title FROM observations WHERE memory_session_id=?", hanging),
                ("SELECT request FROM session_summaries WHERE memory_session_id=?", hanging),
                (f"SELECT prompt_text FROM user_prompts WHERE {prompts[0]}=?", prompts[1]),
            )
            for row in db.execute(query, (key,))
        ]

    def change(self, machine, count):
        """Sessions get a title and an end: each once, so that no other value can be right."""
        db = self.connect(machine)
        titled = "custom_title" in memory.columns(db, "sdk_sessions")
        for _ in range(count):
            db.execute("BEGIN IMMEDIATE")
            rows = db.execute(
                "SELECT id, content_session_id FROM sdk_sessions WHERE content_session_id LIKE 'session-%'"
                " AND content_session_id<>memory_session_id"
            ).fetchall()
            row_id, content = self.random.choice(rows) if rows else (None, None)
            if titled and content and content not in self.ledger.custom_titles:
                self.ledger.custom_titles[content] = f"title of {content}"
                db.execute(
                    "UPDATE sdk_sessions SET custom_title=? WHERE id=?", (f"title of {content}", row_id)
                )
            elif content:
                self.ledger.completed.add(content)
                db.execute(
                    "UPDATE sdk_sessions SET status='completed', completed_at_epoch=? WHERE id=?",
                    (EPOCH, row_id),
                )
            db.execute("COMMIT")
        db.close()

    # ---- the end ----

    def settle(self):
        """Until a whole round has nothing to do. The number of rounds."""
        for rounds in range(1, SETTLE_ROUNDS_MAX + 1):
            busy = False
            for machine in self.machines:
                result = machine.sync()
                busy |= result["push"]["outcome"] != "nothing_to_do"
                busy |= any(
                    result["pull"][key] != 0
                    for key in ("rows_inserted", "rows_updated", "rows_deleted", "rows_parked")
                )
            if not busy:
                return rounds
        raise Wrong(f"the machines do not come to rest: {result}")

    def check(self):
        memories = [memory.Memory(machine.db) for machine in self.machines]
        wanted = memory.union(self.before)
        for machine, found in zip(self.machines, memories):
            name = machine.home.name
            wrong = memory.health(machine.db)
            require(not wrong, f"{name}: {wrong}")
            errors = memory.foreign_key_errors(machine.db)
            require(errors <= machine.orphans, f"{name}: {errors} rows refer to nothing")
            self._check_ledger(name, found)
            self._check_values(name, found)
            for table in memory.TABLES[:-1]:
                lost = wanted[table] - found.rows[table]
                require(not lost, f"{name}: {table}: lost {list(lost)[:3]}")
                require(
                    found.rows[table] == memories[0].rows[table],
                    f"{name}: {table} is not as on {self.machines[0].home.name}",
                )
            require(found.registers == memories[0].registers, f"{name}: other values of sessions")
            for table, known in found.session_of.items():
                if table != "tool_uses":
                    require(known == memories[0].session_of[table], f"{name}: {table}: other sessions")
        self._check_status()
        self._check_files()

    def _check_ledger(self, name, found):
        here = {}
        for table, title_of in TITLES.items():
            for identity, count in found.rows[table].items():
                title = title_of(identity)
                if title is not None and title.startswith(("row-", "session-")):
                    require(count == 1, f"{name}: {title} is there {count} times")
                    here[title] = table
        lost = set(self.ledger.alive) - set(here)
        require(not lost, f"{name}: {len(lost)} rows lost: {sorted(lost)[:5]}")
        back = set(here) - set(self.ledger.alive)
        require(not back, f"{name}: {len(back)} rows too many: {sorted(back)[:5]}")

    def _check_values(self, name, found):
        for (_, content), session in found.registers.items():
            status, title, _ = session["values"]
            wanted = self.ledger.custom_titles.get(content)
            if content.startswith("session-"):
                require(title in (None, wanted), f"{name}: {content} is called {title}")
                done = content in self.ledger.completed
                require((status == "completed") == done, f"{name}: {content} is {status}")
        titled = [m for m in self.machines if not m.home.name.endswith("10.6.3")]
        if name in [machine.home.name for machine in titled]:
            for content, wanted in self.ledger.custom_titles.items():
                if content in self.ledger.alive:
                    values = found.registers[("claude", content)]["values"]
                    require(values[1] == wanted, f"{name}: {content} lost its title")

    def _check_status(self):
        results = [machine.run("status") for machine in self.machines]
        for machine, status in zip(self.machines, results):
            name = machine.home.name
            require(status["digest"] == results[0]["digest"], f"{name}: another digest")
            for key in ("pending_out", "deletes_held_out", "deletes_held_in", "rows_parked"):
                require(status[key] == 0, f"{name}: {key} is {status[key]}")
            require(not status["is_healing"], f"{name} is healing")
            require(status["digest_alarm"] is None, f"{name}: {status['digest_alarm']}")

    def temporaries(self):
        return list(self.machines[0].store.rglob(TEMPORARY + "*"))

    def _check_files(self):
        for machine in self.machines:
            for path in (machine.home / "state").rglob("*"):
                if path.is_file():
                    require(STATE_FILES.fullmatch(path.name), f"{path} was left behind")
            for path in machine.db.parent.iterdir():
                require(DATABASE_FILES.fullmatch(path.name), f"{path} was left behind")
            for path in (machine.home / ".claude-mem-backups").rglob("*"):
                require(not path.is_file() or path.suffix == ".db", f"{path} was left behind")
        store = self.machines[0].store
        for path in store.rglob("*"):
            name = str(path.relative_to(store))
            if path.is_file() and not path.name.startswith(TEMPORARY):
                require(STORE_FILES.fullmatch(name), f"{name} was left behind in the store")

    def check_temporaries(self):
        """What a killed put left in the store goes with a later put, once it is a day old."""
        for path in self.temporaries():
            os.utime(path, (time.time() - 2 * DAY_SECONDS,) * 2)
        for machine in self.machines:
            self.write(machine, 1)
            machine.run("push")
        left = self.temporaries()
        require(not left, f"{left[:3]} were left behind in the store")


def drive():
    """Tests that write much need no drive that keeps it: memory, where there is enough of it."""
    shared = pathlib.Path("/dev/shm")
    if shared.is_dir() and shutil.disk_usage(shared).free > MEMORY_BYTES_MIN:
        return shared
    return None
