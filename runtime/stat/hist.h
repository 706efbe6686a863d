/*
 * hist.h - how long things took: a histogram of microseconds.
 *
 * Runs in: gateway, cli.
 * Owns:    nothing; fixed size (under 1 KB), no pointers, starts as {0}.
 *
 * Buckets are a quarter of an octave wide (as in HdrHistogram, two bits of
 * mantissa), so that a quantile is off by an eighth at most, from 1 us to four
 * minutes; what is longer counts in the last bucket.  Adding is O(1).
 */
#pragma once

#include <stdint.h>

#define HIST_BUCKETS 108

struct hist {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint64_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *hist, uint64_t us);

/* Add all that is in from. */
void hist_merge(struct hist *hist, const struct hist *from);

/*
 * The value below which the fraction q (0.0 to 1.0) of the values lies, in
 * microseconds: interpolated in its bucket, never above max.  0 when empty.
 */
uint64_t hist_quantile(const struct hist *hist, double q);

/* How many values were below 2^log2_us microseconds; log2_us from 2 up. */
uint64_t hist_below(const struct hist *hist, unsigned int log2_us);
