#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""claude-mem's own worker, the real one, at work on a database that membridge pulls into and
pushes from.

No write of the worker fails, it answers all the time, it shows at once what was pulled, and in the
end every row that it was told to write and every row that was pulled is on every machine.

MEMBRIDGE_BIN=build/dev/membridge python3 tests/worker/test_worker.py [Live | Killed | Upgraded]
scripts/get-claude-mem.sh fetches claude-mem and bun.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True  # the source tree stays as it is
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fixtures"))

import memory
import upgraded
import worker
from machine import BINARY, HERE, RUN_SECONDS_MAX, Machine

NEW, OLD = "13.25.3", "13.4.0"
RATE = 20  # writes in a second
# Of twenty writes: notes are observations written at once, prompts are a session and a prompt, tools
# and summaries go through the language model first.
KINDS = ["note"] * 10 + ["prompt"] * 5 + ["tool"] * 4 + ["summary"]
HEALTH_SECONDS_MAX = 1.0
PATIENCE_SECONDS = 5.0  # the worker's busy_timeout: behind it a write fails
ROWS_TO_PULL = 5000
EPOCH = 1_790_000_000_000
WORDS = "the parser reads what the lexer left and tells where a token begins or ends in its line "


def add_history(db, tag, rows):
    """What claude-mem wrote in some weeks: sessions of 20 observations, 2 summaries and 2 prompts."""
    db.execute("BEGIN")
    for number in range(rows // 25):
        content, epoch = f"{tag}-{number}", EPOCH + number * 100_000
        stamp = upgraded.stamp(epoch)
        session = db.execute(
            "INSERT INTO sdk_sessions(content_session_id, memory_session_id, project, user_prompt,"
            " started_at, started_at_epoch, status) VALUES(?,?,'far',?,?,?,'completed')",
            (content, f"memory-{content}", f"prompt of {content}", stamp, epoch),
        ).lastrowid
        db.executemany(
            "INSERT INTO observations(memory_session_id, project, type, title, narrative, facts,"
            " content_hash, created_at, created_at_epoch) VALUES(?,'far','discovery',?,?,?,?,?,?)",
            [
                (
                    f"memory-{content}",
                    f"{content} saw {i}",
                    f"wombat{tag}x{number}x{i} " + WORDS * 12,
                    json.dumps([WORDS, content]),
                    f"{content}-{i}",
                    stamp,
                    epoch + i,
                )
                for i in range(20)
            ],
        )
        for i in range(2):
            db.execute(
                "INSERT INTO session_summaries(memory_session_id, project, request, learned,"
                " created_at, created_at_epoch) VALUES(?,'far',?,?,?,?)",
                (f"memory-{content}", f"{content} asked {i}", WORDS * 5, stamp, epoch + 50 + i),
            )
            upgraded.prompt(db, session, content, epoch + 60 + i, f"{content} wants {i}")
    db.execute("COMMIT")


def progress(text):
    print(text, flush=True)


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.parts = worker.fetch(NEW, OLD)

    def setUp(self):
        self.assertTrue(BINARY, "MEMBRIDGE_BIN does not say where the binary is")
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="membridge-worker-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.addCleanup(self.check_nothing_runs)
        self.model = worker.Model()
        self.addCleanup(self.model.close)
        (self.root / "store").mkdir()
        self.people = []

    def check_nothing_runs(self):
        self.assertEqual(worker.processes_of(self.root), [])

    def machine(self, name):
        return Machine(self.root, name, self.root / "store")

    def machine_with_worker(self, name, version, fixture=None):
        """A machine whose database the worker made, or one that it wrote before."""
        machine = self.machine(name)
        if fixture:
            machine.take(fixture)
        work = worker.Worker(machine, self.model, self.parts)
        self.addCleanup(work.kill)
        work.start(version)
        return machine, work

    def far_machine(self, rows):
        """Another machine, without a worker, whose rows are in the store."""
        far = self.machine("far").take("13.25.3-b")
        self.learn(far, "far", rows)
        far.sync()
        return far

    def learn(self, machine, tag, rows):
        db = memory.connect(machine.db)
        add_history(db, tag, rows)
        db.close()

    def at_work(self, work, tag, kinds=tuple(KINDS)):
        """People begin to work; they stop at the latest with the test."""
        status, _ = work.request(
            "POST",
            "/api/sessions/init",
            {"contentSessionId": f"session-{tag}", "project": "work", "prompt": "Begin"},
        )
        self.assertEqual(status, 200)
        people = worker.People(work, tag, RATE, kinds)
        self.people.append(people)
        self.addCleanup(people.stop)
        return people

    def pull(self, machine, title):
        begin = time.monotonic()
        result = machine.run("pull")
        seconds = time.monotonic() - begin
        rows = result["rows_inserted"]
        progress(f"{title}: {rows} rows in {seconds:.2f} s, {rows / seconds:.0f} rows/s")
        return rows

    def check_shown(self, machine, work, words):
        """The worker shows at once what stands in its database, in lists and by full-text search."""
        db = memory.look(machine.db)
        in_database = {
            "observations": db.execute("SELECT count(*) FROM observations WHERE project='far'"),
            "prompts": db.execute(
                "SELECT count(*) FROM user_prompts p JOIN sdk_sessions s"
                " ON s.content_session_id=p.content_session_id WHERE s.project='far'"
            ),
            "summaries": db.execute(
                "SELECT count(*) FROM session_summaries WHERE project='far'"
            ),
        }
        for what, query in in_database.items():
            wanted = query.fetchone()[0]
            self.assertGreater(wanted, 0, what)
            # The last of the list is there, and nothing behind it.
            page = work.get(f"/api/{what}?project=far&limit=100&offset={wanted - 1}")
            self.assertEqual((len(page["items"]), page["hasMore"]), (1, False), what)
        db.close()
        for word in words:
            found = work.get(f"/api/search?query={word}&format=json")["observations"]
            self.assertEqual([row["narrative"].split()[0] for row in found], [word])

    def check_people(self, people, title):
        """What they saw of the worker; prints it."""
        slowest = max(write.seconds for write in people.writes)
        health = max(people.health_seconds)
        killed = sum(write.status == "killed" for write in people.writes)
        progress(
            f"{title}: {len(people.writes)} writes ({killed} of them to a killed worker), slowest"
            f" {slowest * 1000:.0f} ms; {len(people.health_seconds)} health checks, slowest"
            f" {health * 1000:.0f} ms ({people.health_alone_seconds * 1000:.0f} ms without membridge)"
        )
        self.assertEqual(people.failed(), [])
        self.assertEqual(people.health_failures, [])
        # A machine that has more to do than it can makes everybody wait that many times as long.
        crowd = max(1, os.getloadavg()[0] / os.cpu_count())
        self.assertLess(health, HEALTH_SECONDS_MAX * crowd)
        self.assertLess(slowest, PATIENCE_SECONDS)

    def check_written(self, machine, people, kinds=("note", "prompt", "tool", "summary")):
        """Everything that the worker said it had written stands in the database, once."""
        queries = {
            "note": "SELECT title FROM observations WHERE title LIKE 'mark-note-%'",
            "tool": "SELECT title FROM observations WHERE title LIKE 'mark-tool-%'",
            "prompt": "SELECT substr(prompt_text, 4) FROM user_prompts p"
            " JOIN sdk_sessions s ON s.content_session_id=p.content_session_id"
            " WHERE s.content_session_id=substr(prompt_text, 4) AND prompt_text LIKE 'Do mark-%'",
            "summary": "SELECT request FROM session_summaries WHERE request LIKE 'mark-summary-%'",
        }
        db = memory.look(machine.db)
        for kind in kinds:
            found = sorted(row[0] for row in db.execute(queries[kind]))
            wanted = [mark for group in people for mark in group.acknowledged(kind)]
            self.assertGreater(len(wanted), 0, kind)
            self.assertEqual(len(found), len(set(found)), f"{machine.home.name}: {kind} twice")
            missing = set(wanted) - set(found)
            self.assertEqual(missing, set(), f"{machine.home.name}: {kind}")
        db.close()

    def check_everywhere(self, machines):
        """All databases, which nobody has open, come to hold the same rows and are whole."""
        for machine in machines + machines:
            machine.sync()
        first = memory.Memory(machines[0].db)
        for machine in machines:
            self.assertEqual(memory.health(machine.db), [], machine.home.name)
            self.assertLessEqual(memory.foreign_key_errors(machine.db), machine.orphans)
            found = memory.Memory(machine.db)
            for table in memory.TABLES[:-1]:
                self.assertEqual(found.rows[table], first.rows[table], f"{machine.home.name}: {table}")
            self.assertEqual(found.registers, first.registers, machine.home.name)
            status = machine.run("status")
            self.assertEqual((status["pending_out"], status["digest_alarm"]), (0, None))
            self.assertEqual(status["digest"], machines[0].run("status")["digest"])

    def settle(self, machine, far, kinds=("note", "prompt", "tool", "summary")):
        """Everybody syncs, a new machine pulls, and all is everywhere. Returns the machines."""
        new = self.machine("new")
        upgraded.make_empty(new.db, HERE / "schema-13.25.3.sql")
        wanted = memory.Memory(far.db)
        for each in (machine, far, machine, far, new):
            result = each.sync()
            self.assertEqual(result["pull"]["rows_deleted"], 0)
        for table in memory.TABLES[:-1]:
            self.assertEqual(wanted.rows[table] - memory.Memory(machine.db).rows[table], {})
        for each in (machine, far, new):
            self.check_written(each, self.people, kinds)
        return [machine, far, new]

    def test_a_worker_writes_while_5000_rows_are_pulled_and_its_own_are_pushed(self):
        machine, work = self.machine_with_worker("near", NEW, "13.25.3-a")
        far = self.far_machine(ROWS_TO_PULL)
        people = self.at_work(work, "live")
        people.measure_alone(2 * RATE)
        rows = self.pull(machine, "pull beside the worker")
        self.assertGreaterEqual(rows, ROWS_TO_PULL)
        self.check_shown(machine, work, ["wombatfarx0x0", "wombatfarx199x19"])
        machine.run("push")
        for number in range(5):  # as between two machines that are both used
            self.learn(far, f"later{number}", 100)
            far.sync()
            people.wait_for(RATE)
            self.assertGreaterEqual(machine.sync()["pull"]["rows_inserted"], 100)
            self.check_shown(machine, work, [f"wombatlater{number}x3x19"])
        people.wait_for(RATE)
        people.stop()
        work.drain()
        self.check_people(people, "worker, live")
        machines = self.settle(machine, far)
        self.check_shown(machine, work, ["wombatfarx100x10"])
        work.stop()
        self.check_everywhere(machines)
        work.start(NEW)
        self.check_shown(machine, work, ["wombatfarx100x11"])
        work.stop()


class Killed(Live):
    test_a_worker_writes_while_5000_rows_are_pulled_and_its_own_are_pushed = None

    def pulled(self, machine):
        db = memory.look(machine.db)
        count = db.execute("SELECT count(*) FROM observations WHERE project='far'").fetchone()[0]
        db.close()
        return count

    def wait_for_rows(self, machine, process, count):
        """Until a running pull has brought so many observations, or has ended."""
        while process.poll() is None and self.pulled(machine) < count:
            pass
        return process.poll() is None

    def end(self, process):
        stdout, stderr = process.communicate(timeout=RUN_SECONDS_MAX)
        self.assertEqual(process.returncode, 0, stdout + stderr)

    def kill(self, work, people):
        people.is_worker_killed = True
        work.kill()

    def restart(self, work, people):
        work.start(NEW)
        people.is_worker_killed = False

    def test_the_worker_and_membridge_are_killed_in_the_middle_and_nothing_is_lost(self):
        machine, work = self.machine_with_worker("near", NEW, "13.25.3-a")
        far = self.far_machine(ROWS_TO_PULL)
        # What the language model has yet to answer is lost with a killed worker, whoever else is there.
        people = self.at_work(work, "killed", ("note", "prompt"))
        people.measure_alone(2 * RATE)
        in_the_middle = 0
        # The worker dies during a pull and comes back during it.
        with machine.start("pull") as process:
            in_the_middle += self.wait_for_rows(machine, process, 400)
            self.kill(work, people)
            in_the_middle += self.wait_for_rows(machine, process, 800)
            self.restart(work, people)
            self.wait_for_rows(machine, process, 2000)
            process.kill()  # and then membridge
            process.communicate()
        people.wait_for(RATE)
        with machine.start("pull") as process:
            in_the_middle += self.wait_for_rows(machine, process, 3000)
            process.kill()
            process.communicate()
        self.kill(work, people)
        with machine.start("sync") as process:  # without a worker, which comes back meanwhile
            self.restart(work, people)
            self.end(process)
        self.learn(far, "later", 500)
        far.sync()
        with machine.start("sync") as process:
            self.kill(work, people)
            self.end(process)
        self.restart(work, people)
        people.wait_for(RATE)
        people.stop()
        work.drain()
        progress(f"killed: {in_the_middle} of 3 kills were in the middle of a pull")
        self.assertGreater(in_the_middle, 0)
        self.check_people(people, "worker, killed")
        self.check_shown(machine, work, ["wombatfarx199x19", "wombatlaterx19x19"])
        machines = self.settle(machine, far, ("note", "prompt"))
        work.stop()
        self.check_everywhere(machines)


class Upgraded(Live):
    test_a_worker_writes_while_5000_rows_are_pulled_and_its_own_are_pushed = None

    def test_claude_mem_upgrades_itself_between_two_syncs_and_nothing_is_lost(self):
        machine, work = self.machine_with_worker("near", OLD)
        far = self.far_machine(1000)
        people = self.at_work(work, "old")
        people.measure_alone(2 * RATE)
        people.stop()
        work.drain()
        self.check_people(people, "worker of 13.4.0")
        self.assertGreaterEqual(self.pull(machine, "pull beside 13.4.0"), 1000)
        machine.run("push")
        self.check_shown(machine, work, ["wombatfarx39x19"])
        self.check_written(machine, [people])
        work.stop()
        before = memory.Memory(machine.db)

        work.start(NEW)
        people = self.at_work(work, "new")
        people.measure_alone(RATE)
        self.learn(far, "later", 1000)
        far.sync()
        result = machine.sync()
        self.assertEqual(result["pull"]["rows_deleted"], 0)
        self.assertEqual(result["push"]["deletes_held"], 0)
        self.check_shown(machine, work, ["wombatfarx0x0", "wombatlaterx39x19"])
        people.wait_for(RATE)
        people.stop()
        work.drain()
        self.check_people(people, "worker of 13.25.3, after 13.4.0")
        after = memory.Memory(machine.db)
        for table in memory.TABLES[:-1]:
            self.assertEqual(before.rows[table] - after.rows[table], {}, table)
        machines = self.settle(machine, far)
        work.stop()
        self.check_everywhere(machines)


if __name__ == "__main__":
    unittest.main()
