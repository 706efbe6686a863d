/*
 * test_call.c - one call: its answer, its deadline, its worker's death.
 *
 * Runs in: tests.
 */
#include "tests/unit/runtime/call/call_test.h"

START_TEST(a_first_call_builds_and_the_next_is_warm)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	f = deploy("f", NULL);
	a = ask_wait(f, "ok");
	expect_ok(a);
	expect_start(a, RECORD_KIND_FORK, RECORD_CAUSE_FIRST);
	ck_assert_str_eq(fake_worker(fake, 1)->function, "f");
	ck_assert_str_eq(a->record.request_id, "id-1");
	ck_assert_uint_eq(a->record.bytes_out, 5);
	ck_assert_uint_eq(a->record.peak_kb, 44);
	a = ask_wait(f, "ok");
	expect_ok(a);
	expect_start(a, RECORD_KIND_WARM, RECORD_CAUSE_NONE);
	ck_assert_uint_eq(fake->spawns, 1);
}
END_TEST

START_TEST(a_handlers_error_costs_no_worker)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	f = deploy("f", NULL);
	a = ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	fake_fail(fake_running(fake, "hold"), WIRE_FAIL_ERROR, "boom", "at 1");
	WAIT_FOR(loop, a->done > 0);
	expect(a, 500, RECORD_OUTCOME_ERROR, RECORD_FAILED_HANDLER,
	    "handler_error");
	ck_assert_str_eq(a->message, "boom");
	ck_assert_str_eq(a->traceback, "at 1");
	expect_ok(ask_wait(f, "ok"));
	ck_assert_uint_eq(fake->spawns, 1);
}
END_TEST

START_TEST(a_handler_out_of_memory_is_502_and_its_worker_is_replaced)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	f = deploy("f", NULL);
	a = ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	fake_fail(fake_running(fake, "hold"), WIRE_FAIL_MEMORY, "full", "");
	WAIT_FOR(loop, a->done > 0);
	expect(a, 502, RECORD_OUTCOME_MEMORY, RECORD_FAILED_LIMIT,
	    "out_of_memory");
	a = ask_wait(f, "ok");
	expect_ok(a);
	expect_start(a, RECORD_KIND_FORK, RECORD_CAUSE_REPLACE);
	ck_assert(fake_worker(fake, 1)->killed);
}
END_TEST

START_TEST(at_the_deadline_it_is_interrupted_and_says_its_line)
{
	struct fn_version *f;
	struct asked *a;

	limits.kill_grace_ms = 60000;
	begin(0, 10);
	fake->processes = true;
	f = deploy("f", NULL);
	f->manifest.timeout_ms = 50;
	a = ask_wait(f, "hold");
	expect(a, 504, RECORD_OUTCOME_TIMEOUT, RECORD_FAILED_LIMIT, "timeout");
	ck_assert_str_eq(a->message, "the handler ran longer than 50 ms");
	ck_assert_str_eq(a->traceback, FAKE_LINE);
	ck_assert_uint_eq(fake_worker(fake, 1)->interrupts, 1);
	f->manifest.timeout_ms = 60000;
	a = ask_wait(f, "ok");
	expect_ok(a);
	expect_start(a, RECORD_KIND_FORK, RECORD_CAUSE_REPLACE);
}
END_TEST

static void
ignore_interrupt(struct fake_worker *w)
{
}

START_TEST(what_does_not_answer_the_interrupt_is_killed)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	fake->processes = true;
	fake->on_interrupt = ignore_interrupt;
	f = deploy("f", NULL);
	f->manifest.timeout_ms = 50;
	a = ask_wait(f, "hold");
	expect(a, 504, RECORD_OUTCOME_TIMEOUT, RECORD_FAILED_LIMIT, "timeout");
	ck_assert_str_eq(a->message,
	    "the handler ran longer than 50 ms and had to be killed");
	WAIT_FOR(loop, fake_worker(fake, 1)->told);
	ck_assert(WIFSIGNALED(fake_worker(fake, 1)->status));
	ck_assert_int_eq(WTERMSIG(fake_worker(fake, 1)->status), SIGKILL);
}
END_TEST

