/*
 * reqid.c - see reqid.h.
 *
 * Runs in: gateway, cli.
 */
#include "runtime/stat/reqid.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TIME_CHARS   9
#define COUNT_CHARS  5
#define RANDOM_CHARS 12
#define COUNT_MAX    60466175u /* 36^5 - 1 */

_Static_assert(TIME_CHARS + COUNT_CHARS + RANDOM_CHARS == REQID_CHARS,
    "the parts make the id");

static void
put36(char *dst, size_t chars, uint64_t value)
{
	while (chars > 0) {
		dst[--chars] =
		    "0123456789abcdefghijklmnopqrstuvwxyz"[value % 36];
		value /= 36;
	}
}

/* SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", OOPSLA 2014. */
static uint64_t
next_random(struct reqid_source *source)
{
	uint64_t z = source->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void
set_time(struct reqid_source *source, int64_t ms)
{
	source->last_ms = ms;
	source->count = 0;
	put36(source->time, TIME_CHARS, (uint64_t)ms);
}

void
reqid_init(struct reqid_source *source)
{
	*source = (struct reqid_source){0};
	set_time(source, 0);
	if (getrandom(&source->random, sizeof(source->random), 0) !=
	    (ssize_t)sizeof(source->random))
		abort();
}

void
reqid_make(struct reqid_source *source, int64_t wall_ms,
    char id_out[REQID_CHARS + 1])
{
	if (wall_ms > source->last_ms)
		set_time(source, wall_ms);
	else if (++source->count > COUNT_MAX)
		set_time(source, source->last_ms + 1);
	memcpy(id_out, source->time, TIME_CHARS);
	put36(id_out + TIME_CHARS, COUNT_CHARS, source->count);
	put36(id_out + TIME_CHARS + COUNT_CHARS, RANDOM_CHARS,
	    next_random(source) >> 2);
	id_out[REQID_CHARS] = '\0';
}
