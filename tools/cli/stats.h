/*
 * stats.h - percentiles and histograms of a series of measurements.
 *
 * Runs in: cli.
 * Owns:    nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define STATS_BINS_MAX 16

struct stats {
	uint64_t count;
	uint64_t p50, p90, p99, max; /* 0 when count is 0 */
};

/* Sort the values (in place), ascending. */
void stats_sort(uint64_t *values, size_t n);

/*
 * The smallest value that at least `percent` of all are not above (nearest
 * rank).  sorted ascending; n > 0; percent 1..100.
 */
uint64_t stats_percentile(const uint64_t *sorted, size_t n,
    unsigned int percent);

struct stats stats_of(const uint64_t *sorted, size_t n);

struct stats_bin {
	uint64_t from; /* inclusive */
	uint64_t to;   /* exclusive; UINT64_MAX: open */
	size_t count;
};

/*
 * Bins of equal, round width (1, 2 or 5 times a power of ten) from below the
 * smallest value to above the 98th percentile; the last bin is open and holds
 * the tail.  Returns how many bins there are, at most STATS_BINS_MAX; 0 when
 * n is 0.
 */
size_t stats_histogram(const uint64_t *sorted, size_t n,
    struct stats_bin bins_out[STATS_BINS_MAX]);
