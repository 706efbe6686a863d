/*
 * test_scale.c - when another worker is worth its start.
 *
 * Runs in: tests.
 */
#include "runtime/call/scale.h"
#include "tests/unit/unit.h"

#define MS 1000u /* us */

START_TEST(the_first_request_starts_one_worker)
{
	const struct scale_facts facts = {.queued = 1, .max_workers = 16};

	ck_assert_uint_eq(scale_decide(&facts), 1);
}
END_TEST

START_TEST(two_hundred_first_requests_start_one_worker)
{
	struct scale_facts facts = {.queued = 200, .max_workers = 16};

	ck_assert_uint_eq(scale_decide(&facts), 1);
	facts.starting = 1;
	ck_assert_uint_eq(scale_decide(&facts), 0);
}
END_TEST

START_TEST(an_idle_worker_is_used_before_one_is_started)
{
	const struct scale_facts facts = {.queued = 9,
	    .idle = 1,
	    .handler_us = 50 * MS,
	    .max_workers = 16};

	ck_assert_uint_eq(scale_decide(&facts), 0);
}
END_TEST

START_TEST(short_handlers_share_a_worker)
{
	const struct scale_facts facts = {.queued = 60,
	    .busy = 1,
	    .handler_us = 20,
	    .max_workers = 16};

	ck_assert_uint_eq(scale_decide(&facts), 0);
}
END_TEST

START_TEST(long_handlers_get_a_worker_each_up_to_the_limit)
{
	struct scale_facts facts = {.queued = 5,
	    .busy = 1,
	    .handler_us = 50 * MS,
	    .max_workers = 16};

	ck_assert_uint_eq(scale_decide(&facts), 5);
	facts.max_workers = 4;
	ck_assert_uint_eq(scale_decide(&facts), 3);
	facts.max_workers = 1;
	ck_assert_uint_eq(scale_decide(&facts), 0);
}
END_TEST

START_TEST(while_the_handler_is_unknown_workers_double)
{
	struct scale_facts facts = {.queued = 50,
	    .busy = 2,
	    .waited_us = 1 * MS,
	    .max_workers = 16};

	ck_assert_uint_eq(scale_decide(&facts), 0);
	facts.waited_us = 5 * MS;
	ck_assert_uint_eq(scale_decide(&facts), 2);
}
END_TEST

START_TEST(a_wait_that_was_not_foreseen_adds_one)
{
	const struct scale_facts facts = {.queued = 1,
	    .busy = 2,
	    .handler_us = 10,
	    .waited_us = 100 * MS,
	    .max_workers = 16};

	ck_assert_uint_eq(scale_decide(&facts), 1);
}
END_TEST

START_TEST(retry_after_follows_the_queue)
{
	const struct scale_facts facts = {.queued = 100,
	    .busy = 2,
	    .handler_us = 100 * MS};

	ck_assert_uint_eq(scale_retry_after_s(&facts), 6);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/call/scale");
	TCase *tcase = tcase_create("scale");

	tcase_add_test(tcase, the_first_request_starts_one_worker);
	tcase_add_test(tcase, two_hundred_first_requests_start_one_worker);
	tcase_add_test(tcase, an_idle_worker_is_used_before_one_is_started);
	tcase_add_test(tcase, short_handlers_share_a_worker);
	tcase_add_test(tcase, long_handlers_get_a_worker_each_up_to_the_limit);
	tcase_add_test(tcase, while_the_handler_is_unknown_workers_double);
	tcase_add_test(tcase, a_wait_that_was_not_foreseen_adds_one);
	tcase_add_test(tcase, retry_after_follows_the_queue);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
