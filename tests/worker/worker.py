# SPDX-License-Identifier: MIT
"""claude-mem's real worker, a stand-in for the language model that it asks, and people at work.

All of it listens on and speaks to 127.0.0.1 only, and ends when we do at the latest.
"""

import collections
import ctypes
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 30
DRAIN_SECONDS_MAX = 30
REQUEST_SECONDS_MAX = 30  # longer than the worker's own patience, so that its answer is heard
PR_SET_PDEATHSIG = 1
MARK = re.compile(r"mark-[a-z]+-[0-9a-z-]+-end")


def fetch(*versions):
    """The real parts; fetched once. Returns the folders of "bun", "modules" and each version."""
    done = subprocess.run(
        [str(ROOT / "scripts" / "get-claude-mem.sh"), *versions],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return {words[-2]: pathlib.Path(words[-1]) for words in lines}


class Model(http.server.ThreadingHTTPServer):
    """Answers each chat completion as claude-mem wants it: an observation or a summary for every
    mark that it was shown."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a worker was killed while it asked

    def close(self):
        self.shutdown()
        self.server_close()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        text = str(json.loads(body)["messages"][-1]["content"])
        marks = sorted(set(MARK.findall(text)))
        tools = [mark for mark in marks if mark.startswith("mark-tool-")]
        summaries = [mark for mark in marks if mark.startswith("mark-summary-")]
        content = "".join(
            f"<observation><type>discovery</type><title>{mark}</title>"
            f"<narrative>It did {mark}.</narrative></observation>"
            for mark in tools
        )
        content += "".join(
            f"<summary><request>{mark}</request><investigated>much</investigated>"
            "<learned>little</learned><completed>some</completed><next_steps>more</next_steps>"
            "</summary>"
            for mark in summaries
        )
        message = {"role": "assistant", "content": content or "ok"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        answer = {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end_with_us():
    """Runs in the child: whatever ends the test, even a time-out of CTest, ends the worker too."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Worker:
    """The worker of one machine, in one process, on the machine's database."""

    def __init__(self, machine, model, parts):
        self.machine = machine
        self.parts = parts
        self.model_port = model.server_address[1]
        self.port = free_port()
        self.process = None
        self.output = machine.home / "worker.out"

    def environment(self):
        nowhere = "http://127.0.0.1:9"  # what is not meant for this machine does not leave it
        return {
            "PATH": "/usr/bin:/bin",
            "NODE_PATH": str(self.parts["modules"]),
            "HOME": str(self.machine.home),
            "CLAUDE_CONFIG_DIR": str(self.machine.home / ".claude"),
            "CLAUDE_MEM_DATA_DIR": str(self.machine.db.parent),
            "CLAUDE_MEM_WORKER_PORT": str(self.port),
            "CLAUDE_MEM_CHROMA_ENABLED": "false",
            "CLAUDE_MEM_TRANSCRIPTS_ENABLED": "false",
            "CLAUDE_MEM_TELEMETRY": "0",
            "DO_NOT_TRACK": "1",
            "CLAUDE_MEM_PROVIDER": "openrouter",
            "CLAUDE_MEM_OPENROUTER_BASE_URL": f"http://127.0.0.1:{self.model_port}/v1",
            "CLAUDE_MEM_OPENROUTER_API_KEY": "none",
            "OPENROUTER_API_KEY": "none",
            "CLAUDE_MEM_OPENROUTER_MODEL": "stand/in",
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def start(self, version):
        """Returns when the worker says that it is ready."""
        script = self.parts[version] / "plugin" / "scripts" / "worker-service.cjs"
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [str(self.parts["bun"] / "bin" / "bun"), "--no-install", str(script), "--daemon"],
                env=self.environment(),
                cwd=self.machine.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=end_with_us,
            )
        until = time.monotonic() + START_SECONDS_MAX
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the worker does not start:\n{self.output.read_text()}")
            time.sleep(0.02)
        found = self.get("/api/health")
        if found["pid"] != self.process.pid or found.get("version", version) != version:
            raise AssertionError(f"another worker answers: {found}")

    def is_ready(self):
        try:
            return self.request("GET", "/api/readiness")[0] == 200
        except OSError:
            return False

    def stop(self):
        """As 'claude-mem stop' does. The worker's database is closed then."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(START_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            self.process = None

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def request(self, method, path, body=None):
        """(status, text). OSError if the worker is not there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, REQUEST_SECONDS_MAX)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def get(self, path):
        status, text = self.request("GET", path)
        if status != 200:
            raise AssertionError(f"{path} says {status}: {text}")
        return json.loads(text)

    def drain(self):
        """Until what waits in the worker's memory is in its database."""
        until = time.monotonic() + DRAIN_SECONDS_MAX
        while True:
            status = self.get("/api/processing-status")
            if not status["isProcessing"] and status["queueDepth"] == 0:
                return
            if time.monotonic() > until:
                raise AssertionError(f"the worker does not come to rest: {status}")
            time.sleep(0.05)


