#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plants the faults of mutants.py one by one and looks which test notices (docs/TESTING.md, "Planted faults").

Each fault is planted in a copy of the tree, built, and its test run; if that passes, the rest of the quick suite is.
Exit status 0 only if each fault was noticed by the test that the table names.
"""

import argparse
import concurrent.futures
import filecmp
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from mutants import MUTANTS  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEFT_OUT = (".git", "build")
TEST_SECONDS_MAX = 300
# What may notice a fault that its own test has passed over.
REST = (["-L", "^(unit|store|engine)$"], ["-R", "^sim.sim$"], ["-R", "^faults.(sqlite|power|file|store)$"],
        ["-L", "^cli$"])
REST_SEEDS = "100"


class Trouble(Exception):
    """Something is wrong with the table or the build, and says nothing about the tests."""


def run(words, folder, seconds_max=None, env=None):
    """The exit status and what was printed. A program that hangs is killed with its children: -1."""
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", start_new_session=True, env=env)
    try:
        output = process.communicate(timeout=seconds_max)[0]
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return -1, process.communicate()[0] + "\nit hangs"


def copy_tree(source, target):
    """Makes target equal to source, and leaves alone what is: it is not built again."""
    for folder, folders, files in os.walk(source):
        folders[:] = [name for name in folders if not (folder == source and name in LEFT_OUT) and
                      name != "__pycache__"]
        there = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(there, exist_ok=True)
        for name in set(os.listdir(there)) - set(folders) - set(files):
            path = os.path.join(there, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        for name in files:
            here, copy = os.path.join(folder, name), os.path.join(there, name)
            if not os.path.exists(copy) or not filecmp.cmp(here, copy, shallow=False):
                shutil.copy2(here, copy)
                os.utime(copy)


class Workshop:
    """A copy of the tree and its build."""

    def __init__(self, folder):
        self.tree = os.path.join(folder, "tree")
        self.build = os.path.join(folder, "build")
        self.commands = {}  # by the name of the test
        self.env = dict(os.environ, CCACHE_BASEDIR=self.tree, CCACHE_NOHASHDIR="1")
        copy_tree(ROOT, self.tree)
        words = ["cmake", "-S", self.tree, "-B", self.build, "-DCMAKE_BUILD_TYPE=Debug"]
        if shutil.which("ccache"):
            words.append("-DCMAKE_C_COMPILER_LAUNCHER=ccache")
        status, output = run(words, self.tree, env=self.env)
        if status != 0:
            raise Trouble(f"cmake failed:\n{output}")

    def make(self, targets):
        status, output = run(["cmake", "--build", self.build, "-j2", "--target", *targets], self.tree, env=self.env)
        if status != 0:
            raise Trouble(f"it does not build:\n{output[-3000:]}")

    def words_of(self, test):
        """The command of a test of the table: its name in CTest, and words for the program."""
        name, *words = test.split()
        if name not in self.commands:  # CTest tells commands of programs only that are there
            status, output = run(["ctest", "--show-only=json-v1"], self.build)
            if status != 0:
                raise Trouble(f"ctest failed:\n{output}")
            self.commands = {item["name"]: item["command"] for item in json.loads(output)["tests"]
                             if "command" in item}
        if name not in self.commands:
            raise Trouble(f"there is no test '{name}'")
        command = self.commands[name]
        return [command[0], *words] if words else command

    def test(self, test):
        """True if it passed."""
        status, output = run(self.words_of(test), self.build, TEST_SECONDS_MAX)
        if status == 77:
            raise Trouble(f"{test} could not run here:\n{output}")
        return status == 0, output

    def find_other(self):
        """The first test of the rest that fails, or None."""
        self.make(["all"])
        for words in REST:
            if words[1] == "^sim.sim$":
                passed, _ = self.test(f"sim.sim --seeds {REST_SEEDS}")
                if not passed:
                    return f"sim.sim --seeds {REST_SEEDS}"
                continue
            status, output = run(["ctest", "-j2", "--stop-on-failure", *words], self.build)
            if status != 0:
                failed = re.search(r"^\s*\d+ - (\S+) \(", output, re.M)
                return failed.group(1) if failed else "ctest"
        return None


def target_of(test):
    folder, program = test.split()[0].split(".", 1)
    return "membridge" if folder == "cli" else f"{folder}_{program}"


def plant(mutant, text):
    if text.count(mutant.old) != 1:
        raise Trouble(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


def try_mutant(workshop, mutant, is_quick):
    """(is as the table says, what happened)"""
    path = os.path.join(workshop.tree, mutant.file)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(plant(mutant, text))
        workshop.make([target_of(mutant.test)])
        if not workshop.test(mutant.test)[0]:
            return True, f"caught by {mutant.test}"
        if is_quick:
            return False, f"{mutant.test} passes it"
        other = workshop.find_other()
        return False, "SURVIVED" if other is None else f"{mutant.test} passes it, but {other} does not"
    except Trouble as trouble:
        return False, f"ERROR: {trouble}"
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        # In the same second as the fault it would not be built again.
        later = time.time() + 2
        os.utime(path, (later, later))


def try_all(mutants, jobs, folder, is_quick):
    lock = threading.Lock()
    workshops = [Workshop(os.path.join(folder, str(number))) for number in range(jobs)]
    bad = 0

    for workshop in workshops:
        workshop.make(sorted({target_of(mutant.test) for mutant in mutants}))
    for test in sorted({mutant.test for mutant in mutants}):
        passed, output = workshops[0].test(test)
        if not passed:
            raise Trouble(f"{test} fails without any fault:\n{output[-3000:]}")

    def work(mutant):
        with lock:
            workshop = workshops.pop()
        try:
            started = time.monotonic()
            is_good, what = try_mutant(workshop, mutant, is_quick)
            return mutant, is_good, what, time.monotonic() - started
        finally:
            with lock:
                workshops.append(workshop)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for future in concurrent.futures.as_completed([pool.submit(work, mutant) for mutant in mutants]):
            mutant, is_good, what, seconds = future.result()
            bad += 0 if is_good else 1
            print(f"{'ok ' if is_good else 'BAD'} {mutant.name} ({seconds:.0f} s): {what}", flush=True)
    print(f"{len(mutants) - bad} caught as the table says, {bad} not")
    return 1 if bad else 0


def table():
    lines = ["| fault | where | what is wrong then | noticed by |", "|---|---|---|---|"]
    lines += [f"| `{m.name}` | `{m.file}` | {m.fault} | `{m.test}` |" for m in MUTANTS]
    return "\n".join(lines) + "\n"


def has_test(test):
    """Is there a test of this very name?"""
    name, *words = test.split()
    folder, program = name.split(".", 1)
    if folder == "cli":
        return os.path.exists(os.path.join(ROOT, "tests/cli/cases", f"{program}.case"))
    if folder == "sim":
        return program == "sim"
    program = program if program.startswith("test_") else f"test_{program}"
    with open(os.path.join(ROOT, "tests", folder, f"{program}.c"), encoding="utf-8") as file:
        return len(words) == 1 and f"TEST({words[0]})" in file.read()


def check():
    """The fast test: each fault can still be planted, its test is there, and docs/TESTING.md has the table."""
    complaints = []
    names = [mutant.name for mutant in MUTANTS]
    for mutant in MUTANTS:
        with open(os.path.join(ROOT, mutant.file), encoding="utf-8") as file:
            count = file.read().count(mutant.old)
        if count != 1:
            complaints.append(f"{mutant.name}: its text is {count} times in {mutant.file}, not once")
        if mutant.old == mutant.new or names.count(mutant.name) != 1:
            complaints.append(f"{mutant.name}: changes nothing, or is there twice")
        if not has_test(mutant.test):
            complaints.append(f"{mutant.name}: there is no test '{mutant.test}'")
    with open(os.path.join(ROOT, "docs/TESTING.md"), encoding="utf-8") as file:
        if table() not in file.read():
            complaints.append("docs/TESTING.md has another table of planted faults than run.py --table prints")
    for line in complaints:
        print(line)
    print(f"{len(MUTANTS)} faults, {len(complaints)} complaints")
    return 1 if complaints else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", action="append", help="this fault; may be given again")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once, each with a build of its own")
    parser.add_argument("--folder", default=os.path.join(ROOT, "build/mutants"), help="where they are built")
    parser.add_argument("--quick", action="store_true", help="only the test that the table names")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--table", action="store_true", help="print the table of docs/TESTING.md")
    parser.add_argument("--check", action="store_true", help="only whether each fault can be planted")
    options = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if not options.only or mutant.name in options.only]
    if options.only and len(mutants) != len(set(options.only)):
        parser.error("there is no such fault; --list says which there are")
    if options.list:
        for mutant in mutants:
            print(f"{mutant.name}: {mutant.fault} ({mutant.file}; {mutant.test})")
        return 0
    if options.table:
        print(table(), end="")
        return 0
    return check() if options.check else try_all(mutants, options.jobs, options.folder, options.quick)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"run.py: {trouble}")
