#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs one case of the command line: a transcript that says what a person types and what must come back.

Usage: run.py [--show] PROGRAM FIXTURES CASE

Lines of a case:
  # ...     why (the first ones say what the case is about)
  $ ...     a command for sh, with membridge and the tools of prelude.sh in reach; continued by lines "  ..."
  > ...     what stdout must hold next, as a glob; "> ..." alone stands for any number of lines
  ! ...     the same for stderr
  ? N       the exit status that is wanted (0 if not said)
  { P=V     stdout is one JSON object, and the value at path P is the JSON value V (or "*": anything but absent)
  ~ NAMES   these are byte for byte as before the command: db store state config home, rest (home but the state)
  / ...     the command's output holds this text nowhere

Each case has a scratch HOME of its own, and no claude-mem, settings or store but what it makes. Without any ">" or
"!" line, stderr must be empty and stdout is not looked at.
"""

import fnmatch
import hashlib
import json
import os
import subprocess
import sys
import tempfile

TIMEOUT_S = 150


class Step:
    def __init__(self, command, line):
        self.command = command
        self.line = line
        self.stdout = []
        self.stderr = []
        self.status = 0
        self.json = []
        self.unchanged = []
        self.absent = []


def read_case(path):
    steps = []
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            text = text.rstrip("\n")
            if not text or text.startswith("#"):
                continue
            if text.startswith("$ "):
                steps.append(Step(text[2:], number))
                continue
            if not steps:
                sys.exit(f"{path}:{number}: a case begins with a command")
            step = steps[-1]
            kind, value = text[0], text[2:]
            if text.startswith("  "):
                step.command += "\n" + value
            elif kind == ">":
                step.stdout.append(value)
            elif kind == "!":
                step.stderr.append(value)
            elif kind == "?":
                step.status = int(value)
            elif kind == "{":
                step.json.append(value)
            elif kind == "~":
                step.unchanged += value.split()
            elif kind == "/":
                step.absent.append(value)
            else:
                sys.exit(f"{path}:{number}: what is this line?")
    return steps


def escape(pattern):
    """Only * and ? are special: '[' is common in what we print."""
    return pattern.replace("[", "[[]")


def matches(patterns, lines):
    """Globs line by line; '...' takes any number of lines."""
    if not patterns:
        return not lines
    if patterns[0] == "...":
        return any(matches(patterns[1:], lines[i:]) for i in range(len(lines) + 1))
    if not lines:
        return False
    return fnmatch.fnmatchcase(lines[0], escape(patterns[0])) and matches(patterns[1:], lines[1:])


def digest_of(path, without=None):
    """Every name, kind and byte below path, but for one folder."""
    digest = hashlib.sha256()
    if os.path.isfile(path):
        with open(path, "rb") as file:
            digest.update(file.read())
        return digest.hexdigest()
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if os.path.join(folder, name) != without)
        for name in sorted(files):
            whole = os.path.join(folder, name)
            digest.update(os.path.relpath(whole, path).encode() + b"\0")
            if os.path.isfile(whole):
                with open(whole, "rb") as file:
                    digest.update(hashlib.sha256(file.read()).digest())
        for name in folders:
            digest.update(os.path.relpath(os.path.join(folder, name), path).encode() + b"/\0")
    return digest.hexdigest()


class Machine:
    """A scratch home with nothing in it."""

    def __init__(self, scratch, program, fixtures):
        self.home = os.path.join(scratch, "home")
        os.mkdir(self.home, 0o700)
        tmp = os.path.join(scratch, "tmp")
        os.mkdir(tmp)
        here = os.path.dirname(os.path.abspath(__file__))
        self.prelude = f'. "{here}/prelude.sh"\n'
        self.places = {
            "db": os.path.join(self.home, ".claude-mem/claude-mem.db"),
            "store": os.path.join(self.home, "store"),
            "state": os.path.join(self.home, ".local/state"),
            "config": os.path.join(self.home, ".config"),
            "home": self.home,
        }
        self.environment = {
            "HOME": self.home,
            "TMPDIR": tmp,
            "LC_ALL": "C.UTF-8",
            "TZ": "Asia/Kathmandu",  # odd on purpose: times are UTC
            "PATH": os.path.dirname(program) + ":" + os.environ.get("PATH", "/usr/bin:/bin"),
            "MB_FIXTURES": fixtures,
            "MB_TOOL": os.path.join(here, "tool.py"),
            "MB_DB": self.places["db"],
        }
        for name, value in os.environ.items():
            if name.endswith("SAN_OPTIONS"):
                self.environment[name] = value

    def digests(self):
        digests = {name: digest_of(path) for name, path in self.places.items()}
        digests["rest"] = digest_of(self.home, self.places["state"])
        return digests

    def run(self, command):
        return subprocess.run(["/bin/sh", "-c", self.prelude + command], cwd=self.home, env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=TIMEOUT_S, check=False)


def value_at(data, path):
    for part in path.split("."):
        if isinstance(data, list):
            data = data[int(part)]
        else:
            data = data[part]
    return data


def check_json(step, stdout):
    try:
        data = json.loads(stdout)
    except ValueError as error:
        return [f"stdout is not one JSON value: {error}"]
    if not isinstance(data, dict) or not isinstance(data.get("ok"), bool) or "operation" not in data:
        return ["stdout is not an object with ok and operation"]
    if not data["ok"]:
        error = data.get("error", {})
        if not all(isinstance(error.get(key), str) and error[key] for key in ("code", "message", "advice")):
            return ["a failure needs error.code, error.message and error.advice"]
    wrong = []
    for line in step.json:
        if not line:
            continue
        path, _, wanted = line.partition("=")
        try:
            found = value_at(data, path)
        except (KeyError, IndexError, ValueError, TypeError):
            wrong.append(f"JSON has no {path}")
            continue
        if wanted != "*" and found != json.loads(wanted):
            wrong.append(f"JSON {path} is {json.dumps(found)}, not {wanted}")
    return wrong


def check(step, result, before, after):
    stdout = result.stdout.decode("utf-8", "replace")
    stderr = result.stderr.decode("utf-8", "replace")
    wrong = []
    if result.returncode != step.status:
        wrong.append(f"exit status {result.returncode}, wanted {step.status}")
    if step.stdout and not matches(step.stdout, stdout.splitlines()):
        wrong.append("stdout is not as wanted")
    if not matches(step.stderr, stderr.splitlines()):
        wrong.append("stderr is not as wanted")
    if step.json:
        wrong += check_json(step, stdout)
    for name in step.unchanged:
        if before[name] != after[name]:
            wrong.append(f"{name} has changed")
    for text in step.absent:
        if text in stdout or text in stderr:
            wrong.append(f"the output holds '{text}'")
    return wrong, stdout, stderr


def main():
    show = sys.argv[1] == "--show"
    program, fixtures, case = (os.path.abspath(word) for word in sys.argv[2 if show else 1:])
    failures = 0
    with tempfile.TemporaryDirectory(prefix="membridge-cli-") as scratch:
        os.chmod(scratch, 0o711)  # for those who are nobody
        machine = Machine(scratch, program, fixtures)
        for step in read_case(case):
            before = machine.digests()
            try:
                result = machine.run(step.command)
            except subprocess.TimeoutExpired:
                print(f"{case}:{step.line}: $ {step.command}\nstill running after {TIMEOUT_S} s")
                return 1
            wrong, stdout, stderr = check(step, result, before, machine.digests())
            if wrong or show:
                print(f"{case}:{step.line}: $ {step.command}")
                print(f"-- stdout\n{stdout}-- stderr\n{stderr}-- exit {result.returncode}")
            for line in wrong:
                print(f"WRONG: {line}")
            failures += len(wrong)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
