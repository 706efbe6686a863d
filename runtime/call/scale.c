/*
 * scale.c - see scale.h.
 *
 * Runs in: gateway.
 *
 * With the handler's time known, the wait of the last in the queue is
 * queued * handler / workers, and workers are added until it is below
 * TARGET_US or there is one for each request.  While it is unknown, the first
 * worker is given some time to show it, and then their number doubles.
 */
#include "runtime/call/scale.h"

#define TARGET_US   2000 /* a wait that is not worth a start */
#define PATIENCE_US 3000 /* with the first answer of a function */
#define TICK_US	    2000

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* How many there should be, counting all there are. */
static uint32_t
wanted(const struct scale_facts *f)
{
	uint32_t there = f->busy + f->starting;
	uint64_t target = f->start_us > TARGET_US ? f->start_us : TARGET_US;
	uint64_t by_wait;

	if (there == 0)
		return 1;
	if (f->handler_us == 0) {
		if (f->waited_us < PATIENCE_US || f->starting > 0)
			return there;
		return there * 2;
	}
	by_wait = (f->queued * f->handler_us + target - 1) / target;
	if (f->waited_us > 2 * target && by_wait <= there && f->starting == 0)
		by_wait = (uint64_t)there + 1; /* the estimate was too good */
	return by_wait < there
	    ? there
	    : (uint32_t)(by_wait > 100000 ? 100000 : by_wait);
}

uint32_t
scale_decide(const struct scale_facts *f)
{
	uint32_t there = f->busy + f->starting + f->idle;
	uint32_t want;

	if (f->queued == 0 || f->idle > 0 || f->starting >= f->queued)
		return 0;
	want = least(wanted(f), f->busy + f->queued);
	want = least(want, f->max_workers);
	return want > there ? want - there : 0;
}

uint64_t
scale_again_us(const struct scale_facts *f)
{
	return f->queued > 0 && f->busy + f->starting < f->max_workers ? TICK_US
								       : 0;
}

uint32_t
scale_retry_after_s(const struct scale_facts *f)
{
	uint32_t workers = f->busy + f->idle > 0 ? f->busy + f->idle : 1;
	uint64_t us = f->queued * f->handler_us / workers;
	uint64_t s = us / 1000000 + 1;

	return s > 60 ? 60 : (uint32_t)s;
}
