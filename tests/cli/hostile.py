#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts what no membridge writes into a store.

Usage: hostile.py STORE KIND MACHINE...     puts a stream of that kind under each machine id (16 hex digits)
       hostile.py kinds

Written from docs/FORMAT.md and not with our own code. Names and hashes are right unless they are what is wrong.
"""

import hashlib
import json
import os
import struct
import subprocess
import sys

HEAD, SEGMENT = b"H", b"S"
BLOCK = 128 * 1024
NOW = 1795428000000
TITLE = "Robert'); DROP TABLE observations;--"


# ---- the format ----


def frame(blocks):
    """One zstd frame of (kind, size, bytes): kind 0 is raw, 1 is one byte repeated."""
    out = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x38"  # no checksum, a window of 128 KiB
    for i, (kind, size, data) in enumerate(blocks):
        out += struct.pack("<I", size << 3 | kind << 1 | (i == len(blocks) - 1))[:3] + data
    return out


def pack(text):
    blocks = [(0, len(text[i : i + BLOCK]), text[i : i + BLOCK]) for i in range(0, len(text), BLOCK)]
    return frame(blocks or [(0, 0, b"")])


def bomb(byte, size):
    """Some 4 bytes for each 128 KiB."""
    return frame([(1, BLOCK, byte)] * (size // BLOCK))


def put_object(kind, content, version=1, flags=1):
    return b"MBRG" + kind + bytes([version, flags, 0]) + content


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def lines(*records):
    return b"".join((record if isinstance(record, bytes) else compact(record)) + b"\n" for record in records)


def row_id(table, *values):
    data = b""
    for value in (table, *values, 0):
        if value is None:
            data += b"n"
        elif isinstance(value, int):
            data += b"i" + struct.pack(">q", value)
        else:
            data += b"t" + struct.pack(">Q", len(value.encode())) + value.encode()
    return hashlib.sha256(data).hexdigest()[:32]


def observation(title=TITLE, **changes):
    record = {
        "k": "row",
        "t": "observations",
        "id": row_id("observations", NOW, "discovery", title, None, None, None, None),
        "b": [NOW, "0" * 16],
        "c": {"created_at_epoch": NOW, "type": "discovery", "title": title, "subtitle": None, "facts": None,
              "narrative": None, "text": None, "created_at": "2026-11-23T10:00:00.000Z"},
        "r": {"session": [None], "project": ["p'; DROP TABLE sdk_sessions;--"]},
    }  # fmt: skip
    record.update(changes)
    return record


# ---- streams ----


class Stream:
    def __init__(self, store, machine):
        projects = os.path.join(store, "projects")
        self.root = os.path.join(projects, sorted(os.listdir(projects))[0])
        self.machine = machine
        self.entries = []
        self.chain = bytes(16)

    def write(self, kind, name, data):
        folder = os.path.join(self.root, kind, self.machine)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data.rstrip(b"\0"))
            file.truncate(len(data))  # large ones take no room

    def segment(self, data, name=None, **changes):
        """Puts it, and gives it an entry of the head."""
        last = len(self.entries) + 1
        digest = hashlib.sha256(data)
        self.chain = hashlib.sha256(self.chain + struct.pack(">Q", last) + digest.digest()).digest()[:16]
        right_name = f"{last:010}-{digest.hexdigest()}"
        self.write("segments", right_name, data)
        entry = {"first": last, "last": last, "chain": self.chain.hex(), "name": name or right_name,
                 "bytes": len(data), "records": 1}  # fmt: skip
        entry.update(changes)
        self.entries.append(entry)
        return right_name

    def records(self, *records):
        return self.segment(put_object(SEGMENT, pack(lines(*records))))

    def head_text(self, **changes):
        head = {"machine": self.machine, "sequence": 1, "time": NOW, "host": "mallory\x1b[31m\n<script>",
                "program": "membridge 0.0", "entries": self.entries, "covers": []}  # fmt: skip
        head.update(changes)
        return compact(head)

    def head(self, data=None, sequence=1, name_of=None):
        data = data if data is not None else put_object(HEAD, pack(self.head_text()))
        digest = hashlib.sha256(name_of if name_of is not None else data).hexdigest()[:32]
        self.write("heads", f"{sequence:010}-{digest}", data)


def head_of(text):
    return put_object(HEAD, pack(text))


def with_segment(make):
    def put(stream):
        make(stream)
        stream.head()

    return put


def swapped(stream):
    """Two whole segments, each under the other's name."""
    first = stream.records(observation("one"))
    second = stream.records(observation("two"))
    folder = os.path.join(stream.root, "segments", stream.machine)
    os.rename(os.path.join(folder, first), os.path.join(folder, "x"))
    os.rename(os.path.join(folder, second), os.path.join(folder, first))
    os.rename(os.path.join(folder, "x"), os.path.join(folder, second))
    stream.head()


def other_name(stream, name):
    stream.segment(put_object(SEGMENT, pack(lines(observation()))), name=name)
    stream.head()


def torn(stream):
    """A head whose segment came only by half."""
    name = stream.records(observation())
    with open(os.path.join(stream.root, "segments", stream.machine, name), "r+b") as file:
        file.truncate(100)
    stream.head()


def absent(stream):
    name = stream.records(observation())
    os.unlink(os.path.join(stream.root, "segments", stream.machine, name))
    stream.head()


def large(kind):
    def put(stream):
        data = put_object(kind, bytes(200 * 1024 * 1024))
        if kind == SEGMENT:
            stream.segment(data, bytes=1000)
            stream.head()
        else:
            stream.head(data)

    return put


