/*
 * clock.h - what time it is, outside the jail.
 *
 * Runs in: supervisor, gateway, cli, tests.  Never in a worker: its clock is
 * what the gateway last told it.
 */
#pragma once

#include <stdint.h>
#include <time.h>

/* Monotonic microseconds: for durations and deadlines. */
static inline uint64_t
clock_mono_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* Milliseconds since 1970, UTC: for people and records. */
static inline int64_t
clock_wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
