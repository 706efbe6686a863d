/*
 * test_backoff.c - restarts come at once, then later and later, and a healthy
 * time is rewarded.
 *
 * Runs in: tests.
 */
#include "runtime/supervisor/backoff.h"
#include "tests/unit/unit.h"

START_TEST(the_first_restart_is_at_once)
{
	struct backoff b = {0};

	ck_assert_uint_eq(backoff_wait_us(&b, 0), 0);
}
END_TEST

START_TEST(each_further_one_waits_twice_as_long_up_to_a_limit)
{
	struct backoff b = {0};
	uint64_t want_us = BACKOFF_FIRST_US;

	(void)backoff_wait_us(&b, 1000);
	for (int i = 0; i < 20; i++) {
		ck_assert_uint_eq(backoff_wait_us(&b, 1000), want_us);
		want_us *= 2;
		if (want_us > BACKOFF_MAX_US)
			want_us = BACKOFF_MAX_US;
	}
	ck_assert_uint_eq(want_us, BACKOFF_MAX_US);
}
END_TEST

START_TEST(a_healthy_time_is_a_new_beginning)
{
	struct backoff b = {0};

	for (int i = 0; i < 20; i++)
		(void)backoff_wait_us(&b, 0);
	ck_assert_uint_eq(backoff_wait_us(&b, BACKOFF_STEADY_US),
	    BACKOFF_MAX_US);
	ck_assert_uint_eq(backoff_wait_us(&b, BACKOFF_STEADY_US + 1), 0);
	ck_assert_uint_eq(backoff_wait_us(&b, 0), BACKOFF_FIRST_US);
	ck_assert_uint_eq(backoff_wait_us(&b, UINT64_MAX), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/supervisor/backoff");
	TCase *tcase = tcase_create("backoff");

	tcase_add_test(tcase, the_first_restart_is_at_once);
	tcase_add_test(tcase,
	    each_further_one_waits_twice_as_long_up_to_a_limit);
	tcase_add_test(tcase, a_healthy_time_is_a_new_beginning);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
