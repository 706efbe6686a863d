/*
 * scale.h - how many workers should a function have just now?
 *
 * Runs in: gateway.
 *
 * Pure: no clock, no pool.  A worker more is worth its start when those who
 * wait would otherwise wait longer than a start takes.
 */
#pragma once

#include <stdint.h>

struct scale_facts {
	uint32_t queued;   /* requests without a worker */
	uint32_t idle;	   /* workers that could take one now */
	uint32_t busy;	   /* workers that run one */
	uint32_t starting; /* workers on their way */
	uint32_t max_workers;
	uint64_t handler_us; /* what a request takes, smoothed; 0: unknown */
	uint64_t waited_us;  /* by the first in the queue */
	uint64_t start_us;   /* what a start takes, smoothed; 0: unknown */
};

/* How many workers to start now, 0 or more. */
uint32_t scale_decide(const struct scale_facts *facts);

/* When to ask again if nothing else happens; 0: no need. */
uint64_t scale_again_us(const struct scale_facts *facts);

/* Seconds after which a refused caller may find room: for Retry-After. */
uint32_t scale_retry_after_s(const struct scale_facts *facts);
