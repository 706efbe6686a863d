/*
 * stats.c - see stats.h.
 *
 * Runs in: cli.
 */
#include "tools/cli/stats.h"

#include <assert.h>
#include <stdlib.h>

#define BINS_WANTED 12 /* before the open one */

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void
stats_sort(uint64_t *values, size_t n)
{
	if (n > 1)
		qsort(values, n, sizeof(*values), compare);
}

uint64_t
stats_percentile(const uint64_t *sorted, size_t n, unsigned int percent)
{
	assert(n > 0 && percent >= 1 && percent <= 100);
	return sorted[(n * percent + 99) / 100 - 1];
}

struct stats
stats_of(const uint64_t *sorted, size_t n)
{
	if (n == 0)
		return (struct stats){0};
	return (struct stats){
	    .count = n,
	    .p50 = stats_percentile(sorted, n, 50),
	    .p90 = stats_percentile(sorted, n, 90),
	    .p99 = stats_percentile(sorted, n, 99),
	    .max = sorted[n - 1],
	};
}

/* The smallest of 1, 2, 5, 10, 20, 50, ... that is at least `least`. */
static uint64_t
round_step(uint64_t least)
{
	uint64_t power = 1;

	while (power <= UINT64_MAX / 100) {
		if (power >= least)
			return power;
		if (power * 2 >= least)
			return power * 2;
		if (power * 5 >= least)
			return power * 5;
		power *= 10;
	}
	return least;
}

size_t
stats_histogram(const uint64_t *sorted, size_t n,
    struct stats_bin bins_out[STATS_BINS_MAX])
{
	size_t bins = 0;
	size_t seen = 0;
	uint64_t step, from, high;

	if (n == 0)
		return 0;
	high = stats_percentile(sorted, n, 98);
	step = round_step((high - sorted[0]) / BINS_WANTED + 1);
	from = sorted[0] / step * step;
	while (seen < n) {
		struct stats_bin *bin = &bins_out[bins++];

		/* Past the 98th percentile, or out of room: the tail. */
		*bin = (struct stats_bin){from, from + step, 0};
		if (from > high || bins == STATS_BINS_MAX ||
		    from > UINT64_MAX - step)
			bin->to = UINT64_MAX;
		while (seen < n &&
		    (sorted[seen] < bin->to || bin->to == UINT64_MAX)) {
			seen++;
			bin->count++;
		}
		from += step;
	}
	return bins;
}
