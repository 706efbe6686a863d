"""memory.py - what idle functions and workers take, and growth."""
import time

import core
from targets import Ours
from cases.http import HELLO

MANY = 10000


def density(bench):
    _workers(bench)
    empty = _gateway_kb()
    bench.add("density", "gateway RSS, no function", "KB", core.OURS,
              [empty])
    _many(bench, 1000 if bench.quick else MANY, empty)


def _workers(bench):
    n = 4 if bench.quick else 16
    with Ours() as ours:
        for i in range(n):
            ours.deploy(f"f{i}", HELLO)
            for _ in range(3):
                ours.server.get(f"/f{i}")
        time.sleep(0.5)  # the pool is full again
        for state, name in (("idle", "PSS of an idle warm worker"),
                            ("ready", "PSS of a ready worker")):
            sizes = [core.rollup_kb(w["pid"])
                     for w in ours.server.workers(state=state)]
            bench.add("density", name, "KB", core.OURS, sizes)


def _gateway_kb():
    with Ours() as ours:
        time.sleep(0.5)
        return core.rollup_kb(ours.gateway, "Rss")


def _many(bench, count, empty):
    """A server that starts with so many functions: until all serve."""
    import harness
    server = harness.Server()
    try:
        for i in range(count):
            (server.functions / f"f{i}.lua").write_text(
                f"return function() return 'f{i}' end\n")
        begin = time.perf_counter()
        server.start()
        ready = time.perf_counter() - begin
        case = f"density, {count} functions"
        bench.add(case, "start-up to the ready line", "s", core.OURS, [ready])
        harness.wait_for(lambda: _serving(server) == count,
                         f"{count} functions to serve", 150, 0.2)
        bench.add(case, "start-up until all serve", "s", core.OURS,
                  [time.perf_counter() - begin])
        rss = core.rollup_kb(server.gateway().pid, "Rss")
        bench.add(case, "gateway RSS above an empty one", "KB", core.OURS,
                  [rss - empty])
        bench.add(case, "the same per function", "KB", core.OURS,
                  [(rss - empty) / count])
    finally:
        server.remove()


def _serving(server):
    return sum(f["state"] == "serving"
               for f in server.functions_listed().values())


def growth(bench):
    """--long N requests: the gateway's RSS after a tenth of them and after
    all.  In rounds of 2 s, and 10 minutes at most."""
    wanted = bench.options.long or (20000 if bench.quick else 100000)
    with Ours() as ours:
        ours.deploy("hello", HELLO)
        sent, early, end = 0, None, time.monotonic() + 600
        while sent < wanted and time.monotonic() < end:
            sent += core.wrk(ours.url("hello"), 16,
                             1 if bench.quick else 2).count
            if early is None and sent >= wanted / 10:
                early = core.rollup_kb(ours.gateway, "Rss")
        time.sleep(1)
        late = core.rollup_kb(ours.gateway, "Rss")
        case = f"growth, {sent} requests"
        bench.add(case, "gateway RSS after the first tenth", "KB", core.OURS,
                  [early])
        bench.add(case, "gateway RSS at the end", "KB", core.OURS, [late])
