#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the first inputs of the fuzzers from real objects.

Usage: make_corpus.py MEMBRIDGE FIXTURES FOLDER

Two machines with the fixtures' databases sync through one store. What they put there becomes inputs, one folder
for each driver, below FOLDER: whole objects, the texts in them, names, settings, and the little programs that the
drivers `store`, `database` and `state` read. docs/TESTING.md says how they are made few and small afterwards.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile

RECORDS_OF_A_KIND = 2
LINE_MAX = 1500


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout


def unpack(data):
    return run("zstd", "-dcq", input=data[8:])


def make_store(membridge, fixtures, scratch):
    store = os.path.join(scratch, "store")
    os.mkdir(store)
    for name in ("a", "b"):
        home = os.path.join(scratch, name)
        database = os.path.join(home, "claude-mem.db")
        os.mkdir(home)
        run("zstd", "-dq", os.path.join(fixtures, f"claude-mem-13.25.3-{name}.db.zst"), "-o", database)
        env = {"HOME": home, "PATH": os.environ["PATH"], "CLAUDE_MEM_DB": database, "MEMBRIDGE_STORE": store}
        run(membridge, "push", env=env)
        run(membridge, "sync", env=env)
        edit = "UPDATE sdk_sessions SET custom_title='x'; DELETE FROM user_prompts WHERE id=(SELECT min(id) FROM user_prompts)"
        run("sqlite3", database, edit)
        run(membridge, "sync", env=env)
    return store


def read_objects(store):
    """(name below the store, bytes), the smallest first."""
    found = []
    for folder, _, names in os.walk(store):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found.append((os.path.relpath(path, store), file.read()))
    return sorted(found, key=lambda item: (len(item[1]), item[0]))


def pick_lines(texts):
    """Some records of each kind and table, the shortest first."""
    picked = {}
    for line in sorted({line for text in texts for line in text.splitlines()}, key=lambda line: (len(line), line)):
        kind = line[: line.index(b'"id"')]
        if len(line) <= LINE_MAX and len(picked.setdefault(kind, [])) < RECORDS_OF_A_KIND:
            picked[kind].append(line)
    return [line for kind in sorted(picked) for line in picked[kind]]


def of_objects(store):
    objects = read_objects(store)
    heads = [(name, data) for name, data in objects if "/heads/" in name]
    segments = [(name, data) for name, data in objects if "/segments/" in name]
    lines = pick_lines([unpack(data) for _, data in segments])
    inputs = {"segment": [], "head": [], "names": [], "json": []}
    for name, data in heads:
        inputs["head"] += [b"o" + data, b"t" + unpack(data)]
        inputs["json"].append(b"\x10\x40" + unpack(data))
        inputs["names"] += [name.encode(), name.split("/", 2)[2].encode()]
    for name, data in segments[:2]:
        inputs["segment"].append(b"o" + data)
        inputs["names"] += [name.encode(), os.path.basename(name).encode()]
    for line in lines:
        inputs["segment"].append(b"\x20" + line + b"\n")
        inputs["json"].append(b"\x10\x40" + line)
    inputs["segment"].append(b"\xff" + b"\n".join(lines[:4]) + b"\n")
    return inputs, lines


VALUES = (
    b'{"k":"row","t":"a","id":"00000000000000000000000000000001","b":[5,"0000000000000001"],"n":3,"o":"m",'
    b'"c":{"a":null,"b":-9223372036854775808,"c":"\\u00e9\\n","d":{"f":"-0x1.999999999999ap-4"},'
    b'"e":{"b":"AAEC"},"f":{"x":"/wA="},"g":{"f":"-inf"}},'
    b'"r":{"a":[1],"b":["x",6,"0000000000000002"],"c":[{"b":""},7,"0000000000000002",5,"0000000000000001"]}}'
)