START_TEST(a_late_result_after_the_interrupt_counts)
{
	struct fn_version *f;
	struct asked *a;

	limits.kill_grace_ms = 60000;
	begin(0, 10);
	fake->processes = true;
	fake->on_interrupt = fake_answer;
	f = deploy("f", NULL);
	f->manifest.timeout_ms = 50;
	a = ask_wait(f, "hold");
	expect_ok(a);
}
END_TEST

START_TEST(cancelled_in_the_queue_it_reaches_no_worker)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	fake->hold_ready = true;
	f = deploy("f", NULL);
	a = ask(f, "ok");
	WAIT_FOR(loop, fake->spawns == 1);
	call_cancel(a->call);
	expect(a, 499, RECORD_OUTCOME_CANCELLED, RECORD_FAILED_CLIENT,
	    "client_gone");
	expect_start(a, RECORD_KIND_NONE, RECORD_CAUSE_NONE);
	fake_ready(fake_worker(fake, 1));
	expect_ok(ask_wait(f, "ok"));
	ck_assert_uint_eq(fake_invokes(fake), 1);
}
END_TEST

START_TEST(cancelled_while_it_runs_it_costs_its_worker_and_nobody_else)
{
	struct fn_version *f;
	struct asked *gone;
	struct asked *other;

	begin(0, 10);
	fake->processes = true;
	f = deploy("f", NULL);
	gone = ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	other = ask(f, "slow");
	call_cancel(gone->call);
	expect(gone, 499, RECORD_OUTCOME_CANCELLED, RECORD_FAILED_CLIENT,
	    "client_gone");
	WAIT_FOR(loop, other->done > 0);
	expect_ok(other);
	WAIT_FOR(loop, fake_worker(fake, 1)->told);
	ck_assert_int_eq(WTERMSIG(fake_worker(fake, 1)->status), SIGKILL);
}
END_TEST

START_TEST(a_worker_that_dies_before_it_read_the_call_is_not_noticed)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "ok"));
	fake_worker(fake, 1)->deaf = true;
	fake_flush(fake_worker(fake, 1));
	a = ask(f, "ok");
	fake_turns(loop, 5);
	fake_die(fake_worker(fake, 1), SIGKILL);
	WAIT_FOR(loop, a->done > 0);
	expect_ok(a);
	ck_assert_uint_eq(fake_worker(fake, 1)->invokes, 1);
}
END_TEST

/* The zygote's word overtakes the result that is still in the socket. */
START_TEST(so_it_is_when_it_died_after_the_result_of_the_one_before)
{
	struct fn_version *f;
	struct fake_worker *w;
	struct asked *a;
	struct asked *b;

	begin(0, 10);
	f = deploy("f", NULL);
	f->manifest.max_workers = 1;
	a = ask(f, "hold");
	b = ask(f, "ok");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	w = fake_running(fake, "hold");
	fake_say_died(w, SIGKILL);
	fake_add_result(&w->out, w->now.id, 200, SLICE("hello"));
	w->deaf = true;
	fake_flush(w);
	fake_close(w);
	WAIT_FOR(loop, b->done > 0);
	expect_ok(a);
	expect_ok(b);
}
END_TEST

/* The record is of the start that it had in the end. */
START_TEST(a_call_that_moved_to_a_warm_worker_is_warm)
{
	struct fn_version *f;
	struct asked *a;
	struct asked *b;

	begin(0, 10);
	f = deploy("f", NULL);
	a = ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	fake->deaf = true;
	b = ask(f, "ok");
	WAIT_FOR(loop, stats_of(f).busy == 2);
	fake_answer(fake_worker(fake, 1));
	WAIT_FOR(loop, a->done > 0);
	fake_die(fake_worker(fake, 2), SIGKILL);
	WAIT_FOR(loop, b->done > 0);
	expect_ok(b);
	expect_start(b, RECORD_KIND_WARM, RECORD_CAUSE_NONE);
	ck_assert_uint_eq(b->record.spawn_us, 0);
	ck_assert_uint_eq(b->record.jail_us, 0);
}
END_TEST

START_TEST(a_worker_that_dies_with_the_call_is_502_once)
{
	struct fn_version *f;
	struct asked *a;
	struct asked *b;

	begin(0, 10);
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "ok"));
	a = ask(f, "crash");
	b = ask(f, "ok");
	WAIT_FOR(loop, a->done > 0 && b->done > 0);
	expect(a, 502, RECORD_OUTCOME_CRASHED, RECORD_FAILED_SANDBOX,
	    "worker_crashed");
	expect_ok(b);
	ck_assert_uint_eq(nnotes, 1);
}
END_TEST

