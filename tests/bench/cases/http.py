"""http.py - one function under load: hello, JSON, bodies, CPU, allocation."""
import os
import re
import shutil
import signal
import subprocess
import tempfile

import core
from targets import Ours

HELLO = "return function() return 'hello' end\n"
JSON = """return function(event)
  local document = json.decode(event.body)
  document.seen = true
  return document
end
"""
CPU = """local function fib(n)
  if n < 2 then return n end
  return fib(n - 1) + fib(n - 2)
end
return function() return tostring(fib(24)) end
"""
ECHO = "return function(event) return event.body end\n"
WORK = """local function work()
  local rows = {}
  for i = 1, 100 do
    rows[i] = { id = i * 7919 % 101, name = "row" .. i, tags = { i, i + 1 } }
  end
  table.sort(rows, function(a, b) return a.id < b.id end)
  local text = {}
  for i, row in ipairs(rows) do
    text[i] = row.name .. "=" .. row.id .. ";" .. #row.tags
  end
  return table.concat(text, "\\n")
end
"""


def hello(bench):
    with Ours() as ours:
        ours.deploy("hello", HELLO)
        for connections in (1, 64, 256):
            core.alternate(bench, f"hello c={connections}",
                           [ours] + bench.peers, connections, "hello")


def pinned(bench):
    """Latency of one connection, client and server on given cores."""
    peers = [p for p in bench.peers if p.name in ("nginx-lua", "uwsgi-lua")]
    cores = sorted(os.sched_getaffinity(0))
    with Ours() as ours:
        ours.deploy("hello", HELLO)
        layouts = {"one core": ([cores[0]], [cores[0]])}
        if len(cores) > 1:
            layouts["two cores"] = ([cores[1]], [cores[0]])
        for name, (server, client) in layouts.items():
            core.alternate(bench, f"hello c=1, {name}", [ours] + peers, 1,
                           "hello", pin=server, client_cores=client)


def json_echo(bench):
    with Ours() as ours:
        ours.deploy("json", JSON)
        core.alternate(bench, "json 1 KiB c=64", [ours] + bench.peers, 64,
                       "json", "json.lua")


def bodies(bench):
    with Ours() as ours:
        ours.deploy("echo", ECHO)
        for name, size in (("64 KB", 65536), ("1 MB", 1 << 20)):
            core.alternate(bench, f"body {name} both ways c=4", [ours], 4,
                           "/echo", "post.lua",
                           env={"BODY_BYTES": str(size)})


def cpu(bench):
    with Ours() as ours:
        ours.deploy("cpu", CPU)
        core.alternate(bench, "fib(24) c=16", [ours] + bench.peers, 16, "cpu")


def alloc(bench):
    """Handler time from the receipt, and the same work in plain Lua."""
    n = 200 if bench.quick else 1000
    core.need("lua5.4")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WORK + f"for i = 1, 100 do work() end\n"
                     f"local t = os.clock()\nfor i = 1, {n} do work() end\n"
                     f"print((os.clock() - t) / {n} * 1e6)\n")
        script.flush()
        with Ours() as ours:
            ours.deploy("alloc", WORK + "return function() return work() end")
            mine, plain = [], []
            for _ in range(bench.rounds):
                times = [ours.server.get("/alloc").timing_us["handler"]
                         for _ in range(n)]
                mine.append(core.median(times))
                plain.append(float(subprocess.run(
                    ["lua5.4", script.name], capture_output=True, text=True,
                    timeout=60, check=True).stdout))
    bench.add("alloc", "handler time", "us", core.OURS, mine)
    bench.add("alloc", "handler time", "us", "lua5.4", plain)


# --- system calls and instructions --------------------------------------

def _under(command, load):
    """Run load() while a tool that ends by SIGINT looks on; its stderr."""
    tool = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)
    try:
        try:
            tool.wait(0.7)  # it has to attach; ending now means it can't
        except subprocess.TimeoutExpired:
            pass
        count = load().count
    finally:
        if tool.poll() is None:
            tool.send_signal(signal.SIGINT)
        said = tool.communicate(timeout=20)[1]
    return said, count


def _strace(bench, ours, load, case):
    parts = {"gateway": [ours.gateway], "workers": ours.workers()}
    for part, pids in parts.items():
        command = ["strace", "-c", "-f", "-q"]
        for pid in pids:
            command += ["-p", str(pid)]
        said, count = _under(command, load)
        total = re.search(r"^100\.00 .* total$", said, re.M)
        if not total:
            bench.note(f"strace of the {part}: {said.strip()[-200:]}")
            continue
        bench.add(case, f"system calls per request, {part}", "",
                  core.OURS, [int(total[0].split()[3]) / max(count, 1)])


def _instructions(bench, ours, load, case):
    for part, pids in {"gateway": [ours.gateway],
                       "workers": ours.workers()}.items():
        said, count = _under(["perf", "stat", "-x,", "-e", "instructions",
                              "-p", ",".join(map(str, pids))], load)
        found = re.search(r"^(\d+),.*instructions", said, re.M)
        if not found:
            bench.note("instructions: perf can't count them here")
            return
        bench.add(case, f"instructions per request, {part}", "", core.OURS,
                  [int(found[1]) / max(count, 1)])


def _callgrind(bench):
    """Instructions of a request in the gateway, from two runs of valgrind
    that differ in the number of requests only."""
    import harness

    class Slow(harness.Server):
        def command(self):
            command = super().command()
            at = command.index(harness.BIN)  # behind setpriv
            return command[:at] + [
                "valgrind", "--tool=callgrind", "--trace-children=yes",
                "--trace-children-skip=*sandbox*",
                f"--callgrind-out-file={self.root}/cg.%p"] + command[at:]

    def total(requests):
        # As a user from the start: its files are written when it ends.
        server = Slow(user=harness.SERVICE_USER if harness.AS_ROOT else None)
        try:
            server.launch()
            line = harness.wait_for(server._ready_line, "valgrind", 90)
            server.port = int(line[1])
            server.deploy("hello", HELLO)
            with server.connect(60) as connection:
                for _ in range(requests):
                    connection.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
                    connection.reply()
            server.terminate(60)
            sums = [int(n) for path in server.root.glob("cg.*") for n in
                    re.findall(r"^(?:summary|totals): (\d+)",
                               path.read_text(errors="replace"), re.M)[:1]]
            return max(sums, default=0)
        finally:
            server.remove()
    try:
        few, many = total(100), total(1100)
    except (AssertionError, OSError) as error:
        # Older valgrinds (3.19) lack openat2, with which sources are read.
        bench.note(f"callgrind can't run the server here: {str(error)[-80:]}")
        return
    if many > few:
        bench.add("calls c=1", "instructions per request, gateway "
                  "(callgrind)", "", core.OURS, [(many - few) / 1000])
    else:
        bench.note("callgrind: no figures")


def calls(bench):
    with Ours() as ours:
        ours.deploy("hello", HELLO)
        for connections in (1, 64):
            def load():
                return core.wrk(ours.url("hello"), connections, 1)
            load()
            case = f"calls c={connections}"
            if shutil.which("strace"):
                _strace(bench, ours, load, case)
            else:
                bench.note("system calls: strace is not there (package "
                           "strace)")
            if shutil.which("perf"):
                _instructions(bench, ours, load, case)
            else:
                bench.note("instructions: perf is not there (package "
                           "linux-perf)")
    if bench.options.callgrind:
        core.need("valgrind")
        _callgrind(bench)
