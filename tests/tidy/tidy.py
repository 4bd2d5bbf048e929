#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the house rules (STYLE.md) that a compiler does not.

Usage: tidy.py SOURCE_FOLDER BUILD_FOLDER

Reads the files that git knows or would take, and the objects of a finished build. Prints one line for each
violation, "file:line: what is wrong: what to do instead", and exits 1 if there are any.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
COLUMNS_MAX = 100
FORMATTER_VERSION = "14"

# Who may include whom. A layer that publishes some headers only (PUBLIC_HEADERS in its CMakeLists.txt) is seen by
# others through those.
LAYERS = {
    "base": [],
    "store": ["base"],
    "engine": ["base", "store"],
    "ops": ["base", "engine", "version"],
    "protocol": ["base"],
    "server": ["base", "protocol", "ops", "version"],
    "hooks": ["base", "ops"],
    "cli": ["base", "ops", "version"],
}
# The composition root builds config, clock and store and hands them down.
SEES_ALL_LAYERS = ["cli/main.c"]

# Third-party headers and the files that may include them, besides tests.
OWNERS = [
    (r"cjson/", r"base/json\.c"),
    (r"openssl/", r"base/digest\.c"),
    (r"sqlite3", r"engine/db(_\w+)?\.[ch]"),
    (r"z(std|dict)", r"engine/pack\.c"),
    (r"curl/", r"store/s3_\w+\.c"),
]

BANNED = set("strcpy strcat strncpy strncat sprintf vsprintf strtok gets atoi atol sscanf gmtime localtime ctime "
             "asctime mktemp tmpnam system popen rand alloca".split())
BANNED_OUTSIDE_BASE = set("malloc calloc realloc getenv time sleep exit".split())
BANNED_PRINTING = {"printf", "puts"}
MAY_PRINT = {"cli/output.c", "server/stdio.c"}

# x.c and x_part.c export mb_x and mb_x_*. What else a file may export, and why.
EXPORT_EXCEPTIONS = {
    "cli/main.c": ("main", "the C library calls it"),
}

# Files that may be longer than FILE_LINES_MAX, with the reason.
LONG_FILES = {}

violations = []


def complain(path, line, what):
    violations.append(f"{path}:{line}: {what}")


