/*
 * test_timer.c - timers come in order, none early, none that was stopped.
 *
 * Runs in: tests.
 */
#include "runtime/loop/loop.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <stdbool.h>
#include <unistd.h>

#define TIMERS 500

struct one {
	struct loop_timer *timer;
	uint64_t due_us;
	bool running;
	unsigned int fired;
};

static struct loop *loop;
static struct one ones[TIMERS];
static unsigned int expected, fired;
static uint64_t last_due_us;

static void
setup(void)
{
	struct err err;

	loop = loop_new(&err);
	ck_assert_ptr_nonnull(loop);
	expected = fired = 0;
	last_due_us = 0;
}

static void
teardown(void)
{
	loop_free(loop);
}

static void
on_one(void *arg)
{
	struct one *one = arg;

	ck_assert(one->running);
	ck_assert_uint_ge(clock_mono_us(), one->due_us);
	ck_assert_uint_ge(one->due_us + 1000, last_due_us);
	last_due_us = one->due_us;
	one->running = false;
	one->fired++;
	if (++fired == expected)
		loop_stop(loop);
}

static void
start_one(struct one *one, uint64_t after_us)
{
	one->due_us = clock_mono_us() + after_us;
	one->running = true;
	loop_timer_start(one->timer, after_us);
}

/* Started, started again for another time, stopped, freed, at random. */
START_TEST(many_timers_come_in_order)
{
	struct err err;

	srandom(7);
	for (int i = 0; i < TIMERS; i++) {
		ones[i] = (struct one){0};
		ones[i].timer = loop_timer_new(loop, on_one, &ones[i]);
		start_one(&ones[i], (uint64_t)(random() % 50000));
	}
	for (int i = 0; i < TIMERS; i += 2)
		start_one(&ones[i], (uint64_t)(random() % 50000));
	for (int i = 0; i < TIMERS; i += 3) {
		loop_timer_stop(ones[i].timer);
		loop_timer_stop(ones[i].timer); /* does no harm */
		ones[i].running = false;
	}
	for (int i = 1; i < TIMERS; i += 3) {
		loop_timer_free(ones[i].timer);
		ones[i].running = false;
		ones[i].timer = NULL;
	}
	for (int i = 0; i < TIMERS; i++)
		expected += ones[i].running;
	ck_assert_int_eq(loop_run(loop, &err), 0);
	for (int i = 0; i < TIMERS; i++) {
		ck_assert_uint_eq(ones[i].fired, i % 3 == 2);
		loop_timer_free(ones[i].timer);
	}
}
END_TEST

static struct loop_timer *again;
static unsigned int turns;
static bool heard;

static void
on_again(void *arg)
{
	turns++;
	loop_timer_start(again, 0);
}

static void
on_pipe(unsigned int ready, void *arg)
{
	heard = true;
	loop_stop(loop);
}

START_TEST(a_timer_that_always_starts_itself_starves_nobody)
{
	struct err err;
	struct loop_watch *watch;
	int pair[2];

	ck_assert_int_eq(pipe(pair), 0);
	ck_assert_int_eq(write(pair[1], "x", 1), 1);
	turns = 0;
	heard = false;
	again = loop_timer_new(loop, on_again, NULL);
	loop_timer_start(again, 0);
	watch = loop_watch_new(loop, pair[0], on_pipe, NULL);
	loop_watch_want(watch, LOOP_READ);
	ck_assert_int_eq(loop_run(loop, &err), 0);
	ck_assert(heard);
	loop_watch_free(watch);
	loop_timer_free(again);
	(void)close(pair[0]);
	(void)close(pair[1]);
}
END_TEST

START_TEST(an_earlier_one_comes_before_the_bell_was_set_for)
{
	struct err err;
	uint64_t began_us = clock_mono_us();

	for (int i = 0; i < 2; i++) {
		ones[i] = (struct one){0};
		ones[i].timer = loop_timer_new(loop, on_one, &ones[i]);
	}
	expected = 1;
	start_one(&ones[0], 3600 * UINT64_C(1000000));
	start_one(&ones[1], 10000);
	ck_assert_int_eq(loop_run(loop, &err), 0);
	ck_assert_uint_eq(ones[1].fired, 1);
	ck_assert_uint_lt(clock_mono_us() - began_us, 60000000);
	loop_timer_free(ones[0].timer);
	loop_timer_free(ones[1].timer);
}
END_TEST

/* The bell rings for one that was stopped: nothing is due, and the next is not
 * forgotten. */
START_TEST(after_a_stopped_one_the_next_still_comes)
{
	struct err err;

	for (int i = 0; i < 2; i++) {
		ones[i] = (struct one){0};
		ones[i].timer = loop_timer_new(loop, on_one, &ones[i]);
	}
	expected = 1;
	start_one(&ones[0], 5000);
	start_one(&ones[1], 30000);
	loop_timer_stop(ones[0].timer);
	ones[0].running = false;
	ck_assert_int_eq(loop_run(loop, &err), 0);
	ck_assert_uint_eq(ones[0].fired, 0);
	ck_assert_uint_eq(ones[1].fired, 1);
	loop_timer_free(ones[0].timer);
	loop_timer_free(ones[1].timer);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/loop/timer");
	TCase *tcase = tcase_create("timer");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, many_timers_come_in_order);
	tcase_add_test(tcase, a_timer_that_always_starts_itself_starves_nobody);
	tcase_add_test(tcase, an_earlier_one_comes_before_the_bell_was_set_for);
	tcase_add_test(tcase, after_a_stopped_one_the_next_still_comes);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
