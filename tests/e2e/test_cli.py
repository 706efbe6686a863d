"""test_cli.py - the `perilune` command against a live server."""
import csv
import io
import json
import re
import signal
import subprocess
import time

import harness
from harness import run, wait_for

HI = "return function(e) return 'hi ' .. (e.query.name or 'you') end"
OK, FAILED, USAGE, DEGRADED, UNREACHABLE = range(5)


class Offline(harness.TestCase):
    def test_the_page_of_commands_is_current(self):
        page = (harness.ROOT / "docs" / "commands.md").read_text()
        made = run("help", "--markdown").stdout
        self.assertEqual(page, made,
                         "perilune help --markdown > docs/commands.md")

    def test_help_names_every_command_and_exit_code(self):
        done = run("help")
        self.assertEqual(done.returncode, OK)
        for command in ("serve", "new", "check", "run", "deploy", "ls",
                        "describe", "ps", "invoke", "logs", "usage",
                        "coldstart", "uploads", "doctor", "version"):
            self.assertRegex(done.stdout, rf"(?m)^\s+{command}\b")
            page = run(command, "--help")
            self.assertEqual(page.returncode, OK, command)
            self.assertIn(f"perilune {command}", page.stdout)
            self.assertIn("Examples:", page.stdout)
        self.assertIn("Exit codes", done.stdout)

    def test_a_wrong_command_line_gets_a_hint_and_exit_code_2(self):
        for args, word in ((("invok", "x"), "invoke"), ((), "serve"),
                           (("ls", "--jsn"), "--json"),
                           (("describe",), "NAME"),
                           (("usage", "--by", "moon"), "day"),
                           (("usage", "--since", "whenever"), "yesterday"),
                           (("coldstart", "x", "--kind", "hot"), "image"),
                           (("new", "no/slash"), "A-Z")):
            with self.subTest(args=args):
                done = run(*args)
                self.assertEqual(done.returncode, USAGE, done)
                self.assertIn(word, done.stderr)

    def test_without_a_server_the_exit_code_is_4_and_says_what_to_do(self):
        folder = self.folder()
        for args in (("ls",), ("ps",), ("usage",), ("invoke", "x"),
                     ("logs",), ("uploads",)):
            done = run(*args, "--state", str(folder / "none"))
            self.assertEqual(done.returncode, UNREACHABLE, done)
            self.assertIn("none", done.stderr)

    def test_version_names_the_program_and_the_sandbox_its_lua(self):
        done = run("version")
        self.assertRegex(done.stdout, r"\d+\.\d+\.\d+")
        self.assertRegex(run("version", "--sandbox").stdout, r"Lua 5\.4")

    def test_doctor_lists_each_layer_and_how_it_was_verified(self):
        done = run("doctor")
        self.assertIn(done.returncode, (OK, DEGRADED), done.stdout)
        table = (harness.ROOT / "sandbox/wire/layers.def").read_text()
        names = re.findall(r'^LAYER\(\w+, "([\w-]+)"', table, re.M)
        self.assertGreater(len(names), 10)
        for name in names:
            self.assertIn(name, done.stdout)
        self.assertIn("SIGSYS", done.stdout)

    def test_security_md_has_each_layer_with_its_need(self):
        table = (harness.ROOT / "sandbox/wire/layers.def").read_text()
        text = (harness.ROOT / "SECURITY.md").read_text()
        words = {"ALWAYS": "always", "UNLESS_SANITIZED": "always",
                 "NAMED": "named", "WARN": "warn"}
        documented = {}
        for names, needs in re.findall(r"(?m)^\| (`[^|]+) \| ([^|]+) \|", text):
            names, needs = names.split(", "), needs.split(", ")
            needs = needs if len(needs) > 1 else needs * len(names)
            documented.update(zip((n.strip("`") for n in names), needs))
        self.assertEqual(documented, {
            name: words[need] for name, need in re.findall(
                r'(?m)^LAYER\(\w+, "([\w-]+)", JAIL_(\w+)', table)})

    def test_new_check_and_run_need_no_server(self):
        folder = self.folder()
        for template in ("http", "json", "upload"):
            name = f"my-{template}"
            done = run("new", name, "--template", template, cwd=folder)
            self.assertEqual(done.returncode, OK, done)
            path = folder / "functions" / f"{name}.lua"
            self.assertTrue(path.exists())
            again = run("new", name, cwd=folder)
            self.assertEqual(again.returncode, FAILED)
            checked = run("check", str(path))
            self.assertEqual(checked.returncode, OK, checked)
        event = folder / "event.json"
        event.write_text(json.dumps({
            "type": "http", "method": "GET", "path": "/my-http", "params": {},
            "query": {"name": "Ada"}, "headers": {}, "body": ""}))
        done = run("run", str(folder / "functions/my-http.lua"), "-e",
                   str(event))
        self.assertEqual(done.returncode, OK, done)
        self.assertIn("Hello, Ada!", done.stdout)
        self.assertRegex(done.stdout + done.stderr, r"(?i)billed")

    def test_check_says_file_and_line(self):
        folder = self.folder()
        for name, source, line in (("syntax", "local x\nlocal = 1", 2),
                                   ("init", "\n\nerror('no')", 3)):
            path = folder / f"{name}.lua"
            path.write_text(source)
            done = run("check", str(path))
            self.assertEqual(done.returncode, FAILED)
            self.assertRegex(done.stderr, rf"line {line}\b|:{line}:")
        (folder / "m.lua").write_text("return function() end")
        (folder / "m.json").write_text('{\n "memry_mb": 1\n}')
        done = run("check", str(folder / "m.lua"))
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("memry_mb", done.stderr)
        self.assertIn("line 2", done.stderr)
        self.assertEqual(run("check", "/nowhere.lua").returncode, FAILED)

    def test_run_shows_the_error_of_a_handler(self):
        folder = self.folder()
        (folder / "f.lua").write_text("return function()\n error('no') end")
        (folder / "e.json").write_text('{"type": "http"}')
        done = run("run", str(folder / "f.lua"), "-e", str(folder / "e.json"))
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(":2:", done.stderr + done.stdout)

    def test_run_says_when_the_event_is_no_json(self):
        folder = self.folder()
        (folder / "f.lua").write_text("return function() end")
        (folder / "e.json").write_text('{"type": "http",\n "x" 1}')
        done = run("run", str(folder / "f.lua"), "-e", str(folder / "e.json"))
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("e.json is not JSON: line 2", done.stderr)
        self.assertNotIn("billed", done.stderr)

    def test_folders_that_cannot_be_made_name_the_option(self):
        folder = self.folder()
        for option in ("--state", "--uploads"):
            options = {"--functions": folder, "--state": folder / "state",
                       "--listen": "127.0.0.1:0",
                       option: folder / "none" / "x"}
            done = run("serve", *(str(word) for pair in options.items()
                                  for word in pair))
            self.assertEqual(done.returncode, FAILED)
            self.assertIn(option, done.stderr)


