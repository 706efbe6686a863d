"""test_functions.py - saving is deploying; what a function sees and returns."""
import json
import os
import re
import shutil
import time
import unittest

import harness
from harness import BUSY, wait_for


class Deploying(harness.TestCase):
    def test_a_saved_file_answers(self):
        server = self.server()
        server.deploy("hello", "return function() return 'hi' end")
        reply = server.get("/hello")
        self.assert_ok(reply, "hi")
        self.assertTrue(reply.headers["content-type"].startswith("text/plain"))

    def test_a_save_is_picked_up_within_100_ms(self):
        server = self.server()
        taken = []
        for i in range(8):  # the machine is busy with other tests: the best
            lua = f"return function() return 'v{i}' end"
            server.write_function("hello", lua)
            began = time.monotonic()
            wait_for(lambda: server.get("/hello").body == b"v%d" % i,
                     f"v{i}", every=0.001)
            taken.append(time.monotonic() - began)
        self.assertLess(min(taken), 0.1, taken)

    @unittest.skipUnless(harness.AS_ROOT and shutil.which("setpriv"),
                         "needs root")
    def test_a_file_of_another_user_that_was_closed_is_not_waited_for(self):
        # No lease on it can be had to ask whether somebody writes: what says
        # that it is complete is that somebody closed it.
        server = self.unstarted(user=harness.SERVICE_USER)
        server.start()
        taken = []
        for i in range(5):
            (server.functions / f"f{i}.lua").write_text(
                "return function() return 'hi' end")
            began = time.monotonic()
            wait_for(lambda: server.get(f"/f{i}").status == 200, f"f{i}")
            taken.append(time.monotonic() - began)
        self.assertLess(min(taken), 1, taken)

    def test_files_that_were_there_before_the_start_serve_when_it_is_ready(self):
        server = self.unstarted()
        for i in range(20):
            server.write_function(f"f{i}", f"return function() return '{i}' end")
        server.start()
        for i in range(20):
            self.assert_ok(server.get(f"/f{i}"), str(i))

    def test_versions_count_contents_not_saves(self):
        server = self.server()
        one = "return function() return 'one' end"
        two = "return function() return 'two' end"
        first = server.deploy("hello", one)
        second = server.deploy("hello", two)
        self.assertEqual((first["version"], second["version"]), (1, 2))
        self.assertNotEqual(first["hash"], second["hash"])
        server.write_function("hello", two)  # the same again: no version
        server.deploy("marker", one)
        self.assertEqual(server.function("hello")["version"], 2)
        again = server.deploy("hello", one)
        self.assertEqual((again["version"], again["hash"]),
                         (1, first["hash"]))
        self.assert_ok(server.get("/hello"), "one")
        self.assertEqual(
            server.deploy("hello", one + " -- three")["version"], 3)

    def test_version_numbers_survive_a_restart(self):
        server = self.server()
        server.deploy("hello", "return function() return '1' end")
        server.deploy("hello", "return function() return '2' end")
        self.assertEqual(server.terminate(), 0)
        server.start()
        self.assertEqual(server.function("hello")["version"], 2)

    def test_a_half_written_file_is_never_deployed(self):
        server = self.server()
        server.deploy("hello", "return function() return 'old' end")
        with open(server.functions / "hello.lua", "w") as file:
            file.write("return function() return 'n")
            file.flush()
            server.deploy("marker", "return function() return 'm' end")
            self.assert_ok(server.get("/hello"), "old")
            self.assertIsNone(server.function("hello")["error"])
            file.write("ew' end")
        wait_for(lambda: server.get("/hello").body == b"new", "the new one")

    def test_editors_temporary_files_are_not_functions(self):
        server = self.server()
        lua = "return function() return 'no' end"
        for name in (".hello.lua.swp", "hello.lua~", "#hello.lua#",
                     ".#hello.lua", "4913", "hello.lua.tmp", "hello.bak",
                     ".hidden.lua"):
            (server.functions / name).write_text(lua)
        server.deploy("marker", lua)
        self.assertEqual(list(server.functions_listed()), ["marker"])

    def test_a_broken_save_leaves_the_old_version_and_names_the_line(self):
        server = self.server()
        server.deploy("hello", "return function() return 'good' end")
        server.write_function("hello", "local x = 1\nlocal y = = 2\nreturn x")
        self.assertRegex(server.wait_for_error("hello"), r"line 2|:2:")
        self.assert_ok(server.get("/hello"), "good")
        self.assertEqual(server.function("hello")["version"], 1)
        listing = server.cli("ls")
        self.assertRegex(listing.stdout, r"(?m)^hello\b")
        self.assertRegex(listing.stdout + listing.stderr, r"line 2|:2:")
        server.deploy("hello", "return function() return 'better' end")
        self.assertIsNone(server.function("hello")["error"])

    def test_an_init_that_raises_leaves_the_old_version(self):
        server = self.server()
        server.deploy("hello", "return function() return 'good' end")
        server.write_function(
            "hello", "local t = nil\n\nlocal x = t.field\nreturn x")
        self.assertRegex(server.wait_for_error("hello"), r"line 3|:3:")
        self.assert_ok(server.get("/hello"), "good")

    def test_an_init_that_never_ends_is_stopped_and_named(self):
        server = self.server({"init_timeout_ms": 200})
        server.deploy("hello", "return function() return 'good' end")
        server.write_function("hello", "\nwhile true do end")
        self.assertRegex(server.wait_for_error("hello"), r"line 2|:2:")
        self.assert_ok(server.get("/hello"), "good")

    def test_an_init_that_takes_all_memory_is_refused(self):
        server = self.server()
        server.write_function(
            "fat", "local t = {} for i = 1, 1e9 do t[i] = {i} end",
            {"memory_mb": 8})
        self.assertIn("memory", server.wait_for_error("fat"))

    def test_a_file_without_a_handler_says_so(self):
        server = self.server()
        server.write_function("hello", "return 42")
        self.assertIn("function", server.wait_for_error("hello"))
        self.assertEqual(server.function("hello")["state"], "broken")
        self.assert_fails(server.get("/hello"), "no_such_function")

    def test_removing_the_file_undeploys(self):
        server = self.server()
        server.deploy("hello", "return function() return 'hi' end")
        self.assert_ok(server.get("/hello"))
        (server.functions / "hello.lua").unlink()
        wait_for(lambda: server.get("/hello").status == 404, "404")
        self.assert_fails(server.get("/hello"), "no_such_function")
        wait_for(lambda: "hello" not in server.functions_listed(), "no hello")
        server.wait_for_zero("hello")

    def test_renaming_the_file_renames_the_function(self):
        server = self.server()
        server.deploy("old", "return function() return 'hi' end")
        (server.functions / "old.lua").rename(server.functions / "new.lua")
        wait_for(lambda: server.get("/new").status == 200, "the new name")
        wait_for(lambda: server.get("/old").status == 404, "no old name")

    def test_a_request_finishes_on_the_version_it_began_with(self):
        server = self.server()
        slow = BUSY + "return function(e, ctx) busy(ctx, 700) return '%s' end"
        server.deploy("hello", slow % "one")
        running = harness.Background(lambda: server.get("/hello"))
        wait_for(lambda: server.workers("hello", "busy"), "a busy worker")
        server.deploy("hello", "return function() return 'two' end")
        self.assert_ok(server.get("/hello"), "two")
        self.assert_ok(running.result(), "one")

    def test_deploying_under_traffic_fails_no_request(self):
        server = self.server()
        server.deploy("hello", "return function() return 'v0' end")
        stop, statuses = [], []

        def caller(_):
            with server.connect() as connection:
                while not stop:
                    connection.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
                    reply = connection.reply()
                    statuses.append((reply.status, reply.body[:1]))
        callers = harness.Background(lambda: harness.at_once(4, caller))
        for i in range(1, 11):
            server.deploy("hello", f"return function() return 'v{i}' end")
        stop.append(True)
        self.assertEqual(callers.result(), [None] * 4)
        self.assertGreater(len(statuses), 20)
        self.assertEqual(set(statuses), {(200, b"v")})

    def test_ten_thousand_functions_cost_no_processes_and_little_memory(self):
        server = self.unstarted()
        for i in range(10000):
            (server.functions / f"f{i}.lua").write_text(
                f"return function() return 'f{i}' end")
        server.start()
        wait_for(lambda: len([f for f in server.functions_listed().values()
                              if f["state"] == "serving"]) == 10000,
                 "ten thousand", 200, every=1)
        self.assert_ok(server.get("/f7777"), "f7777")
        wait_for(lambda: len(server.workers()) <= 8, "few workers", 90)
        self.assertLess(server.gateway().rss_kb(), 250_000)


