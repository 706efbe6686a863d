/*
 * test_loop.c - descriptors, timers, deferred calls and blocking work.
 *
 * Runs in: tests.
 */
#include "runtime/loop/loop.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <unistd.h>

static struct loop *loop;
static int pipe_fds[2];
static char told[16];

static void
on_readable(unsigned int ready, void *arg)
{
	ck_assert_uint_eq(ready, LOOP_READ);
	ck_assert_int_eq(read(pipe_fds[0], told, sizeof(told)), 2);
	loop_watch_free(*(struct loop_watch **)arg);
	loop_stop(loop);
}

START_TEST(a_watch_tells_when_bytes_are_there)
{
	struct err err;
	struct loop_watch *watch;

	loop = loop_new(&err);
	ck_assert_int_eq(pipe(pipe_fds), 0);
	watch = loop_watch_new(loop, pipe_fds[0], on_readable, &watch);
	loop_watch_want(watch, LOOP_READ);
	ck_assert_int_eq(write(pipe_fds[1], "hi", 2), 2);
	ck_assert_int_eq(loop_run(loop, &err), 0);
	ck_assert_str_eq(told, "hi");
	loop_free(loop);
}
END_TEST

static void
work_run(void *arg)
{
	*(int *)arg += 1;
}

static void
work_done(void *arg)
{
	if (*(int *)arg == 1)
		loop_work(loop, work_run, work_done, arg);
	else
		loop_stop(loop);
}

START_TEST(work_is_done_elsewhere_and_finished_here)
{
	struct err err;
	int count = 0;

	loop = loop_new(&err);
	loop_work(loop, work_run, work_done, &count);
	ck_assert_int_eq(loop_run(loop, &err), 0);
	ck_assert_int_eq(count, 2);
	loop_free(loop);
}
END_TEST

static int order;

static void
second(void *arg)
{
	ck_assert_int_eq(order++, 1);
	loop_stop(loop);
}

static void
first(void *arg)
{
	ck_assert_int_eq(order++, 0);
	loop_defer(loop, second, NULL);
}

START_TEST(deferred_calls_come_in_order)
{
	struct err err;
	struct loop_timer *timer;

	loop = loop_new(&err);
	timer = loop_timer_new(loop, first, NULL);
	loop_timer_start(timer, 1000);
	ck_assert_int_eq(loop_run(loop, &err), 0);
	ck_assert_int_eq(order, 2);
	loop_timer_free(timer);
	loop_free(loop);
}
END_TEST

static void
must_not_run(void *arg)
{
	ck_abort();
}

static void
take_back(void *arg)
{
	loop_undefer(loop, arg);
	loop_stop(loop);
}

START_TEST(a_deferred_call_can_be_taken_back)
{
	struct err err;
	int freed = 0;

	loop = loop_new(&err);
	loop_defer(loop, must_not_run, &freed);
	loop_undefer(loop, &freed);
	loop_defer(loop, take_back, &order);
	loop_defer(loop, must_not_run, &order); /* in the same turn */
	ck_assert_int_eq(loop_run(loop, &err), 0);
	loop_free(loop);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/loop/loop");
	TCase *tcase = tcase_create("loop");

	tcase_add_test(tcase, a_watch_tells_when_bytes_are_there);
	tcase_add_test(tcase, work_is_done_elsewhere_and_finished_here);
	tcase_add_test(tcase, deferred_calls_come_in_order);
	tcase_add_test(tcase, a_deferred_call_can_be_taken_back);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