Write = collections.namedtuple("Write", "kind mark status seconds text")


class People:
    """Writes through the worker's API at a steady rate, whether it answers quickly or not, and asks
    for its health all the time, until told to stop."""

    HANDS = 8
    HEALTH_EVERY_SECONDS = 0.05

    def __init__(self, worker, tag, rate, kinds):
        self.worker = worker
        self.tag = tag
        self.interval = 1 / rate
        self.kinds = kinds
        self.writes = []
        self.health_seconds = []
        self.health_failures = []
        self.health_alone_seconds = 0  # the slowest while membridge has not run yet
        self.is_worker_killed = False  # then a request without an answer is no surprise
        self._count = 0
        self._stop = threading.Event()
        self._lock = threading.Condition()
        self._first = time.monotonic()
        threads = [self._write] * self.HANDS + [self._ask_health]
        self._threads = [threading.Thread(target=target, daemon=True) for target in threads]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, count):
        """Until so many more writes than now were answered."""
        with self._lock:
            wanted = len(self.writes) + count
            if not self._lock.wait_for(lambda: len(self.writes) >= wanted, 60):
                raise AssertionError("the worker does not answer writes any more")

    def measure_alone(self, count):
        """How well the worker answers on this machine, as busy as it is, without membridge."""
        self.wait_for(count)
        self.health_alone_seconds = max(self.health_seconds)

    def acknowledged(self, kind):
        return [write.mark for write in self.writes if write.kind == kind and write.status == 200]

    def failed(self):
        """Writes that the worker refused, or did not answer although nobody had killed it."""
        return [write for write in self.writes if write.status not in (200, "killed")]

    def _next(self):
        with self._lock:
            number = self._count
            self._count += 1
        return number

    def _write(self):
        while not self._stop.is_set():
            number = self._next()
            if self._stop.wait(max(0, self._first + number * self.interval - time.monotonic())):
                return
            kind = self.kinds[number % len(self.kinds)]
            mark = f"mark-{kind}-{self.tag}-{number}-end"
            write = self._send(kind, mark)
            with self._lock:
                self.writes.append(write)
                self._lock.notify_all()

    def _send(self, kind, mark):
        session = f"session-{self.tag}"
        path, body = {
            "note": ("/api/memory/save", {"text": f"Noted {mark}.", "title": mark}),
            "prompt": (
                "/api/sessions/init",
                {"contentSessionId": mark, "prompt": f"Do {mark}", "platformSource": "claude"},
            ),
            "tool": (
                "/api/sessions/observations",
                {
                    "contentSessionId": session,
                    "tool_name": "Read",
                    "tool_input": {"file_path": f"/src/{mark}"},
                    "tool_response": {"content": "text"},
                    "cwd": "/home/somebody/work",
                    "tool_use_id": mark,
                },
            ),
            "summary": (
                "/api/sessions/summarize",
                {"contentSessionId": session, "last_assistant_message": mark},
            ),
        }[kind]
        begin = time.monotonic()
        was_killed = self.is_worker_killed
        try:
            status, text = self.worker.request("POST", path, {"project": "work", **body})
        except OSError as error:
            status, text = 0, str(error)
        if status != 200 and (was_killed or self.is_worker_killed):
            status = "killed"  # also one that answers before it says that it is ready
        return Write(kind, mark, status, time.monotonic() - begin, text)

    def _ask_health(self):
        while not self._stop.wait(self.HEALTH_EVERY_SECONDS):
            begin = time.monotonic()
            was_killed = self.is_worker_killed
            try:
                status, text = self.worker.request("GET", "/api/health")
                if not was_killed and not self.is_worker_killed:
                    self.health_seconds.append(time.monotonic() - begin)
                if status != 200:
                    self.health_failures.append(f"{status}: {text}")
            except OSError as error:
                if not was_killed and not self.is_worker_killed:
                    self.health_failures.append(str(error))


def processes_of(folder):
    """Processes whose home is in that folder."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # not ours, or gone
            if any(name.startswith(b"HOME=" + os.fsencode(folder)) for name in variables):
                found.append(int(entry.name))
    return found
