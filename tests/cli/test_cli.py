#!/usr/bin/env python3
"""test_cli.py PROGRAM ROOT - the client commands against a fake admin server.

What a user sees: output, messages, exit codes.  The server is fake_server.py, so that it can also say
what the real one never should.
"""
import csv, io, json, os, pathlib, pty, select, signal, subprocess, sys, tempfile, threading, time, unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_server import FakeServer, problem

PROGRAM, ROOT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 4
HOSTILE = "bad\x1b[31mred\u202e\u009b\nnext"


def function(name="hello", **more):
    f = {"name": name, "state": "serving", "version": 3, "hash": "ab" * 32, "route": "/" + name, "methods": [],
         "heap": "fresh", "memory_mb": 64, "timeout_ms": 3000, "workers": {"idle": 1, "busy": 2, "starting": 0},
         "queued": 0, "invocations": 12345, "errors": 2, "cold_starts": 7, "image_bytes": 20480, "error": None,
         "changed_ms": 1795428000000, "triggers": [{"type": "upload", "dir": "uploads/in", "pattern": "*.csv",
                                                    "output": "uploads/out"}]}
    f.update(more)
    return f


def described(**more):
    phases = {"load_us": {"count": 5, "p50": 40, "p90": 50, "p99": 60, "max": 70}}
    return function(**{"env": {"KEY": HOSTILE}, "manifest": {"timeout_ms": 3000},
                       "modules": [{"name": "init", "bytes": 2048}],
                       "starts": [{"kind": "image", "cause": "from_zero", "count": 5, "phases": phases}], **more})


def record(kind="image", load=40, **more):
    return {"request_id": "01jrecord", "time": "2026-11-23T10:00:00.123Z", "function": "hello", "version": 3,
            "source": "http", "start": {"kind": kind, "cause": "from_zero"}, "outcome": "ok", "failed_by": "",
            "reason": "", "status": 200, "attempt": 1, "us": {"queue": 3, "spawn": 0, "jail": 0, "load": load,
            "init": 0, "handler": 210, "first": 17}, "cpu_us": 190, "peak_kb": 312, "memory_mb": 64, "bytes_in": 0,
            "bytes_out": 6, "billed_ms": 1, "cost": "0.000000000123", **more}


def answered(body="hi you", status=200, error=None, **more):
    return {"status": status, "headers": [["content-type", "text/plain"]], "body": body, "record": record(),
            "error": error, **more}


def not_found(request):
    return problem(404, "Not Found", "there is no such function", "no_such_function")


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.home = tempfile.TemporaryDirectory(prefix="perilune-cli.")
        self.addCleanup(self.home.cleanup)
        self.dir = pathlib.Path(self.home.name)

    def run_cli(self, *args, code=OK, stdin=b"", env=None, cwd=None):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC-1", **(env or {})}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        done = subprocess.run([PROGRAM, *args], input=stdin, capture_output=True, env=environment,
                              cwd=cwd or self.dir, timeout=60)
        self.stdout_bytes = done.stdout
        self.out, self.err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        self.assertEqual(done.returncode, code, f"{args}: stdout {self.out!r}, stderr {self.err!r}")
        if code != OK:
            self.assertTrue(self.err, f"{args} failed without a word")
        return self.out

    def assert_clean(self, text):
        for c in text:
            self.assertTrue(c == "\n" or (ord(c) >= 0x20 and not 0x7f <= ord(c) < 0xa0 and c != "\u202e"),
                            f"{c!r} in {text!r}")


class ServerCase(Case):
    def setUp(self):
        super().setUp()
        self.fake = FakeServer(str(self.dir / ".perilune"))
        self.addCleanup(self.fake.close)

    def last(self):
        return self.fake.seen[-1]


