"""floors.py - what the machine itself takes; nothing of ours is in these."""
import os
import subprocess

import core
from targets import Ours
from cases.http import HELLO


def _run(name, *arguments):
    """P50 and P99 in us of a floor program."""
    done = subprocess.run([str(core.FLOORS / f"floor_{name}"),
                           *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, check=True)
    return [float(x) for x in done.stdout.split()]


def add(bench, case, name, *arguments):
    pairs = [_run(name, *arguments) for _ in range(bench.rounds)]
    bench.add(case, "p50", "us", "floor", [p[0] for p in pairs])
    bench.add(case, "p99", "us", "floor", [p[1] for p in pairs])


class Httpd:
    """floor/httpd.c as a target."""

    name = "floor (httpd)"

    def __enter__(self):
        self.process = subprocess.Popen(
            [str(core.FLOORS / "floor_httpd")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *_):
        self.process.communicate(timeout=10)  # its stdin ends

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}"

    def pids(self):
        return [self.process.pid]

    def cpu(self):
        return {"all": core.cpu_ns(self.process.pid)}


def floor(bench):
    n = 5000 if bench.quick else 20000
    cores = sorted(os.sched_getaffinity(0))
    add(bench, "floor: ping, one core", "ping", n, cores[0], cores[0])
    if len(cores) > 1:
        add(bench, "floor: ping, two cores", "ping", n, cores[0], cores[1])
    add(bench, "floor: ping, unpinned", "ping", n, -1, -1)
    add(bench, "floor: memcpy 20 KB", "copy", n, 20 * 1024)
    add(bench, "floor: memcpy 580 KB", "copy", n // 5, 580 * 1024)
    add(bench, "floor: fork", "spawn", 300 if bench.quick else 1000)
    with Ours() as ours, Httpd() as httpd:
        ours.deploy("hello", HELLO)
        for connections in (64,) if bench.quick else (1, 64):
            core.alternate(bench, f"floor: HTTP c={connections}",
                           [ours, httpd], connections, "hello")
