#!/usr/bin/env python3
"""count_tests.py TESTLOG.json - how many tests of a `meson test` passed and
failed, each line of TAP counted by itself.

Prints "PASSED FAILED" and, on stderr, the failed ones with what they said.
"""
import json
import re
import sys


def judge(test):
    """(passed, failed) of one program."""
    out = test.get("stdout", "")
    passed = len(re.findall(r"(?m)^ok\b", out))
    failed = len(re.findall(r"(?m)^not ok\b", out))
    if passed + failed == 0:  # no TAP
        return (1, 0) if is_good(test) else (0, 1)
    if not is_good(test) and failed == 0:  # died, or ran out of time
        failed = 1
    return passed, failed


def is_good(test):
    return test["result"] in ("OK", "EXPECTEDFAIL", "SKIP")


def explain(test):
    print(f"--- {test['name']}: {test['result']}", file=sys.stderr)
    lines = test.get("stdout", "").splitlines()
    wanted, told = False, []
    for line in lines:
        if re.match(r"(not )?ok\b", line):
            wanted = line.startswith("not ok")
        if wanted:
            told.append(line)
    told = told or lines[-50:]
    told += test.get("stderr", "").splitlines()[-50:]
    print("\n".join(told[:400]), file=sys.stderr)


def main():
    passed = failed = 0
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            ok, bad = judge(test)
            passed, failed = passed + ok, failed + bad
            if bad:
                explain(test)
    print(passed, failed)


if __name__ == "__main__":
    main()