class Help(Case):
    def test_commands_md_is_current(self):
        """Every section of this program stands in docs/commands.md as it is (which may have more of them)."""
        page = (ROOT / "docs/commands.md").read_text()
        for section in self.run_cli("help", "--markdown").split("\n## "):
            self.assertIn(section.strip() + "\n", page + "\n", "run: perilune help --markdown > docs/commands.md")

    def test_every_command_has_help_with_examples(self):
        names = self.run_cli("help", "--names").split()
        self.assertGreaterEqual(len(names), 13)
        for name in names:
            text = self.run_cli(name, "--help")
            self.assertTrue(text.startswith(f"Usage: perilune {name}"), text)
            self.assertIn("Examples:\n", text)
            self.assertEqual(text, self.run_cli("help", name))

    def test_help_says_the_exit_codes(self):
        for code in "01234":
            self.assertRegex(self.run_cli("help"), rf"(?m)^  {code}  ")
        self.assertEqual(self.out, self.run_cli("--help"))

    def test_mistyped_words_get_a_hint(self):
        self.run_cli("delpoy", code=USAGE)
        self.assertIn("did you mean deploy?", self.err)
        self.run_cli("ls", "--jsn", code=USAGE)
        self.assertIn("did you mean --json?", self.err)
        self.run_cli("--state", "x", "ls", code=USAGE)
        self.assertIn("after it", self.err)
        self.run_cli("describe", code=USAGE)
        self.assertIn("NAME is missing", self.err)
        self.run_cli("ps", "extra", code=USAGE)
        self.run_cli("version", "--sandbox", code=USAGE)
        self.run_cli(code=USAGE)
        self.assertEqual(self.out, "")

    def test_version(self):
        self.assertRegex(self.run_cli("version"), r"^perilune \d+\.\d+\.\d+\n$")
        self.assertEqual(self.out, self.run_cli("--version"))

    def test_a_full_disk_is_not_success(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([PROGRAM, "help"], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(b"cannot write", done.stderr)

    def test_completion_knows_commands_and_options(self):
        script = (f'. "{ROOT}/tools/cli/completion.bash"; perilune() {{ "{PROGRAM}" "$@"; }}; '
                  'COMP_WORDS=(perilune "$@"); COMP_CWORD=$#; _perilune; printf "%s\\n" "${COMPREPLY[@]}"')
        complete = lambda *words: subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True,
                                                 text=True, timeout=60).stdout.split()
        self.assertEqual(complete("colds"), ["coldstart"])
        self.assertEqual(complete("usage", "--s"), ["--since", "--state"])
        self.assertEqual(complete("coldstart", "--kind", "b"), ["build"])


class Away(Case):
    def test_no_server_is_4_and_says_what_to_do(self):
        for args in (["ls"], ["describe", "x"], ["ps"], ["invoke", "x"], ["logs"], ["usage"], ["coldstart", "x"],
                     ["invocations"], ["uploads"], ["info"], ["ls", "--json"]):
            self.run_cli(*args, code=UNREACHABLE)
            self.assertEqual(self.out, "")
            self.assertIn("perilune serve", self.err)
            self.assertIn("--state", self.err)

    def test_a_dead_socket_is_4(self):
        FakeServer(str(self.dir / "state")).close()
        self.run_cli("ls", "--state", "state", code=UNREACHABLE)
        self.assertIn("not running", self.err)
        (self.dir / "state/admin.sock").unlink()
        self.run_cli("ls", env={"PERILUNE_STATE": "state"}, code=UNREACHABLE)
        self.assertIn("no server runs on the state folder state", self.err)

    def test_a_server_that_dies_while_answering_is_4(self):
        fake = FakeServer(str(self.dir / ".perilune"))
        self.addCleanup(fake.close)
        fake.routes["/v1/functions"] = lambda r: ("stream", [b'{"func', None])
        self.run_cli("ls", code=UNREACHABLE)
        self.assertIn("went away", self.err)


class Finding(Case):
    def test_state_folders_longer_than_a_socket_name(self):
        long = self.dir / ("x" * 200) / ("y" * 200)
        fake = FakeServer(str(long))
        self.addCleanup(fake.close)
        fake.routes["/v1/functions"] = {"functions": [function()]}
        self.assertIn("hello", self.run_cli("ls", "--state", str(long)))
        self.assertIn("hello", self.run_cli("ls", env={"PERILUNE_STATE": str(long)}))

    def test_a_proxy_in_the_environment_has_no_say(self):
        fake = FakeServer(str(self.dir / ".perilune"))
        self.addCleanup(fake.close)
        fake.routes["/v1/functions"] = {"functions": []}
        proxy = "http://127.0.0.1:1"
        self.run_cli("ls", env={"http_proxy": proxy, "ALL_PROXY": proxy})


class Listing(ServerCase):
    def test_ls(self):
        broken = function("bad", state="broken", version=None, error="line 3: " + HOSTILE, image_bytes=None)
        old = function("old", error="line 9: oops")
        self.fake.routes["/v1/functions"] = {"functions": [broken, function(), old]}
        lines = self.run_cli("ls").splitlines()
        self.assertRegex(lines[0], r"^NAME +STATE +VERSION +ROUTE")
        self.assertRegex(lines[1], r"^bad +broken +- ")
        self.assertIn("line 3: bad\\x1b[31mred\\u202e\\x9b\\nnext", lines[2])
        self.assertRegex(lines[3], r"^hello +serving +3 +/hello +1 idle, 2 busy +12,345 +2$")
        self.assertIn("line 9: oops (version 3 goes on serving)", lines[5])
        self.assert_clean(self.out)
        self.assertIn("20.0 KiB", self.run_cli("ls", "-l"))
        self.assertIn("2026-11-23 11:00:00", self.out)
        self.assertEqual(self.run_cli("ls", "-q"), "bad\nhello\nold\n")
        self.assertEqual(json.loads(self.run_cli("ls", "--json"))["functions"][0]["name"], "bad")
        self.fake.routes["/v1/functions"] = {"functions": []}
        self.assertEqual(self.run_cli("ls"), "")
        self.assertIn("perilune new", self.err)

    def test_json_is_passed_as_it_is(self):
        body = b'{"functions":[ ],\n "x":"\\u001b"}'
        self.fake.routes["/v1/functions"] = lambda r: (200, body)
        self.run_cli("ls", "--json")
        self.assertEqual(self.stdout_bytes, body + b"\n")

    def test_an_answer_that_is_not_json_is_said(self):
        self.fake.routes["/v1/functions"] = lambda r: (200, b"<html>")
        self.run_cli("ls", code=FAILED)
        self.assertIn("not JSON", self.err)

    def test_describe(self):
        self.fake.routes["/v1/functions/hello"] = described()
        self.run_cli("describe", "hello")
        self.assert_clean(self.out)
        for text in ("serving", "3 (abababababab)", "KEY=bad\\x1b", "init (2.0 KiB)",
                     "upload: uploads/in/*.csv -> uploads/out"):
            self.assertIn(text, self.out)
        self.assertRegex(self.out, r"image +from_zero +load +5 +40 µs +50 µs +60 µs +70 µs")
        self.assertEqual(json.loads(self.run_cli("describe", "hello", "--json")), described())

    def test_an_unknown_function_gets_a_hint(self):
        self.fake.routes["/v1/functions"] = {"functions": [function("other"), function("hello")]}
        for path in ("/v1/functions/helo", "/v1/invoke/helo"):
            self.fake.routes[path] = not_found
        for args in (["describe", "helo"], ["describe", "helo", "--json"], ["invoke", "helo"], ["coldstart", "helo"]):
            self.run_cli(*args, code=FAILED)
            self.assertEqual(self.out, "")
            self.assertIn("there is no such function (404, no_such_function)", self.err)
            self.assertIn("did you mean hello?", self.err)
            self.assertIn("01jreq", self.err)

    def test_names_are_escaped_in_the_path(self):
        self.fake.routes["/v1/functions/a/../b?c"] = lambda r: (200, described(name="odd"))
        self.run_cli("describe", "a/../b?c")
        self.assertEqual(self.last().query, {})

    def test_ps(self):
        workers = [{"pid": 17, "state": "busy", "function": "hello", "version": 3, "age_ms": 3700000, "idle_ms": 0,
                    "requests": 1234, "cpu_us": 56000, "peak_kb": 512},
                   {"pid": 18, "state": "ready", "function": None, "version": None, "age_ms": 5000, "idle_ms": 5000,
                    "requests": 0, "cpu_us": 0, "peak_kb": 0}]
        self.fake.routes["/v1/workers"] = {"workers": workers, "zygote": {"pid": 5, "forks": 2000, "restarts": 1}}
        self.run_cli("ps")
        self.assertRegex(self.out, r"17 +busy +hello@3 +1h 1m +0s +1,234 +56.0 ms +512.0 KiB")
        self.assertRegex(self.out, r"18 +ready +- ")
        self.assertIn("zygote 5: 2,000 forks, 1 restarts", self.out)

    def test_info(self):
        self.fake.routes["/v1/info"] = {"version": "0.1.0", "pid": 7, "state_dir": "/s", "functions_dir": "/f",
                                        "uploads_dir": "/u", "listen": ["127.0.0.1:8080"], "started_ms": 0,
                                        "ready": True, "price_card": "default-2026", "currency": "EUR", "dev": True}
        self.run_cli("info")
        for text in ("perilune 0.1.0, pid 7, ready, --dev", "http://127.0.0.1:8080", "/f", "default-2026, in EUR"):
            self.assertIn(text, self.out)

    def test_invocations(self):
        bad = record(outcome="error", reason="handler_error" + HOSTILE, failed_by="handler", status=500)
        self.fake.routes["/v1/invocations"] = {"records": [bad, record()]}
        self.run_cli("invocations", "hello", "-n", "2")
        self.assertEqual(self.last().query, {"function": "hello", "lines": "2"})
        self.assertRegex(self.out, r"2026-11-23 11:00:00 +01jrecord +hello@3 +http +image +from_zero +ok +200 +210 µs")
        self.assertIn("handler_errorbad\\x1b", self.out)
        self.assertIn("failed by handler", self.out)
        self.assert_clean(self.out)

    def test_uploads(self):
        event = {"id": 4, "function": "report", "file": "uploads/in/" + HOSTILE, "bytes": 1536, "state": "failed",
                 "attempts": 3, "error": "line 7: " + HOSTILE, "accepted_ms": 1795428000000, "run_at_ms": 0,
                 "finished_ms": 1795428001000}
        refused = {"file": "uploads/in/link", "why": "a symbolic link", "time_ms": 1795428000000}
        self.fake.routes["/v1/uploads"] = {"events": [event], "refused": [refused]}
        self.run_cli("uploads", "--function", "report", "--failed")
        self.assertEqual(self.last().query, {"function": "report", "state": "failed", "limit": "100"})
        self.assertRegex(self.out, r"4 +2026-11-23 11:00:00 +report +uploads/in/bad.* 1.5 KiB +failed +3")
        self.assertIn("a symbolic link", self.out)
        self.assert_clean(self.out)


class Invoke(ServerCase):
    def answer(self, *args, **kwargs):
        self.fake.routes["/v1/invoke/hello"] = answered(*args, **kwargs)

    def test_the_body_and_nothing_else(self):
        self.answer()
        self.assertEqual(self.run_cli("invoke", "hello"), "hi you")
        self.assertEqual(self.last().method, "POST")
        self.assertEqual(self.last().query, {"method": "GET", "type": "http"})

    def test_data_makes_it_a_post(self):
        self.answer()
        (self.dir / "body").write_bytes(b"\0\xff")
        self.run_cli("invoke", "hello", "-d", "a&b", "--path", "/hello?x=1&y=2", "--start", "image")
        self.assertEqual(self.last().query, {"method": "POST", "type": "http", "path": "/hello?x=1&y=2",
                                             "start": "image"})
        self.assertEqual(self.last().body, b"a&b")
        self.run_cli("invoke", "hello", "-d", "@body", "-X", "PUT")
        self.assertEqual((self.last().body, self.last().query["method"]), (b"\0\xff", "PUT"))
        self.run_cli("invoke", "hello", "-d", "@-", stdin=b"from stdin")
        self.assertEqual(self.last().body, b"from stdin")
        self.run_cli("invoke", "hello", "-d", "@missing", code=FAILED)
        self.assertIn("cannot read missing", self.err)

    def test_a_whole_event(self):
        self.answer()
        (self.dir / "event.json").write_text('{"type":"upload"}')
        self.run_cli("invoke", "hello", "-e", "event.json")
        self.assertEqual(self.last().query, {"type": "json"})
        self.assertEqual(self.last().body, b'{"type":"upload"}')
        self.run_cli("invoke", "hello", "-e", "event.json", "-d", "x", code=USAGE)

    def test_binary_bodies_arrive_as_they_are(self):
        self.answer(body="AP/+", body_base64=True)
        self.run_cli("invoke", "hello")
        self.assertEqual(self.stdout_bytes, b"\0\xff\xfe")

    def test_head_and_receipt(self):
        self.answer(body="hi\n")
        self.run_cli("invoke", "hello", "-i")
        self.assertTrue(self.out.startswith("200\ncontent-type: text/plain\n\nhi\n"), self.out)
        for text in ("01jrecord", "image; cause=from_zero", "load 40 µs", "1 ms, cost 0.000000000123"):
            self.assertIn(text, self.out)

    def test_errors_of_the_function_are_1(self):
        error = {"reason": "handler_error", "message": "hello.lua:3: " + HOSTILE, "traceback": "stack:\n\tin hello"}
        self.answer(body="{}", status=500, error=error)
        self.run_cli("invoke", "hello", code=FAILED)
        self.assertEqual(self.out, "{}")
        self.assertIn("the function failed (handler_error): hello.lua:3: bad\\x1b[31m", self.err)
        self.assertIn("in hello", self.err)
        self.assert_clean(self.err.replace("\t", ""))
        self.run_cli("invoke", "hello", "--json", code=FAILED)
        self.assertEqual(json.loads(self.out)["error"], error)
        self.answer(status=502)
        self.run_cli_quiet_failure()
        self.answer(status=404)
        self.run_cli("invoke", "hello")

    def run_cli_quiet_failure(self):
        done = subprocess.run([PROGRAM, "invoke", "hello"], capture_output=True, cwd=self.dir, timeout=60)
        self.assertEqual(done.returncode, FAILED)

    def test_refusals_of_the_platform_are_1(self):
        self.fake.routes["/v1/invoke/hello"] = lambda r: problem(429, "Too Many Requests", "the queue is full",
                                                                 "queue_full", "limit")
        self.run_cli("invoke", "hello", code=FAILED)
        self.assertIn("the queue is full (429, queue_full)", self.err)

    def test_wrong_command_lines_are_2(self):
        self.run_cli("invoke", "hello", "--start", "hot", code=USAGE)
        self.assertIn("warm, image, build, fork", self.err)
        self.run_cli("invoke", "hello", "--path", "x", code=USAGE)
        self.assertEqual(self.fake.seen, [])

    def test_a_terminal_gets_no_control_characters(self):
        self.answer(body="\x1b]0;owned\x07text")
        main, other = pty.openpty()
        try:
            subprocess.run([PROGRAM, "invoke", "hello"], stdout=other, cwd=self.dir, timeout=60,
                           env={"LC_ALL": "C.UTF-8", "NO_COLOR": "1"}, check=True)
            shown = os.read(main, 1000)
        finally:
            os.close(main)
            os.close(other)
        self.assertEqual(shown, b"\\x1b]0;owned\\x07text\r\n")

    def test_colour_only_on_a_terminal_that_wants_it(self):
        self.fake.routes["/v1/functions"] = {"functions": [function()]}
        for env, coloured in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)):
            main, other = pty.openpty()
            try:
                subprocess.run([PROGRAM, "ls"], stdout=other, cwd=self.dir, env=env, timeout=60, check=True)
                shown = os.read(main, 4000)
            finally:
                os.close(main)
                os.close(other)
            self.assertEqual(b"\x1b[" in shown, coloured)
        self.assertNotIn("\x1b", self.run_cli("ls"))


