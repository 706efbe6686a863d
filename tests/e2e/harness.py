"""harness.py - what every end-to-end test stands on.

A test starts its own server: own folder, own port (0), own state.  Nothing
here sleeps for luck: every wait is a condition and a deadline.  When a test
fails, the log of its server is printed.  Python's standard library only.

    class Hello(harness.TestCase):
        def test_a_saved_file_answers(self):
            server = self.server()
            server.deploy("hello", "return function() return 'hi' end")
            self.assertEqual(server.get("/hello").body, b"hi")

    if __name__ == "__main__":
        harness.main()
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = os.environ.get("PERILUNE_BIN", str(ROOT / "build" / "perilune"))
DEADLINE = 20.0  # seconds; for what should take milliseconds
AS_ROOT = os.geteuid() == 0
# A busy machine may need longer to run an interrupted worker once more.
PATIENT = {"kill_grace_ms": 200}
SERVICE_USER = "nobody"  # the default of the setting `user`

# A handler that is busy for so many milliseconds of real time.  Time stands
# still in a worker, so it has to ask; not too often, questions are limited.
BUSY = """local function busy(ctx, ms)
  local left = ctx.remaining_ms()
  repeat
    for i = 1, 50000 do end
    time.sync()
  until left - ctx.remaining_ms() >= ms
