/*
 * reqid.h - request ids: unique, and in order of time.
 *
 * Runs in: gateway, cli.
 * Owns:    nothing.
 *
 *	0mbq3k7h2  00004  k2z9q0v7m1x3
 *	time, ms   count  random
 *
 * Base 36, so that comparing two ids as text compares when they were made: the
 * milliseconds since 1970, a counter within the millisecond, and 62 random
 * bits that keep apart what two machines make.  They are no secret: whoever
 * sees some can guess others.
 */
#pragma once

#include <stdint.h>

#define REQID_CHARS 26

struct reqid_source {
	uint64_t random; /* state of the generator */
	int64_t last_ms;
	uint32_t count; /* made in last_ms */
	char time[9];	/* last_ms, in base 36 */
};

/* Seeded by the kernel. */
void reqid_init(struct reqid_source *source);

/* The next id, NUL-terminated.  A clock that goes back does not make ids go
 * back. */
void reqid_make(struct reqid_source *source, int64_t wall_ms,
    char id_out[REQID_CHARS + 1]);
