"""cold.py - starts from zero by kind and image size, and deploying."""
import json
import time

import core
from targets import Ours
from cases import floors
from cases.http import HELLO

# Init leaves about 600 KB: 4100 strings and the table that holds them.
LARGE = """local kept = {}
for i = 1, 4100 do
  kept[i] = string.format("%060d", i)
end
return function() return kept[1] end
"""
KINDS = ("image", "build", "fork")


def _coldstart(ours, name, kind, n):
    """{kind: phases} of n starts of this kind, by the server's records."""
    done = ours.server.cli("coldstart", name, "-n", str(n), "--kind",
                           kind, "--json", timeout=120)
    if done.returncode:
        raise RuntimeError(f"coldstart {name} {kind}: {done.stderr}")
    return {s["kind"]: s["phases"] for s in json.loads(done.stdout)["starts"]}


def _by_kind(bench, ours, n):
    for size, name in (("small", "small"), ("large", "large")):
        kb = (ours.server.function(name)["image_bytes"] or 0) // 1024
        label = f"cold start, {size} image ({kb} KB)"
        for kind in KINDS:
            runs = [_coldstart(ours, name, kind, n)
                    for _ in range(bench.rounds)]
            for which in ("p50", "p99"):
                bench.add(label, f"{kind} {which}", "us", core.OURS,
                          [r[kind]["total_us"][which] for r in runs])


def _request(connection):
    begin = time.perf_counter()
    connection.send("GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
    reply = connection.reply()
    return (time.perf_counter() - begin) * 1e6, reply.start[0]


def _seen_by_a_client(bench, ours):
    """A keep-alive client: the first call after a version, then a warm one.

    A deploy leaves the function at zero with its image built, so the first
    call on the new version is an image start."""
    n = 5 if bench.quick else 20
    cold, warm = [], []
    with ours.server.connect() as connection:
        for i in range(n):
            ours.deploy("small", f"-- {i}\n" + HELLO)
            us, kind = _request(connection)
            if kind == "image":
                cold.append(us)
            for _ in range(3):
                us, kind = _request(connection)
            if kind == "warm":
                warm.append(us)
    if cold and warm:
        case = "cold start, seen by an HTTP client"
        bench.add(case, "image", "us", core.OURS, cold)
        bench.add(case, "warm", "us", core.OURS, warm)
        bench.add(case, "image minus warm", "us", core.OURS,
                  [core.median(cold) - core.median(warm)])


def cold(bench):
    with Ours() as ours:
        ours.deploy("small", HELLO)
        ours.deploy("large", LARGE)
        _by_kind(bench, ours, 20 if bench.quick else 100)
        _seen_by_a_client(bench, ours)
    floors.add(bench, "cold start, fork floor", "spawn",
               300 if bench.quick else 1000)


def deploy(bench):
    """From the rename of the file to the first good answer."""
    times = []
    with Ours() as ours:
        for i in range(5 if bench.quick else 20):
            begin = time.perf_counter()
            ours.server.write_function(f"new{i}", HELLO)
            while ours.server.get(f"/new{i}").status != 200:
                if time.perf_counter() - begin > 20:
                    raise RuntimeError("a saved function did not answer")
            times.append((time.perf_counter() - begin) * 1000)
    bench.add("deploy to first answer", "time", "ms", core.OURS, times)
