"""test_uploads.py - every stable version of a file is one event, however it
came and whatever died meanwhile."""
import hashlib
import json
import os
import time

import harness
from harness import BUSY, wait_for

TRIGGER = {"triggers": [{"type": "upload", "dir": "uploads/in",
                         "pattern": "*.csv", "output": "uploads/out"}]}
# Says what it got, as an output file named after the content.
REPORT = """return function(event)
  local data = files.read()
  files.write(event.name .. "." .. event.sha256:sub(1, 8) .. ".json",
    json.encode { event = event, head = data:sub(1, 20), bytes = #data })
end"""


class UploadCase(harness.TestCase):
    def setup(self, lua=REPORT, manifest=TRIGGER, config=None, **options):
        server = self.unstarted(config, **options)
        server.make_uploads("in", "out")
        server.start()
        server.deploy("f", lua, manifest)
        return server

    def done(self, server, n, state="done"):
        """Exactly n events, all in this state."""
        def all_there():
            events = server.events(limit=1000)
            return len(events) == n and \
                all(e["state"] == state for e in events) and events
        return wait_for(all_there, f"{n} events {state}", 30)

    def still(self, server, n):
        """After a marker went through, there are still only n events (and
        the marker's)."""
        name = f"marker{time.monotonic_ns()}.csv"
        (server.uploads / "in" / name).write_text("marker")
        wait_for(lambda: [e for e in server.events(limit=1000)
                          if e["file"].endswith(name)
                          and e["state"] == "done"], "the marker", 30)
        self.assertEqual(len(server.events(limit=1000)), n + 1)


class Arriving(UploadCase):
    def test_a_written_file_becomes_one_event_with_every_field(self):
        server = self.setup()
        data = b"a,b\n1,2\n"
        (server.uploads / "in" / "x.csv").write_bytes(data)
        event = self.done(server, 1)[0]
        self.assertEqual((event["function"], event["attempts"],
                          event["bytes"]), ("f", 1, len(data)))
        self.assertTrue(event["file"].endswith("in/x.csv"))
        outputs = os.listdir(server.uploads / "out")
        self.assertEqual(len(outputs), 1)
        report = json.loads((server.uploads / "out" / outputs[0]).read_text())
        got = report["event"]
        self.assertEqual((got["type"], got["name"], got["size"]),
                         ("upload", "x.csv", len(data)))
        self.assertEqual(got["sha256"], hashlib.sha256(data).hexdigest())
        self.assertTrue(got["path"].endswith("in/x.csv"))
        self.assertTrue(got["dir"].endswith("in"))
        self.assertIn("mtime", got)
        self.assertEqual(report["bytes"], len(data))
        self.still(server, 1)

    def test_the_folders_of_a_trigger_are_made(self):
        server = self.server()
        server.deploy("f", REPORT, TRIGGER)
        wait_for((server.uploads / "in").is_dir, "the folder")
        (server.uploads / "in" / "x.csv").write_text("a\n")
        self.done(server, 1)
        self.assertEqual(len(os.listdir(server.uploads / "out")), 1)

    def test_other_names_and_folders_do_not_match(self):
        server = self.setup()
        (server.uploads / "in" / "x.txt").write_text("no")
        (server.uploads / "in" / ".hidden.csv").write_text("no")
        (server.uploads / "x.csv").write_text("no")
        self.still(server, 0)

    def test_a_slow_copy_is_one_event_when_it_is_complete(self):
        server = self.setup()
        with open(server.uploads / "in" / "slow.csv", "wb") as file:
            for _ in range(20):
                file.write(b"x" * 1000)
                file.flush()
                time.sleep(0.05)  # slowness is what is tested
        event = self.done(server, 1)[0]
        self.assertEqual(event["bytes"], 20000)
        self.still(server, 1)

    def test_a_file_renamed_in_is_one_event(self):
        server = self.setup()
        part = server.uploads / "part"
        part.write_text("a,b\n")
        part.rename(server.uploads / "in" / "x.csv")
        self.done(server, 1)
        self.still(server, 1)

    def test_a_file_renamed_within_is_an_event_of_its_new_name_at_most(self):
        server = self.setup()
        (server.uploads / "in" / "x.part").write_text("a,b\n")
        (server.uploads / "in" / "x.part").rename(
            server.uploads / "in" / "x.csv")
        event = self.done(server, 1)[0]
        self.assertTrue(event["file"].endswith("x.csv"))
        self.still(server, 1)

    def test_a_hard_link_is_one_event(self):
        server = self.setup()
        original = server.uploads / "original"
        original.write_text("a,b\n")
        os.link(original, server.uploads / "in" / "x.csv")
        self.done(server, 1)
        self.still(server, 1)

    def test_files_in_new_subfolders_are_events(self):
        server = self.setup()
        deep = server.uploads / "in" / "2026" / "11"
        deep.mkdir(parents=True)
        (deep / "x.csv").write_text("a\n")
        wait_for(lambda: len(server.events()) == 1, "the first")
        (deep / "y.csv").write_text("b\n")
        self.done(server, 2)
        moved = server.uploads / "elsewhere"
        moved.mkdir()
        (moved / "z.csv").write_text("c\n")
        moved.rename(server.uploads / "in" / "moved")
        self.done(server, 3)
        self.still(server, 3)

    def test_a_new_content_under_the_same_name_is_a_new_event(self):
        server = self.setup()
        path = server.uploads / "in" / "x.csv"
        path.write_text("one")
        self.done(server, 1)
        path.write_text("two, and longer")
        self.done(server, 2)
        self.assertEqual(len(os.listdir(server.uploads / "out")), 2)

    def test_a_thousand_files_at_once_are_a_thousand_events(self):
        server = self.setup()
        for i in range(1000):
            (server.uploads / "in" / f"{i}.csv").write_text(str(i))
        wait_for(lambda: len([e for e in server.events(limit=2000)
                              if e["state"] == "done"]) == 1000,
                 "a thousand", 120, every=0.2)
        self.assertEqual(len(os.listdir(server.uploads / "out")), 1000)
        self.assertEqual(len(server.events(limit=2000)), 1000)

    def test_the_event_has_the_content_that_was_accepted(self):
        server = self.setup(BUSY + """return function(event, ctx)
            busy(ctx, 500)
            files.write("seen.txt", files.read()) end""")
        path = server.uploads / "in" / "x.csv"
        path.write_text("first")
        wait_for(lambda: server.workers("f", "busy"), "it runs")
        path.unlink()
        self.done(server, 1)
        self.assertEqual((server.uploads / "out" / "seen.txt").read_text(),
                         "first")

    def test_two_functions_may_watch_the_same_folder(self):
        server = self.setup()
        server.deploy("g", REPORT.replace(".json", ".g.json"), TRIGGER)
        (server.uploads / "in" / "x.csv").write_text("a\n")
        events = self.done(server, 2)
        self.assertEqual({e["function"] for e in events}, {"f", "g"})


