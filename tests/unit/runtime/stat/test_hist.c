/*
 * test_hist.c - buckets and quantiles.
 *
 * Runs in: tests.
 */
#include "runtime/stat/hist.h"
#include "tests/unit/unit.h"

START_TEST(an_empty_histogram_has_no_quantiles)
{
	struct hist hist = {0};

	ck_assert_uint_eq(hist_quantile(&hist, 0.5), 0);
	ck_assert_uint_eq(hist_below(&hist, 26), 0);
}
END_TEST

START_TEST(small_values_are_exact)
{
	struct hist hist = {0};

	for (uint64_t us = 0; us < 4; us++)
		hist_add(&hist, us);
	ck_assert_uint_eq(hist_quantile(&hist, 0.0), 0);
	ck_assert_uint_eq(hist_quantile(&hist, 0.5), 2);
	ck_assert_uint_eq(hist_quantile(&hist, 1.0), 3);
}
END_TEST

START_TEST(quantiles_are_off_by_an_eighth_at_most)
{
	static const double qs[] = {0.01, 0.5, 0.9, 0.99, 0.999};
	struct hist hist = {0};

	for (uint64_t us = 1; us <= 100000; us++)
		hist_add(&hist, us * 7);
	for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
		double want = qs[i] * 700000;
		double got = (double)hist_quantile(&hist, qs[i]);

		ck_assert_double_ge(got, want * 0.875);
		ck_assert_double_le(got, want * 1.125);
	}
	ck_assert_uint_eq(hist_quantile(&hist, 1.0), 700000);
}
END_TEST

START_TEST(one_value_is_every_quantile)
{
	struct hist hist = {0};

	hist_add(&hist, 1000);
	ck_assert_uint_le(hist_quantile(&hist, 0.5), 1000);
	ck_assert_uint_ge(hist_quantile(&hist, 0.5), 875);
	ck_assert_uint_eq(hist_quantile(&hist, 2.0), 1000);
}
END_TEST

START_TEST(a_huge_value_counts_in_the_last_bucket)
{
	struct hist hist = {0};

	hist_add(&hist, UINT64_MAX);
	hist_add(&hist, 5);
	ck_assert_uint_eq(hist.buckets[HIST_BUCKETS - 1], 1);
	ck_assert_uint_eq(hist.max, UINT64_MAX);
	ck_assert_uint_eq(hist_quantile(&hist, 1.0), UINT64_MAX);
}
END_TEST

START_TEST(below_counts_what_is_below_a_power_of_two)
{
	struct hist hist = {0};

	hist_add(&hist, 15);
	hist_add(&hist, 16);
	hist_add(&hist, 63);
	hist_add(&hist, 64);
	ck_assert_uint_eq(hist_below(&hist, 2), 0);
	ck_assert_uint_eq(hist_below(&hist, 4), 1);
	ck_assert_uint_eq(hist_below(&hist, 6), 3);
	ck_assert_uint_eq(hist_below(&hist, 40), 4);
}
END_TEST

START_TEST(merging_adds_everything)
{
	struct hist a = {0};
	struct hist b = {0};

	hist_add(&a, 10);
	hist_add(&b, 1000);
	hist_add(&b, 1000);
	hist_merge(&a, &b);
	ck_assert_uint_eq(a.count, 3);
	ck_assert_uint_eq(a.sum, 2010);
	ck_assert_uint_eq(a.max, 1000);
	ck_assert_uint_ge(hist_quantile(&a, 0.9), 875);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/stat/hist");
	TCase *tcase = tcase_create("hist");

	tcase_add_test(tcase, an_empty_histogram_has_no_quantiles);
	tcase_add_test(tcase, small_values_are_exact);
	tcase_add_test(tcase, quantiles_are_off_by_an_eighth_at_most);
	tcase_add_test(tcase, one_value_is_every_quantile);
	tcase_add_test(tcase, a_huge_value_counts_in_the_last_bucket);
	tcase_add_test(tcase, below_counts_what_is_below_a_power_of_two);
	tcase_add_test(tcase, merging_adds_everything);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