class Logs(ServerCase):
    def line(self, message, **more):
        return json.dumps({"time": "2026-11-23T10:00:00.123Z", "level": "info", "function": "hello", "version": 3,
                           "request_id": "01jreq", "message": message, "fields": {}, **more}).encode() + b"\n"

    def test_lines_are_for_people_and_clean(self):
        text = self.line("hi", fields={"who\x1b": "Ada\x07", "n": 7}) + self.line(HOSTILE, level="error")
        text += self.line("started", function=None, request_id="") + b"not json \x1b[2J\n"
        self.fake.routes["/v1/logs"] = lambda r: (200, text)
        lines = self.run_cli("logs", "hello", "-n", "5").splitlines()
        self.assertEqual(self.last().query, {"function": "hello", "lines": "5"})
        self.assertEqual(lines[0], '2026-11-23 11:00:00.123 info  hello@3 hi who\\x1b="Ada\\u0007" n=7 01jreq')
        self.assertIn("error hello@3 bad\\x1b[31mred\\u202e\\x9b", lines[1])
        self.assertTrue(lines[2].startswith("    | next"))
        self.assertIn(" perilune started", lines[3])
        self.assertEqual(lines[4], "not json \\x1b[2J")
        self.assert_clean(self.out)
        self.run_cli("logs", "--json")
        self.assertEqual(self.stdout_bytes, text)

    def test_a_line_split_over_pieces_is_one(self):
        text = self.line("whole")
        self.fake.routes["/v1/logs"] = lambda r: ("stream", [text[:9], text[9:40], text[40:]])
        self.assertEqual(len(self.run_cli("logs").splitlines()), 1)
        self.assertIn("whole", self.out)

    def test_no_lines_and_an_error(self):
        self.fake.routes["/v1/logs"] = lambda r: (200, b"")
        self.assertEqual(self.run_cli("logs"), "")
        self.assertIn("No log lines", self.err)
        self.fake.routes["/v1/logs"] = lambda r: problem(400, "Bad Request", "lines is too large", "bad_query")
        self.run_cli("logs", code=FAILED)
        self.assertIn("lines is too large (400, bad_query)", self.err)

    def follow(self, chunks):
        self.fake.routes["/v1/logs"] = lambda r: ("stream", chunks)
        return subprocess.Popen([PROGRAM, "logs", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir)

    def test_follow_ends_well_with_ctrl_c(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def chunks():
            yield self.line("first")
            release.wait(30)

        process = self.follow(chunks())
        self.assertIn(b"first", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        self.assertEqual((process.returncode, err), (OK, b""))
        self.assertEqual(self.last().query["follow"], "1")

    def test_follow_is_4_when_the_server_goes_away(self):
        for chunks in ([self.line("x"), None], [self.line("x")]):
            process = self.follow(chunks)
            out, err = process.communicate(timeout=30)
            self.assertEqual(process.returncode, UNREACHABLE)
            self.assertIn(b" x ", out)
            self.assertIn(b"server", err)


class Usage(ServerCase):
    def setUp(self):
        super().setUp()
        row = {"key": "hello", "invocations": 1234, "errors": 2, "cold": 3, "billed_ms": 61000, "gb_s": "0.001250",
               "cpu_ms": 17, "bytes_in": 2048, "bytes_out": 10, "cost": "0.000000123456"}
        self.odd = {**row, "key": 'a "b",\nc'}
        self.fake.routes["/v1/usage"] = {"card": "default-2026", "currency": "EUR", "rows": [row, self.odd],
                                         "total": {**row, "key": ""}}

    def test_a_table_with_total_and_card(self):
        self.run_cli("usage")
        self.assertEqual(self.last().query, {"by": "function"})
        self.assertRegex(self.out, r"(?m)^FUNCTION.*COST EUR$")
        self.assertRegex(self.out, r"(?m)^hello +1,234 +2 +3 +1m 1s +0\.001250 +17 ms +2\.0 KiB +10 B +0\.000000123456$")
        self.assertRegex(self.out, r"(?m)^total +1,234")
        self.assertIn("price card: default-2026", self.out)

    def test_since_becomes_milliseconds(self):
        before = time.time() * 1000
        self.run_cli("usage", "--since", "1h", "--by", "hour", "--function", "hello")
        self.assertAlmostEqual(int(self.last().query["since"]), before - 3600000, delta=60000)
        self.assertEqual((self.last().query["by"], self.last().query["function"]), ("hour", "hello"))
        self.run_cli("usage", "--since", "2026-11-23", "--until", "2026-11-23T10:00Z", "--by", "day")
        self.assertEqual((self.last().query["since"], self.last().query["until"]), ("1795388400000", "1795428000000"))

    def test_csv_quotes(self):
        rows = list(csv.DictReader(io.StringIO(self.run_cli("usage", "--csv"))))
        self.assertEqual([r["key"] for r in rows], ["hello", self.odd["key"]])
        self.assertEqual(rows[0]["cost"], "0.000000123456")
        self.assertEqual(rows[0]["billed_ms"], "61000")
        self.assertEqual(rows[1]["card"], "default-2026")

    def test_json(self):
        self.assertEqual(json.loads(self.run_cli("usage", "--json")), self.fake.routes["/v1/usage"])

    def test_wrong_command_lines_are_2(self):
        for args in (["--since", "soon"], ["--by", "year"], ["--csv", "--json"]):
            self.run_cli("usage", *args, code=USAGE)
        self.assertEqual(self.fake.seen, [])


class Coldstart(ServerCase):
    def setUp(self):
        super().setUp()
        self.counts = {}

        def invoke(request):
            kind = request.query["start"]
            n = self.counts[kind] = self.counts.get(kind, 0) + 1
            return 200, {**answered(), "record": record(kind, load=n if kind != "warm" else 0)}

        self.fake.routes["/v1/invoke/hello"] = invoke

    def test_percentiles_next_to_warm(self):
        self.run_cli("coldstart", "hello", "-n", "100")
        self.assertEqual(self.counts, {"image": 100, "warm": 100})
        self.assertRegex(self.out, r"(?m)^PHASE +P50 +P90 +P99 +MAX +WARM P50")
        self.assertRegex(self.out, r"(?m)^load +50 µs +90 µs +99 µs +100 µs +0 µs")
        self.assertRegex(self.out, r"(?m)^total +53 µs +93 µs +102 µs +103 µs +3 µs")
        self.assertIn("█", self.out)
        self.assertEqual(self.err, "")

    def test_ascii_where_there_is_no_utf8(self):
        self.run_cli("coldstart", "hello", "-n", "20", env={"LC_ALL": "C"})
        self.assertTrue(self.stdout_bytes.isascii())
        self.assertIn("####", self.out)

    def test_all_kinds_and_json(self):
        starts = json.loads(self.run_cli("coldstart", "hello", "-n", "10", "--kind", "all", "--json"))["starts"]
        self.assertEqual([s["kind"] for s in starts], ["image", "build", "fork", "warm"])
        self.assertEqual(starts[0]["phases"]["total_us"], {"count": 10, "p50": 8, "p90": 12, "p99": 13, "max": 13})
        self.run_cli("coldstart", "hello", "-n", "1", "--kind", "warm")
        self.assertEqual(self.counts["warm"], 11)
        self.run_cli("coldstart", "hello", "--kind", "hot", code=USAGE)
        self.run_cli("coldstart", "hello", "-n", "0", code=USAGE)

    def test_progress_on_a_terminal_after_a_second(self):
        fast = self.fake.routes["/v1/invoke/hello"]
        self.fake.routes["/v1/invoke/hello"] = lambda r: (time.sleep(0.06), fast(r))[1]
        main, other = pty.openpty()
        try:
            done = subprocess.run([PROGRAM, "coldstart", "hello", "-n", "12"], stdout=subprocess.PIPE, stderr=other,
                                  cwd=self.dir, timeout=60, check=True)
            shown = b""  # a terminal hands out what it has piece by piece
            while not shown.endswith(b" \r") and select.select([main], [], [], 5)[0]:
                shown += os.read(main, 4000)
        finally:
            os.close(main)
            os.close(other)
        self.assertRegex(shown, rb"\r  warm \d+/12 ")
        self.assertTrue(shown.endswith(b" \r"), shown)
        self.assertNotIn(b"/12", done.stdout)

    def test_other_kinds_and_errors_are_said(self):
        error = {"reason": "handler_error", "message": "x", "traceback": ""}
        self.fake.routes["/v1/invoke/hello"] = {**answered(error=error), "record": record("warm")}
        self.run_cli("coldstart", "hello", "-n", "3", code=FAILED)
        self.assertIn("3 of 3 starts were not image but warm", self.err)
        self.assertIn("3 of 3 warm calls ended in an error", self.err)


class New(Case):
    def test_templates_are_written_and_never_overwritten(self):
        for template in ("http", "json", "upload"):
            self.run_cli("new", template + "_fn", "--template", template)
            path = self.dir / "functions" / (template + "_fn.lua")
            self.assertIn(template + "_fn", path.read_text())
            self.assertNotIn("%NAME%", path.read_text() + self.out)
            self.assertIn("perilune serve --functions functions", self.out)
        manifest = json.loads((self.dir / "functions/upload_fn.json").read_text())
        self.assertEqual(manifest["triggers"][0]["dir"], "uploads/upload_fn/in")
        path.write_text("mine")
        self.run_cli("new", "upload_fn", code=FAILED)
        self.assertIn("is there already", self.err)
        self.assertEqual(path.read_text(), "mine")
        (self.dir / "functions/x.json").write_text("{}")
        self.run_cli("new", "x", "--template", "upload", code=FAILED)
        self.assertFalse((self.dir / "functions/x.lua").exists())

    def test_bad_names_folders_and_templates(self):
        for name in ("a b", "../x", "", "x" * 65, "é"):
            self.run_cli("new", name, code=USAGE)
        self.run_cli("new", "a", "--template", "none", code=USAGE)
        self.run_cli("new", "a", "--dir", "missing", code=FAILED)
        self.assertIn("missing", self.err)
        self.assertFalse((self.dir / "functions").exists())


class Deploy(ServerCase):
    """The fake server "decides" as soon as the content of the functions folder is another."""

    def setUp(self):
        super().setUp()
        self.functions = self.dir / "served"
        self.functions.mkdir()
        (self.dir / "src").mkdir()
        self.known, self.seen_names = {}, set()
        self.fake.routes["/v1/info"] = {"functions_dir": str(self.functions), "listen": ["127.0.0.1:8080"]}
        self.fake.routes["/v1/functions/hello"] = self.look

    def look(self, request):
        self.seen_names |= set(os.listdir(self.functions))
        content = tuple((p.name, p.read_text()) for p in sorted(self.functions.rglob("*")) if p.is_file())
        if not content:
            return not_found(request)
        if self.known.get("content") != content:
            version = self.known.get("version", 0)
            bad = "syntax" in str(content)
            self.known = {"content": content, "version": version if bad else version + 1,
                          "error": "line 1: syntax error" if bad else None, "ms": self.known.get("ms", 1000) + 1}
        version = self.known["version"]
        return 200, described(version=version or None, error=self.known["error"], changed_ms=self.known["ms"],
                              state="serving" if version else "broken")

    def test_a_file_then_a_new_version_then_the_same(self):
        source = self.dir / "src/hello.lua"
        source.write_text("one")
        self.run_cli("deploy", "src/hello.lua")
        self.assertIn("hello: version 1 serves /hello\n  http://127.0.0.1:8080/hello\n", self.out)
        source.write_text("two")
        (self.dir / "src/hello.json").write_text("{}")
        self.run_cli("deploy", "src/hello.lua")
        self.assertIn("version 2", self.out)
        self.assertEqual(sorted(os.listdir(self.functions)), ["hello.json", "hello.lua"])
        self.run_cli("deploy", "src/hello.lua")
        self.assertIn("unchanged, version 2", self.out)
        self.assertEqual(json.loads(self.run_cli("deploy", "src/hello.lua", "--json"))["version"], 2)

    def test_a_folder_is_exchanged(self):
        folder = self.dir / "src/hello"
        folder.mkdir()
        (folder / "init.lua").write_text("one")
        (folder / "gone.lua").write_text("x")
        self.run_cli("deploy", "src/hello/")
        (folder / "gone.lua").unlink()
        (folder / "init.lua").write_text("two")
        self.run_cli("deploy", "src/hello")
        self.assertIn("version 2", self.out)
        self.assertEqual(os.listdir(self.functions), ["hello"])
        self.assertEqual(os.listdir(self.functions / "hello"), ["init.lua"])
        self.assertEqual({n for n in self.seen_names if not n.startswith(".")}, {"hello"})

    def test_a_version_that_does_not_load_is_1(self):
        source = self.dir / "src/hello.lua"
        source.write_text("syntax")
        self.run_cli("deploy", "src/hello.lua", code=FAILED)
        self.assertIn("hello does not load: line 1: syntax error", self.err)
        self.assertNotIn("goes on", self.err)
        source.write_text("fine")
        self.run_cli("deploy", "src/hello.lua")
        source.write_text("syntax again")
        self.run_cli("deploy", "src/hello.lua", code=FAILED)
        self.assertIn("version 1 goes on serving", self.err)

    def test_what_cannot_be_deployed(self):
        (self.dir / "src/hello.txt").write_text("")
        (self.dir / "src/hello.lua").write_text("x")
        self.run_cli("deploy", "src/hello.txt", code=FAILED)
        self.run_cli("deploy", "src/none.lua", code=FAILED)
        self.run_cli("deploy", "src/hello.lua", "--state", "none", code=UNREACHABLE)
        self.fake.routes["/v1/info"]["functions_dir"] = str(self.dir / "gone")
        self.run_cli("deploy", "src/hello.lua", code=FAILED)
        self.assertIn("functions folder", self.err)
        self.assertEqual(os.listdir(self.functions), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=1)