end
"""


class Timeout(AssertionError):
    pass


def wait_for(condition, what, seconds=DEADLINE, every=0.01):
    """Poll until condition() is true; its value.  Errors count as false."""
    end, last = time.monotonic() + seconds, None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = repr(value)
        except (OSError, KeyError, IndexError, ValueError,
                http.client.HTTPException) as error:
            last = repr(error)
        if time.monotonic() >= end:
            raise Timeout(f"waited {seconds} s for {what}; last: {last}")
        time.sleep(every)


def service_uid():
    import pwd
    return pwd.getpwnam(SERVICE_USER)


# --- replies ------------------------------------------------------------

class Reply:
    """One HTTP response."""

    def __init__(self, status, headers, body, version="HTTP/1.1"):
        self.status, self.body, self.version = status, body, version
        self.fields = headers  # [(name, value)], as received
        self.headers = {}
        for name, value in headers:
            self.headers.setdefault(name.lower(), value)

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:400]!r}>"

    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    @property
    def failed_by(self):
        return self.headers.get("perilune-failed-by")

    @property
    def reason(self):
        return self.headers.get("perilune-reason")

    @property
    def request_id(self):
        return self.headers.get("perilune-request-id")

    @property
    def billed_ms(self):
        return int(self.headers["perilune-billed-ms"])

    @property
    def peak_kb(self):
        return int(self.headers["perilune-peak-kb"])

    @property
    def start(self):
        """("image", "from_zero") of `Perilune-Start: image; cause=from_zero`."""
        found = re.fullmatch(r"(\w+)(?:; cause=(\w+))?",
                             self.headers["perilune-start"])
        return found[1], found[2] or "none"

    @property
    def timing_us(self):
        """{"queue": us, ...} of Server-Timing, whose unit is milliseconds."""
        phases = {}
        for part in self.headers["server-timing"].split(","):
            name, duration = re.fullmatch(r"\s*(\w+);dur=([0-9.]+)\s*",
                                          part).groups()
            phases[name] = round(float(duration) * 1000)
        return phases


class Connection:
    """A socket that a test drives byte by byte."""

    def __init__(self, address, timeout=DEADLINE):
        if isinstance(address, (str, pathlib.Path)):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(str(address))
        else:
            self.socket = socket.create_connection(address, timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Close with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def _line(self):
        while b"\n" not in self.buffer:
            if not self._more():
                raise http.client.HTTPException(
                    f"closed within a line: {self.buffer!r}")
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r"):
            raise http.client.HTTPException(f"bare LF in a response: {line!r}")
        return line[:-1].decode("latin-1")

    def _exactly(self, n):
        while len(self.buffer) < n:
            if not self._more():
                raise http.client.HTTPException(
                    f"closed with {len(self.buffer)} of {n} bytes")
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def _body(self, status, names, method):
        if method == "HEAD" or status in (204, 304) or status < 200:
            return b""
        if names.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int(self._line().split(";")[0], 16)
                body += self._exactly(size)
                if self._exactly(2) != b"\r\n":
                    raise http.client.HTTPException("chunk without its end")
                if size == 0:
                    return body
        if "content-length" in names:
            return self._exactly(int(names["content-length"]))
        while self._more():
            pass
        body, self.buffer = self.buffer, b""
        return body

    def reply(self, method="GET"):
        version, status, *_ = self._line().split(" ", 2)
        fields = []
        while line := self._line():
            name, value = line.split(":", 1)
            fields.append((name, value.strip()))
        names = {name.lower(): value for name, value in fields}
        body = self._body(int(status), names, method)
        return Reply(int(status), fields, body, version)

    def is_closed(self):
        """The other side closed, with nothing left to read."""
        try:
            return not self.buffer and not self._more()
        except TimeoutError:
            return False


# --- processes ----------------------------------------------------------

class Process:
    """A process, safe against its number being used again."""

    def __init__(self, pid):
        self.pid = pid
        self.began = self._stat()[19]

    def _stat(self):
        text = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        return text[text.rindex(")") + 2:].split()

    def alive(self):
        try:
            stat = self._stat()
        except OSError:
            return False
        return stat[19] == self.began and stat[0] not in "ZX"

    def kill(self, number=signal.SIGKILL):
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def title(self):
        data = pathlib.Path(f"/proc/{self.pid}/cmdline").read_bytes()
        return data.replace(b"\0", b" ").decode("utf-8", "replace").strip()

    def status(self, field):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return re.search(rf"^{field}:\s*(.*)$", text, re.M)[1]

    def cpu_ticks(self):
        """So many hundredths of a second it ran."""
        stat = self._stat()
        return int(stat[11]) + int(stat[12])

    def rss_kb(self):
        return int(self.status("VmRSS").split()[0])

    def __repr__(self):
        return f"<process {self.pid}>"


def descendants(pid):
    """Every living process below pid, nearest first."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError):
                text = pathlib.Path(f"/proc/{entry}/stat").read_text()
                parent = int(text[text.rindex(")") + 2:].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found, queue = [], [pid]
    while queue:
        for child in children.get(queue.pop(0), []):
            queue.append(child)
            with contextlib.suppress(OSError):
                found.append(Process(child))
    return found


# --- the server ---------------------------------------------------------

class Server:
    """One `perilune serve` in a folder of its own."""

    def __init__(self, config=None, args=(), env=None, user=None,
                 functions=True):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="perilune-e2e-"))
        self.root.chmod(0o755)
        self.functions = self.root / "functions"
        self.uploads = self.root / "uploads"
        self.state = self.root / "state"
        self.args, self.user = list(args), user
        self.config = {} if config is None else config
        self.env = dict(os.environ, **(env or {}))
        self.process, self.port, self.starts = None, None, 0
        self.last_log = None
        self.seen = {}
        if functions:
            self.functions.mkdir()
        if user:
            shutil.chown(self.root, user)

    # Life.

    def command(self):
        command = [BIN, "serve", "--functions", str(self.functions),
                   "--listen", "127.0.0.1:0", "--state", str(self.state)]
        if self.config is not None:
            path = self.root / "config.json"
            text = self.config if isinstance(self.config, str) \
                else json.dumps({**PATIENT, **self.config})
            path.write_text(text)
            command += ["--config", str(path)]
        command += self.args
        if self.user:
            command = ["setpriv", "--reuid", self.user, "--regid",
                       str(service_uid().pw_gid), "--clear-groups",
                       "--"] + command
        return command

    def launch(self):
        """Start without waiting for the ready line."""
        self.starts += 1
        self.stdout = self.root / f"stdout.{self.starts}"
        self.stderr = self.root / f"stderr.{self.starts}"
        with open(self.stdout, "wb") as out, open(self.stderr, "wb") as err:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=out,
                stderr=err, cwd=self.root, env=self.env)
        return self

    def start(self):
        self.launch()
        line = wait_for(self._ready_line, "the ready line", 30)
        self.port = int(line[1])
        return self

    def _ready_line(self):
        if self.process.poll() is not None:
            raise AssertionError(
                f"serve ended with {self.process.returncode}: {self.log()}")
        return re.search(
            r"^perilune: ready on http://127\.0\.0\.1:(\d+)$",
            self.stdout.read_text(), re.M)

    def log(self):
        """What it said on stderr, also after remove()."""
        if self.last_log is None and self.starts > 0:
            return self.stderr.read_text(errors="replace")
        return self.last_log or ""

    def remember(self):
        """Note the whole tree, so that stop() leaves nothing of it."""
        if self.process and self.process.poll() is None:
            for process in descendants(self.process.pid):
                self.seen[process.pid] = process

    def terminate(self, seconds=DEADLINE):
        """SIGTERM and wait; the exit status."""
        self.remember()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def stop(self):
        if self.process is None:
            return
        self.remember()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.remember()
                self.process.kill()
                self.process.wait()
        for process in self.seen.values():
            process.kill()
        self.process = None

    def kill_everything(self):
        """kill -9 of the whole tree at once: a power cut without the disk."""
        self.remember()
        self.process.kill()
        self.process.wait()
        for process in self.seen.values():
            process.kill()
        for process in self.seen.values():
            wait_for(lambda p=process: not p.alive(), f"{process} to die")

    def remove(self):
        self.stop()
        self.last_log = self.log()
        shutil.rmtree(self.root, ignore_errors=True)

    # Processes.

    def by_title(self, title):
        return [p for p in descendants(self.process.pid)
                if self._title(p).startswith(title)]

    @staticmethod
    def _title(process):
        try:
            return process.title()
        except OSError:
            return ""

    def supervisor(self):
        return Process(self.process.pid)

    def gateway(self):
        return wait_for(lambda: self.by_title("perilune: gateway"),
                        "a gateway")[0]

    def zygote(self):
        return wait_for(lambda: self.by_title("perilune: zygote"),
                        "a zygote")[0]

    def workers(self, function=None, state=None):
        """What the gateway says of its workers, from /v1/workers."""
        found = self.admin("GET", "/v1/workers").json()["workers"]
        return [w for w in found
                if (function is None or w["function"] == function)
                and (state is None or w["state"] == state)]

    def wait_for_running(self, function, n=1):
        """n workers that are inside the handler, which must be a busy one:
        a worker that dies before it began is replaced, and nobody notices."""
        def running():
            found = [w for w in self.workers(function, "busy")
                     if Process(w["pid"]).cpu_ticks() >= 3]
            return len(found) >= n and found
        return wait_for(running, f"{n} running {function}")

    # HTTP.

    def address(self):
        return ("127.0.0.1", self.port)

    def connect(self, timeout=DEADLINE):
        return Connection(self.address(), timeout)

    def http(self, method, path, body=None, headers=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return Reply(reply.status, reply.getheaders(), reply.read())
        finally:
            connection.close()

    def get(self, path, headers=None, timeout=60):
        return self.http("GET", path, None, headers, timeout)

    def post(self, path, body, headers=None):
        return self.http("POST", path, body, headers)

    def raw(self, data, timeout=DEADLINE):
        """Send these bytes, return everything until the server closes."""
        with self.connect(timeout) as connection:
            with contextlib.suppress(OSError):
                connection.send(data)
            with contextlib.suppress(TimeoutError):
                while connection._more():
                    pass
            return connection.buffer

    def refused(self, data):
        """Send bytes that must be refused: (the reply, the server closed)."""
        with self.connect() as connection:
            connection.send(data)
            reply = connection.reply()
            return reply, connection.is_closed()

    def admin(self, method, path, body=b"", headers=None, timeout=60):
        if isinstance(body, str):
            body = body.encode()
        with Connection(self.state / "admin.sock", timeout) as connection:
            head = f"{method} {path} HTTP/1.1\r\nHost: admin\r\n"
            for name, value in (headers or {}).items():
                head += f"{name}: {value}\r\n"
            head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            connection.send(head.encode() + body)
            return connection.reply(method)

    def info(self):
        return self.admin("GET", "/v1/info").json()

    def metrics(self):
        """{'name{label="x"}': value}"""
        values = {}
        for line in self.admin("GET", "/metrics").text().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def invoke(self, name, body=b"", **query):
        query = "&".join(f"{key}={value}" for key, value in query.items())
        reply = self.admin("POST", f"/v1/invoke/{name}?{query}", body)
        if reply.status != 200:
            raise AssertionError(f"invoke {name}: {reply}")
        return reply.json()

    def usage(self, function=None, by="function"):
        query = f"by={by}" + (f"&function={function}" if function else "")
        return self.admin("GET", f"/v1/usage?{query}").json()

    def records(self, function=None, lines=100):
        query = f"lines={lines}" + (f"&function={function}" if function else "")
        return self.admin("GET", f"/v1/invocations?{query}").json()["records"]

    def record(self, request_id):
        """The record of this request, once it is there."""
        return wait_for(
            lambda: [r for r in self.records(lines=1000)
                     if r["request_id"] == request_id],
            f"the record of {request_id}")[0]

    def log_lines(self, function=None, lines=1000):
        query = f"lines={lines}" + (f"&function={function}" if function else "")
        text = self.admin("GET", f"/v1/logs?{query}").text()
        return [json.loads(line) for line in text.splitlines()]

    def wait_for_log(self, text, function=None):
        return wait_for(
            lambda: [line for line in self.log_lines(function)
                     if text in line["message"]],
            f"a log line with {text!r}")

    def events(self, **query):
        query = "&".join(f"{key}={value}" for key, value in query.items())
        return self.admin("GET", f"/v1/uploads?{query}").json()["events"]

    # Functions.

    def function(self, name):
        reply = self.admin("GET", f"/v1/functions/{name}")
        return reply.json() if reply.status == 200 else None

    def functions_listed(self):
        return {f["name"]: f for f in
                self.admin("GET", "/v1/functions").json()["functions"]}

    def write(self, path, content):
        """Write below functions/, renamed in as a whole."""
        path = self.functions / path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.parent / f".{path.name}.part"
        if isinstance(content, bytes):
            part.write_bytes(content)
        else:
            part.write_text(content)
        part.rename(path)

    def write_function(self, name, lua, manifest=None):
        if manifest is not None:
            if not isinstance(manifest, str):
                manifest = json.dumps(manifest)
            self.write(f"{name}.json", manifest)
        self.write(f"{name}.lua", lua)

    def deploy(self, name, lua, manifest=None):
        """Write it and wait until just this content serves; its listing."""
        before = self.function(name) if self.process else None
        self.write_function(name, lua, manifest)
        return self.wait_for_change(name, before)

    def wait_for_change(self, name, before):
        old = before["version"] if before else None

        def changed():
            now = self.function(name)
            if now and now["error"] and not (
                    before and before["changed_ms"] == now["changed_ms"]):
                raise AssertionError(f"{name} is broken: {now['error']}")
            return now and now["state"] == "serving" \
                and now["version"] != old and now
        return wait_for(changed, f"a new version of {name}")

    def wait_for_version(self, name, version):
        return wait_for(
            lambda: (f := self.function(name)) and f["version"] == version
            and f, f"{name}@{version}")

    def wait_for_error(self, name):
        """The text that says what is wrong with the newest candidate."""
        return wait_for(lambda: (f := self.function(name)) and f["error"],
                        f"an error of {name}")

    def wait_for_zero(self, name, seconds=DEADLINE):
        wait_for(lambda: not self.workers(name), f"{name} at zero", seconds)

    # Uploads and the command line.

    def make_uploads(self, *folders):
        """The operator's part: folders that the service user may write."""
        for folder in (".",) + folders:
            path = self.uploads / folder
            path.mkdir(parents=True, exist_ok=True)
            if AS_ROOT:
                shutil.chown(path, SERVICE_USER)
        return self.uploads

    def cli(self, *args, input=None, timeout=120, env=None):
        return run("--state", str(self.state), first=args, input=input,
                   timeout=timeout, cwd=self.root, env=env)


def run(*args, first=(), input=None, timeout=120, cwd=None, env=None):
    """Run `perilune COMMAND ...` and return its CompletedProcess (text)."""
    command = [BIN, *first[:1], *args, *first[1:]] if first else [BIN, *args]
    return subprocess.run(command, input=input, capture_output=True, text=True,
                          timeout=timeout, cwd=cwd,
                          env=dict(os.environ, **(env or {})))


def at_once(n, work):
    """Call work(i) in n threads that begin together; the results in order."""
    results, barrier = [None] * n, threading.Barrier(n)

    def one(i):
        barrier.wait()
        try:
            results[i] = work(i)
        except Exception as error:  # looked at by the test
            results[i] = error
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Background:
    """work() in a thread; result() joins and gives what it returned."""

    def __init__(self, work):
        self.value = self.error = None
        self.thread = threading.Thread(target=self._run, args=(work,))
        self.thread.start()

    def _run(self, work):
        try:
            self.value = work()
        except Exception as error:
            self.error = error

    def result(self, seconds=60):
        self.thread.join(seconds)
        if self.thread.is_alive():
            raise Timeout("the background work did not end")
        if self.error:
            raise self.error
        return self.value


def documented_errors():
    """The table of docs/errors.md: {reason: (status, failed_by)}."""
    rows = {}
    for line in (ROOT / "docs/errors.md").read_text().splitlines():
        row = re.match(r"\| (\d{3}) \| `(\w+)` \| `(\w+)` \|", line)
        if row:
            rows[row[3]] = (int(row[1]), row[2])
    return rows


# --- test cases and their runner ----------------------------------------

class TestCase(unittest.TestCase):
    maxDiff = None
    said = False  # the runner's: its "not ok" is written

    def setUp(self):
        self.servers = []

    def server(self, config=None, args=(), **options):
        server = Server(config, args, **options)
        self.servers.append(server)
        self.addCleanup(server.remove)
        return server.start()

    def unstarted(self, config=None, args=(), **options):
        server = Server(config, args, **options)
        self.servers.append(server)
        self.addCleanup(server.remove)
        return server

    def folder(self):
        path = pathlib.Path(tempfile.mkdtemp(prefix="perilune-e2e-"))
        path.chmod(0o755)
        self.addCleanup(shutil.rmtree, path, True)
        return path

    def assert_problem(self, reply):
        """A problem document that agrees with docs/errors.md."""
        table = documented_errors()
        self.assertIn(reply.reason, table, reply)
        self.assertEqual((reply.status, reply.failed_by),
                         table[reply.reason], reply)
        self.assertEqual(reply.headers["content-type"],
                         "application/problem+json")
        problem = reply.json()
        self.assertEqual(problem["status"], reply.status)
        self.assertEqual(problem["reason"], reply.reason)
        self.assertEqual(problem["failed_by"], reply.failed_by)
        self.assertEqual(problem["request_id"], reply.request_id)
        self.assertTrue(problem["title"])

    def assert_fails(self, reply, *reasons):
        """It failed for this reason (or one of these), as documented."""
        self.assertIn(reply.reason, reasons, reply)
        self.assert_problem(reply)

    def assert_ok(self, reply, body=None):
        self.assertEqual(reply.status, 200, reply)
        if body is not None:
            self.assertEqual(reply.body, body if isinstance(body, bytes)
                             else body.encode())


class TapResult(unittest.TestResult):
    """TAP on stdout, so that every test counts; why it failed as comments."""

    def _say(self, line):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def _name(self, test):
        return test.id().split(".", 1)[-1].replace(".test_", ": ") \
            .replace("_", " ")

    def _ok(self, test, more=""):
        self._say(f"ok {self.testsRun} - {self._name(test)}{more}")

    def _not_ok(self, test):
        if not test.said:
            self._say(f"not ok {self.testsRun} - {self._name(test)}")
        test.said = True

    def _because(self, error, what=""):
        for line in "".join(traceback.format_exception(*error)).splitlines():
            self._say(f"# {what}{line}")

    def _logs(self, test):
        for server in getattr(test, "servers", []):
            self._say(f"# --- log of {server.root}")
            for line in server.log()[-20000:].splitlines():
                self._say("# " + line)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._ok(test)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._not_ok(test)
        self._because(error)

    def addError(self, test, error):
        super().addError(test, error)
        if isinstance(test, TestCase):
            self._not_ok(test)
        self._because(error)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._ok(test, f" # SKIP {reason}")

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._not_ok(test)
            self._because(error, subtest._subDescription() + " ")

    def stopTest(self, test):
        super().stopTest(test)
        if test.said:
            self._logs(test)


def main():
    """Run the tests of the calling file; names as arguments choose some."""
    module = sys.modules["__main__"]
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    tests = [t for group in suite for t in group]
    if len(sys.argv) > 1:
        tests = [t for t in tests
                 if any(word in t.id() for word in sys.argv[1:])]
    print(f"1..{len(tests)}", flush=True)
    result = TapResult()
    unittest.TestSuite(tests).run(result)
    sys.exit(0 if result.wasSuccessful() and tests else 1)