WRITTEN = {
    "segment": [b"\x20" + VALUES + b"\n"],
    "json": [
        b"\x10\x40" + VALUES,
        b'\x10\x40[1.5e300,-0,0.1,1e999,123456789012345678901,"\\ud83d\\ude00\\u0001\\/",true,false,null,{},[]]',
        b'\x02\x04{"a":{"b":[]}}',
        b'\x10\x40{"a":1,"a":2}',
    ],
    "names": [b"membridge-store", b"a/b.c-d_e/F", b"a.sync-conflict-1", b"Thumbs.db", b"a//b", b"../x", b"/etc", b"a/.b"],
    "config": [
        b"MEMBRIDGE_STORE=~/nas\nexport CLAUDE_PROJECT_ID='a b'\n# comment\n",
        b'A=1\nCLAUDE_MEM_DB="${HOME}/x $A \\" y"\nMEMBRIDGE_TOOL_USES=yes\nPULL_BACKUP_MAX_DAYS=20\r\n',
        b"MINIO_ENDPOINT=`x`; MINIO_BUCKET=b\nMEMBRIDGE_LOG=a\\ b'c'\"d\"$HOME;x\n",
        b'A=1\0\xef\xbb\xbf{"env":{"CLAUDE_MEM_DATA_DIR":"~/d"}}',
        b'A=1\0{"CLAUDE_MEM_DATA_DIR":"/d"}',
    ],
    "args": [
        b"sync\n--store\n/nas\n--json",
        b"push\n--full\n--accept-deletes\n--dry-run",
        b"--project=p\npull\n--heal\n--verbose",
        b"init\n--store=/nas\n--quiet",
        b"help\npush",
        b"conflicts\n-h",
        b"--version",
        b"psh\n--ful",
        b"status\n--\n--json",
        b"--db\n--json",
    ],
}


# ---- programs for fuzz_store.c ----

NOW = 1777593600000
NOBODY = "0" * 16


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def number(n):
    return f"{n:032x}"


def reference(n):
    return {"b": base64.b64encode(bytes(15) + bytes([n])).decode()}


def row(table, columns, registers, **more):
    return compact({"k": "row", "t": table, "id": number(0), "b": [NOW, NOBODY], "c": columns, "r": registers, **more})


def session(content, **registers):
    initial = {"project": ["p", 0, NOBODY], "status": ["active", 0, NOBODY],
               "started_at": ["2026-05-01T00:00:00.000Z", 0, NOBODY], "started_at_epoch": [NOW, 0, NOBODY]}  # fmt: skip
    return row("sdk_sessions", {"platform_source": "claude", "content_session_id": content}, {**initial, **registers},
               o=content.replace("-s", "-m"))  # fmt: skip


def observation(title, session_value, at=1, **more):
    columns = {"created_at_epoch": NOW + at, "type": "change", "title": title, "subtitle": None, "facts": None,
               "narrative": "n", "text": None, "created_at": "2026-05-01T00:00:00.000Z"}  # fmt: skip
    return row("observations", columns, {"session": [session_value], "project": ["p"]}, **more)


def summary(request, session_value, at=1):
    columns = {"created_at_epoch": NOW + at, "request": request, "investigated": None, "learned": None,
               "completed": None, "next_steps": None, "notes": None, "created_at": "2026-05-01"}  # fmt: skip
    return row("session_summaries", columns, {"session": [session_value], "project": ["p"]})


def prompt(content, text, session_value, at=1):
    columns = {"content_session_id": content, "created_at_epoch": NOW + at, "created_at": "2026-05-01"}
    return row("user_prompts", columns, {"session": [session_value], "prompt_text": [text]})


def registers(table, n, **values):
    return compact({"k": "reg", "t": table, "id": number(n), "r": values})


def tombstone(table, n, **more):
    return compact({"k": "del", "t": table, "id": number(n), "v": [NOW + 9000, "0000000000000007"], **more})