class Modules(harness.TestCase):
    def test_a_folder_with_init_lua_requires_its_own_modules(self):
        server = self.server()
        server.write("shop/price.lua", "return { of = function() return 42 end }")
        server.write("shop/deep/er.lua", "return 'deep'")
        server.write("shop/init.lua", """
            local price, deep = require("price"), require("deep.er")
            assert(require("price") == price, "loaded twice")
            return function() return deep .. price.of() end""")
        wait_for(lambda: server.get("/shop").body == b"deep42", "the shop")
        names = {m["name"] for m in server.function("shop")["modules"]}
        self.assertEqual(names, {"init", "price", "deep.er"})

    def test_a_changed_module_is_a_new_version(self):
        server = self.server()
        server.write("shop/price.lua", "return 1")
        server.write("shop/init.lua",
                     "local p = require('price') return function() "
                     "return tostring(p) end")
        wait_for(lambda: server.get("/shop").body == b"1", "the shop")
        server.write("shop/price.lua", "return 2")
        wait_for(lambda: server.get("/shop").body == b"2", "the new price")
        server.write("shop/price.lua", "return = 3")
        self.assertIn("price", server.wait_for_error("shop"))
        self.assert_ok(server.get("/shop"), "2")

    def test_a_shared_module_redeploys_those_who_use_it(self):
        server = self.server()
        server.write("_lib/greet.lua", "return 'hello '")
        server.write("_lib/other.lua", "return 'unused'")
        server.deploy("user", "local g = require('_lib.greet') "
                      "return function() return g .. 'you' end")
        server.deploy("loner", "return function() return 'alone' end")
        self.assertNotIn("_lib", server.functions_listed())
        before = server.function("loner")
        server.write("_lib/greet.lua", "return 'bye '")
        wait_for(lambda: server.get("/user").body == b"bye you", "bye")
        self.assertEqual(server.function("user")["version"], 2)
        self.assertEqual(server.function("loner")["version"],
                         before["version"])

    def test_require_reaches_nothing_else(self):
        server = self.server()
        server.write("other/secret.lua", "return 'secret'")
        server.write("other/init.lua", "return function() end")
        (server.root / "outside.lua").write_text("return 'outside'")
        server.deploy("try", """
            return function(event)
              local out = {}
              for i, name in ipairs { "other.secret", "../outside",
                  "../../outside", "/etc/passwd", "other", "nothing", "",
                  "a\\0b", "io", "os", "debug", "package" } do
                local ok, why = pcall(require, name)
                out[i] = ok and ("loaded " .. name) or "refused"
              end
              return table.concat(out, ",")
            end""")
        self.assertEqual(set(server.get("/try").text().split(",")),
                         {"refused"})

    def test_modules_that_require_each_other_in_a_circle_are_an_error(self):
        server = self.server()
        server.write("ring/a.lua", "return require('b')")
        server.write("ring/b.lua", "return require('a')")
        server.write("ring/init.lua", "require('a') return function() end")
        self.assertRegex(server.wait_for_error("ring"), r"'?[ab]'?")


