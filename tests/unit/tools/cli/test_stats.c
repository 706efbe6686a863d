/*
 * test_stats.c - percentiles by nearest rank, bins of round width.
 *
 * Runs in: tests.
 */
#include "tools/cli/stats.h"

#include "tests/unit/unit.h"

START_TEST(percentiles_are_values_that_were_measured)
{
	uint64_t values[100];
	struct stats stats;

	for (size_t i = 0; i < 100; i++)
		values[i] = 100 - i;
	stats_sort(values, 100);
	stats = stats_of(values, 100);
	ck_assert_uint_eq(stats.count, 100);
	ck_assert_uint_eq(stats.p50, 50);
	ck_assert_uint_eq(stats.p90, 90);
	ck_assert_uint_eq(stats.p99, 99);
	ck_assert_uint_eq(stats.max, 100);
}
END_TEST

START_TEST(few_values_round_the_rank_up)
{
	const uint64_t one[] = {7};
	const uint64_t five[] = {1, 2, 3, 4, 500};

	ck_assert_uint_eq(stats_percentile(one, 1, 1), 7);
	ck_assert_uint_eq(stats_percentile(one, 1, 100), 7);
	ck_assert_uint_eq(stats_percentile(five, 5, 50), 3);
	ck_assert_uint_eq(stats_percentile(five, 5, 80), 4);
	ck_assert_uint_eq(stats_percentile(five, 5, 81), 500);
	ck_assert_uint_eq(stats_of(five, 0).max, 0);
}
END_TEST

static size_t
sum(const struct stats_bin *bins, size_t n)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += bins[i].count;
	return total;
}

START_TEST(bins_are_round_and_the_last_holds_the_tail)
{
	struct stats_bin bins[STATS_BINS_MAX];
	uint64_t values[100];
	size_t n;

	for (size_t i = 0; i < 99; i++)
		values[i] = 150 + i;
	values[99] = 90000;
	n = stats_histogram(values, 100, bins);
	ck_assert_uint_eq(bins[0].from, 150);
	ck_assert_uint_eq(bins[0].to, 160);
	ck_assert_uint_eq(bins[0].count, 10);
	ck_assert_uint_eq(bins[n - 1].to, UINT64_MAX);
	ck_assert_uint_eq(bins[n - 1].from, 250);
	ck_assert_uint_eq(bins[n - 1].count, 1);
	ck_assert_uint_eq(sum(bins, n), 100);
}
END_TEST

START_TEST(every_series_fits_the_bins)
{
	struct stats_bin bins[STATS_BINS_MAX];
	uint64_t values[64] = {0};
	size_t n;

	ck_assert_uint_eq(stats_histogram(values, 0, bins), 0);
	for (unsigned int shift = 0; shift < 64; shift++) {
		for (size_t i = 0; i < 64; i++)
			values[i] = ((uint64_t)1 << shift) - 1 + i * shift;
		n = stats_histogram(values, 64, bins);
		ck_assert_uint_le(n, STATS_BINS_MAX);
		ck_assert_uint_eq(sum(bins, n), 64);
	}
	for (size_t i = 0; i < 64; i++)
		values[i] = i < 60 ? 0 : UINT64_MAX;
	n = stats_histogram(values, 64, bins);
	ck_assert_uint_eq(sum(bins, n), 64);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tools/cli/stats");
	TCase *tcase = tcase_create("stats");

	tcase_add_test(tcase, percentiles_are_values_that_were_measured);
	tcase_add_test(tcase, few_values_round_the_rank_up);
	tcase_add_test(tcase, bins_are_round_and_the_last_holds_the_tail);
	tcase_add_test(tcase, every_series_fits_the_bins);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
