/*
 * test_tenure.c - several calls on one worker, and taking them back.
 *
 * Runs in: tests.
 */
#include "sandbox/base/clock.h"
#include "tests/unit/runtime/call/call_test.h"
#include "tests/unit/unit.h"

#define LONG_US 50000 /* much longer than a call may keep others waiting */

/* A function whose calls are known to be quick, and its one worker. */
static struct fn_version *
quick(void)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	for (int i = 0; i < 20; i++)
		expect_ok(ask_wait(f, "ok"));
	ck_assert_uint_eq(fake->spawns, 1);
	return f;
}

static void
run_long(void)
{
	uint64_t until_us = clock_mono_us() + LONG_US;

	WAIT_FOR(loop, clock_mono_us() > until_us);
}

START_TEST(quick_calls_share_a_worker)
{
	struct fn_version *f = quick();
	struct asked *first = ask(f, "hold");
	struct asked *a = ask(f, "ok");
	struct asked *b = ask(f, "ok");

	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	ck_assert_uint_eq(stats_of(f).busy, 1);
	ck_assert_uint_eq(stats_of(f).queued, 0);
	fake_answer(fake_running(fake, "hold"));
	WAIT_FOR(loop, b->done > 0);
	expect_ok(first);
	expect_ok(a);
	expect_ok(b);
	ck_assert_uint_lt(first->order, a->order);
	ck_assert_uint_lt(a->order, b->order);
	ck_assert_uint_eq(fake->spawns, 1);
}
END_TEST

START_TEST(a_function_that_is_not_known_yet_gets_one_call_at_a_time)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "ok"));
	(void)ask(f, "hold");
	(void)ask(f, "ok");
	ck_assert_uint_eq(stats_of(f).queued, 1);
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	fake_answer(fake_running(fake, "hold"));
}
END_TEST

START_TEST(a_busy_worker_with_room_is_better_than_waking_another)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	f = deploy("f", NULL);
	for (int i = 0; i < 3; i++)
		(void)ask(f, "hold");
	WAIT_FOR(loop, stats_of(f).busy >= 2); /* not known yet: it scales */
	while (ndone < 3) {
		WAIT_FOR(loop,
		    ndone == 3 || fake_running(fake, "hold") != NULL);
		if (ndone < 3)
			fake_answer(fake_running(fake, "hold"));
	}
	for (int i = 0; i < 20; i++)
		expect_ok(ask_wait(f, "ok"));
	WAIT_FOR(loop, stats_of(f).idle >= 2);
	(void)ask(f, "hold");
	a = ask(f, "ok");
	ck_assert_uint_eq(stats_of(f).busy, 1);
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	fake_answer(fake_running(fake, "hold"));
	WAIT_FOR(loop, a->done > 0);
}
END_TEST

/* Three answers in one write, 30 ms after the first began. */
START_TEST(answers_that_come_together_share_the_time)
{
	struct fn_version *f = quick();
	struct asked *a[3];
	struct fake_worker *w;
	struct buf b = {0};
	uint64_t sum_us = 0;

	for (int i = 0; i < 3; i++)
		a[i] = ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	w = fake_running(fake, "hold");
	run_long();
	for (uint64_t i = 0; i < 3; i++)
		fake_add_result(&b, w->now.id + i, 200, SLICE("hello"));
	fake_bytes(w, buf_slice(&b));
	buf_fini(&b);
	w->busy = false; /* it has answered what it will still read, too */
	fake_give_back(w);
	WAIT_FOR(loop, a[2]->done > 0);
	for (int i = 0; i < 3; i++) {
		expect_ok(a[i]);
		ck_assert_uint_ge(a[i]->record.handler_us, LONG_US / 4);
		sum_us += a[i]->record.handler_us;
	}
	ck_assert_uint_ge(sum_us, LONG_US);
	ck_assert_uint_le(a[0]->record.handler_us, sum_us / 3 + 1);
	ck_assert_uint_ge(a[2]->record.handler_us + 1, sum_us / 3);
}
END_TEST