def list_files(source):
    command = ["git", "-C", source, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if result.returncode == 0:
        names = set(result.stdout.decode().split("\0"))
    else:  # an unpacked release
        names = set()
        for folder, folders, files in os.walk(source):
            folders[:] = [name for name in folders if name not in ("build", ".git")]
            names.update(os.path.relpath(os.path.join(folder, name), source) for name in files)
    return sorted(name for name in names if name and os.path.isfile(os.path.join(source, name)))


def blank(match):
    """Keeps the newlines of what is removed, so that line numbers stay right."""
    return re.sub(r"[^\n]", " ", match.group(0))


def code_of(text):
    """The text without comments, strings and characters."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text, flags=re.S)


def layer_of(path):
    top = path.split("/")[0]
    return top if top in LAYERS else None


def read_public_headers(source):
    """The headers that each layer shows to others; None means all."""
    public = {}
    for layer in LAYERS:
        fragment = os.path.join(source, layer, "CMakeLists.txt")
        if not os.path.exists(fragment):
            continue
        with open(fragment, encoding="utf-8") as file:
            match = re.search(r"PUBLIC_HEADERS\s+((?:[\w./]+\.h\s*)+)", file.read())
        public[layer] = set(match.group(1).split()) if match else None
    return public


class Tree:
    def __init__(self, source, build):
        self.source = source
        self.build = build
        self.files = list_files(source)
        self.c_files = [name for name in self.files if name.endswith((".c", ".h"))]
        self.public_headers = read_public_headers(source)
        self.header_layers = {"version.h": ["version"]}
        for name in self.c_files:
            if name.endswith(".h") and layer_of(name):
                self.header_layers.setdefault(os.path.basename(name), []).append(layer_of(name))
        self.texts = {}
        for name in self.files:
            with open(os.path.join(source, name), "rb") as file:
                data = file.read()
            if b"\0" not in data[:8000]:
                self.texts[name] = data.decode("utf-8", "replace")
        with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
            self.commands = json.load(file)
        for command in self.commands:
            path = os.path.join(command["directory"], command["file"])
            command["name"] = os.path.relpath(os.path.realpath(path), os.path.realpath(source))
            command["words"] = command.get("arguments") or shlex.split(command["command"])


# ---- includes ----


def check_own_include(tree, path, line, header):
    layer = layer_of(path)
    if "/" in header:
        complain(path, line, f'#include "{header}": include our headers by their bare name')
        return
    if header.endswith("_test.h"):
        if os.path.basename(path) not in (header.replace("_test.h", ".c"), header):
            complain(path, line, f'#include "{header}": this seam is for tests only')
        return
    owners = tree.header_layers.get(header)
    if owners is None:
        complain(path, line, f'#include "{header}": no layer has it; system headers are written <...>')
    elif layer in owners or path in SEES_ALL_LAYERS:
        return
    elif owners[0] not in LAYERS[layer]:
        complain(path, line, f'#include "{header}": {layer} may not include {owners[0]}; pass what is needed '
                             "in as a parameter, or move it down")
    else:
        public = tree.public_headers.get(owners[0])
        if public is not None and header not in public:
            complain(path, line, f'#include "{header}": {owners[0]} does not publish it; use '
                                 + ", ".join(sorted(public)))


def check_includes(tree):
    for header, owners in tree.header_layers.items():
        if len(owners) > 1:
            complain(f"{owners[1]}/{header}", 1, f"{owners[0]} has a header of that name: rename one")
    for path in tree.c_files:
        includes = re.finditer(r'^[ \t]*#[ \t]*include[ \t]+(["<])([^">]+)[">]', tree.texts[path], re.M)
        last = None
        for match in includes:
            line = tree.texts[path].count("\n", 0, match.start()) + 1
            header = last = match.group(2)
            if match.group(1) == '"' and layer_of(path):
                check_own_include(tree, path, line, header)
            for pattern, owner in OWNERS:
                is_free = path.startswith("tests/") or re.fullmatch(owner, path)
                if match.group(1) == "<" and re.match(pattern, header) and not is_free:
                    complain(path, line, f"#include <{header}>: only {owner} may; use our header for it")
        if path.endswith(".c") and layer_of(path) and last != "banned.h":
            complain(path, 1, 'the last #include must be "banned.h": add it behind the system headers')


# ---- what the text of a file shows ----


def check_banned(tree):
    for path in tree.c_files:
        if path == "base/banned.h":
            continue
        banned = set(BANNED)
        if layer_of(path) not in (None, "base"):
            banned |= BANNED_OUTSIDE_BASE
            if path not in MAY_PRINT:
                banned |= BANNED_PRINTING
        code = code_of(tree.texts[path])
        for match in re.finditer(r"\b(\w+)\s*\(", code):
            is_member = code[: match.start()].endswith((".", "->"))
            if match.group(1) in banned and not is_member:
                line = code.count("\n", 0, match.start()) + 1
                complain(path, line, f"{match.group(1)}() is banned: see base/banned.h for what has its place")


def check_lengths(tree):
    for path in tree.c_files:
        lines = tree.texts[path].splitlines()
        if len(lines) > FILE_LINES_MAX and path not in LONG_FILES:
            complain(path, 1, f"{len(lines)} lines, more than {FILE_LINES_MAX}: split it by what it is about")
        start = None
        is_table = False  # a hand-aligned one
        for number, line in enumerate(lines, 1):
            is_table = (is_table or "clang-format off" in line) and "clang-format on" not in line
            if len(line) > COLUMNS_MAX and not is_table:
                complain(path, number, f"{len(line)} columns, more than {COLUMNS_MAX}: break the line")
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                if number - start - 1 > FUNCTION_LINES_MAX:
                    complain(path, start, f"a function of {number - start - 1} lines, more than "
                                          f"{FUNCTION_LINES_MAX}: give its steps names")
                start = None


def check_texts(tree):
    unfinished = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    for path, text in tree.texts.items():
        is_source = path.endswith((".c", ".h", ".cmake", ".py", ".sh", "CMakeLists.txt"))
        if is_source and "SPDX-License-Identifier: MIT" not in "\n".join(text.splitlines()[:3]):
            complain(path, 1, "no licence line: begin with SPDX-License-Identifier: MIT")
        if not (is_source or path.endswith(".md")):
            continue
        for match in unfinished.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            complain(path, line, f"{match.group(1)}: finish it, or write down why it is as it is")


def check_format(tree):
    program = shutil.which(f"clang-format-{FORMATTER_VERSION}") or shutil.which("clang-format")
    if program is None:
        complain(".clang-format", 1, "clang-format was not found: install it (Debian: apt install clang-format; "
                                     "macOS: brew install clang-format)")
        return
    version = subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode()
    if f"version {FORMATTER_VERSION}." not in version:
        print(f"note: formatting is not checked: it is defined by clang-format {FORMATTER_VERSION}, and this is "
              f"{version.strip()}")
        return
    result = subprocess.run([program, "--dry-run", "-Werror", "--style=file"] + tree.c_files, cwd=tree.source,
                            stderr=subprocess.PIPE, check=False)
    seen = set()
    for match in re.finditer(r"^(\S+?):(\d+):\d+: error: ", result.stderr.decode(), re.M):
        if match.group(1) not in seen:
            seen.add(match.group(1))
            complain(match.group(1), match.group(2), "not as clang-format writes it: run clang-format -i on it")


# ---- what the build shows ----


def check_dead_files(tree):
    built = {command["name"] for command in tree.commands}
    for path in tree.c_files:
        if path.endswith(".c") and path not in built:
            complain(path, 1, "no CMake target builds it: add it to one or remove it")


def check_exports(tree):
    for command in tree.commands:
        path = command["name"]
        if layer_of(path) is None:
            continue
        words = command["words"]
        target = os.path.join(command["directory"], words[words.index("-o") + 1])
        if not os.path.exists(target):
            complain(path, 1, "not built: build everything before this test")
            continue
        word = os.path.basename(path)[:-2].split("_")[0]
        output = subprocess.run(["nm", "-g", "-P", target], stdout=subprocess.PIPE, check=True).stdout.decode()
        for line in output.splitlines():
            symbol, kind = line.split()[:2]
            symbol = symbol[1:] if sys.platform == "darwin" else symbol
            is_ours = symbol == f"mb_{word}" or symbol.startswith(f"mb_{word}_")
            is_excepted = symbol == EXPORT_EXCEPTIONS.get(path, ("",))[0]
            # Compilers add names with two underscores (sanitizers, coverage).
            if kind in "Uwv" or is_ours or is_excepted or symbol.startswith("__"):
                continue
            complain(path, 1, f"exports {symbol}: make it static or call it mb_{word}_...")


def compile_header(tree, path):
    folder = os.path.dirname(path)
    command = next((c for c in tree.commands if os.path.dirname(c["name"]) == folder), None)
    if command is None:
        return None  # check_dead_files() speaks of a folder that is not built
    words = list(command["words"])
    at = words.index("-o")
    del words[at : at + 2]
    words = [word for word in words if word != "-c" and not word.endswith(".c")]
    words += ["-w", "-fsyntax-only", "-x", "c", os.path.join(tree.source, path)]
    result = subprocess.run(words, cwd=command["directory"], stderr=subprocess.PIPE, check=False)
    return None if result.returncode == 0 else result.stderr.decode().splitlines()[0]


def check_headers_alone(tree):
    headers = [path for path in tree.c_files if path.endswith(".h")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, failure in zip(headers, pool.map(lambda name: compile_header(tree, name), headers)):
            if failure is not None:
                complain(path, 1, f"does not compile alone: include what it uses ({failure})")


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 64
    tree = Tree(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
    for check in (check_includes, check_banned, check_lengths, check_texts, check_format, check_dead_files,
                  check_exports, check_headers_alone):
        check(tree)
    for violation in violations:
        print(violation)
    print(f"{len(tree.c_files)} files, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