class Refused(harness.TestCase):
    def refused(self, server, name):
        """Refused, with a reason that can be read somewhere."""
        def why():
            found = server.function(name)
            if found and found["error"]:
                return found["error"]
            notes = [line["message"] for line in server.log_lines()
                     if name in line["message"]
                     or name == line.get("function")]
            return notes and notes[-1]
        reason = wait_for(why, f"why {name} is refused")
        self.assertNotEqual(server.get(f"/{name}").status, 200)
        return reason

    def test_links_that_lead_outside_are_refused(self):
        server = self.server()
        (server.root / "outside.lua").write_text(
            "return function() return 'outside' end")
        os.symlink(server.root / "outside.lua", server.functions / "link.lua")
        self.assertRegex(self.refused(server, "link"), "link|outside")

    def test_a_folder_that_is_a_link_outside_is_refused(self):
        server = self.server()
        outside = server.root / "outside"
        outside.mkdir()
        (outside / "init.lua").write_text("return function() return 'x' end")
        began = time.monotonic()
        os.symlink(outside, server.functions / "linked")
        self.assertIn("link", self.refused(server, "linked"))
        # By its own event, not by the rescan that comes every 10 s anyway.
        self.assertLess(time.monotonic() - began, 8)

    def test_special_files_are_refused_and_block_nobody(self):
        server = self.server()
        os.mkfifo(server.functions / "pipe.lua")
        self.assertTrue(self.refused(server, "pipe"))
        server.deploy("hello", "return function() return 'hi' end")
        self.assert_ok(server.get("/hello"), "hi")

    def test_absurd_sizes_are_refused(self):
        server = self.server()
        server.write("big.lua", "--" + "x" * 1048576 + "\nreturn function() end")
        self.assertRegex(self.refused(server, "big"), r"\d")

    def test_bytecode_is_refused(self):
        server = self.server()
        server.write("code.lua", b"\x1bLua\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08")
        self.assertIn("bytecode", self.refused(server, "code"))

    def test_absurd_names_are_no_functions(self):
        server = self.server()
        lua = "return function() return 'no' end"
        for name in ("with space", "ümlaut", "a" * 65, "semi;colon", "-rf\n"):
            server.write(f"{name}.lua", lua)
        server.deploy("marker", lua)
        self.assertEqual(list(server.functions_listed()), ["marker"])


