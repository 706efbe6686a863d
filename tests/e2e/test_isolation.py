"""test_isolation.py - what a function cannot do: Lua that tries.

The native side of the wall is tests/jail; here hostile Lua comes in over the
ordinary way, and afterwards the server must be as it was.
"""
import json
import os

import harness
from harness import wait_for


class Libraries(harness.TestCase):
    def test_what_reaches_the_machine_does_not_exist(self):
        server = self.server()
        server.deploy("f", """
            local names = { "io", "debug", "package", "dofile", "loadfile",
              "os.execute", "os.exit", "os.getenv", "os.remove", "os.rename",
              "os.tmpname", "os.setlocale", "string.dump", "package.loadlib",
              "package.cpath", "debug.sethook", "io.open", "io.popen" }
            return function()
              local found = {}
              for _, name in ipairs(names) do
                local value = _G
                for part in name:gmatch("%w+") do
                  value = type(value) == "table" and value[part] or nil
                end
                if value ~= nil then found[#found + 1] = name end
              end
              return table.concat(found, " ") end""")
        self.assert_ok(server.get("/f"), "")

    def test_the_globals_are_the_documented_ones(self):
        server = self.server()
        server.deploy("f", """local names = {}
            for name in pairs(_G) do names[#names + 1] = name end
            table.sort(names)
            return function() return table.concat(names, " ") end""")
        self.assertEqual(set(server.get("/f").text().split()), set("""
            _G _VERSION assert base64 collectgarbage coroutine crypto error
            files getmetatable ipairs json load log math next os pairs pcall
            print rawequal rawget rawlen rawset require select setmetatable
            string table time tonumber tostring type utf8 warn xpcall
            """.split()))

    def test_bytecode_is_loaded_nowhere(self):
        server = self.server()
        server.deploy("f", r"""return function()
            local code = "\27Lua\84\0\25\147\r\n\26\n\4\8\8"
            local out = { tostring((load(code))), tostring((load(code, "x",
              "b"))), tostring((load(code, "x", "bt"))),
              tostring((load(function() return code end))) }
            local piece = 0
            out[5] = tostring((load(function() piece = piece + 1
              return code:sub(piece, piece) end)))
            return table.concat(out, " ") end""")
        self.assertNotIn("function", server.get("/f").text())

    def test_load_compiles_text(self):
        server = self.server()
        server.deploy("f", "return function() local f, why = load('return 6 *"
                      " 7') return tostring(f and f()) end")
        self.assert_ok(server.get("/f"), "42")

    def test_finalizers_are_refused(self):
        server = self.server()
        server.deploy("f", "return function() return tostring((pcall("
                      "setmetatable, {}, { __gc = function() end }))) end")
        self.assert_ok(server.get("/f"), "false")


