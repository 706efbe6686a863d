/*
 * test_calls.c - the zygote's death, and the end of the server.
 *
 * Runs in: tests.
 */
#include "tests/unit/runtime/call/call_test.h"

static unsigned int ndrained;

static bool
all_done(void)
{
	return ndone == nasked;
}

static void
on_drained(void *arg)
{
	ndrained++;
}

START_TEST(calls_wait_for_the_first_zygote)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	zygote_again();
	f = deploy("f", NULL);
	a = ask(f, "ok");
	fake_turns(loop, 20);
	ck_assert_uint_eq(a->done, 0);
	ck_assert_uint_eq(fake->spawns, 0);
	zygote_hello();
	WAIT_FOR(loop, a->done > 0);
	expect_ok(a);
}
END_TEST

START_TEST(a_zygotes_death_costs_what_runs_and_nothing_that_waits)
{
	struct fn_version *f;
	struct asked *running;

	begin(2, 10);
	WAIT_FOR(loop, pool_now().ready == 2);
	f = deploy("f", NULL);
	f->manifest.max_workers = 1;
	running = ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	for (int i = 0; i < 5; i++)
		(void)ask(f, "ok");
	zygote_again();
	WAIT_FOR(loop, running->done > 0);
	expect(running, 502, RECORD_OUTCOME_CRASHED, RECORD_FAILED_POOL,
	    "zygote_died");
	ck_assert_uint_eq(ndone, 1);
	zygote_hello();
	WAIT_FOR(loop, all_done());
	for (int i = 1; i <= 5; i++)
		expect_ok(&asked[i]);
	ck_assert_uint_eq(pool_now().zygotes, 2);
}
END_TEST

START_TEST(the_next_zygote_gets_no_image_of_the_last)
{
	struct fn_version *f;

	begin(1, 10);
	WAIT_FOR(loop, pool_now().ready == 1);
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "ok"));
	ck_assert_uint_gt(stats_of(f).image_bytes, 0);
	zygote_again();
	WAIT_FOR(loop, stats_of(f).image_bytes == 0);
	WAIT_FOR(loop, pool_now().workers == 0);
	zygote_hello();
	WAIT_FOR(loop, pool_now().ready == 1);
	expect_ok(ask_wait(f, "ok"));
	ck_assert_uint_eq(fake_builds(fake), 1);
	ck_assert_uint_gt(stats_of(f).image_bytes, 0);
}
END_TEST

START_TEST(a_refused_hello_leaves_everything_waiting)
{
	struct fn_version *f;
	struct asked *a;

	begin(1, 10);
	zygote_again();
	f = deploy("f", NULL);
	a = ask(f, "ok");
	fake_hello(fake, 1);
	fake_turns(loop, 20);
	ck_assert_uint_eq(fake->spawns, 0);
	ck_assert_uint_eq(pool_generation(calls_pool(calls)), 0);
	zygote_again();
	zygote_hello();
	WAIT_FOR(loop, a->done > 0);
	expect_ok(a);
}
END_TEST

START_TEST(draining_refuses_what_is_new_and_finishes_what_runs)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	f = deploy("f", NULL);
	f->manifest.max_workers = 1;
	(void)ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	(void)ask(f, "ok");
	calls_drain(calls, 60000, on_drained, NULL);
	a = ask(f, "ok");
	expect(a, 503, RECORD_OUTCOME_REJECTED, RECORD_FAILED_GATEWAY,
	    "draining");
	ck_assert_uint_eq(ndrained, 0);
	fake_answer(fake_running(fake, "hold"));
	WAIT_FOR(loop, ndrained == 1);
	expect_ok(&asked[0]);
	expect_ok(&asked[1]);
}
END_TEST

START_TEST(nothing_is_served_that_cannot_be_recorded)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "ok"));
	ledger_behind = true;
	expect(ask(f, "ok"), 503, RECORD_OUTCOME_REJECTED,
	    RECORD_FAILED_GATEWAY, "ledger_behind");
	ledger_behind = false;
	expect_ok(ask_wait(f, "ok"));
}
END_TEST

START_TEST(an_idle_server_is_drained_at_once)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "ok"));
	calls_drain(calls, 60000, on_drained, NULL);
	ck_assert_uint_eq(ndrained, 1);
}
END_TEST

START_TEST(when_draining_takes_too_long_the_rest_is_killed_and_answered)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	f->manifest.max_workers = 1;
	for (int i = 0; i < 3; i++)
		(void)ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	calls_drain(calls, 50, on_drained, NULL);
	WAIT_FOR(loop, ndrained == 1);
	for (int i = 0; i < 3; i++)
		expect(&asked[i], 503, RECORD_OUTCOME_REJECTED,
		    RECORD_FAILED_GATEWAY, "draining");
	WAIT_FOR(loop, fake_worker(fake, 1)->killed);
	ck_assert_uint_eq(fake_invokes(fake), 1);
}
END_TEST

static void
setup(void)
{
	ndrained = 0;
	call_setup();
}

int
main(void)
{
	Suite *suite = suite_create("runtime/call/calls");
	TCase *tcase = tcase_create("calls");

	tcase_set_timeout(tcase, 110);
	tcase_add_checked_fixture(tcase, setup, call_teardown);
	tcase_add_test(tcase, calls_wait_for_the_first_zygote);
	tcase_add_test(tcase,
	    a_zygotes_death_costs_what_runs_and_nothing_that_waits);
	tcase_add_test(tcase, the_next_zygote_gets_no_image_of_the_last);
	tcase_add_test(tcase, a_refused_hello_leaves_everything_waiting);
	tcase_add_test(tcase,
	    draining_refuses_what_is_new_and_finishes_what_runs);
	tcase_add_test(tcase, nothing_is_served_that_cannot_be_recorded);
	tcase_add_test(tcase, an_idle_server_is_drained_at_once);
	tcase_add_test(tcase,
	    when_draining_takes_too_long_the_rest_is_killed_and_answered);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
