#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What sh cannot do: run a program on a terminal, and press Ctrl-C at the right moment."""

import os
import pty
import select
import signal
import subprocess
import sys


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
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def main():
    if sys.argv[1] == "pty":
        return run_pty(sys.argv[2].split(), sys.argv[3:])
    return run_interrupt(sys.argv[2], sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
