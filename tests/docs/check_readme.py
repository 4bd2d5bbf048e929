#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""README.md and the program say the same: commands, options, settings, exit codes; and its links lead somewhere.

Usage: check_readme.py PROGRAM SOURCE_FOLDER
"""

import json
import os
import re
import subprocess
import sys

complaints = []


def ask(program, *words):
    return json.loads(subprocess.run([program, "help", *words, "--json"], stdout=subprocess.PIPE, check=True).stdout)


def section(text, title):
    match = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    if match is None:
        complaints.append(f"README.md has no section '{title}'")
        return ""
    return match.group(1)


def rows(text):
    return [[cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in text.splitlines() if line.startswith("|")][2:]


def compare(what, readme, program):
    for name in sorted(set(readme) - set(program)):
        complaints.append(f"README.md has the {what} {name}, the program has not")
    for name in sorted(set(program) - set(readme)):
        complaints.append(f"README.md lacks the {what} {name}")
    for name in sorted(set(program) & set(readme)):
        if readme[name] != program[name]:
            complaints.append(f"the {what} {name}: README.md says '{readme[name]}', the program '{program[name]}'")


def main():
    program, source = sys.argv[1:]
    with open(os.path.join(source, "README.md"), encoding="utf-8") as file:
        text = file.read()
    overview = ask(program)
    commands = {command["name"]: command["summary"] for command in overview["commands"]}
    compare("command", {row[0].strip("`").removeprefix("membridge "): row[1]
                        for row in rows(section(text, "Commands"))}, commands)
    options = {option["name"] for option in overview["options"]}
    for command in overview["commands"]:
        options |= {option["name"] for option in command["options"]}
    scripts = {"preset", "build", "install", "prefix"}  # of cmake
    for name in sorted(set(re.findall(r"--([a-z][a-z-]*)", text)) - options - scripts):
        complaints.append(f"README.md has the option --{name}, the program has not")
    for name in sorted(set(re.findall(r"`membridge ([a-z]+)", text)) - set(commands)):
        complaints.append(f"README.md has the command {name}, the program has not")
    settings = {}
    for row in rows(section(text, "Settings")):
        for name in re.findall(r"`([A-Z_]+)`", row[0]):
            settings[name] = row[1].strip("`").removeprefix("--") or None
    compare("setting", settings, {item["name"]: item["option"] for item in ask(program, "settings")["settings"]})
    compare("exit code", {row[0]: row[1] for row in rows(section(text, "Exit codes"))},
            {str(item["status"]): item["meaning"] for item in ask(program, "exit-codes")["exit_codes"]})
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        if not os.path.exists(os.path.join(source, target)):
            complaints.append(f"README.md links to {target}, which is not there")
    for line in complaints:
        print(line)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
