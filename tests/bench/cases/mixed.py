"""mixed.py - requests that differ: fast beside slow, many functions."""
import threading
import time

import core
from targets import Ours

# About 50 us of counting, or `?us=50000` of real time.  Time stands still in a
# handler until it asks, and it may not ask too often.
SPIN = """return function(event)
  local us = tonumber(event.query.us)
  local begin = time.monotonic()
  if us < 1000 then
    for i = 1, 160 * us do end
    return "done"
  end
  repeat
    for i = 1, 50000 do end
    time.sync()
  until time.monotonic() - begin >= us
  return "done"
end
"""


def _fast(ours, path, seconds):
    """Times in us of fast requests, one after the other, 1 ms apart."""
    times, end = [], time.perf_counter() + seconds
    with ours.server.connect() as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"
        while (begin := time.perf_counter()) < end:
            connection.send(request)
            connection.reply()
            times.append((time.perf_counter() - begin) * 1e6)
            time.sleep(0.001)
    return times


def _beside(ours, slow, fast, seconds):
    """Fast requests while one client keeps asking for slow ones."""
    ending = threading.Event()

    def ask():
        with ours.server.connect() as connection:
            while not ending.is_set():
                connection.send(f"GET {slow} HTTP/1.1\r\nHost: x\r\n\r\n")
                connection.reply()
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        return _fast(ours, fast, seconds)
    finally:
        ending.set()
        thread.join(20)


def mixed(bench):
    fast, slow = "?us=50", "?us=50000"
    with Ours() as ours:
        ours.deploy("one", SPIN)
        ours.deploy("two", SPIN)
        runs = {
            "alone": lambda: _fast(ours, "/one" + fast, bench.seconds),
            "slow ones on the same function":
                lambda: _beside(ours, "/one" + slow, "/one" + fast,
                                bench.seconds),
            "slow ones on another function":
                lambda: _beside(ours, "/two" + slow, "/one" + fast,
                                bench.seconds)}
        seen = {name: [] for name in runs}
        for _ in range(bench.rounds):
            for name, run in runs.items():
                seen[name].append(run())
    for name, rounds in seen.items():
        for percent in (50, 99):
            bench.add("fast request, " + name, f"p{percent}", "us", core.OURS,
                      [core.percentile(times, percent) for times in rounds])


def zipf(bench):
    """100 functions that go to zero after a second without a request: as
    fast as it goes, with fewer worker processes than functions (the default
    settings) and with enough; and paced, so that the rare ones do go."""
    _zipf(bench, "100 functions by Zipf c=16", {})
    if not bench.quick:
        _zipf(bench, "100 functions by Zipf c=16, max_workers 256",
              {"max_workers": 256})
    _zipf(bench, "100 functions by Zipf c=16, paced", {"max_workers": 256},
          {"ZIPF_DELAY_MS": "100"})


def _zipf(bench, case, config, env=None):
    import harness
    with Ours(config) as ours:
        for i in range(1, 101):
            ours.server.write_function(
                f"f{i}", f"return function() return 'f{i}' end",
                {"idle_timeout_s": 1})
        harness.wait_for(
            lambda: sum(f["state"] == "serving" for f in
                        ours.server.functions_listed().values()) == 100,
            "100 functions", 60)
        before = _sum(ours, "cold_starts"), _sum(ours, "invocations")
        core.alternate(bench, case, [ours], 16, "/", "zipf.lua", env=env)
        cold = _sum(ours, "cold_starts") - before[0]
        calls = _sum(ours, "invocations") - before[1]
        bench.add(case, "cold starts per 1000 calls", "", core.OURS,
                  [1000 * cold / max(calls, 1)])
        begin = time.perf_counter()
        harness.wait_for(lambda: not any(
            w["function"] for w in ours.server.workers()), "zero", 20)
        bench.add(case, "until all are at zero", "s", core.OURS,
                  [time.perf_counter() - begin])


def _sum(ours, field):
    return sum(f[field] for f in ours.server.functions_listed().values())
