"""core.py - what every case stands on: building, samples, CPU time, wrk.

A case calls bench.add(case, figure, unit, who, samples); report.py makes the
table.  A figure is the median of its samples, its spread their least and
greatest.  Nothing here waits without a deadline.
"""
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build-bench"  # a tree of its own: always a release build
FLOORS = BUILD / "tests" / "bench"
OURS = "perilune"

PACKAGES = {"wrk": "wrk", "meson": "meson", "ninja": "ninja-build",
            "taskset": "util-linux"}


def need(*programs):
    """End, naming the Debian packages, when a program is missing."""
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        sys.exit("bench: not found: " + ", ".join(missing)
                 + "; on Debian: apt-get install "
                 + " ".join(PACKAGES.get(p, p) for p in missing))


def build():
    """The release tree and the floors; the path of `perilune`."""
    def step(*command):
        done = subprocess.run(command, cwd=ROOT, capture_output=True,
                              text=True, timeout=900)
        if done.returncode:
            sys.exit(f"bench: {' '.join(command)} failed:\n"
                     + (done.stdout + done.stderr)[-4000:])
    if not (BUILD / "build.ninja").exists():
        step("meson", "setup", str(BUILD), "--buildtype=release")
    step("ninja", "-C", str(BUILD), "perilune", "perilune-sandbox", "bench")
    return BUILD / "perilune"


# --- processes ----------------------------------------------------------

def cpu_ns(pid):
    """CPU time of all threads of a process, in ns; 0 when it is gone."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                total += int(file.read().split()[0])
    except OSError:
        pass
    return total


def rollup_kb(pid, field="Pss"):
    """A field of /proc/PID/smaps_rollup in KB; 0 when it can't be read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def affinity(pids, cores):
    """Pin all threads of these processes."""
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), cores)
        except OSError:
            pass


# --- figures ------------------------------------------------------------

def median(samples):
    return statistics.median(samples)


def percentile(samples, percent):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


class Bench:
    """One run: its options, and the figures so far."""

    def __init__(self, options):
        self.options = options
        self.quick = options.quick
        self.rounds = 3 if self.quick else 5
        self.seconds = 1 if self.quick else 2  # of one wrk
        self.peers = []
        self.rows = []
        self.notes = []

    def add(self, case, figure, unit, who, samples):
        samples = [s for s in samples if s is not None]
        if samples:
            self.rows.append({
                "case": case, "figure": figure, "unit": unit, "who": who,
                "median": median(samples), "min": min(samples),
                "max": max(samples), "samples": len(samples)})

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
        print(f"bench: {text}", file=sys.stderr)

    def say(self, text):
        print(f"bench: {text}", file=sys.stderr, flush=True)


# --- load ---------------------------------------------------------------

class Load:
    """What one wrk saw."""

    def __init__(self, line):
        rps, p50, p99, count, status, sockets = line.split()[1:]
        self.p50, self.p99 = float(p50), float(p99)
        self.count, self.failed = int(count), int(status) + int(sockets)
        good = 1 - int(status) / max(self.count, 1)  # a 502 is no answer
        self.rps = float(rps) * good


def wrk(url, connections, seconds, script="get.lua", cores=None, env=None):
    command = ["wrk", "-t", "1" if connections < 16 else "2",
               "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s",
               "-s", str(HERE / "wrk" / script), url]
    if cores:
        command = ["taskset", "-c", ",".join(map(str, cores))] + command
    done = subprocess.run(command, capture_output=True, text=True,
                          timeout=seconds + 30, cwd=HERE / "wrk",
                          env=dict(os.environ, **(env or {})))
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return Load(line)
    raise RuntimeError(f"wrk said: {done.stdout}{done.stderr}")


def alternate(bench, case, targets, connections, path, script="get.lua",
              pin=None, client_cores=None, env=None):
    """A B A B: one wrk per target and round; adds all the figures.

    path: of the target's `paths`, or a path.  pin: cores for the servers."""
    seen = {t.name: [] for t in targets}
    for target in targets:  # warm, not counted
        wrk(target.url(path), connections, 1, script, client_cores, env)
    for _ in range(bench.rounds):
        for target in targets:
            if pin:
                affinity(target.pids(), pin)
            before = target.cpu()
            load = wrk(target.url(path), connections, bench.seconds, script,
                       client_cores, env)
            after = target.cpu()
            load.cpu = {part: (after[part] - before.get(part, 0)) / 1000
                        / max(load.count, 1) for part in after}
            seen[target.name].append(load)
            if pin:
                affinity(target.pids(), range(os.cpu_count()))
    for target in targets:
        loads = seen[target.name]
        bench.add(case, "requests/s", "1/s", target.name,
                  [x.rps for x in loads])
        failed, count = (sum(getattr(x, field) for x in loads)
                         for field in ("failed", "count"))
        if failed:
            bench.note(f"{case}: {failed} of {count} requests failed at "
                       f"{target.name}")
        if failed * 100 > count:  # a refusal is quick, and no figure
            continue
        bench.add(case, "p50", "us", target.name, [x.p50 for x in loads])
        bench.add(case, "p99", "us", target.name, [x.p99 for x in loads])
        bench.add(case, "CPU per request", "us", target.name,
                  [sum(x.cpu.values()) for x in loads])
        for part in loads[-1].cpu if len(loads[-1].cpu) > 1 else ():
            bench.add(case, f"CPU per request, {part}", "us", target.name,
                      [max(x.cpu[part], 0) for x in loads])
    return seen
