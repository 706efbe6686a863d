/*
 * test_function.c - the queue of a function and its workers.
 *
 * Runs in: tests.
 */
#include "tests/unit/runtime/call/call_test.h"

#define MANY 200

static bool
all_done(void)
{
	return ndone == nasked;
}

/* --- starting ------------------------------------------------------------ */

START_TEST(two_hundred_first_calls_start_one_worker)
{
	struct fn_version *f;

	begin(0, 1000);
	fake->hold_ready = true;
	f = deploy("f", NULL);
	for (int i = 0; i < MANY; i++)
		(void)ask(f, "ok");
	fake_turns(loop, 50);
	ck_assert_uint_eq(fake->spawns, 1);
	ck_assert_uint_eq(stats_of(f).starting, 1);
	ck_assert_uint_eq(stats_of(f).queued, MANY);
	fake->hold_ready = false;
	fake_ready(fake_worker(fake, 1));
	WAIT_FOR(loop, all_done());
	for (int i = 0; i < MANY; i++)
		expect_ok(&asked[i]);
	ck_assert_uint_le(fake->spawns, f->manifest.max_workers);
}
END_TEST

START_TEST(those_who_wait_are_served_in_order)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	f->manifest.max_workers = 1;
	for (int i = 0; i < 20; i++)
		(void)ask(f, "ok");
	WAIT_FOR(loop, all_done());
	for (unsigned int i = 0; i < 20; i++)
		ck_assert_uint_eq(asked[i].order, i + 1);
	ck_assert_uint_eq(fake->spawns, 1);
}
END_TEST

START_TEST(calls_that_take_long_get_workers_up_to_the_limit)
{
	struct fn_version *f;

	begin(0, 100);
	f = deploy("f", NULL);
	f->manifest.max_workers = 4;
	for (int i = 0; i < 12; i++)
		(void)ask(f, "hold");
	WAIT_FOR(loop, fake_busy(fake) == 4);
	fake_turns(loop, 50);
	ck_assert_uint_eq(fake_alive(fake), 4);
	while (!all_done()) {
		struct fake_worker *w = fake_running(fake, "hold");

		if (w != NULL)
			fake_answer(w);
		fake_turn(loop);
	}
	ck_assert_uint_eq(fake->spawns, 4);
}
END_TEST

/* A start that succeeds at once serves the queue before the next start of the
 * same decision is made. */
START_TEST(the_limit_holds_when_workers_are_ready)
{
	struct fn_version *f;

	begin(8, 100);
	WAIT_FOR(loop, pool_now().ready == 8);
	f = deploy("f", NULL);
	f->manifest.max_workers = 4;
	for (int i = 0; i < 30; i++)
		(void)ask(f, "hold");
	WAIT_FOR(loop, fake_busy(fake) >= 4);
	fake_turns(loop, 50);
	ck_assert_uint_eq(fake_busy(fake), 4);
	ck_assert_uint_eq(stats_of(f).busy + stats_of(f).idle, 4);
	while (!all_done()) {
		struct fake_worker *w = fake_running(fake, "hold");

		if (w != NULL)
			fake_answer(w);
		fake_turn(loop);
	}
}
END_TEST

START_TEST(a_ready_worker_gets_the_image)
{
	struct fn_version *f;
	struct asked *a;

	begin(1, 10);
	WAIT_FOR(loop, pool_now().ready == 1);
	f = deploy("f", NULL);
	a = ask_wait(f, "ok");
	expect_start(a, RECORD_KIND_BUILD, RECORD_CAUSE_FIRST);
	WAIT_FOR(loop, pool_now().ready == 1);
	call_cancel(ask(f, "hold")->call);
	a = ask_wait(f, "ok");
	expect_ok(a);
	expect_start(a, RECORD_KIND_IMAGE, RECORD_CAUSE_REPLACE);
	ck_assert_uint_eq(fake_worker(fake, 2)->image_bytes, strlen(FAKE_HEAP));
	ck_assert_uint_eq(fake_worker(fake, 2)->image_got, strlen(FAKE_HEAP));
	ck_assert_uint_eq(fake_builds(fake), 1);
}
END_TEST