class Online(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.up = self.server()

    def test_the_state_can_come_from_the_environment_or_the_folder(self):
        done = run("info", env={"PERILUNE_STATE": str(self.up.state)})
        self.assertEqual(done.returncode, OK, done)
        (self.up.root / ".perilune").symlink_to(self.up.state)
        done = run("info", cwd=self.up.root)
        self.assertEqual(done.returncode, OK, done)

    def test_deploy_copies_waits_and_says_what_is_wrong(self):
        source = self.folder() / "hello.lua"
        source.write_text(HI)
        done = self.up.cli("deploy", str(source))
        self.assertEqual(done.returncode, OK, done)
        self.assert_ok(self.up.get("/hello?name=Ada"), "hi Ada")
        source.write_text("return = 1")
        done = self.up.cli("deploy", str(source))
        self.assertEqual(done.returncode, FAILED)
        self.assertRegex(done.stderr, r"line 1|:1:")
        self.assert_ok(self.up.get("/hello"), "hi you")

    def test_deploy_takes_a_folder_with_modules(self):
        folder = self.folder() / "shop"
        folder.mkdir()
        (folder / "init.lua").write_text(
            "local p = require('price') return function() return p end")
        (folder / "price.lua").write_text("return 'cheap'")
        (folder / "function.json").write_text('{"timeout_ms": 500}')
        done = self.up.cli("deploy", str(folder))
        self.assertEqual(done.returncode, OK, done)
        self.assert_ok(self.up.get("/shop"), "cheap")

    def test_ls_and_describe(self):
        self.up.deploy("good", HI)
        self.up.write_function("bad", "return = 1")
        self.up.wait_for_error("bad")
        done = self.up.cli("ls")
        self.assertEqual(done.returncode, OK)
        self.assertRegex(done.stdout, r"(?m)^good\s+serving\s+1\b")
        self.assertRegex(done.stdout, r"(?m)^bad\s+broken")
        self.assertRegex(done.stdout, r"line 1|:1:")
        self.assertIn("fresh", self.up.cli("ls", "-l").stdout)
        names = [f["name"] for f in json.loads(
            self.up.cli("ls", "--json").stdout)["functions"]]
        self.assertEqual(names, ["bad", "good"])
        self.up.get("/good")
        done = self.up.cli("describe", "good")
        self.assertIn("/good", done.stdout)
        self.assertIn("image", done.stdout)
        self.assertEqual(json.loads(self.up.cli(
            "describe", "good", "--json").stdout)["name"], "good")
        done = self.up.cli("describe", "goood")
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("good", done.stderr)

    def test_ps_shows_the_workers(self):
        self.up.deploy("good", HI)
        self.up.get("/good")
        pid = self.up.workers("good")[0]["pid"]
        self.assertRegex(self.up.cli("ps").stdout,
                         rf"(?m)^\s*{pid}\s+idle\s+good@1")
        self.assertIn("workers", json.loads(
            self.up.cli("ps", "--json").stdout))

    def test_invoke(self):
        self.up.deploy("echo", """return function(e)
            if e.query.fail then error("no") end
            return { status = 201, headers = { ["x-a"] = "b" },
              body = e.method .. e.body } end""")
        self.assertEqual(self.up.cli("invoke", "echo", "-d", "data").stdout
                         .strip(), "POSTdata")
        path = self.up.root / "data"
        path.write_text("from a file")
        self.assertEqual(self.up.cli("invoke", "echo", "-d", f"@{path}").stdout
                         .strip(), "POSTfrom a file")
        self.assertEqual(self.up.cli("invoke", "echo", "-d", "@-",
                                     input="piped").stdout.strip(),
                         "POSTpiped")
        shown = self.up.cli("invoke", "echo", "-i")
        for word in ("201", "x-a", "billed"):
            self.assertIn(word, (shown.stdout + shown.stderr).lower())
        answer = json.loads(self.up.cli("invoke", "echo", "--json").stdout)
        self.assertEqual((answer["status"], answer["body"],
                          answer["record"]["source"]), (201, "GET", "invoke"))
        failed = self.up.cli("invoke", "echo", "--path", "/echo?fail=1")
        self.assertEqual(failed.returncode, FAILED)
        self.assertIn("no", failed.stderr)
        self.assertEqual(self.up.cli("invoke", "nobody").returncode, FAILED)

    def test_invoke_with_a_whole_event(self):
        self.up.deploy("f", "return function(e) return e.type .. e.x end")
        path = self.up.root / "event.json"
        path.write_text('{"type": "mine", "x": 7}')
        self.assertEqual(self.up.cli("invoke", "f", "-e", str(path)).stdout
                         .strip(), "mine7")

    def test_logs_are_shown_and_followed(self):
        self.up.deploy("f", "return function(e) print('said ' .. "
                       "e.query.what) end")
        self.up.get("/f?what=early")
        wait_for(lambda: "said early" in self.up.cli("logs", "f").stdout,
                 "the line")
        json.loads(self.up.cli("logs", "f", "--json").stdout.splitlines()[0])
        wait_for(lambda: re.search(
            r"(?m) f@1 invocation ok 204, \w+ start, handler \d+ us, "
            r"billed \d+ ms \w+$", self.up.cli("logs", "f").stdout),
            "the short line of the call")
        self.assertRegex(self.up.cli("logs").stdout,
                         r"(?m) f version 1 serves at /f$")
        out = open(self.up.root / "followed", "w+")
        self.addCleanup(out.close)
        follower = subprocess.Popen(
            [harness.BIN, "logs", "f", "-f", "--state", str(self.up.state)],
            stdout=out, stderr=subprocess.DEVNULL)
        try:
            self.up.get("/f?what=first")

            def seen(word):
                return word in (self.up.root / "followed").read_text()
            wait_for(lambda: seen("said first"), "the first line")
            self.up.get("/f?what=later")
            wait_for(lambda: seen("said later"), "the later line")
            follower.send_signal(signal.SIGINT)
            self.assertEqual(follower.wait(10), OK)
        finally:
            follower.kill()
            follower.wait()

    def test_usage_as_table_json_and_csv(self):
        self.up.deploy("f", HI)
        for _ in range(3):
            self.up.get("/f")
        wait_for(lambda: (r := self.up.usage("f")["rows"])
                 and r[0]["invocations"] == 3, "the ledger")
        table = self.up.cli("usage").stdout
        self.assertRegex(table, r"(?m)^f\s+3\b")
        self.assertIn("price card", table)
        data = json.loads(self.up.cli("usage", "--json").stdout)
        self.assertEqual(data["total"]["invocations"], 3)
        for by in ("function", "day", "hour"):
            rows = list(csv.DictReader(io.StringIO(
                self.up.cli("usage", "--by", by, "--csv").stdout)))
            self.assertEqual(len(rows), 1)
            self.assertEqual(rows[0]["invocations"], "3")
        self.assertEqual(json.loads(self.up.cli(
            "usage", "--function", "g", "--json").stdout)["rows"], [])
        self.assertEqual(json.loads(self.up.cli(
            "usage", "--since", "1h", "--json").stdout)
            ["total"]["invocations"], 3)
        self.assertEqual(json.loads(self.up.cli(
            "usage", "--until", "1h", "--json").stdout)
            ["total"]["invocations"], 0)

    def test_coldstart_measures_every_kind(self):
        self.up.deploy("f", HI)
        done = self.up.cli("coldstart", "f", "-n", "10", "--kind", "all")
        self.assertEqual(done.returncode, OK, done)
        for word in ("image", "build", "fork", "warm", "p50", "p99", "spawn",
                     "jail", "load", "init", "first"):
            self.assertIn(word, done.stdout.lower())
        data = json.loads(self.up.cli("coldstart", "f", "-n", "10", "--json")
                          .stdout)
        first = data["starts"][0]
        self.assertEqual((first["kind"], first["count"]), ("image", 10),
                         first)
        phases = first["phases"]
        for phase in ("load_us", "first_us", "handler_us", "total_us"):
            self.assertLessEqual(phases[phase]["p50"], phases[phase]["p99"])
            self.assertLessEqual(phases[phase]["p99"], phases[phase]["max"])
        self.assertGreater(phases["total_us"]["p50"], 0)
        self.assertLess(phases["total_us"]["p50"], 1_000_000)

    def test_coldstart_of_the_command_line_is_in_the_records(self):
        self.up.deploy("f", HI)
        self.up.cli("coldstart", "f", "-n", "5", "--kind", "fork")
        kinds = [r["start"]["kind"] for r in self.up.records("f")]
        self.assertGreaterEqual(kinds.count("fork"), 5)

    def test_uploads_are_listed(self):
        self.up.make_uploads("in", "out")
        self.up.deploy("f", "return function() end", {"triggers": [
            {"type": "upload", "dir": "uploads/in", "pattern": "*"}]})
        (self.up.uploads / "in" / "file.txt").write_text("x")
        wait_for(lambda: "done" in self.up.cli("uploads").stdout, "done")
        self.assertIn("file.txt", self.up.cli("uploads").stdout)
        self.assertEqual(json.loads(self.up.cli(
            "uploads", "--failed", "--json").stdout)["events"], [])

    def test_invocations_are_listed(self):
        self.up.deploy("f", HI)
        reply = self.up.get("/f")
        shown = self.up.cli("invocations", "f").stdout
        self.assertIn(reply.request_id, shown)

    def test_no_colour_goes_into_a_pipe(self):
        self.up.deploy("f", HI)
        for args in (("ls",), ("ps",), ("describe", "f"), ("usage",)):
            self.assertNotIn("\x1b", self.up.cli(*args).stdout)

    def test_a_full_disk_is_no_success(self):
        self.up.deploy("f", HI)
        with open("/dev/full", "w") as full:
            code = subprocess.call([harness.BIN, "ls", "--state",
                                    str(self.up.state)], stdout=full,
                                   stderr=subprocess.DEVNULL)
        self.assertEqual(code, FAILED)

    def test_commands_answer_quickly(self):
        began = time.monotonic()
        self.up.cli("info")
        self.assertLess(time.monotonic() - began, 2)


if __name__ == "__main__":
    harness.main()
