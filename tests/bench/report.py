"""report.py - the figures as a table, as JSON, and in the documentation."""
import datetime
import json
import os
import platform
import re
import shutil
import subprocess

import core

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"
MORE_IS_BETTER = {"1/s"}


def number(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def first_line(*command):
    if not shutil.which(command[0]):
        return "not there"
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    return ((done.stdout + done.stderr).splitlines() or ["?"])[0]


def machine():
    text = open("/proc/cpuinfo").read()
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.M)
    with open("/proc/loadavg") as file:
        load = file.read().split()[0]
    return {"date": datetime.datetime.now(datetime.timezone.utc)
            .strftime("%Y-%m-%d %H:%M UTC"),
            "cpu": model[1] if model else platform.machine(),
            "cores": os.cpu_count(), "kernel": platform.release(),
            "load": load,
            "commit": first_line("git", "-C", str(core.ROOT), "rev-parse",
                                 "--short", "HEAD"),
            "perilune": first_line(str(core.BUILD / "perilune"), "version"),
            "lua": first_line("lua5.4", "-v"), "wrk": first_line("wrk", "-v")}


def ratios(rows):
    """Each row with `ratio`: ours divided by it."""
    ours = {(r["case"], r["figure"]): r["median"] for r in rows
            if r["who"] == core.OURS}
    for row in rows:
        mine = ours.get((row["case"], row["figure"]))
        row["ratio"] = None
        if mine is not None and row["who"] != core.OURS and row["median"]:
            row["ratio"] = mine / row["median"]
    return rows


def beaten(rows):
    """Sentences that say where somebody else is better than we are."""
    found = []
    for row in rows:
        if row["ratio"] is None or row["who"].startswith("floor") \
                or 0.95 < row["ratio"] < 1.05:  # less than the noise
            continue
        more = row["unit"] in MORE_IS_BETTER
        if (row["ratio"] < 1) if more else (row["ratio"] > 1):
            times = 1 / row["ratio"] if more else row["ratio"]
            found.append(f"{row['case']}, {row['figure']}: {row['who']} is "
                         f"better by {times:.2f} times")
    return found


def cells(row):
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    return [row["case"], row["figure"], row["unit"], row["who"],
            number(row["median"]),
            f"{number(row['min'])}..{number(row['max'])}", ratio]


HEAD = ["case", "figure", "unit", "who", "median", "min..max", "ours/it"]


def in_order(rows):
    """Those who are compared stand below each other."""
    order = {}
    for row in rows:
        order.setdefault(row["case"], len(order))
    figures = {}
    for row in rows:
        figures.setdefault((row["case"], row["figure"]), len(figures))
    return sorted(rows, key=lambda r: (order[r["case"]],
                                       figures[r["case"], r["figure"]]))


def table(rows):
    lines = [HEAD] + [cells(r) for r in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    return "\n".join("  ".join(
        c.ljust(w) if i < 4 else c.rjust(w)
        for i, (c, w) in enumerate(zip(line, widths))).rstrip()
        for line in lines)


def markdown(bench, rows):
    m = machine()
    lines = [f"{m['date']}, commit `{m['commit']}`"
             f"{', --quick' if bench.quick else ''}: {m['cores']} x {m['cpu']}"
             f", Linux {m['kernel']}, load {m['load']} at the end; "
             f"{m['perilune']}; {m['lua'].split('  ')[0]}; "
             f"{m['wrk'].split(' [')[0]}. Median of {bench.rounds} rounds "
             f"of {bench.seconds} s where wrk measures.", "",
             "| " + " | ".join(HEAD) + " |",
             "|---|---|---|---|--:|--:|--:|"]
    lines += ["| " + " | ".join(cells(r)) + " |" for r in rows]
    worse = beaten(rows)
    lines += ["", "Where somebody else is better by 5 % or more:" if worse else
              "Nobody that was measured in this run was better by 5 % or more."]
    lines += ([""] + [f"- {text}" for text in worse]) if worse else []
    if bench.notes:
        lines += ["", "Notes of this run:", ""]
        lines += [f"- {text}" for text in bench.notes]
    return "\n".join(lines)


def write(bench, rows):
    text = f"{BEGIN}\n{markdown(bench, rows)}\n{END}"
    for path in (core.HERE / "README.md", core.ROOT / "docs/performance.md"):
        old = path.read_text()
        new = re.sub(re.escape(BEGIN) + ".*" + re.escape(END),
                     lambda _: text, old, flags=re.S)
        path.write_text(new)


def as_json(bench, rows):
    return json.dumps({"machine": machine(), "quick": bench.quick,
                       "rounds": bench.rounds, "rows": rows,
                       "beaten": beaten(rows), "notes": bench.notes}, indent=1)