START_TEST(the_newest_idle_worker_is_taken)
{
	struct fn_version *f;
	struct fake_worker *last;

	begin(0, 10);
	f = deploy("f", NULL);
	f->manifest.max_workers = 3;
	for (int i = 0; i < 3; i++)
		(void)ask(f, "hold");
	WAIT_FOR(loop, fake_busy(fake) == 3);
	fake_answer(fake_worker(fake, 1));
	WAIT_FOR(loop, ndone == 1);
	fake_answer(fake_worker(fake, 3));
	WAIT_FOR(loop, ndone == 2);
	last = fake_worker(fake, 2);
	fake_answer(last);
	WAIT_FOR(loop, ndone == 3);
	for (int i = 0; i < 5; i++)
		expect_ok(ask_wait(f, "ok"));
	ck_assert_uint_eq(last->invokes, 6);
}
END_TEST

/* --- refusing ------------------------------------------------------------ */

START_TEST(a_full_queue_is_429_with_a_hint)
{
	struct fn_version *f;
	struct asked *a;

	limits.max_queue = 3;
	begin(0, 10);
	fake->hold_ready = true;
	f = deploy("f", NULL);
	for (int i = 0; i < 3; i++)
		(void)ask(f, "ok");
	a = ask(f, "ok");
	expect(a, 429, RECORD_OUTCOME_REJECTED, RECORD_FAILED_LIMIT,
	    "queue_full");
	ck_assert_uint_ge(a->retry_after_s, 1);
	WAIT_FOR(loop, fake->spawns == 1);
	fake_ready(fake_worker(fake, 1));
	WAIT_FOR(loop, all_done());
	for (int i = 0; i < 3; i++)
		expect_ok(&asked[i]);
}
END_TEST

START_TEST(so_are_bodies_that_would_take_too_much_memory)
{
	struct fn_version *f;
	struct asked *a;

	limits.max_queue_bytes = 1000;
	begin(0, 10);
	fake->hold_ready = true;
	f = deploy("f", NULL);
	(void)ask_bytes(f, "ok", 600);
	a = ask_bytes(f, "ok", 401);
	expect(a, 429, RECORD_OUTCOME_REJECTED, RECORD_FAILED_LIMIT,
	    "queue_full");
	(void)ask_bytes(f, "ok", 400);
	WAIT_FOR(loop, fake->spawns == 1);
	fake_ready(fake_worker(fake, 1));
	WAIT_FOR(loop, all_done());
	expect_ok(&asked[0]);
	expect_ok(&asked[2]);
}
END_TEST

START_TEST(who_waits_too_long_is_told_so)
{
	struct fn_version *f;
	struct asked *a;

	limits.max_queue_wait_ms = 50;
	begin(0, 10);
	fake->hold_ready = true;
	f = deploy("f", NULL);
	a = ask_wait(f, "ok");
	expect(a, 503, RECORD_OUTCOME_EXPIRED, RECORD_FAILED_POOL,
	    "no_worker_in_time");
	ck_assert_uint_ge(a->record.queue_us, 50000);
	ck_assert_uint_ge(a->retry_after_s, 1);
	fake_ready(fake_worker(fake, 1));
}
END_TEST

/* --- ending -------------------------------------------------------------- */

START_TEST(idle_workers_go_to_zero)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	f = deploy("f", NULL);
	f->manifest.idle_timeout_s = 1;
	expect_ok(ask_wait(f, "ok"));
	WAIT_FOR(loop, fake_alive(fake) == 0 && pool_now().workers == 0);
	ck_assert_uint_eq(stats_of(f).idle, 0);
	a = ask_wait(f, "ok");
	expect_start(a, RECORD_KIND_FORK, RECORD_CAUSE_FROM_ZERO);
	ck_assert_uint_eq(fake_builds(fake), 1);
}
END_TEST

