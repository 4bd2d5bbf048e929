#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What sh cannot do: run a program on a terminal, press Ctrl-C at the right moment, lock a database, and the like."""

import os
import pty
import random
import resource
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

NOBODY = 65534


def run_pty(answers, command):
    """All output of the terminal goes to our stdout; \\r is dropped."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execvp(command[0], command)
    waiting = [(word if word != "-" else "") + "\n" for word in answers]
    output = b""
    while True:
        try:
            ready, _, _ = select.select([master], [], [], 20)
            data = os.read(master, 65536) if ready else b""
        except OSError:
            data = b""
        if not data:
            break
        output += data
        # An answer is typed when the program has asked and waits.
        if waiting and data.rstrip(b"\0").endswith(b": "):
            os.write(master, waiting.pop(0).encode())
    sys.stdout.buffer.write(output.replace(b"\r\n", b"\n"))
    sys.stdout.flush()
    _, status = os.waitpid(pid, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def run_interrupt(text, command):
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        output = b""
        for line in process.stdout:
            output += line
            if text.encode() in line:
                process.send_signal(signal.SIGINT)
                break
        output += process.stdout.read()
    sys.stdout.buffer.write(output)
    return exit_status(process.returncode)


def exit_status(code):
    return code if code >= 0 else 128 - code


def run_interrupt_at(delay_ms, command):
    with subprocess.Popen(command) as process:
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGINT)
        process.wait()
    return exit_status(process.returncode)


def run_locked(database, command):
    """Another program is in the middle of writing, for as long as the command runs."""
    db = sqlite3.connect(database, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    status = exit_status(subprocess.run(command, check=False).returncode)
    db.execute("ROLLBACK")
    db.close()
    return status


def add_note(db, title):
    db.execute("INSERT INTO observations(memory_session_id, project, type, title, created_at, created_at_epoch)"
               " SELECT memory_session_id, project, 'discovery', ?, '2026-11-23T10:00:00.000Z', 1795428000000"
               " FROM sdk_sessions WHERE memory_session_id IS NOT NULL ORDER BY id LIMIT 1", (title,))  # fmt: skip


def run_beside(database, command):
    """claude-mem's worker has the database open and writes before and after the command. It has lost its lock on the
    file as the real one does when it copies it: closing any descriptor of a file drops all locks of a process."""
    db = sqlite3.connect(database, isolation_level=None)
    add_note(db, "before")
    with open(database, "rb"):
        pass
    log = os.stat(database + "-wal").st_ino
    status = exit_status(subprocess.run(command, check=False).returncode)
    if not os.path.exists(database + "-wal") or os.stat(database + "-wal").st_ino != log:
        print("the worker's write-ahead log was taken away")
    add_note(db, "after")
    sys.stdout.flush()
    os._exit(status)  # killed: what it wrote is in the log only


def run_nobody(command):
    """As somebody without root's rights; the program is opened before, since it may lie where only root looks."""
    if os.geteuid() != 0:
        os.execvp(command[0], command)
    program = os.open(shutil.which(command[0]), os.O_RDONLY | os.O_CLOEXEC)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.execve(program, command, os.environ)


def run_limited(size, command):
    """No file can grow beyond size bytes: what is behind it fails as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    os.execvp(command[0], command)


def run_small_disk(kib, folder, command):
    """The folder lies on a drive of its own with some KiB free. Who may not mount gets a limit for each file."""
    script = """
        folder=$1 kib=$2; shift 2
        mount -t tmpfs -o size=512m none /mnt || exit 99
        cp -a "$folder/." /mnt/ && mount --bind /mnt "$folder" || exit 99
        used=$(df -k --output=used "$folder" | tail -1)
        mount -o remount,size=$((used + kib))k /mnt || exit 99
        "$@"; status=$?
        cp -a "$folder/." "$folder.after/"
        exit $status"""
    may_mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    if subprocess.run(may_mount, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        sizes = [os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names]
        return run_limited(max(sizes, default=0) + int(kib) * 1024, command)
    os.mkdir(folder + ".after")
    status = exit_status(subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", folder, kib, *command],
                                        check=False).returncode)  # fmt: skip
    if status == 99:
        sys.exit("cannot make a small drive")
    shutil.rmtree(folder)
    os.rename(folder + ".after", folder)
    return status


def spoil(path):
    """Overwrites bytes in the middle of each page but the first two."""
    noise = random.Random(1)
    with open(path, "r+b") as file:
        for offset in range(2 * 4096, os.path.getsize(path), 4096):
            file.seek(offset + 16)
            file.write(noise.randbytes(200))


def grow(path, mib):
    """A long life: sessions with observations of some kilobytes, which do not shrink much."""
    noise = random.Random(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA foreign_keys = ON")
    for session in range(mib):
        name = f"{path}-{session}"
        db.execute("INSERT INTO sdk_sessions(content_session_id, memory_session_id, project, started_at,"
                   " started_at_epoch) VALUES(?, ?, 'grown', '2026-01-01T00:00:00.000Z', 1767225600000)",
                   (name, "m" + name))  # fmt: skip
        db.executemany(
            "INSERT INTO observations(memory_session_id, project, type, title, narrative, created_at,"
            " created_at_epoch, content_hash)"
            " VALUES(?, 'grown', 'discovery', ?, ?, '2026-01-01T00:00:00.000Z', ?, ?)",
            [("m" + name, f"{name} {i}", noise.randbytes(1024).hex(), 1767225600000 + i, f"{name} {i}")
             for i in range(400)])  # fmt: skip
    db.commit()
    db.close()


def main():
    kind, words = sys.argv[1], sys.argv[2:]
    if kind == "pty":
        return run_pty(words[0].split(), words[1:])
    if kind == "interrupt":
        return run_interrupt(words[0], words[1:])
    if kind == "interrupt_at":
        return run_interrupt_at(int(words[0]), words[1:])
    if kind == "locked":
        return run_locked(words[0], words[1:])
    if kind == "beside":
        return run_beside(words[0], words[1:])
    if kind == "nobody":
        return run_nobody(words)
    if kind == "limited":
        return run_limited(int(words[0]), words[1:])
    if kind == "small_disk":
        return run_small_disk(words[0], words[1], words[2:])
    if kind == "spoil":
        return spoil(words[0])
    if kind == "grow":
        return grow(words[0], int(words[1]))
    sys.exit(f"what is {kind}?")


if __name__ == "__main__":
    sys.exit(main())