class Surviving(UploadCase):
    def test_a_file_that_came_while_the_server_was_down_is_found(self):
        server = self.setup()
        self.assertEqual(server.terminate(), 0)
        (server.uploads / "in" / "x.csv").write_text("a\n")
        server.start()
        self.done(server, 1)

    def test_what_was_done_is_not_done_again_after_a_restart(self):
        server = self.setup()
        (server.uploads / "in" / "x.csv").write_text("a\n")
        self.done(server, 1)
        for stop in (server.terminate, server.kill_everything):
            stop()
            server.start()
            self.assertEqual(self.done(server, 1)[0]["attempts"], 1)
        self.still(server, 1)

    def test_a_gateway_killed_at_any_moment_loses_and_doubles_nothing(self):
        server = self.setup(BUSY + """return function(event, ctx)
            busy(ctx, 5)
            files.write(event.name .. ".out", files.read()) end""")
        for i in range(60):
            (server.uploads / "in" / f"{i}.csv").write_text(f"row {i}")
            if i % 20 == 10:
                gateway = server.gateway()
                gateway.kill()
                wait_for(lambda: not gateway.alive(), "its death")
        wait_for(lambda: server.get("/healthz").status == 200, "a gateway")
        self.done(server, 60)
        for i in range(60):
            self.assertEqual((server.uploads / "out" / f"{i}.csv.out")
                             .read_text(), f"row {i}")

    def test_a_killed_worker_costs_an_attempt_not_the_event(self):
        server = self.setup(BUSY + """return function(event, ctx)
            busy(ctx, 600) files.write("out.txt", "done") end""")
        (server.uploads / "in" / "x.csv").write_text("a\n")
        worker = wait_for(lambda: server.workers("f", "busy"), "a worker")[0]
        harness.Process(worker["pid"]).kill()
        self.done(server, 1)
        self.assertTrue((server.uploads / "out" / "out.txt").exists())

    def test_events_wait_for_their_function_to_come_back(self):
        server = self.setup()
        (server.functions / "f.lua").unlink()
        wait_for(lambda: server.function("f") is None, "no f")
        (server.uploads / "in" / "x.csv").write_text("a\n")
        server.write("f.lua", REPORT)
        self.done(server, 1)


