/*
 * test_pace.c - how many calls a worker may be given at once.
 *
 * Runs in: tests.
 */
#include "runtime/call/pace.h"
#include "tests/unit/unit.h"

static struct pace
after(int calls, uint64_t cpu_us)
{
	struct pace pace = {0};

	for (int i = 0; i < calls; i++)
		pace_learn(&pace, cpu_us, cpu_us);
	return pace;
}

START_TEST(one_at_a_time_until_it_is_known)
{
	struct pace pace = after(7, 10);

	ck_assert(!pace_known(&pace));
	ck_assert_uint_eq(pace_depth(&pace), 1);
	pace_learn(&pace, 10, 10);
	ck_assert(pace_known(&pace));
	ck_assert_uint_gt(pace_depth(&pace), 1);
}
END_TEST

START_TEST(a_millisecond_of_work_and_no_more_than_64)
{
	struct pace pace = after(100, 100);

	ck_assert_uint_ge(pace_depth(&pace), 10);
	ck_assert_uint_le(pace_depth(&pace), 11);
	pace = after(100, 1);
	ck_assert_uint_eq(pace_depth(&pace), 64);
}
END_TEST

START_TEST(slow_calls_have_a_worker_each)
{
	struct pace pace = after(100, 50000);

	ck_assert_uint_eq(pace_depth(&pace), 1);
}
END_TEST

START_TEST(one_slow_call_in_many_is_forgiven_and_one_in_a_hundred_is_not)
{
	struct pace pace = after(1000, 10);

	pace_learn(&pace, 50000, 50000);
	for (int i = 0; i < 100; i++)
		pace_learn(&pace, 10, 10);
	ck_assert_uint_gt(pace_depth(&pace), 1);
	for (int i = 0; i < 2000; i++)
		pace_learn(&pace, 10, i % 100 == 0 ? 50000 : 10);
	ck_assert_uint_eq(pace_depth(&pace), 1);
	for (int i = 0; i < 20000; i++) /* and it is not for ever */
		pace_learn(&pace, 10, 10);
	ck_assert_uint_gt(pace_depth(&pace), 1);
}
END_TEST

START_TEST(a_question_is_remembered_for_a_thousand_calls)
{
	struct pace pace = after(100, 10);

	pace_asked(&pace);
	for (int i = 0; i < 999; i++)
		pace_learn(&pace, 10, 10);
	ck_assert_uint_eq(pace_depth(&pace), 1);
	pace_learn(&pace, 10, 10);
	ck_assert_uint_gt(pace_depth(&pace), 1);
}
END_TEST

START_TEST(a_wait_of_30_us_is_short)
{
	struct pace pace = after(100, 10);

	ck_assert(pace_short_wait(&pace, 2));
	ck_assert(!pace_short_wait(&pace, 4));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/call/pace");
	TCase *tcase = tcase_create("pace");

	tcase_add_test(tcase, one_at_a_time_until_it_is_known);
	tcase_add_test(tcase, a_millisecond_of_work_and_no_more_than_64);
	tcase_add_test(tcase, slow_calls_have_a_worker_each);
	tcase_add_test(tcase,
	    one_slow_call_in_many_is_forgiven_and_one_in_a_hundred_is_not);
	tcase_add_test(tcase, a_question_is_remembered_for_a_thousand_calls);
	tcase_add_test(tcase, a_wait_of_30_us_is_short);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