/* What the handler took is on the bill, and what the start took is not. */
START_TEST(a_start_that_comes_with_its_answer_shares_the_time)
{
	struct fn_version *f;
	struct asked *a;
	struct fake_worker *w;
	struct buf b = {0};

	begin(0, 10);
	fake->no_started = true;
	f = deploy("f", NULL);
	a = ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	w = fake_running(fake, "hold");
	run_long();
	wire_add_end(&b, wire_add_begin(&b, WIRE_STARTED, w->now.id));
	fake_add_result(&b, w->now.id, 200, SLICE("hello"));
	fake_bytes(w, buf_slice(&b));
	buf_fini(&b);
	fake_next(w);
	WAIT_FOR(loop, a->done > 0);
	expect_ok(a);
	ck_assert_uint_ge(a->record.handler_us, LONG_US / 10);
	ck_assert_uint_ge(a->record.load_us, LONG_US / 10);
	ck_assert_uint_ge(a->record.load_us + a->record.handler_us, LONG_US);
}
END_TEST

static void
ask_and_not_read(struct fake_worker *w)
{
	w->deaf = true;
	for (int i = 0; i < 100000; i++)
		wire_add_end(&w->out,
		    wire_add_begin(&w->out, WIRE_TIME, w->now.id));
	fake_flush(w);
}

START_TEST(questions_without_reading_the_answers_are_a_breach)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	fake->on_invoke = ask_and_not_read;
	f = deploy("f", NULL);
	a = ask(f, "flood");
	WAIT_FOR(loop, a->done > 0);
	expect(a, 502, RECORD_OUTCOME_CRASHED, RECORD_FAILED_SANDBOX,
	    "protocol_error");
}
END_TEST

START_TEST(nobody_waits_behind_a_slow_call)
{
	struct fn_version *f = quick();
	struct asked *slow = ask(f, "hold");
	struct asked *a = ask(f, "ok");
	struct asked *b = ask(f, "ok");
	struct fake_worker *w;

	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	w = fake_running(fake, "hold");
	run_long();
	ck_assert_uint_eq(a->done + b->done, 0);
	fake_give_back(w);
	WAIT_FOR(loop, a->done + b->done == 2);
	expect_ok(a);
	expect_ok(b);
	ck_assert_uint_lt(a->order, b->order);
	ck_assert_uint_eq(slow->done, 0);
	fake_answer(w);
	WAIT_FOR(loop, slow->done > 0);
	expect_ok(slow);
	WAIT_FOR(loop, w->dropped == 2); /* and it is as good as before */
	ck_assert(w->fd >= 0);
	expect_ok(ask_wait(f, "ok"));
}
END_TEST

/* What came before the slow call is answered with RETURNED, so that the slow one
 * seems to have begun just now: it gets nothing again all the same. */
START_TEST(what_was_taken_back_does_not_go_right_back)
{
	struct fn_version *f = quick();
	struct asked *first = ask(f, "hold");
	struct asked *slow = ask(f, "hold");
	struct asked *a = ask(f, "ok");
	struct fake_worker *w;

	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	w = fake_running(fake, "hold");
	run_long();
	fake_answer(w);
	WAIT_FOR(loop, w->busy);
	fake_give_back(w);
	WAIT_FOR(loop, a->done > 0);
	expect_ok(first);
	expect_ok(a);
	ck_assert_uint_eq(slow->done, 0);
	fake_answer(w);
	WAIT_FOR(loop, slow->done > 0);
	expect_ok(slow);
}
END_TEST

static unsigned int misfired;

static void
answer_late(struct fake_worker *w)
{
	fake_answer(w);
}

static void
be_hit(struct fake_worker *w)
{
	if (misfired++ == 0)
		fake_fail(w, WIRE_FAIL_TIMEOUT, "out of time", "");
	else
		fake_answer(w);
}

static void
speak_and_be_hit(struct fake_worker *w)
{
	struct buf b = {0};

	wire_add_u8(&b, WIRE_LOG_INFO);
	wire_add_str(&b, SLICE("here I am"));
	wire_add_str(&b, SLICE(""));
	fake_frame(w, WIRE_LOG, w->now.id, buf_slice(&b));
	buf_fini(&b);
	be_hit(w);
}