class Manifests(harness.TestCase):
    def test_mistakes_are_named_with_line_and_field(self):
        server = self.server()
        server.deploy("hello", "return function() return 'hi' end",
                      {"timeout_ms": 1000})
        last = None
        for text, line, words in (
                ('{\n "timeout_ms": 1000,\n "tiemout": 3\n}', 3, "tiemout"),
                ('{\n "timeout_ms": "fast"\n}', 2, "timeout_ms"),
                ('{\n "memory_mb": 64,\n\n "max_workers": -1\n}', 4,
                 "max_workers"),
                ('{\n "heap":\n "cold"\n}', None, "heap"),
                ('{ "env": { "A": 1 } }', 1, "env"),
                ('{ "methods": ["GET", 7] }', 1, "methods"),
                ('{ "triggers": [{"type": "moon"}] }', 1, "type"),
                ('{\n "timeout_ms": 1000,,\n}', 2, ""),
                ('[]', 1, ""), ('{', 1, "")):
            with self.subTest(manifest=text):
                server.write("hello.json", text)
                error = wait_for(
                    lambda: (e := server.function("hello")["error"])
                    and words in e and e != last and e,
                    f"an error about {words!r}")
                last = error
                self.assertRegex(error, rf"line {line or '[0-9]+'}\b")
                self.assert_ok(server.get("/hello"), "hi")
        server.write("hello.json", '{"timeout_ms": 1000}')
        wait_for(lambda: server.function("hello")["error"] is None, "no error")

    def test_a_changed_manifest_is_a_new_version(self):
        server = self.server()
        lua = "return function(e, ctx) return ctx.env.WHO end"
        server.deploy("hello", lua, {"env": {"WHO": "ann"}})
        self.assert_ok(server.get("/hello"), "ann")
        server.write("hello.json", '{"env": {"WHO": "bob"}}')
        wait_for(lambda: server.get("/hello").body == b"bob", "bob")
        self.assertEqual(server.function("hello")["version"], 2)

    def test_defaults_are_the_documented_ones(self):
        server = self.server()
        found = server.deploy("hello", "return function() end")
        manifest = found["manifest"]
        self.assertEqual(
            {key: manifest[key] for key in (
                "timeout_ms", "memory_mb", "min_workers", "idle_timeout_s",
                "heap", "route")},
            {"timeout_ms": 3000, "memory_mb": 64, "min_workers": 0,
             "idle_timeout_s": 60, "heap": "fresh", "route": "/hello"})

    def test_a_folder_has_its_manifest_inside(self):
        server = self.server()
        server.write("shop/function.json", '{"env": {"A": "b"}}')
        server.write("shop/init.lua",
                     "return function(e, ctx) return ctx.env.A end")
        wait_for(lambda: server.get("/shop").body == b"b", "the shop")