static const struct death {
	int status;
	enum record_failed_by failed_by;
	const char *reason;
} deaths[] = {
    {SIGSYS, RECORD_FAILED_SANDBOX, "sandbox_violation"},
    {SIGKILL, RECORD_FAILED_POOL, "worker_killed"},
    {SIGSEGV, RECORD_FAILED_SANDBOX, "worker_crashed"},
    {0, RECORD_FAILED_SANDBOX, "worker_crashed"},
    {3 << 8, RECORD_FAILED_SANDBOX, "worker_crashed"},
};

START_TEST(each_death_has_its_reason)
{
	const struct death *death = &deaths[_i];
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	f = deploy("f", NULL);
	a = ask(f, "hold");
	WAIT_FOR(loop, fake_running(fake, "hold") != NULL);
	fake_die(fake_running(fake, "hold"), death->status);
	WAIT_FOR(loop, a->done > 0);
	expect(a, 502, RECORD_OUTCOME_CRASHED, death->failed_by, death->reason);
	ck_assert_uint_eq(pool_now().violations, death->status == SIGSYS);
	expect_ok(ask_wait(f, "ok"));
}
END_TEST

static void
ask_time_and_file(struct fake_worker *w)
{
	struct buf b = {0};

	w->asking = true;
	if (strcmp(w->now.document, "time") == 0) {
		fake_frame(w, WIRE_TIME, w->now.id, (struct slice){0});
		return;
	}
	wire_add_u64(&b, 0);
	wire_add_u32(&b, 100);
	fake_frame(w, WIRE_FILE_READ, w->now.id, buf_slice(&b));
	buf_fini(&b);
}

START_TEST(questions_are_answered)
{
	struct fn_version *f;
	struct fake_worker *w;
	struct asked *a;
	struct asked *b;

	begin(0, 10);
	fake->on_invoke = ask_time_and_file;
	f = deploy("f", NULL);
	a = ask(f, "time");
	WAIT_FOR(loop, fake->workers != NULL && fake->workers->answers == 1);
	w = fake->workers;
	ck_assert_uint_eq(w->answer.n, 16);
	fake_answer(w);
	WAIT_FOR(loop, a->done > 0);
	b = ask(f, "file");
	WAIT_FOR(loop, w->answers == 2);
	ck_assert_uint_eq(w->answer.n, 1 + 4 + 11);
	ck_assert_uint_eq(b->files, 1);
	fake_answer(w);
	WAIT_FOR(loop, b->done > 0);
	expect_ok(a);
	expect_ok(b);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/call/call");
	TCase *tcase = tcase_create("call");

	tcase_set_timeout(tcase, 110);
	tcase_add_checked_fixture(tcase, call_setup, call_teardown);
	tcase_add_test(tcase, a_first_call_builds_and_the_next_is_warm);
	tcase_add_test(tcase, a_handlers_error_costs_no_worker);
	tcase_add_test(tcase,
	    a_handler_out_of_memory_is_502_and_its_worker_is_replaced);
	tcase_add_test(tcase,
	    at_the_deadline_it_is_interrupted_and_says_its_line);
	tcase_add_test(tcase, what_does_not_answer_the_interrupt_is_killed);
	tcase_add_test(tcase, a_late_result_after_the_interrupt_counts);
	tcase_add_test(tcase, cancelled_in_the_queue_it_reaches_no_worker);
	tcase_add_test(tcase,
	    cancelled_while_it_runs_it_costs_its_worker_and_nobody_else);
	tcase_add_test(tcase,
	    a_worker_that_dies_before_it_read_the_call_is_not_noticed);
	tcase_add_test(tcase,
	    so_it_is_when_it_died_after_the_result_of_the_one_before);
	tcase_add_test(tcase, a_call_that_moved_to_a_warm_worker_is_warm);
	tcase_add_test(tcase, a_worker_that_dies_with_the_call_is_502_once);
	tcase_add_loop_test(tcase, each_death_has_its_reason, 0,
	    sizeof(deaths) / sizeof(deaths[0]));
	tcase_add_test(tcase, questions_are_answered);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