START_TEST(min_workers_are_kept_and_replaced)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	f->manifest.idle_timeout_s = 1;
	f->manifest.min_workers = 2;
	expect_ok(ask_wait(f, "ok"));
	WAIT_FOR(loop, stats_of(f).idle == 2);
	fake_turns(loop, 1300);
	ck_assert_uint_eq(stats_of(f).idle, 2);
	fake_die(fake_worker(fake, 1), SIGKILL);
	WAIT_FOR(loop, fake->spawns == 3 && stats_of(f).idle == 2);
	expect_start(ask_wait(f, "ok"), RECORD_KIND_WARM, RECORD_CAUSE_NONE);
	f->manifest.min_workers = 0;
}
END_TEST

START_TEST(in_a_full_pool_the_longest_idle_makes_room)
{
	struct fn_version *f;
	struct fn_version *g;
	struct fn_version *h;

	begin(0, 2);
	f = deploy("f", NULL);
	g = deploy("g", NULL);
	h = deploy("h", NULL);
	expect_ok(ask_wait(f, "ok"));
	fake_turns(loop, 5);
	expect_ok(ask_wait(g, "ok"));
	expect_ok(ask_wait(h, "ok"));
	WAIT_FOR(loop, pool_now().workers == 2);
	ck_assert_uint_eq(stats_of(f).idle, 0);
	ck_assert_uint_eq(stats_of(g).idle, 1);
	ck_assert_uint_eq(stats_of(h).idle, 1);
	ck_assert(fake_worker(fake, 1)->killed);
}
END_TEST

START_TEST(a_deploy_fails_no_call_of_the_version_before)
{
	struct fn_version *before;
	struct fn_version *after;
	struct asked *running;
	struct asked *waiting;
	struct asked *a;

	begin(0, 10);
	before = deploy("f", NULL);
	before->manifest.max_workers = 1;
	running = ask(before, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	waiting = ask(before, "ok");
	after = deploy("f", before);
	a = ask_wait(after, "ok");
	expect_ok(a);
	expect_start(a, RECORD_KIND_FORK, RECORD_CAUSE_DEPLOY);
	fake_answer(fake_running(fake, "hold"));
	WAIT_FOR(loop, all_done());
	expect_ok(running);
	expect_ok(waiting);
	ck_assert_uint_eq(waiting->record.version, 1);
	WAIT_FOR(loop, fake_alive(fake) == 1);
	ck_assert_uint_eq(stats_of(before).image_bytes, 0);
}
END_TEST

START_TEST(a_function_that_is_gone_keeps_no_worker)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "ok"));
	a = ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	calls_deactivate(calls, f);
	fake_answer(fake_running(fake, "hold"));
	WAIT_FOR(loop, pool_now().workers == 0);
	expect_ok(a);
}
END_TEST

/* --- preparing ----------------------------------------------------------- */

static const struct {
	enum record_kind ask;
	enum record_kind get;
	unsigned int ready;
} prepares[] = {
    {RECORD_KIND_WARM, RECORD_KIND_WARM, 1},
    {RECORD_KIND_IMAGE, RECORD_KIND_IMAGE, 1},
    {RECORD_KIND_BUILD, RECORD_KIND_BUILD, 1},
    {RECORD_KIND_FORK, RECORD_KIND_FORK, 0},
};

START_TEST(the_next_start_is_of_the_kind_that_was_prepared)
{
	struct fn_version *f;

	begin(prepares[_i].ready, 10);
	WAIT_FOR(loop, pool_now().ready == prepares[_i].ready);
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "ok"));
	for (unsigned int i = 1; i <= 3; i++) {
		struct asked *a;

		WAIT_FOR(loop, pool_now().ready == prepares[_i].ready);
		ck_assert(calls_prepare(calls, f, prepares[_i].ask,
		    on_test_zero, NULL));
		WAIT_FOR(loop, nzero == i);
		a = ask_wait(f, "ok");
		expect_ok(a);
		expect_start(a, prepares[_i].get,
		    prepares[_i].get == RECORD_KIND_WARM
			? RECORD_CAUSE_NONE
			: RECORD_CAUSE_FROM_ZERO);
	}
}
END_TEST