class Routes(harness.TestCase):
    def test_the_default_route_is_the_name_and_everything_below(self):
        server = self.server()
        server.deploy("hello", "return function(e) return e.path end")
        for path in ("/hello", "/hello/", "/hello/a/b"):
            self.assert_ok(server.get(path), path)
        for path in ("/", "/hell", "/hellow", "/Hello", "/x/hello"):
            self.assert_fails(server.get(path), "no_such_function")

    def test_params_come_from_the_route(self):
        server = self.server()
        server.deploy("orders", "return function(e) return e.params end",
                      {"route": "/users/:user/orders/:order"})
        self.assertEqual(server.get("/users/a%20b/orders/7").json(),
                         {"user": "a b", "order": "7"})

    def test_the_most_specific_route_answers(self):
        server = self.server()
        say = "return function() return '%s' end"
        server.deploy("any", say % "any", {"route": "/v1/:thing"})
        server.deploy("exact", say % "exact", {"route": "/v1/status"})
        server.deploy("deep", say % "deep", {"route": "/v1/status/deep"})
        server.deploy("root", say % "root", {"route": "/"})
        for path, who in (("/v1/x", "any"), ("/v1/status", "exact"),
                          ("/v1/status/y", "exact"), ("/v1/status/deep/z",
                          "deep"), ("/else", "root")):
            self.assert_ok(server.get(path), who)

    def test_methods_not_listed_get_405_and_allow(self):
        server = self.server()
        server.deploy("hello", "return function(e) return e.method end",
                      {"methods": ["GET", "PUT"]})
        self.assert_ok(server.http("PUT", "/hello", b""), "PUT")
        reply = server.http("DELETE", "/hello")
        self.assert_fails(reply, "method_not_allowed")
        allowed = {m.strip() for m in reply.headers["allow"].split(",")}
        self.assertLessEqual({"GET", "PUT"}, allowed)
        self.assertNotIn("DELETE", allowed)