/* The first answers at its deadline, when the interrupt is on its way. */
static struct asked *
misfire(void (*on_invoke)(struct fake_worker *w))
{
	struct fn_version *f;
	struct asked *late;
	struct asked *next;

	begin(0, 10);
	misfired = 0;
	fake->processes = true;
	fake->on_interrupt = answer_late;
	fake->on_invoke = on_invoke;
	f = deploy("f", NULL);
	f->manifest.timeout_ms = 200;
	for (int i = 0; i < 20; i++)
		expect_ok(ask_wait(f, "ok"));
	late = ask(f, "hold");
	next = ask(f, "hit");
	WAIT_FOR(loop, late->done + next->done == 2);
	expect_ok(late);
	return next;
}

START_TEST(an_interrupt_that_hits_the_next_call_costs_it_nothing)
{
	expect_ok(misfire(be_hit));
	ck_assert_uint_eq(misfired, 2);
}
END_TEST

START_TEST(but_one_that_has_spoken_is_not_run_again)
{
	expect(misfire(speak_and_be_hit), 502, RECORD_OUTCOME_CRASHED,
	    RECORD_FAILED_POOL, "worker_killed");
	ck_assert_uint_eq(misfired, 1);
}
END_TEST

START_TEST(a_worker_that_was_done_by_then_gives_nothing_back)
{
	struct fn_version *f = quick();
	struct asked *slow = ask(f, "hold");
	struct asked *a = ask(f, "ok");
	struct fake_worker *w;

	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	w = fake_running(fake, "hold");
	run_long();
	fake_answer(w); /* then it reads the next call, then RECALL */
	WAIT_FOR(loop, a->done > 0);
	expect_ok(slow);
	expect_ok(a);
	WAIT_FOR(loop, stats_of(f).idle == 1);
	ck_assert_uint_eq(w->dropped, 0);
	ck_assert_uint_eq(fake->spawns, 1);
}
END_TEST

START_TEST(returned_that_was_not_asked_for_is_a_breach)
{
	struct fn_version *f = quick();
	struct asked *a = ask(f, "hold");

	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	fake_give_back(fake_running(fake, "hold"));
	WAIT_FOR(loop, a->done > 0);
	expect(a, 502, RECORD_OUTCOME_CRASHED, RECORD_FAILED_SANDBOX,
	    "protocol_error");
	a = ask_wait(f, "ok");
	expect_start(a, RECORD_KIND_FORK, RECORD_CAUSE_REPLACE);
}
END_TEST

START_TEST(of_several_only_the_one_that_crashes_pays)
{
	struct fn_version *f = quick();
	struct asked *first = ask(f, "hold");
	struct asked *bad = ask(f, "crash");
	struct asked *a = ask(f, "ok");
	struct asked *b = ask(f, "ok");

	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	fake_answer(fake_running(fake, "hold"));
	WAIT_FOR(loop, first->done + bad->done + a->done + b->done == 4);
	expect_ok(first);
	expect_ok(a);
	expect_ok(b);
	expect(bad, 502, RECORD_OUTCOME_CRASHED, RECORD_FAILED_SANDBOX,
	    "worker_crashed");
}
END_TEST

static unsigned int spoken;

static void
speak_and_crash(struct fake_worker *w)
{
	struct buf b = {0};

	spoken++;
	wire_add_u8(&b, WIRE_LOG_INFO);
	wire_add_str(&b, SLICE("here I am"));
	wire_add_str(&b, SLICE(""));
	fake_frame(w, WIRE_LOG, w->now.id, buf_slice(&b));
	buf_fini(&b);
	fake_die(w, SIGSEGV);
}

START_TEST(a_call_that_has_spoken_is_not_run_again)
{
	struct fn_version *f = quick();
	struct asked *bad;
	struct asked *a;

	spoken = 0;
	fake->on_invoke = speak_and_crash;
	(void)ask(f, "hold");
	bad = ask(f, "speak");
	a = ask(f, "ok");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	fake_answer(fake_running(fake, "hold"));
	WAIT_FOR(loop, bad->done + a->done == 2);
	expect(bad, 502, RECORD_OUTCOME_CRASHED, RECORD_FAILED_SANDBOX,
	    "worker_crashed");
	ck_assert_uint_eq(spoken, 1);
	expect_ok(a);
}
END_TEST