START_TEST(a_busy_function_cannot_be_prepared)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	(void)ask(f, "hold");
	ck_assert(
	    !calls_prepare(calls, f, RECORD_KIND_IMAGE, on_test_zero, NULL));
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	ck_assert(
	    !calls_prepare(calls, f, RECORD_KIND_IMAGE, on_test_zero, NULL));
	fake_answer(fake_running(fake, "hold"));
	WAIT_FOR(loop, all_done());
	ck_assert_uint_eq(nzero, 0);
}
END_TEST

/* Whoever it was started for went away. */
START_TEST(a_worker_on_its_way_does_not_hold_up_preparing)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	f->manifest.idle_timeout_s = 86400;
	fake->hold_ready = true;
	call_cancel(ask(f, "ok")->call);
	WAIT_FOR(loop, fake->spawns == 1);
	ck_assert(
	    calls_prepare(calls, f, RECORD_KIND_IMAGE, on_test_zero, NULL));
	ck_assert_uint_eq(nzero, 0);
	fake_ready(fake_worker(fake, 1));
	WAIT_FOR(loop, nzero == 1);
	ck_assert_uint_eq(stats_of(f).idle, 0);
}
END_TEST

/* Nobody tells how it ended: it was retired all the same, not lost. */
START_TEST(a_retired_worker_is_not_a_lost_one)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "ok"));
	fake->hold_died = true;
	ck_assert(
	    calls_prepare(calls, f, RECORD_KIND_IMAGE, on_test_zero, NULL));
	WAIT_FOR(loop, pool_now().workers == 0);
	expect_start(ask_wait(f, "ok"), RECORD_KIND_FORK,
	    RECORD_CAUSE_FROM_ZERO);
}
END_TEST

static void
add_starting(TCase *tcase)
{
	tcase_add_test(tcase, two_hundred_first_calls_start_one_worker);
	tcase_add_test(tcase, those_who_wait_are_served_in_order);
	tcase_add_test(tcase, calls_that_take_long_get_workers_up_to_the_limit);
	tcase_add_test(tcase, the_limit_holds_when_workers_are_ready);
	tcase_add_test(tcase, a_ready_worker_gets_the_image);
	tcase_add_test(tcase, the_newest_idle_worker_is_taken);
	tcase_add_test(tcase, a_full_queue_is_429_with_a_hint);
	tcase_add_test(tcase, so_are_bodies_that_would_take_too_much_memory);
	tcase_add_test(tcase, who_waits_too_long_is_told_so);
}

static void
add_ending(TCase *tcase)
{
	tcase_add_test(tcase, idle_workers_go_to_zero);
	tcase_add_test(tcase, min_workers_are_kept_and_replaced);
	tcase_add_test(tcase, in_a_full_pool_the_longest_idle_makes_room);
	tcase_add_test(tcase, a_deploy_fails_no_call_of_the_version_before);
	tcase_add_test(tcase, a_function_that_is_gone_keeps_no_worker);
	tcase_add_loop_test(tcase,
	    the_next_start_is_of_the_kind_that_was_prepared, 0, 4);
	tcase_add_test(tcase, a_busy_function_cannot_be_prepared);
	tcase_add_test(tcase, a_worker_on_its_way_does_not_hold_up_preparing);
	tcase_add_test(tcase, a_retired_worker_is_not_a_lost_one);
}

int
main(void)
{
	Suite *suite = suite_create("runtime/call/function");
	TCase *tcase = tcase_create("function");

	tcase_set_timeout(tcase, 110);
	tcase_add_checked_fixture(tcase, call_setup, call_teardown);
	add_starting(tcase);
	add_ending(tcase);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