def many_entries(stream):
    entry = {"chain": "0" * 32, "bytes": 1, "records": 1}
    stream.entries = [dict(entry, first=i, last=i, name=f"{i:010}-{0:064x}") for i in range(1, 9002)]
    packed = subprocess.run(["zstd", "-19", "-c"], input=stream.head_text(), stdout=subprocess.PIPE, check=True).stdout
    stream.head(put_object(HEAD, packed))


def bad_record(record):
    return with_segment(lambda stream: stream.records(observation("innocent"), record))


def bad_segment(data):
    return with_segment(lambda stream: stream.segment(data))


def bad_head(**changes):
    return lambda stream: stream.head(head_of(stream.head_text(**changes)))


def bad_entry(**changes):
    def put(stream):
        stream.segment(put_object(SEGMENT, pack(lines(observation()))), **changes)
        stream.head()

    return put


DEEP = b"[" * 100_000 + b"]" * 100_000
GIB = 1 << 30
COVER = {"machine": "0" * 15 + "1", "sequence": 1, "chain": "0" * 32}

KINDS = {
    # What is in order, however it looks.
    "good": with_segment(lambda stream: stream.records(observation())),
    # A time that nobody could outdo.
    "late": bad_record(observation(
        r={"session": [None], "project": ["late", 253402300799999, "f" * 16]})),  # fmt: skip
    # Bombs and sizes.
    "bomb-zeros": bad_segment(put_object(SEGMENT, bomb(b"\0", GIB))),
    "bomb-lines": bad_segment(put_object(SEGMENT, bomb(b"\n", GIB))),
    "bomb-brackets": bad_segment(put_object(SEGMENT, bomb(b"[", GIB))),
    "bomb-head": lambda stream: stream.head(put_object(HEAD, bomb(b" ", GIB))),
    "large-segment": large(SEGMENT),
    "large-head": large(HEAD),
    # Other versions.
    "later-head": lambda stream: stream.head(put_object(HEAD, b"what we cannot know", version=2)),
    "later-segment": bad_segment(put_object(SEGMENT, b"what we cannot know", version=2)),
    "encrypted": bad_segment(put_object(SEGMENT, b"what we cannot know", flags=3)),
    "later-record": bad_record({"k": "poem", "t": "observations"}),
    "later-value": bad_record(observation("v", r={"project": [{"date": "today"}]})),
    # Wrong bytes under a right name, right bytes under a wrong one.
    "hash-head": lambda stream: stream.head(head_of(stream.head_text()), name_of=b"something else"),
    "hash-segment": swapped,
    "torn": torn,
    "absent": absent,
    "empty-segment": bad_segment(b""),
    "empty-head": lambda stream: stream.head(b""),
    "not-ours": bad_segment(b"\x7fELF" + bytes(500)),
    "not-zstd": bad_segment(put_object(SEGMENT, b"\x1f\x8b" + bytes(100))),
    "other-machine": bad_head(machine="0123456789abcdef"),
    "other-sequence": bad_head(sequence=7),
    "head-as-segment": bad_segment(head_of(b"{}")),
    # Paths.
    "path-up": lambda stream: other_name(stream, "../../../../../../../../etc/passwd"),
    "path-hash": lambda stream: other_name(stream, "0000000001-" + "../" * 21 + "a"),
    "path-absolute": lambda stream: other_name(stream, "/etc/passwd"),
    "path-machine": bad_head(machine="../../../etc/pas"),
    # Counts and numbers.
    "many-entries": many_entries,
    "records-count": bad_entry(records=10**18),
    "bytes-count": bad_entry(bytes=-1),
    "last-far": bad_entry(last=10**15),
    "first-after-last": bad_entry(first=3),
    "sequence-negative": bad_head(sequence=-1),
    "number-real": bad_head(time=1e300),
    "covers-twice": bad_head(covers=[COVER, COVER]),
    "columns-many": bad_record(observation("m", c={f"c{i}": i for i in range(300)})),
    "copy-far": bad_record(observation("n", n=10**9)),
    "time-far": bad_record(observation("t", b=[253402300800000, "0" * 16])),
    "time-before": bad_record(observation("t", b=[-1, "0" * 16])),
    # JSON.
    "deep-head": lambda stream: stream.head(put_object(HEAD, bomb(b"[", 3 * BLOCK))),
    "deep-record": bad_record(DEEP),
    "deep-value": bad_record(b'{"k":"row","t":' + DEEP + b"}"),
    "not-json": bad_record(b"GIF89a"),
    "not-utf8": bad_record(b'{"k":"row","t":"\xff\xfe"}'),
    "key-twice": bad_record(b'{"k":"del","k":"row"}'),
    "no-newline": bad_segment(put_object(SEGMENT, pack(compact(observation())))),
    # SQL where a name should be.
    "sql-table": bad_record(observation("s", t="observations; DROP TABLE observations")),
    "sql-column": bad_record(observation("s", c={'title" = (SELECT 1), "x': 1})),
    "sql-register": bad_record(observation("s", r={"project) VALUES (1); DROP TABLE observations;--": ["x"]})),
    # A row that is not what its id says.
    "row-id": bad_record(observation("s", id="0" * 32)),
    "row-part": bad_record(observation("s", c={"title": "s"})),
    "reference": bad_record(observation("s", r={"session": [7]})),
}


def main():
    if sys.argv[1:] == ["kinds"]:
        print("\n".join(kind for kind in KINDS if not kind.startswith("good") and kind != "absent"))
        return
    store, kind, machines = sys.argv[1], sys.argv[2], sys.argv[3:]
    for machine in machines:
        KINDS[kind](Stream(store, machine))


if __name__ == "__main__":
    main()