class Results(harness.TestCase):
    def call(self, lua, manifest=None, **options):
        server = self.server(**options)
        server.deploy("f", lua, manifest)
        return server.get("/f")

    def test_a_string_is_200_text(self):
        reply = self.call("return function() return 'text' end")
        self.assert_ok(reply, "text")
        self.assertTrue(reply.headers["content-type"].startswith("text/plain"))

    def test_a_table_without_status_is_200_json(self):
        reply = self.call("return function() return {a = 1, b = {2, 3}} end")
        self.assert_ok(reply)
        self.assertEqual(reply.headers["content-type"], "application/json")
        self.assertEqual(reply.json(), {"a": 1, "b": [2, 3]})

    def test_nothing_is_204(self):
        reply = self.call("return function() end")
        self.assertEqual((reply.status, reply.body), (204, b""))

    def test_status_headers_and_body_are_taken_as_they_are(self):
        reply = self.call("""return function()
            return { status = 418, headers = { ["x-pot"] = "tea",
                ["content-type"] = "application/octet-stream" },
                body = "\\0\\1\\255" } end""")
        self.assertEqual((reply.status, reply.body), (418, b"\0\1\xff"))
        self.assertEqual(reply.headers["x-pot"], "tea")
        self.assertEqual(reply.headers["content-type"],
                         "application/octet-stream")
        self.assertIsNone(reply.failed_by)

    def test_an_error_is_a_safe_500_and_the_traceback_is_in_the_log(self):
        server = self.server()
        server.deploy("f", "local function inner()\n  error('secret 4711')\n"
                      "end\nreturn function() inner() end")
        reply = server.get("/f")
        self.assert_fails(reply, "handler_error")
        self.assertNotIn(b"4711", reply.body)
        self.assertNotIn(b"traceback", reply.body)

        def logged():
            text = "\n".join(json.dumps(line) for line in server.log_lines("f")
                             if line["request_id"] == reply.request_id)
            return "4711" in text and "traceback" in text and text
        self.assertRegex(wait_for(logged, "the traceback"), r":2:|line 2")

    def test_with_dev_the_caller_sees_the_traceback(self):
        reply = self.call("return function()\n error('secret 4711') end",
                          args=["--dev"])
        self.assert_fails(reply, "handler_error")
        self.assertIn("4711", json.dumps(reply.json()))
        self.assertIn("traceback", json.dumps(reply.json()))

    def test_a_result_that_is_too_large_is_refused(self):
        reply = self.call("return function() return ('x'):rep(2000) end",
                          {"max_response_bytes": 1000})
        self.assert_fails(reply, "bad_response")

    def test_json_goes_in_and_out_unchanged(self):
        server = self.server()
        server.deploy("f", "return function(e) return { status = 200, "
                      "body = json.encode(json.decode(e.body)) } end")
        for value in ('{"big":9007199254740993,"min":-9223372036854775808}',
                      '{"n":null,"a":[],"o":{},"deep":[[[]],{"x":[null]}]}',
                      '[1,2.5,"\\u00e4\\ud83d\\ude00\\n",true,false,null]',
                      '"text"', '0', '[]', '1e3', '{"":""}'):
            with self.subTest(value=value):
                reply = server.post("/f", value)
                self.assert_ok(reply)
                self.assertEqual(json.loads(reply.body), json.loads(value))
                if value.startswith("{"):
                    self.assertEqual(set(json.loads(reply.body)),
                                     set(json.loads(value)))
        self.assertIn(b"9007199254740993",
                      server.post("/f", '[9007199254740993]').body)

    def test_json_errors_say_where(self):
        server = self.server()
        server.deploy("f", "return function(e) local ok, value, why = "
                      "pcall(json.decode, e.body) return "
                      "tostring(why or value) end")
        for bad in ('{"a":1,}', '[1', '{"a" 1}', '"\\ud800"', '[01]', '', 'nul',
                    '[1]x', "['a']", "[" * 100000):
            with self.subTest(bad=bad[:20]):
                self.assertRegex(server.post("/f", bad).text(), r"\d")


    def test_a_response_has_at_most_a_hundred_fields_and_the_log_says_so(self):
        server = self.server()
        server.deploy("f", """return function(e)
            local h = {} for i = 1, tonumber(e.query.n) do h["x-" .. i] = i end
            return {status = 200, headers = h, body = ""} end""")
        with server.connect() as connection:
            connection.send(b"GET /f?n=99 HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn("x-99", connection.reply().headers)
        self.assert_fails(server.get("/f?n=100"), "bad_response")
        server.wait_for_log("more than 100 fields", "f")

    def test_a_handler_cannot_speak_for_the_platform(self):
        server = self.server()
        server.deploy("f", """return function() return {status = 200, headers =
            {["perilune-failed-by"] = "x", ["server-timing"] = "y"}} end""")
        reply = server.get("/f")
        self.assert_ok(reply)
        self.assertIsNone(reply.failed_by)
        self.assertNotEqual(reply.headers["server-timing"], "y")


class Events(harness.TestCase):
    def test_the_http_event_has_every_field(self):
        server = self.server()
        server.deploy("f", "return function(event) return event end",
                      {"route": "/f/:id"})
        reply = server.http("PUT", "/f/a%2Bb?x=1&y=a+b&z=%C3%A4&flag", b"body",
                            {"X-Mixed-Case": "Value", "Content-Type": "a/b"})
        event = reply.json()
        self.assertEqual(event["type"], "http")
        self.assertEqual(event["method"], "PUT")
        self.assertEqual(event["path"], "/f/a+b")
        self.assertEqual(event["params"], {"id": "a+b"})
        self.assertEqual(event["query"],
                         {"x": "1", "y": "a b", "z": "ä", "flag": ""})
        self.assertEqual(event["headers"]["x-mixed-case"], "Value")
        self.assertEqual(event["body"], "body")
        self.assertTrue(event["remote_addr"].startswith("127.0.0.1"))
        self.assertEqual(event["id"], reply.request_id)
        self.assertIn("time", event)

    def test_ctx_says_who_where_and_how(self):
        server = self.server()
        server.deploy("f", """return function(event, ctx)
            return { request_id = ctx.request_id, name = ctx.function_name,
              version = ctx.version, memory_mb = ctx.memory_mb,
              deadline_ms = ctx.deadline_ms, left = ctx.remaining_ms(),
              cold = ctx.cold, start = ctx.start, env = ctx.env } end""",
                      {"memory_mb": 32, "timeout_ms": 1234,
                       "env": {"A": "b", "EMPTY": ""}})
        cold, warm = server.get("/f"), server.get("/f")
        ctx = cold.json()
        self.assertEqual(ctx["request_id"], cold.request_id)
        self.assertEqual((ctx["name"], ctx["version"], ctx["memory_mb"]),
                         ("f", 1, 32))
        self.assertEqual(ctx["env"], {"A": "b", "EMPTY": ""})
        self.assertLessEqual(ctx["left"], 1234)
        self.assertGreater(ctx["left"], 0)
        self.assertTrue(ctx["cold"])
        self.assertEqual(ctx["start"], cold.start[0])
        self.assertFalse(warm.json()["cold"])
        self.assertEqual(warm.json()["start"], "warm")

    def test_time_stands_still_until_it_is_asked_for(self):
        server = self.server()
        server.deploy("f", """return function(event, ctx)
            local a, m, left = time.now(), time.monotonic(), ctx.remaining_ms()
            for i = 1, 5e6 do end
            local frozen = a == time.now() and m == time.monotonic()
              and left == ctx.remaining_ms()
            for i = 1, 5e6 do end
            time.sync()
            return { frozen = frozen, moved = time.monotonic() > m,
              left = left > ctx.remaining_ms() } end""")
        self.assertEqual(server.get("/f").json(),
                         {"frozen": True, "moved": True, "left": True})

    def test_print_and_log_are_lines_with_the_request_id(self):
        server = self.server()
        server.deploy("f", """return function()
            print("printed", 1, true)
            log.warn("watch out", { user = "ann" })
            log.debug("fine") log.info("told") log.error("bad\\nnews")
            return "ok" end""")
        reply = server.get("/f")
        lines = wait_for(lambda: (found := [
            line for line in server.log_lines("f")
            if line["request_id"] == reply.request_id
            and line["message"]]) and any("bad" in x["message"] for x in found)
            and found, "the lines")
        by_level = {line["level"]: line for line in lines}
        self.assertEqual(by_level["warn"]["message"], "watch out")
        self.assertEqual(by_level["warn"]["fields"], {"user": "ann"})
        self.assertEqual(by_level["error"]["message"], "bad\nnews")
        self.assertIn("debug", by_level)
        self.assertTrue(any(re.fullmatch(r"printed\s1\strue", line["message"])
                            for line in lines), lines)
        for line in lines:
            self.assertEqual((line["function"], line["version"]), ("f", 1))


class Heaps(harness.TestCase):
    COUNT = """local n = 0
        return function() n = n + 1 leak = (leak or 0) + 1
          return n .. "," .. leak end"""

    def test_a_fresh_heap_forgets_every_request(self):
        server = self.server()
        server.deploy("f", self.COUNT)
        for _ in range(20):
            self.assert_ok(server.get("/f"), "1,1")

    def test_a_fresh_heap_forgets_a_request_that_failed(self):
        server = self.server()
        server.deploy("f", """local n = 0
            return function(e) n = n + 1
              if e.query.fail then error("no") end return tostring(n) end""")
        for _ in range(5):
            self.assertEqual(server.get("/f?fail=1").status, 500)
            self.assert_ok(server.get("/f"), "1")

    def test_a_shared_heap_keeps_what_it_has(self):
        server = self.server()
        server.deploy("f", "local n = 0 return function() n = n + 1 "
                      "return tostring(n) end",
                      {"heap": "shared", "max_workers": 1})
        self.assertEqual([server.get("/f").text() for _ in range(5)],
                         ["1", "2", "3", "4", "5"])

    def test_order_and_identity_depend_on_the_image_only(self):
        server = self.server()
        server.deploy("f", """
            local t = {} for i = 1, 50 do t["key" .. i * 7919] = i end
            return function()
              local out = {}
              for k in pairs(t) do out[#out + 1] = k end
              out[#out + 1] = tostring({}) .. tostring(print)
              local u = {} for i = 1, 20 do u["k" .. i] = i end
              for k in pairs(u) do out[#out + 1] = k end
              return table.concat(out, " ") end""")
        replies = {server.get("/f").body for _ in range(5)}
        replies |= {r.body for r in harness.at_once(
            8, lambda _: server.get("/f"))}
        for kind in ("image", "fork"):
            replies.add(server.invoke("f", start=kind)["body"].encode())
        self.assertEqual(len(replies), 1, replies)

    def test_random_numbers_are_fresh_for_each_request(self):
        server = self.server()
        server.deploy("f", "return function() return math.random(0) .. ' ' .. "
                      "math.random(1, 1 << 60) end")
        seen = [r.body for r in harness.at_once(16, lambda _: server.get("/f"))]
        seen += [server.get("/f").body for _ in range(50)]
        self.assertEqual(len(set(seen)), len(seen))

    def test_random_numbers_of_init_differ_between_versions(self):
        server = self.server()
        lua = "local r = math.random(1 << 60) return function() " \
              "return tostring(r) end -- %d"
        seen = set()
        for i in range(3):
            server.deploy("f", lua % i)
            seen.add(server.get("/f").body)
        self.assertEqual(len(seen), 3)


class Deadlines(harness.TestCase):
    def timed_out(self, lua, line=None, timeout_ms=300, within=3.0):
        server = self.server()
        server.deploy("f", lua, {"timeout_ms": timeout_ms})
        server.get("/f?warm=1")
        began = time.monotonic()
        reply = server.get("/f")
        taken = time.monotonic() - began
        self.assert_fails(reply, "timeout")
        self.assertGreaterEqual(taken, timeout_ms / 1000)
        self.assertLess(taken, timeout_ms / 1000 + within)
        if line:
            self.assertRegex(json.dumps(reply.json()) + json.dumps(
                server.wait_for_log(f":{line}", "f")), rf":{line}\b")
        self.assert_ok(server.get("/f?warm=1"), "warm")
        return reply

    def test_an_endless_loop_gets_504_with_the_line(self):
        reply = self.timed_out(
            "return function(e)\n if e.query.warm then return 'warm' end\n"
            " local n = 0\n while true do n = n + 1 end\nend", line=4)
        self.assertRegex(json.dumps(reply.json()), r":4\b|line 4\b")

    def test_pcall_cannot_swallow_it(self):
        self.timed_out("""return function(e)
            if e.query.warm then return 'warm' end
            while true do pcall(function() while true do end end) end end""",
                       line=3)

    def test_coroutines_and_metamethods_cannot_hide_from_it(self):
        self.timed_out("""return function(e)
            if e.query.warm then return 'warm' end
            local t = setmetatable({}, { __index = function()
              while true do end end })
            coroutine.wrap(function() xpcall(function() return t.x end,
              function() while true do end end) end)() end""", line=4)

    def test_a_pathological_pattern_is_killed(self):
        self.timed_out("""return function(e)
            if e.query.warm then return 'warm' end
            return tostring(("a"):rep(40):find(("a?"):rep(40) .. ("a"):rep(40)))
            end""")

    def test_the_deadline_is_told_and_kept(self):
        server = self.server()
        server.deploy("f", BUSY + "return function(e, ctx) busy(ctx, 100) "
                      "return tostring(ctx.remaining_ms()) end",
                      {"timeout_ms": 60000})
        left = float(server.get("/f").text())
        self.assertLessEqual(left, 59900)
        self.assertGreater(left, 50000)


class Memory(harness.TestCase):
    BOMBS = {
        "tables": "local t = {} for i = 1, 1e9 do t[i] = { i } end",
        "doubling": "local s = 'x' while true do s = s .. s end",
        "strings": "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i "
                   "end",
        "coroutines": "local t = {} for i = 1, 1e9 do t[i] = "
                      "coroutine.create(function() end) end",
        "closures": "local t = {} for i = 1, 1e9 do t[i] = function() return i "
                    "end end",
    }

    def test_memory_bombs_fail_alone(self):
        server = self.server()
        for name, bomb in self.BOMBS.items():
            with self.subTest(bomb=name):
                server.deploy(name, "return function(e) if e.query.ok then "
                              "return 'ok' end " + bomb + " end",
                              {"memory_mb": 16, "timeout_ms": 20000})
                reply = server.get(f"/{name}")
                self.assertIn(reply.reason, ("out_of_memory", "handler_error"),
                              reply)
                self.assert_ok(server.get(f"/{name}?ok=1"), "ok")

    def test_out_of_memory_is_said_recorded_and_billed(self):
        server = self.server()
        server.deploy("f", "return function() " + self.BOMBS["tables"] +
                      " end", {"memory_mb": 8, "timeout_ms": 20000})
        reply = server.get("/f")
        self.assert_fails(reply, "out_of_memory")
        record = server.record(reply.request_id)
        self.assertEqual(record["outcome"], "memory")
        self.assertLessEqual(record["peak_kb"], 8 * 1024 + 64)
        self.assertGreater(record["peak_kb"], 4 * 1024)

    def test_ordinary_garbage_is_collected(self):
        server = self.server()
        server.deploy("f", """return function()
            for i = 1, 200000 do local t = { tostring(i), ("x"):rep(100) } end
            return "done" end""", {"memory_mb": 16, "timeout_ms": 30000})
        self.assert_ok(server.get("/f"), "done")


if __name__ == "__main__":
    harness.main()