class Failing(UploadCase):
    def test_a_failing_function_is_tried_three_times_then_listed(self):
        server = self.setup("return function() error('bad row 17') end")
        (server.uploads / "in" / "x.csv").write_text("a\n")
        event = self.done(server, 1, "failed")[0]
        self.assertEqual(event["attempts"], 3)
        self.assertIn("bad row 17", event["error"])
        self.assertEqual(len(server.events(state="failed")), 1)
        attempts = sorted(r["attempt"] for r in server.records("f"))
        self.assertEqual(attempts, [1, 2, 3])
        times = sorted(r["time"] for r in server.records("f"))
        self.assertEqual(len(set(times)), 3)
        listed = server.cli("uploads", "--failed").stdout
        self.assertIn("x.csv", listed)
        self.assertIn("bad row 17", listed)
        server.terminate()
        server.start()
        self.assertEqual(self.done(server, 1, "failed")[0]["attempts"], 3)

    def test_a_function_that_recovers_is_done(self):
        server = self.setup("return function() error('not yet') end")
        (server.uploads / "in" / "x.csv").write_text("a\n")
        wait_for(lambda: [e for e in server.events() if e["attempts"] >= 1
                          and e["state"] == "accepted"], "a retry is due")
        server.write("f.lua", REPORT)
        event = self.done(server, 1)[0]
        self.assertGreater(event["attempts"], 1)

    def test_symlinks_and_special_files_are_refused_and_said(self):
        server = self.setup()
        folder = server.uploads / "in"
        os.symlink("/etc/passwd", folder / "link.csv")
        os.mkfifo(folder / "pipe.csv")
        os.symlink("/etc", folder / "linked")

        def refused():
            listing = server.admin("GET", "/v1/uploads").json()["refused"]
            return {os.path.basename(r["file"]): r["why"] for r in listing}
        wait_for(lambda: {"link.csv", "pipe.csv"} <= set(refused()),
                 "both refusals")
        self.assertTrue(all(refused().values()))
        self.still(server, 0)
        self.assertIn("link.csv", server.cli("uploads").stdout)

    def test_a_trigger_that_leads_outside_is_a_manifest_error(self):
        server = self.setup()
        for field, value in (("dir", "../in"), ("dir", "/etc"),
                             ("output", "../../out"), ("output", "uploads/in")):
            with self.subTest(field=field, value=value):
                trigger = dict(TRIGGER["triggers"][0], **{field: value})
                server.write("g.json", json.dumps({"triggers": [trigger]},
                                                  indent=1))
                server.write("g.lua", REPORT)
                self.assertRegex(server.wait_for_error("g"), r"line \d+")


class Output(UploadCase):
    def result(self, body, config=None):
        server = self.setup("return function(event)\n" + body + "\nend",
                            config=config)
        (server.uploads / "in" / "x.csv").write_text("0123456789" * 1000)
        wait_for(lambda: [e for e in server.events()
                          if e["state"] in ("done", "failed")], "the end", 30)
        return server, server.events()[0]

    def test_a_file_is_written_in_pieces_and_appears_at_once(self):
        server, event = self.result("""
            for i = 1, 1000 do
              files.append("sum.txt", "line " .. i .. "\\n") end
            files.commit("sum.txt")""")
        self.assertEqual(event["state"], "done", event)
        text = (server.uploads / "out" / "sum.txt").read_text()
        self.assertEqual(text.splitlines(),
                         [f"line {i}" for i in range(1, 1001)])

    def test_a_failed_handler_leaves_no_half_file(self):
        server, event = self.result("""
            files.append("half.txt", "half")
            error("stop")""")
        self.assertEqual(event["state"], "failed")
        self.assertEqual([n for n in os.listdir(server.uploads / "out")
                          if not n.startswith(".")], [])

    def test_files_can_be_read_in_chunks_lines_and_parts(self):
        server, event = self.result("""
            assert(files.read(3, 4) == "3456" and files.read(20000, 1) == nil)
            local lines = 0
            for line in files.lines() do lines = lines + 1 end
            assert(lines == 1)
            local n, most = 0, 0
            for chunk in files.chunks(4096) do
              n, most = n + #chunk, math.max(most, #chunk) end
            assert(n == event.size and most <= 4096)
            files.write("ok.txt", "ok")""")
        self.assertEqual(event["state"], "done", event)

    def test_nothing_can_be_written_elsewhere(self):
        server, event = self.result("""
            for _, name in ipairs { "../x", "/tmp/perilune-escape", "..", ".",
                "", "a/../../x", "a\\0b", ("x"):rep(5000) } do
              local ok = pcall(files.write, name, "x")
              assert(not ok, name)
            end
            files.write("ok.txt", "ok")""")
        self.assertEqual(event["state"], "done", event)
        self.assertEqual(os.listdir(server.uploads / "out"), ["ok.txt"])
        self.assertFalse(os.path.exists("/tmp/perilune-escape"))
        self.assertFalse((server.uploads / "x").exists())

    def test_a_link_in_the_output_folder_leads_nowhere(self):
        server = self.setup("return function() files.write('x.txt', 'new') "
                            "files.write('sub/y.txt', 'new') end")
        target = server.root / "target"
        target.mkdir()
        (target / "file").write_text("old")
        os.symlink(target / "file", server.uploads / "out" / "x.txt")
        os.symlink(target, server.uploads / "out" / "sub")
        (server.uploads / "in" / "x.csv").write_text("a")
        wait_for(lambda: [e for e in server.events()
                          if e["state"] in ("done", "failed")], "the end", 30)
        self.assertEqual((target / "file").read_text(), "old")
        self.assertEqual(os.listdir(target), ["file"])

    def test_an_http_request_has_no_files(self):
        server = self.server()
        server.deploy("h", "return function() return tostring("
                      "(pcall(files.read))) .. tostring((pcall(files.write, "
                      "'a', 'b'))) end")
        self.assert_ok(server.get("/h"), "falsefalse")


if __name__ == "__main__":
    harness.main()
