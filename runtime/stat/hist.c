/*
 * hist.c - see hist.h.
 *
 * Runs in: gateway, cli.
 */
#include "runtime/stat/hist.h"

/*
 * Values 0 to 3 have a bucket each; from 4 up the bucket is the octave and the
 * two bits after the leading one.
 */
static unsigned int
bucket_of(uint64_t us)
{
	unsigned int octave;
	unsigned int bucket;

	if (us < 4)
		return (unsigned int)us;
	octave = 63u - (unsigned int)__builtin_clzll(us);
	bucket = 4 + (octave - 2) * 4 + (unsigned int)(us >> (octave - 2)) % 4;
	return bucket < HIST_BUCKETS ? bucket : HIST_BUCKETS - 1;
}

static uint64_t
bucket_low(unsigned int bucket)
{
	if (bucket < 4)
		return bucket;
	return (uint64_t)(4 + bucket % 4) << ((bucket - 4) / 4);
}

void
hist_add(struct hist *hist, uint64_t us)
{
	hist->count++;
	hist->sum += us;
	if (us > hist->max)
		hist->max = us;
	hist->buckets[bucket_of(us)]++;
}

void
hist_merge(struct hist *hist, const struct hist *from)
{
	hist->count += from->count;
	hist->sum += from->sum;
	if (from->max > hist->max)
		hist->max = from->max;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		hist->buckets[i] += from->buckets[i];
}

/* The value at this rank (0 = lowest) inside the bucket, values being taken
 * as spread evenly over it. */
static uint64_t
interpolate(const struct hist *hist, unsigned int bucket, uint64_t rank)
{
	uint64_t low = bucket_low(bucket);
	uint64_t high =
	    bucket + 1 < HIST_BUCKETS ? bucket_low(bucket + 1) : hist->max;
	double part = ((double)rank + 0.5) / (double)hist->buckets[bucket];
	uint64_t us;

	if (high < low)
		high = low;
	us = low + (uint64_t)((double)(high - low) * part);
	return us < hist->max ? us : hist->max;
}

uint64_t
hist_quantile(const struct hist *hist, double q)
{
	uint64_t rank;

	if (hist->count == 0)
		return 0;
	if (!(q > 0.0))
		q = 0.0;
	if (q >= 1.0)
		return hist->max;
	rank = (uint64_t)(q * (double)hist->count);
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		if (rank < hist->buckets[i])
			return interpolate(hist, i, rank);
		rank -= hist->buckets[i];
	}
	return hist->max;
}

uint64_t
hist_below(const struct hist *hist, unsigned int log2_us)
{
	unsigned int end = 4 + (log2_us - 2) * 4;
	uint64_t n = 0;

	for (unsigned int i = 0; i < end && i < HIST_BUCKETS; i++)
		n += hist->buckets[i];
	return n;
}