START_TEST(a_client_that_leaves_costs_the_others_nothing)
{
	struct fn_version *f = quick();
	struct asked *gone = ask(f, "hold");
	struct asked *a = ask(f, "ok");
	struct asked *gone_too = ask(f, "ok");

	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	call_cancel(gone->call);
	call_cancel(gone_too->call);
	expect(gone, 499, RECORD_OUTCOME_CANCELLED, RECORD_FAILED_CLIENT,
	    "client_gone");
	ck_assert_uint_eq(gone_too->done, 1);
	fake_answer(fake_running(fake, "hold"));
	WAIT_FOR(loop, a->done > 0);
	expect_ok(a);
	WAIT_FOR(loop, stats_of(f).idle == 1);
	ck_assert_uint_eq(fake->spawns, 1);
}
END_TEST

START_TEST(a_worker_that_works_for_nobody_is_ended)
{
	struct fn_version *f = quick();
	struct asked *gone = ask(f, "hold");
	struct fake_worker *w;

	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	w = fake_running(fake, "hold");
	call_cancel(gone->call);
	WAIT_FOR(loop, w->killed || stats_of(f).idle + stats_of(f).busy == 0);
	expect_ok(ask_wait(f, "ok"));
}
END_TEST

static void
ask_time(struct fake_worker *w)
{
	w->asking = true;
	fake_frame(w, WIRE_TIME, w->now.id, (struct slice){0});
}

START_TEST(a_question_takes_back_what_stands_behind_it)
{
	struct fn_version *f = quick();
	struct asked *asker;
	struct asked *a;
	struct fake_worker *w;

	fake->on_invoke = ask_time;
	(void)ask(f, "hold");
	asker = ask(f, "time");
	a = ask(f, "ok");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	w = fake_running(fake, "hold");
	fake_answer(w);
	WAIT_FOR(loop, w->answers == 1 && a->done > 0);
	expect_ok(a);
	ck_assert_uint_eq(asker->done, 0);
	ck_assert_uint_eq(w->dropped, 1);
	fake_answer(w);
	WAIT_FOR(loop, asker->done > 0);
	expect_ok(asker);
	/* It may ask again: from now on one at a time. */
	(void)ask(f, "hold");
	(void)ask(f, "ok");
	(void)ask(f, "ok");
	ck_assert_uint_gt(stats_of(f).queued, 0);
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	fake_answer(fake_running(fake, "hold"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tenure");
	TCase *tcase = tcase_create("several calls");

	tcase_add_checked_fixture(tcase, call_setup, call_teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, quick_calls_share_a_worker);
	tcase_add_test(tcase,
	    a_function_that_is_not_known_yet_gets_one_call_at_a_time);
	tcase_add_test(tcase,
	    a_busy_worker_with_room_is_better_than_waking_another);
	tcase_add_test(tcase, answers_that_come_together_share_the_time);
	tcase_add_test(tcase,
	    a_start_that_comes_with_its_answer_shares_the_time);
	tcase_add_test(tcase,
	    questions_without_reading_the_answers_are_a_breach);
	tcase_add_test(tcase, nobody_waits_behind_a_slow_call);
	tcase_add_test(tcase,
	    a_worker_that_was_done_by_then_gives_nothing_back);
	tcase_add_test(tcase, what_was_taken_back_does_not_go_right_back);
	tcase_add_test(tcase,
	    an_interrupt_that_hits_the_next_call_costs_it_nothing);
	tcase_add_test(tcase, but_one_that_has_spoken_is_not_run_again);
	tcase_add_test(tcase, returned_that_was_not_asked_for_is_a_breach);
	tcase_add_test(tcase, of_several_only_the_one_that_crashes_pays);
	tcase_add_test(tcase, a_call_that_has_spoken_is_not_run_again);
	tcase_add_test(tcase, a_client_that_leaves_costs_the_others_nothing);
	tcase_add_test(tcase, a_worker_that_works_for_nobody_is_ended);
	tcase_add_test(tcase, a_question_takes_back_what_stands_behind_it);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
