"""test_lifecycle.py - processes: their names, deaths, signals, refusals."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import unittest

import harness
from harness import AS_ROOT, BUSY, wait_for

HI = "return function() return 'hi' end"
SLOW = BUSY + """return function(e, ctx)
  if e.query.ms then busy(ctx, tonumber(e.query.ms)) end
  return "ok"
end"""


class Load:
    """Callers that go on until stop(); statuses of what was answered."""

    def __init__(self, server, path, callers=4):
        self.server, self.path = server, path
        self.stopped, self.statuses, self.dropped = False, [], 0
        self.work = harness.Background(
            lambda: harness.at_once(callers, lambda _: self.call()))

    def call(self):
        while not self.stopped:
            try:
                reply = self.server.get(self.path, timeout=20)
                self.statuses.append(reply.status)
            except (OSError, http.client.HTTPException):
                self.dropped += 1

    def wait(self, n):
        goal = self.statuses.count(200) + n
        wait_for(lambda: self.statuses.count(200) >= goal, f"{n} more answers")

    def stop(self):
        self.stopped = True
        self.work.result()


class Names(harness.TestCase):
    def test_ps_shows_what_each_process_is(self):
        server = self.server({"ready_workers": 2})
        server.deploy("hello", HI)
        server.get("/hello")
        self.assertEqual(server.supervisor().title(), "perilune: supervisor")
        self.assertTrue(server.by_title("perilune: gateway"))
        self.assertTrue(server.by_title("perilune: zygote"))
        workers = wait_for(
            lambda: server.by_title("perilune: worker hello@1"), "a worker")
        self.assertEqual([w.pid for w in workers],
                         [w["pid"] for w in server.workers("hello")])

    def test_the_gateway_has_no_lua_and_the_sandbox_no_database(self):
        server = self.server()

        def libraries(process):
            with open(f"/proc/{process.pid}/maps") as maps:
                return set(re.findall(r"lib(\w+)[-.0-9]*\.so", maps.read()))
        if AS_ROOT:
            self.assertNotIn("lua5", libraries(server.gateway()))
            found = libraries(server.zygote())
            self.assertFalse(found & {"sqlite3", "event_core", "curl",
                                      "jansson", "crypto", "ssl"}, found)

    def test_workers_have_one_descriptor_and_no_environment(self):
        if not AS_ROOT:
            self.skipTest("only root may look into these processes")
        server = self.server(env={"PERILUNE_CANARY": "secret"})
        server.deploy("hello", HI)
        server.get("/hello")
        pid = server.workers("hello")[0]["pid"]
        self.assertEqual(os.listdir(f"/proc/{pid}/fd"), ["3"])
        with open(f"/proc/{pid}/environ", "rb") as environ:
            self.assertNotIn(b"CANARY", environ.read())
        self.assertEqual(os.listdir(f"/proc/{pid}/root/"), [])
        process = harness.Process(pid)
        self.assertEqual(process.status("NoNewPrivs"), "1")
        self.assertEqual(process.status("Seccomp"), "2")
        self.assertEqual(int(process.status("CapEff"), 16), 0)
        self.assertEqual(int(process.status("CapBnd"), 16), 0)
        self.assertNotIn("0", process.status("Uid").split())

    def test_as_root_all_but_the_supervisor_are_somebody_else(self):
        if not AS_ROOT:
            self.skipTest("not root")
        server = self.server()
        self.assertEqual(server.supervisor().status("Uid").split()[0], "0")
        for process in harness.descendants(server.process.pid):
            self.assertNotIn("0", process.status("Uid").split(),
                             process.title())


class AsUser(harness.TestCase):
    @unittest.skipUnless(AS_ROOT and shutil.which("setpriv"),
                         "needs root and setpriv to become somebody else")
    def test_it_runs_as_an_ordinary_user(self):
        server = self.unstarted(user=harness.SERVICE_USER)
        for path in (server.functions,):
            shutil.chown(path, harness.SERVICE_USER)
        server.start()
        server.deploy("f", SLOW)
        self.assert_ok(server.get("/f"), "ok")
        self.assertEqual(server.get("/f").start[0], "warm")
        layers = {layer["name"]: layer for layer in
                  server.admin("GET", "/v1/sandbox").json()["layers"]}
        for name in ("seccomp", "no-new-privs", "capabilities", "rlimits",
                     "pid-namespace", "mount-namespace", "network-namespace"):
            self.assertEqual(layers[name]["state"], "active", layers[name])
        self.assertEqual(server.terminate(), 0)


class Dying(harness.TestCase):
    def test_a_killed_gateway_comes_back_on_the_same_port(self):
        server = self.server()
        server.deploy("f", HI)
        self.assert_ok(server.get("/f"))
        for _ in range(3):
            gateway = server.gateway()
            gateway.kill()
            wait_for(lambda: not gateway.alive(), "its death")
            wait_for(lambda: server.get("/f").body == b"hi", "its successor")
        self.assertTrue(server.supervisor().alive())

    def test_a_killed_zygote_comes_back_and_images_are_built_again(self):
        server = self.server()
        server.deploy("f", HI)
        server.get("/f")
        workers = [harness.Process(w["pid"]) for w in server.workers()
                   if w["pid"]]  # one that starts has none yet
        zygote = server.zygote()
        zygote.kill()
        for worker in workers:
            wait_for(lambda w=worker: not w.alive(), "its workers to die")
        wait_for(lambda: server.get("/f").body == b"hi", "a new one")
        restarts = server.admin("GET", "/v1/workers").json()["zygote"]
        self.assertEqual(restarts["restarts"], 1)

    def test_kill_9_of_the_zygote_under_load_fails_only_what_ran(self):
        server = self.server()
        server.deploy("f", SLOW)
        load = Load(server, "/f?ms=5")
        for _ in range(3):
            load.wait(20)
            zygote = server.zygote()
            zygote.kill()
            wait_for(lambda: not zygote.alive(), "its death")
        load.wait(20)
        load.stop()
        self.assertEqual(load.dropped, 0)
        self.assertLessEqual(set(load.statuses), {200, 502, 503})
        self.assertLessEqual(len(load.statuses) - load.statuses.count(200), 30)

    def test_kill_9_of_the_gateway_under_load_is_survived(self):
        server = self.server()
        server.deploy("f", SLOW)
        load = Load(server, "/f?ms=5")
        for _ in range(3):
            load.wait(20)
            gateway = server.gateway()
            gateway.kill()
            wait_for(lambda: not gateway.alive(), "its death")
        load.wait(20)
        load.stop()
        self.assertLessEqual(set(load.statuses), {200, 502, 503})

    def test_nothing_is_left_when_the_supervisor_is_killed(self):
        server = self.server()
        server.deploy("f", SLOW)
        running = harness.Background(
            lambda: server.raw(b"GET /f?ms=2000 HTTP/1.1\r\nHost: x\r\n\r\n"))
        wait_for(lambda: server.workers("f", "busy"), "a worker")
        server.remember()
        tree = list(server.seen.values())
        self.assertGreaterEqual(len(tree), 3)
        server.process.kill()
        server.process.wait()
        for process in tree:
            wait_for(lambda p=process: not p.alive(),
                     f"{process} to follow the supervisor")
        running.result()


class Stopping(harness.TestCase):
    def test_sigterm_finishes_what_runs_and_exits_0(self):
        server = self.server()
        server.deploy("f", SLOW)
        running = harness.Background(lambda: server.get("/f?ms=800"))
        wait_for(lambda: server.workers("f", "busy"), "it runs")
        server.remember()
        server.process.send_signal(signal.SIGTERM)

        def refused():
            try:
                return server.get("/readyz", timeout=5).status == 503
            except ConnectionError:
                return True
        wait_for(refused, "no new connections")
        self.assertEqual(server.process.wait(20), 0)
        self.assert_ok(running.result(), "ok")
        for process in server.seen.values():
            wait_for(lambda p=process: not p.alive(), "nobody left")

    def test_sigterm_answers_what_comes_on_an_open_connection_with_503(self):
        server = self.server()
        server.deploy("f", SLOW)
        running = harness.Background(lambda: server.get("/f?ms=1500"))
        wait_for(lambda: server.workers("f", "busy"), "it runs")
        with server.connect() as connection:
            connection.send(b"GET /f HTTP/1.1\r\nHost: x\r\n")  # half a head
            wait_for(lambda: server.metrics(), "the gateway took it")
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: "draining" in server.log()
                     or server.log_lines()[-1]["message"] == "draining",
                     "draining")
            connection.send(b"\r\n")
            try:
                self.assert_fails(connection.reply(), "draining")
            except http.client.HTTPException:
                pass  # an unfinished request may be closed instead
        self.assert_ok(running.result(), "ok")
        self.assertEqual(server.process.wait(20), 0)

    def test_draining_ends_at_its_limit(self):
        server = self.server({"drain_timeout_ms": 300})
        server.deploy("f", SLOW, {"timeout_ms": 60000})
        running = harness.Background(
            lambda: server.raw(b"GET /f?ms=30000 HTTP/1.1\r\nHost: x\r\n\r\n"))
        wait_for(lambda: server.workers("f", "busy"), "it runs")
        server.terminate(10)
        running.result()

    def test_a_second_sigterm_stops_at_once(self):
        server = self.server()
        server.deploy("f", SLOW, {"timeout_ms": 60000})
        running = harness.Background(
            lambda: server.raw(b"GET /f?ms=30000 HTTP/1.1\r\nHost: x\r\n\r\n"))
        wait_for(lambda: server.workers("f", "busy"), "it runs")
        server.remember()
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: server.log_lines()[-1]["message"] == "draining",
                 "draining")
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(5)
        for process in server.seen.values():
            wait_for(lambda p=process: not p.alive(), "nobody left")
        running.result()

    def test_ctrl_c_stops_like_sigterm(self):
        server = self.server()
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.process.wait(20), 0)


class Hup(harness.TestCase):
    def test_sighup_rereads_the_configuration(self):
        server = self.server({"receipts": 1, "max_body_bytes": 1000})
        server.deploy("f", HI)
        self.assertIn("server-timing", server.get("/f").headers)
        (server.root / "config.json").write_text('{"receipts": 0}')
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "server-timing" not in server.get("/f").headers,
                 "no receipts")

    def test_sighup_rereads_the_price_card_by_a_relative_path_too(self):
        server = self.unstarted({"price_card": "card.json"})
        card = json.loads((harness.ROOT / "prices/default.json").read_text())
        for name in ("one", "two"):
            (server.root / "card.json").write_text(
                json.dumps(dict(card, name=name)))
            if name == "one":
                server.start()
            else:
                server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: name in server.info()["price_card"].split(),
                     f"the prices of {name}")

    def test_sighup_changes_the_size_of_the_log_file(self):
        server = self.server()
        server.deploy("f", "return function() print(('x'):rep(20000)) end")
        (server.root / "config.json").write_text('{"log_file_bytes": 65536}')
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("configuration reread")
        old = server.state / "log/perilune.log.1"
        wait_for(lambda: server.get("/f").status == 204 and old.exists(),
                 "the full file renamed")

    def test_a_broken_configuration_changes_nothing_and_is_named(self):
        server = self.server({"receipts": 0})
        server.deploy("f", HI)
        (server.root / "config.json").write_text('{\n "recipts": 1\n}')
        server.process.send_signal(signal.SIGHUP)
        line = server.wait_for_log("recipts")[0]
        self.assertIn("line 2", line["message"])
        self.assertNotIn("server-timing", server.get("/f").headers)
        self.assert_ok(server.get("/f"), "hi")


class Refusing(harness.TestCase):
    def refuses(self, server, *words, status=None):
        server.launch()
        code = server.process.wait(30)
        self.assertNotEqual(code, 0)
        if status is not None:
            self.assertEqual(code, status, server.log())
        for word in words:
            self.assertIn(word, server.log())
        self.assertNotIn("ready", server.stdout.read_text())

    def test_a_port_in_use_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            server = self.unstarted(args=["--listen", address])
            self.refuses(server, address)
            self.assertRegex(server.log(), "in use")

    def test_a_bad_address_is_named(self):
        for address in ("localhost", "127.0.0.1:99999", "1.2.3:80", ":"):
            with self.subTest(address=address):
                self.refuses(self.unstarted(args=["--listen", address]),
                             address)

    def test_a_missing_functions_directory_is_named(self):
        server = self.unstarted(functions=False)
        self.refuses(server, str(server.functions))

    def test_a_state_directory_that_cannot_be_made_is_named(self):
        server = self.unstarted()
        server.state.write_text("a file, not a folder")
        self.refuses(server, str(server.state))

    @unittest.skipUnless(AS_ROOT and shutil.which("setpriv"), "needs root")
    def test_an_unwritable_state_directory_is_named(self):
        server = self.unstarted(user=harness.SERVICE_USER)
        server.state.mkdir()  # root's
        server.state.chmod(0o755)
        self.refuses(server, str(server.state))

    def test_a_second_server_on_the_same_state_is_refused(self):
        server = self.server()
        second = self.unstarted()
        second.state = server.state
        self.refuses(second, str(server.state))
        self.assertEqual(server.get("/healthz").status, 200)

    def test_a_broken_configuration_is_named_with_line_and_field(self):
        for text, words in (('{\n "max_queue": "many"\n}',
                             ("line 2", "max_queue")),
                            ('{\n\n "max_qeue": 1\n}', ("line 3", "max_qeue")),
                            ('{\n "max_queue": 0\n}', ("line 2", "max_queue")),
                            ('{', ("line 1",))):
            with self.subTest(config=text):
                server = self.unstarted(text)
                self.refuses(server, "config.json", *words)

    def test_a_missing_configuration_is_named(self):
        self.refuses(self.unstarted(args=["--config", "/nowhere/c.json"]),
                     "/nowhere/c.json")

    def test_an_unknown_option_gets_a_hint(self):
        server = self.unstarted(args=["--lisen", "127.0.0.1:0"])
        self.refuses(server, "--lisen", "--listen", status=2)

    def test_only_layers_with_a_name_may_be_allowed_to_be_missing(self):
        server = self.unstarted(args=["--allow-weaker-sandbox", "nonsense"])
        self.refuses(server, "nonsense")
        server = self.unstarted(args=["--allow-weaker-sandbox", "seccomp"])
        self.refuses(server, "seccomp")


class Admin(harness.TestCase):
    def test_the_admin_socket_is_for_its_owner_only(self):
        server = self.server()
        mode = os.stat(server.state / "admin.sock").st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_the_admin_interface_is_not_on_the_public_listener(self):
        server = self.server()
        for path in ("/v1/info", "/v1/functions", "/v1/workers", "/metrics",
                     "/v1/usage", "/v1/logs", "/v1/sandbox", "/v1/invoke/x"):
            self.assert_fails(server.get(path), "no_such_function")

    def test_a_function_cannot_take_the_health_paths(self):
        server = self.server()
        server.deploy("root", "return function() return 'mine' end",
                      {"route": "/"})
        self.assertEqual(server.get("/healthz").text().strip(), "ok")
        self.assertEqual(server.get("/readyz").text().strip(), "ready")
        self.assert_ok(server.get("/other"), "mine")

    def test_what_is_unknown_is_404_and_405_with_a_document(self):
        server = self.server()
        self.assertEqual(server.admin("GET", "/v1/nonsense").status, 404)
        self.assertEqual(server.admin("DELETE", "/v1/info").status, 405)
        self.assertEqual(server.admin("GET", "/v1/functions/none").status, 404)
        self.assertEqual(server.admin("POST", "/v1/invoke/none").status, 404)

    def test_info_says_where_everything_is(self):
        server = self.server()
        info = server.info()
        self.assertEqual(info["functions_dir"], str(server.functions))
        self.assertEqual(info["state_dir"], str(server.state))
        self.assertEqual(info["uploads_dir"], str(server.uploads))
        self.assertEqual(info["listen"], [f"127.0.0.1:{server.port}"])
        self.assertTrue(info["ready"])

    def test_metrics_are_well_formed_and_can_be_on_a_loopback_port(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = self.server({"metrics_port": port})
        server.deploy("f", HI)
        server.get("/f")
        text = server.admin("GET", "/metrics").text()
        for line in text.splitlines():
            self.assertRegex(
                line, r'^(# (HELP|TYPE) perilune_\w+ .+|perilune_\w+'
                r'(\{(\w+="([^"\\]|\\.)*",?)*\})? [-+0-9.eE]+|)$')
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics")
        reply = connection.getresponse()
        self.assertEqual(reply.status, 200)
        self.assertIn(b"perilune_", reply.read())
        connection.request("GET", "/v1/info")
        self.assertEqual(connection.getresponse().status, 404)
        connection.close()

    def test_the_self_test_of_the_wall_is_listed(self):
        server = self.server()
        sandbox = server.admin("GET", "/v1/sandbox").json()
        self.assertEqual(sandbox["degraded"], any(
            layer["state"] != "active" for layer in sandbox["layers"]))
        self.assertGreaterEqual(len(sandbox["self_test"]), 5)
        for case in sandbox["self_test"]:
            self.assertTrue(case["ok"], case)
        for layer in sandbox["layers"]:
            if layer["required"]:
                self.assertEqual(layer["state"], "active", layer)

    def test_a_log_can_be_followed(self):
        server = self.server()
        server.deploy("f", "return function(e) print(e.query.say) end")
        with harness.Connection(server.state / "admin.sock") as connection:
            connection.send(b"GET /v1/logs?function=f&follow=1 HTTP/1.1\r\n"
                            b"Host: x\r\n\r\n")
            for word in (b"first", b"second"):
                server.get("/f?say=" + word.decode())
                while word not in connection.buffer:
                    self.assertTrue(connection._more())


if __name__ == "__main__":
    harness.main()