def of_store():
    new = ["Ma", session("hostile-s"), observation("hostile 1", reference(1)), summary("hostile", reference(1)),
           prompt("hostile-s", "hostile", reference(1))]  # fmt: skip
    later = [NOW + 5000, "0000000000000007", NOW, NOBODY]
    edits = [session("edit-s"), observation("edit 1", reference(1)), observation("edit 2", reference(1), at=2)]
    stories = [
        [*new, "S", "H", "P", "L", "U"],
        [*new[:3], "S", "H", "P", *new[3:], "/", "S", "H", "P", "E06"],
        ["Ma", observation("hostile 1", reference(9)), "S", "H", "P", session("hostile-s"),
         registers("observations", 1, session=[reference(2), *later]), "S", "H"],
        ["Ma", observation("orphan", None, o="orphan-m"), observation("two", None, o="edit-m", n=1), "S", "H"],
        ["Ma", *edits, registers("observations", 2, project=["theirs", *later], concepts=[None, *later]),
         registers("sdk_sessions", 1, custom_title=["theirs", *later]), "S", "H", "E13", "P", "U", "L"],
        ["Ma", *edits, tombstone("observations", 2), tombstone("sdk_sessions", 1), "S", "H", "P", "U", "Pa"],
        ["Ma", *edits, tombstone("observations", 2, d=True), "S", "H", "P", "E0", "Ph"],
        ["Ma", *new[1:], "S", "H", "P", "E6", "P", "Mb", *new[1:], registers("observations", 2, project=["x", *later]),
         "S", "H", "T2", "P", "U"],
        ["Ma", row("tool_uses", {"content_session_id": "hostile-s", "tool_use_id": "t1", "tool_name": "x"},
                   {"session": [None], "tool_input": ["in"]}), row("later_table", {"x": 1}, {"y": [2]}), "S", "H"],
        ["Ma", observation("hostile 1", reference(1), c={"new_column": 1, "created_at_epoch": NOW, "type": "change"}),
         "S", "H"],
        [*new, "x20 01", "S", "H", "P"],
        [*new, "y20 01", "S", "H", "P", "N", "S", "H"],
        [*new, "S", "=records 5", "H", "P", "=chain \"00\"", "H", "=lost true", "H", "=last 9", "H", "=covers []", "H"],
        [*new, "S", "Kheads/x", "Ksegments/y", "h{}", 'h{"machine":"ca978112ca1bbdca","sequence":2}', "H"],
        [*new, '"{\"k\":', "S", "H"],
        ["Ma", session("hostile-s", status=["strange", *later], project=[None, 0, NOBODY]),
         session("hostile-s", project=["observer-sessions", 0, NOBODY]), "S", "H", "P", "E7", "P", "E8"],
        ["Ma", prompt("edit-s", "edit 2, cut", reference(1), at=2), session("edit-s"), "S", "H", "E5", "P"],
        ["Ma", *[observation(f"hostile {i}", reference(1), at=i) for i in range(6)], session("edit-s"),
         *[tombstone("observations", i) for i in range(1, 7)], "S", "H", "E29"],
    ]  # fmt: skip
    return ["\n".join(story).encode() + b"\n" for story in stories]


DATABASE = [
    "UPDATE observations SET title=x'00ff80', narrative=5, facts=1.5 WHERE id>2",
    "UPDATE observations SET created_at_epoch='soon', type=CAST(x'ff00' AS TEXT), project=x''",
    "INSERT INTO observations(memory_session_id,project,type,created_at,created_at_epoch) VALUES('nobody','p','t','',-1)",
    "UPDATE user_prompts SET prompt_text=hex(zeroblob(100000)), content_session_id=NULL",
    "ALTER TABLE observations DROP COLUMN concepts\nALTER TABLE observations RENAME COLUMN text TO texts",
    'ALTER TABLE observations ADD COLUMN "a b" TEXT',
    "ALTER TABLE sdk_sessions ADD COLUMN g TEXT AS (project||status)",
    "DROP TABLE user_prompts\nCREATE VIEW user_prompts AS SELECT * FROM observations",
    "CREATE TRIGGER t AFTER INSERT ON observations BEGIN DELETE FROM sdk_sessions; END",
    "DROP TABLE observations\nCREATE TABLE observations(id PRIMARY KEY,memory_session_id,project,type,title,subtitle,facts,"
    "narrative,text,created_at,created_at_epoch) WITHOUT ROWID\n"
    "INSERT INTO observations(id,memory_session_id,created_at_epoch) VALUES('x','m',1),(2.5,'m',1),(x'00','m',1)",
    "DROP TABLE session_summaries\nCREATE TABLE session_summaries(id,memory_session_id,project,request,investigated,learned,"
    "completed,next_steps,notes,created_at,created_at_epoch)\n"
    "INSERT INTO session_summaries(id,created_at_epoch) VALUES(NULL,1),(NULL,1),('a',NULL),(9e999,2)",
    "CREATE UNIQUE INDEX u ON observations(project)",
    "CREATE UNIQUE INDEX u ON sdk_sessions(project,status) WHERE id>2\nPRAGMA user_version=99",
    "DELETE FROM sqlite_sequence\nUPDATE sdk_sessions SET id=id+100",
    "DELETE FROM observations\nDELETE FROM sdk_sessions",
    "INSERT INTO sdk_sessions SELECT id+100,content_session_id,memory_session_id||'x',project,platform_source,user_prompt,"
    "started_at,started_at_epoch,completed_at,completed_at_epoch,status,worker_port,prompt_counter,custom_title,observed_model,"
    "observed_billing FROM sdk_sessions",
    "PRAGMA writable_schema=ON\nUPDATE sqlite_master SET sql='CREATE TABLE observations(id)' WHERE name='observations'",
    "PRAGMA writable_schema=ON\nUPDATE sqlite_master SET rootpage=3 WHERE name='user_prompts'",
    "DELETE FROM observations_fts_data",
    "DROP TABLE observations_fts",
    "PRAGMA journal_mode=DELETE\nDROP TABLE schema_versions\nCREATE TABLE schema_versions(version)",
    "@0 00 4d",
    "@0 10 0200\n@0 1c ffffffff",
    "@5 00 0d0000\n@7 08 ffffffffffff",
    "DROP TABLE schema_versions\nCREATE VIEW schema_versions AS WITH RECURSIVE n(version) AS"
    " (SELECT 1 UNION ALL SELECT version+1 FROM n) SELECT version FROM n LIMIT 10",
]