class Neighbours(harness.TestCase):
    def test_environments_and_globals_are_not_shared(self):
        server = self.server({"ready_workers": 2})
        server.deploy("secret", "SECRET = 's3cret-value-4711' "
                      "return function(e, ctx) KEPT = e.body "
                      "return ctx.env.TOKEN end",
                      {"env": {"TOKEN": "token-0815"}, "heap": "shared"})
        server.deploy("spy", """
            local function dump(value, seen, out, depth)
              if seen[value] or depth > 8 then return end
              if type(value) == "table" then
                seen[value] = true
                for k, v in next, value do
                  dump(k, seen, out, depth + 1) dump(v, seen, out, depth + 1)
                end
              else out[#out + 1] = tostring(value) end
            end
            return function(e, ctx)
              local out = {}
              dump({ _G, e, ctx }, {}, out, 0)
              for _, name in ipairs { "secret", "functions.secret",
                  "_lib.secret" } do
                out[#out + 1] = tostring((pcall(require, name)))
              end
              return table.concat(out, "\\n") end""", {"heap": "shared"})
        self.assert_ok(server.post("/secret", b"request-1234"), "token-0815")
        for _ in range(5):
            seen = server.get("/spy").body.decode("latin-1")
            for word in ("4711", "0815", "1234"):
                self.assertNotIn(word, seen)
            self.assertNotIn("true", seen.splitlines()[-3:])

    def test_a_worker_never_changes_its_function(self):
        server = self.server({"max_workers": 4, "ready_workers": 1})
        for name in "abcdef":
            server.deploy(name, f"return function() return '{name}' end")
        owner = {}
        for i in range(60):
            name = "abcdef"[i * 7 % 6]
            self.assert_ok(server.get(f"/{name}"), name)
            for worker in server.workers():
                if worker["function"] and worker["age_ms"] is not None:
                    seen = owner.setdefault(worker["pid"], worker)
                    if seen["age_ms"] <= worker["age_ms"]:  # the same process
                        self.assertEqual(seen["function"], worker["function"])
                    owner[worker["pid"]] = worker

    def test_a_fresh_heap_shows_nothing_of_the_request_before(self):
        server = self.server()
        server.deploy("f", """
            local cache = {}
            return function(e)
              local before = #cache
              cache[#cache + 1] = e.body
              KEPT = (KEPT or "") .. e.body
              local leaked = tostring(rawget(math, "leak"))
              pcall(rawset, math, "leak", e.body)
              return before .. KEPT .. leaked end""")
        for i in range(10):
            body = f"body-{i};".encode()
            self.assert_ok(server.post("/f", body), b"0" + body + b"nil")


