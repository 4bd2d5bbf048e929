#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Adds sessions, as claude-mem writes them, to a claude-mem database.

Usage: grow.py DATABASE OBSERVATIONS [words|english] [SEED]

Grows until so many observations are in it. Each session is a row of its own with some 13 observations, 9
prompts and 3 summaries. The same arguments give the same rows, on the same version of Python (english is
taken from its help texts) and of the licences that every Debian keeps.
"""

import hashlib
import json
import pathlib
import random
import re
import sqlite3
import sys
import time
import uuid

from pydoc_data.topics import topics

# Few words in many places, some of them in other scripts: what compresses better than a real memory does.
WORDS = """
a the to of in for is on with and that was by from not it as at be when after before without only each
worker session cache index query token merge branch commit parser buffer socket retry timeout lease
snapshot segment digest schema migration trigger observation summary prompt project refactor fixture
latency throughput memory leak pointer async stream decode encode hash verify bucket object store upload
conflict resolve build failed passed added removed renamed because instead should returns caller
порядок сесія індекс злиття помилка 修复 缓存 提交 テスト 検索 naïve façade größe 🚀 ✅
""".split()
TYPES = ("bugfix", "feature", "refactor", "change", "discovery", "decision")
LICENCES = pathlib.Path("/usr/share/common-licenses")
START_MS = 1767225600000  # 2026-01-01


def read_english():
    """Sentences of the licences and of Python's help, each once, in a fixed order."""
    texts = [path.read_text("utf-8", "replace") for path in sorted(LICENCES.glob("*"))]
    texts += [text for _, text in sorted(topics.items())]
    sentences = {}
    for text in texts:
        for sentence in re.split(r"(?<=[.;:])\s+", text):
            words = sentence.split()
            if 4 <= len(words) <= 60 and sum(map(str.isalpha, sentence)) > len(sentence) * 0.7:
                sentences[" ".join(words).lower()] = words
    return list(sentences.values())


class Words:
    def __init__(self, rng):
        self.rng = rng

    def text(self, low, high):
        return " ".join(self.rng.choices(WORDS, k=self.rng.randint(low, high)))


class English:
    """Goes through all sentences in a random order before it says one again."""

    def __init__(self, rng):
        self.rng = rng
        self.sentences = read_english()
        self.left = []

    def text(self, low, high):
        words = []
        size = self.rng.randint(low, high)
        while len(words) < size:
            if not self.left:
                self.left = self.rng.sample(self.sentences, len(self.sentences))
            words += self.left.pop()
        return " ".join(words[:size])


TEXTS = {"words": Words, "english": English}


class Grower:
    """Writes sessions through a connection whose transactions are the caller's."""

    def __init__(self, db, kind, seed):
        self.db = db
        self.rng = random.Random(f"{kind}/{seed}")
        self.text = TEXTS[kind](self.rng).text
        self.clock_ms = START_MS
        self.inserts = {}

    def insert(self, table, **row):
        key = (table, tuple(row))
        if key not in self.inserts:
            names = [info[1] for info in self.db.execute(f"PRAGMA table_info({table})")]
            names = [name for name in row if name in names]  # older schemas have fewer
            marks = ",".join("?" * len(names))
            self.inserts[key] = names, f"INSERT INTO {table}({','.join(names)}) VALUES({marks})"
        names, sql = self.inserts[key]
        return self.db.execute(sql, [row[name] for name in names]).lastrowid

    def later(self, low_ms, high_ms):
        self.clock_ms += self.rng.randint(low_ms, high_ms)
        seconds, ms = divmod(self.clock_ms, 1000)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return {"created_at": f"{text}.{ms:03d}Z", "created_at_epoch": self.clock_ms}

    def new_id(self):
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def list_of(self, low, high, make):
        return json.dumps([make() for _ in range(self.rng.randint(low, high))], ensure_ascii=False)

    def observation(self, memory, project, number):
        rng, text = self.rng, self.text
        title, narrative = text(4, 12), text(60, 260)
        content = "\0".join((memory, title, narrative))
        self.insert(
            "observations",
            memory_session_id=memory,
            project=project,
            type=rng.choice(TYPES),
            title=title,
            subtitle=text(5, 15),
            facts=self.list_of(1, 5, lambda: text(6, 20)),
            narrative=narrative,
            concepts=self.list_of(3, 3, lambda: rng.choice(WORDS)),
            files_read=self.list_of(0, 4, lambda: f"src/{rng.choice('abcdef')}{rng.randint(0, 9)}.c"),
            files_modified="[]",
            prompt_number=number,
            discovery_tokens=rng.randint(100, 9000),
            content_hash=hashlib.sha256(content.encode()).hexdigest()[:16],
            **self.later(900, 60_000),
        )

    def session(self, prompts=None, observations=None, summaries=None):
        """One session; returns the number of its rows."""
        rng, text = self.rng, self.text
        prompts = prompts or rng.randint(6, 12)
        observations = observations or rng.randint(8, 18)
        summaries = summaries or rng.randint(2, 4)
        content, memory = self.new_id(), self.new_id()
        project = f"project-{rng.randint(1, 12)}"
        started = self.later(600_000, 14_400_000)
        first = text(8, 60)
        session = self.insert(
            "sdk_sessions",
            content_session_id=content,
            memory_session_id=memory,
            project=project,
            platform_source="claude",
            user_prompt=first,
            started_at=started["created_at"],
            started_at_epoch=started["created_at_epoch"],
            status=rng.choice(("active", "completed", "completed")),
            custom_title=text(2, 5) if rng.random() < 0.2 else None,
        )
        for number in range(1, prompts + 1):
            self.insert(
                "user_prompts",
                session_db_id=session,
                content_session_id=content,
                prompt_number=number,
                prompt_text=first if number == 1 else text(4, 120),
                **self.later(5000, 300_000),
            )
        for number in range(observations):
            self.observation(memory, project, number // 3 + 1)
        for number in range(1, summaries + 1):
            self.insert(
                "session_summaries",
                memory_session_id=memory,
                project=project,
                request=text(6, 30),
                investigated=text(20, 80),
                learned=text(20, 80),
                completed=text(20, 80),
                next_steps=text(10, 40),
                prompt_number=number,
                discovery_tokens=rng.randint(50, 900),
                **self.later(1000, 90_000),
            )
        return 1 + prompts + observations + summaries


def grow(path, observations, kind, seed):
    """Fills a database that nobody else has open. Returns the number of rows added."""
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("foreign_keys=ON", "synchronous=OFF", "cache_size=-200000"):
        db.execute(f"PRAGMA {pragma}")
    grower = Grower(db, kind, seed)
    rows = 0
    while True:
        (there,) = db.execute("SELECT count(*) FROM observations").fetchone()
        if there >= observations:
            break
        # The last ones singly, so that it stops within a session of what was asked for.
        sessions = max(1, min(200, (observations - there) // 20))
        db.execute("BEGIN")
        rows += sum(grower.session() for _ in range(sessions))
        db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return rows


def main():
    if not 3 <= len(sys.argv) <= 5 or (len(sys.argv) > 3 and sys.argv[3] not in TEXTS):
        sys.exit(__doc__)
    kind = sys.argv[3] if len(sys.argv) > 3 else "words"
    seed = sys.argv[4] if len(sys.argv) > 4 else "1"
    print(grow(sys.argv[1], int(sys.argv[2]), kind, seed), "rows added")


if __name__ == "__main__":
    main()
