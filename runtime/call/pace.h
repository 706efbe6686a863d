/*
 * pace.h - what the calls of a function take, and so how many of them one
 * worker may be given at once.
 *
 * Runs in: gateway.
 *
 * Pure: no clock, no pool.  CPU is counted, not the clock, where the load of
 * neighbours must not matter.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pace {
	uint64_t handler_us; /* by the clock, smoothed; 0: unknown */
	uint64_t work_ns;    /* CPU, smoothed */
	uint32_t slow_share; /* of calls that were not quick, of 2^24 */
	uint32_t calls;	     /* learnt from, up to as many as make it known */
	uint32_t asking;     /* counts down from the last question */
};

/* A call that ran to its end took this. */
void pace_learn(struct pace *pace, uint64_t handler_us, uint64_t cpu_us);

/* A call asked something of the gateway. */
void pace_asked(struct pace *pace);

/* Are there enough calls to go by? */
bool pace_known(const struct pace *pace);

/*
 * How many calls one worker may have: as many as it will have done in a
 * millisecond; 1 while that is unknown, or where calls ask, or where one in a
 * thousand or more is slow.
 */
uint32_t pace_depth(const struct pace *pace);

/* Is a wait behind so many calls shorter than waking another worker takes? */
bool pace_short_wait(const struct pace *pace, uint32_t ncalls);
