/*
 * human.h - times, durations and sizes as people write and read them.
 *
 * Runs in: cli.
 * Owns:    nothing.
 *
 * The functions that return text fill the small struct given by value, so
 * that they can stand in an argument list.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct human {
	char text[48];
};

struct human human_us(uint64_t us);	     /* "12 µs", "3.40 ms", "1.20 s" */
struct human human_ms(uint64_t ms);	     /* "12 ms", "1.20 s", "3m 20s" */
struct human human_bytes(uint64_t bytes);    /* "12 B", "3.4 KiB" */
struct human human_age(uint64_t ms);	     /* "12s", "3m 20s", "2d 4h" */
struct human human_count(uint64_t n);	     /* "12,345" */
struct human human_time(int64_t wall_ms);    /* "2026-11-23 10:00:00", local */
struct human human_time_ms(int64_t wall_ms); /* with ".123" */

/* "2026-11-23T10:00:00.123Z" (RFC 3339, UTC); false when it is not that. */
bool human_parse_iso(const char *text, int64_t *wall_ms_out);

/*
 * A point in time as a person gives it: "90s", "30m", "1h", "2d", "1w" (so
 * long before now), "today", "yesterday", "2026-11-01", "2026-11-01T12:30",
 * "2026-11-01 12:30:15" (local), with a final Z in UTC.
 */
bool human_parse_since(const char *text, int64_t now_ms, int64_t *wall_ms_out);
