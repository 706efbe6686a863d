/*
 * backoff.h - how long to wait before a process that ended is started again.
 *
 * Runs in: supervisor.
 * Owns:    nothing.
 *
 * A process that lived for a while is started again at once; so is one that
 * ends for the first time.  One that ends soon after each start waits longer
 * and longer, so that a fault that does not pass costs no CPU.
 */
#pragma once

#include <stdint.h>

#define BACKOFF_FIRST_US  50000
#define BACKOFF_MAX_US	  5000000
#define BACKOFF_STEADY_US 10000000 /* alive so long: all is forgiven */

struct backoff {
	uint64_t next_us; /* 0: it has not ended yet */
};

/* It ended, or did not start, after so long a life: wait so long. */
uint64_t backoff_wait_us(struct backoff *backoff, uint64_t lived_us);
