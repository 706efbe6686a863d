/*
 * pace.c - see pace.h.
 *
 * Runs in: gateway.
 */
#include "runtime/call/pace.h"

#define KNOWN_CALLS 8
#define QUICK_US    500	 /* CPU of a call that may share a worker */
#define ASK_MEMORY  1000 /* calls for which a question is remembered */
#define SHARE_ONE   (1u << 24)
#define SLOW_MEMORY 4096 /* calls over which the share of slow ones is taken */
#define SLOW_SHARE  (SHARE_ONE / 1000)
#define AHEAD_NS    1000000 /* of work that a worker is given at once */
#define DEPTH_MAX   64
#define WAKE_NS	    30000 /* what it takes to wake an idle worker */

static uint64_t
smooth(uint64_t before, uint64_t now)
{
	return before == 0 ? now : (before * 7 + now + 4) / 8;
}

void
pace_learn(struct pace *pace, uint64_t handler_us, uint64_t cpu_us)
{
	pace->handler_us = smooth(pace->handler_us, handler_us + 1);
	pace->work_ns = smooth(pace->work_ns, cpu_us * 1000 + 1);
	pace->slow_share -= pace->slow_share / SLOW_MEMORY;
	if (cpu_us > QUICK_US)
		pace->slow_share += SHARE_ONE / SLOW_MEMORY;
	if (pace->calls < KNOWN_CALLS)
		pace->calls++;
	if (pace->asking > 0)
		pace->asking--;
}

void
pace_asked(struct pace *pace)
{
	pace->asking = ASK_MEMORY;
}

bool
pace_known(const struct pace *pace)
{
	return pace->calls >= KNOWN_CALLS;
}

uint32_t
pace_depth(const struct pace *pace)
{
	uint64_t n;

	if (!pace_known(pace) || pace->asking > 0 ||
	    pace->slow_share > SLOW_SHARE)
		return 1;
	n = AHEAD_NS / (pace->work_ns + 1) + 1;
	return n < DEPTH_MAX ? (uint32_t)n : DEPTH_MAX;
}

bool
pace_short_wait(const struct pace *pace, uint32_t ncalls)
{
	return ncalls * pace->work_ns < WAKE_NS;
}
