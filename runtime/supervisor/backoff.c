/*
 * backoff.c - see backoff.h.
 *
 * Runs in: supervisor.
 */
#include "runtime/supervisor/backoff.h"

uint64_t
backoff_wait_us(struct backoff *backoff, uint64_t lived_us)
{
	uint64_t wait_us = backoff->next_us;

	if (lived_us > BACKOFF_STEADY_US || wait_us == 0) {
		backoff->next_us = BACKOFF_FIRST_US;
		return 0;
	}
	backoff->next_us =
	    wait_us * 2 > BACKOFF_MAX_US ? BACKOFF_MAX_US : wait_us * 2;
	return wait_us;
}