STATE = [
    "UPDATE meta SET value='zz' WHERE key='machine'",
    "UPDATE meta SET value=9223372036854775807 WHERE key='hlc'",
    "UPDATE meta SET value=x'00'",
    "DELETE FROM meta",
    "UPDATE row SET tbl=9",
    "UPDATE row SET id=x'00' WHERE tbl=1",
    "UPDATE row SET tbl=4 WHERE tbl=1\nINSERT INTO dirty SELECT id FROM row\nINSERT INTO undead VALUES(4,3,x'00')",
    "UPDATE row SET regs=x'0f0000' WHERE tbl=1",
    "UPDATE row SET regs=x'', born_machine=x'', local=NULL",
    "UPDATE row SET local=local+100",
    "UPDATE row SET created=9223372036854775807, born_hlc=-1, twin=-1, suppressed=7",
    "DELETE FROM row WHERE tbl=0",
    "INSERT INTO tomb SELECT id,tbl,born_hlc,born_machine,0 FROM row",
    "INSERT INTO dirty SELECT id FROM row\nINSERT INTO unsent SELECT id FROM row",
    "INSERT INTO loose SELECT id,tbl,regs FROM row\nINSERT INTO undead SELECT tbl,local,id FROM row",
    "INSERT INTO shelf VALUES(x'00','{','observations','x')\nINSERT INTO extra VALUES(x'00','{')",
    "INSERT INTO held_in VALUES(x'00','{\"k\":\"del\"}')\nINSERT INTO held_out SELECT id FROM row",
    "INSERT INTO stub SELECT local,id FROM row WHERE tbl=0",
    "INSERT INTO out VALUES(1,1,5,0,x'28b52ffd')",
    "INSERT INTO sending VALUES(2,'0000000002-00',x'00',1,5,0,x'4d425247')",
    "UPDATE entry SET chain=x'', name='x', size=-1, records=-5, first=9",
    "UPDATE own_head SET key='../x', body=x'', is_put=0",
    "INSERT INTO trash VALUES('../../x',0)",
    "INSERT INTO applied VALUES(x'00',x'',-1)\nINSERT INTO seen VALUES('')",
    "INSERT INTO stream VALUES(x'00',x'1b5b41',-1,-1,x'',-1,-1,9,x'00','{')",
    "INSERT INTO conflict VALUES(1,x'00','t'||char(27),char(27),'c','k',x'ff',0,x'',0)",
    "INSERT INTO merge VALUES(1,0,'pull')\nINSERT INTO journal VALUES(1,1,1,3,'{}','{}')",
    "PRAGMA user_version=0",
    "DROP TABLE row",
    "ALTER TABLE row DROP COLUMN twin",
    "@0 00 4d",
    "@3 00 0d0000\n@4 08 ffffffffffff",
]


def of_programs(programs):
    """Each under other flags."""
    return [b"0123456789"[i % 8 : i % 8 + 1] + b"\n" + text.encode() + b"\n" for i, text in enumerate(programs)]


def main():
    if len(sys.argv) != 4:
        print(__doc__)
        return 64
    membridge, fixtures, target = map(os.path.abspath, sys.argv[1:])
    with tempfile.TemporaryDirectory() as scratch:
        inputs, lines = of_objects(make_store(membridge, fixtures, scratch))
    inputs["store"] = of_store()
    inputs["database"] = of_programs(DATABASE)
    inputs["state"] = of_programs(STATE)
    for driver, written in WRITTEN.items():
        inputs.setdefault(driver, []).extend(written)
    for driver, items in inputs.items():
        os.makedirs(os.path.join(target, driver), exist_ok=True)
        for i, data in enumerate(items):
            with open(os.path.join(target, driver, f"seed-{i:02}"), "wb") as file:
                file.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