class Hostile(harness.TestCase):
    """Each case: a handler body, and what its caller may get.  Afterwards
    the same function answers and a neighbour never noticed."""
    CASES = {
        # wall: L3, L4
        "concat that grows the stack": ("""
            local function deep(n) if n == 0 then return "x" end
              return (deep(n - 1)) end
            local t = setmetatable({}, { __concat = function(a, b)
              return deep(150000) end })
            return "a" .. ("b" .. t) .. "c" """, {200, 500, 502}),
        "coroutine.close chain": ("""
            local function nest(n)
              local co = coroutine.create(function()
                local x <close> = setmetatable({}, { __close = function()
                  if n > 0 then nest(n - 1) end end })
                coroutine.yield() end)
              coroutine.resume(co) coroutine.close(co) end
            nest(100000)""", {204, 500, 502}),
        # L6
        "loop in __close": ("""
            local x <close> = setmetatable({}, { __close = function()
              while true do end end })
            return "x" """, {504}),
        "loop in a sort comparator": ("""
            table.sort({ 3, 2, 1 }, function() while true do end end)""",
                                      {504}),
        "loop in a gsub callback": ("""
            ("x"):gsub("x", function() while true do end end)""", {504}),
        "loop in a message handler": ("""
            xpcall(error, function() while true do end end)""", {504}),
        "loop in __index": ("""
            return setmetatable({}, { __index = function()
              while true do end end }).x""", {504}),
        # L7
        "pathological pattern": ("""
            return tostring(("a"):rep(30):find(("a?"):rep(30) ..
              ("a"):rep(30)))""", {200, 500, 504}),
        "quadratic gsub": ("""
            return #(("x"):rep(300000):gsub(".-.-.-b", "")) .. "" """,
                           {200, 500, 504}),
        # L8
        "rep of nothing": ("""return "<" .. (""):rep(1 << 40) .. ">" """,
                           {200}),
        "rep of a gigabyte": ("""return ("x"):rep(1 << 30)""", {500, 502}),
        "rep of 2^62": ("""return ("x"):rep(1 << 62)""", {500, 502}),
        "format of a thousand digits": (
            """return (("%099.99f"):rep(300)):format(table.unpack((function()
              local t = {} for i = 1, 300 do t[i] = 1e308 end return t end)()))
            """, {200, 500, 502}),
        "concat of a million": ("""
            local t = {} for i = 1, 1000000 do t[i] = ("x"):rep(100) end
            return table.concat(t)""", {500, 502}),
        # L10
        "endless recursion": ("local function f() return 1 + f() end f()",
                              {500, 502}),
        "recursion in __tostring": ("""
            local t = setmetatable({}, {}) getmetatable(t).__tostring =
              function(x) return tostring(x) .. "" end
            return tostring(t)""", {500}),
        "recursion in __index": ("""
            local t = {} for i = 1, 100000 do
              t = setmetatable({}, { __index = t }) end return t.x""",
                                 {204, 500, 502}),
        # L11
        "a million parentheses": (
            "return tostring(load(('('):rep(900000)))", {200, 500, 502}),
        "deep table constructor": (
            "return tostring(load('return ' .. ('{'):rep(5000) .. "
            "('}'):rep(5000)))", {200, 500, 502}),
        # L12
        "poisoned globals": ("""
            for name in pairs(_G) do _G[name] = function() error("poison") end
            end return "x" """, {200, 500}),
        "metatable of _G": ("""
            setmetatable(_G, { __index = function() error("poison") end,
              __newindex = function() error("poison") end })
            return { status = 200, body = "x" }""", {200, 500}),
        # L13
        "error nil": ("error(nil)", {500}),
        "error table": ("error({})", {500}),
        "error with a bad __tostring": ("""
            error(setmetatable({}, { __tostring = function() error("again")
              end }))""", {500}),
        "error with a long __tostring": ("""
            error(setmetatable({}, { __tostring = function()
              return ("x"):rep(10000000) end }))""", {500, 502}),
        "error with a looping __tostring": ("""
            error(setmetatable({}, { __tostring = function()
              while true do end end }))""", {500, 504}),
        # L14
        "a function as result": ("return print", {502}),
        "a cycle as result": ("local t = {} t[1] = t return t", {502}),
        "a deep result": ("""local t = {} local r = t
            for i = 1, 100000 do t[1] = {} t = t[1] end return r""", {502}),
        "ten million elements": ("""
            local t = {} for i = 1, 1e7 do t[i] = i end return t""",
                                 {500, 502, 504}),
        "nan": ("return { x = 0/0 }", {502}),
        "mixed keys": ("return { 1, 2, x = 3 }", {502}),
        "a status that is none": ("return { status = 42 }", {502}),
        "invalid UTF-8": ("return { x = '\\xff\\xfe' }", {200, 502}),
        # L15
        "header injection": ("""return { status = 200, headers = { ["x-a"] =
            "a\\r\\nSet-Cookie: stolen" }, body = "" }""", {502}),
        "forged receipt": ("""return { status = 200, headers = {
            ["perilune-billed-ms"] = "0" }, body = "x" }""", {200, 502}),
        # L16
        "yield across the entry": ("coroutine.yield(1)", {500, 502}),
        "resume of the main thread": ("""
            local main = coroutine.running()
            return tostring((coroutine.resume(main)))""", {200, 500}),
        "a million coroutines": ("""
            for i = 1, 1000000 do coroutine.wrap(function()
              coroutine.yield() end)() end""", {204, 500, 502, 504}),
        # L9, bounds on tables
        "insert with a lying length": ("""
            table.insert(setmetatable({}, { __len = function()
              return 1 << 40 end }), 1, "x")""", {204, 500, 504}),
        "move of 10^9": ("table.move({}, 1, 1000000000, 2)", {204, 500, 504}),
        "unpack of 10^7": ("return table.unpack({}, 1, 1e7)", {204, 500, 502}),
        # L23
        "require of outside": ("return require('../../x')", {500}),
    }

    def test_hostile_lua_gets_a_defined_answer_and_changes_nothing(self):
        server = self.server()
        server.deploy("good", "return function() return 'fine' end")
        for i, (name, (body, statuses)) in enumerate(self.CASES.items()):
            with self.subTest(case=name):
                function = f"h{i}"
                server.deploy(
                    function, "return function(e) if e.query.ok then return "
                    "'ok' end\n" + body + "\nend",
                    {"timeout_ms": 1500, "memory_mb": 32})
                reply = server.get(f"/{function}")
                self.assertIn(reply.status, statuses, reply)
                self.assertNotIn("set-cookie", reply.headers)
                self.assertEqual(reply.headers.get("perilune-billed-ms"),
                                 str(server.record(reply.request_id)
                                     ["billed_ms"]))
                self.assertLess(len(reply.body), 1 << 20)
                self.assert_ok(server.get(f"/{function}?ok=1"), "ok")
                self.assert_ok(server.get("/good"), "fine")
        for layer in server.admin("GET", "/v1/sandbox").json()["layers"]:
            self.assertTrue(layer["state"] == "active"
                            or not layer["required"], layer)

    def test_hostile_sources_are_refused_within_their_limits(self):
        server = self.server({"init_timeout_ms": 2000})
        server.deploy("good", "return function() return 'fine' end")
        for name, source in {
            "parentheses": "return " + "(" * 200000,
            "locals": "local x\n" * 100000,
            "tables": "return " + "{" * 100000,
            "long": "return '" + "x" * 1000000,
            "names": " ".join(f"a{i} = 1" for i in range(70000)),
        }.items():
            with self.subTest(source=name):
                server.write(f"{name}.lua", source)
                self.assertTrue(server.wait_for_error(name))
                self.assert_ok(server.get("/good"), "fine")

    def test_a_flood_of_log_lines_is_bounded(self):
        server = self.server({"max_log_bytes": 10000, "log_file_bytes": 65536})
        server.deploy("f", """return function(e)
            if e.query.ok then return "ok" end
            for i = 1, 200000 do print(("x"):rep(100)) end return "done"
            end""", {"timeout_ms": 10000})
        reply = server.get("/f")
        self.assertIn(reply.status, (200, 502, 504))
        lines = [line for line in server.log_lines("f", 10000)
                 if line["request_id"] == reply.request_id
                 and line["message"].startswith("xxx")]
        self.assertLessEqual(sum(len(x["message"]) for x in lines), 20000)
        self.assert_ok(server.get("/f?ok=1"), "ok")
        for name in os.listdir(server.state):
            if "log" in name:
                self.assertLess((server.state / name).stat().st_size, 200000)

    def test_a_log_stays_one_json_object_per_line(self):
        server = self.server()
        server.deploy("f", r"""return function()
            print("a\nb\r\27[31mred\0nul\xff\xe2\x80\xae end")
            log.info(("x"):rep(1000000), { s = "\0\xff" })
            log.info("fields", { f = print }) end""")
        reply = server.get("/f")
        self.assertLess(reply.status, 500)
        wait_for(lambda: [x for x in server.log_lines("f")
                          if x["message"] == "fields"], "the last line")
        text = server.admin("GET", "/v1/logs?function=f").text()
        for line in text.splitlines():
            json.loads(line)
        shown = server.cli("logs", "f").stdout
        self.assertNotIn("\x1b", shown)
        self.assertNotIn("\0", shown)

    def test_two_workers_forked_together_draw_different_numbers(self):
        server = self.server()
        server.deploy("f", "return function() return crypto.uuid() .. ' ' .. "
                      "base64.encode(crypto.random(16)) end")
        seen = [r.text() for r in harness.at_once(
            40, lambda _: server.get("/f"))]
        self.assertEqual(len(set(seen)), 40)

    def test_known_digests_come_out_right(self):
        server = self.server()
        server.deploy("f", """return function() return {
            crypto.sha256("abc"), crypto.hmac_sha256("key",
              "The quick brown fox jumps over the lazy dog"),
            base64.encode("\\0\\255Ma"), base64.decode("TWFu"),
            tostring(crypto.equal("a", "a")), tostring(crypto.equal("a", "b")),
            tostring(crypto.equal("a", "ab")) } end""")
        self.assertEqual(server.get("/f").json(), [
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
            "AP9NYQ==", "Man", "true", "false", "false"])


if __name__ == "__main__":
    harness.main()
