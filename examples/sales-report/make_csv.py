#!/usr/bin/env python3
"""make_csv.py [ROWS [FILE]] - a year of sales, the same every time.

40,000 rows by default, to FILE or stdout.  Some product names hold commas and
quotes, as real ones do, and three rows are broken, as real ones are.
"""
import csv
import datetime
import sys

REGIONS = ["north", "south", "east", "west"]
PRODUCTS = [("Lamp", 2990), ("Chair, oak", 12900), ('Screen 24"', 18950),
            ("Desk", 34900), ("Cable", 495), ("Notebook, A5, ruled", 349)]
BROKEN = {1000: ["2025-01-10", "north", "Lamp", "two", "29.90"],
          20000: ["2025-06-31?", "south", "Desk", "1", "349.00"],
          30000: ["2025-10-02", "east"]}


def numbers(state=2025):
    """A linear congruential generator: the same on every machine."""
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


def rows(count):
    draw = numbers()
    first = datetime.date(2025, 1, 1)
    for i in range(count):
        day = first + datetime.timedelta(days=i * 365 // count)
        name, cents = PRODUCTS[next(draw) % len(PRODUCTS)]
        yield BROKEN.get(i, [
            day.isoformat(), REGIONS[next(draw) % len(REGIONS)], name,
            str(1 + next(draw) % 5), f"{cents // 100}.{cents % 100:02}"])


def write(out, count=40000):
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["date", "region", "product", "quantity", "unit_price"])
    writer.writerows(rows(count))


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40000
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w", newline="") as file:
            write(file, count)
    else:
        write(sys.stdout, count)
