/*
 * test_hostile.c - what a worker that was taken over may send, and what
 * becomes of it.
 *
 * Runs in: tests.
 *
 * Each case is a worker that misbehaves in one way in the middle of a request.
 * That request ends as the table says, the worker is killed when the protocol
 * was broken, and the next request is answered by another one.
 */
#include "tests/unit/runtime/call/call_test.h"

#define MORE_THAN_A_RESULT 35651585u
#define FLOOD_LINE_BYTES   32000
#define FLOOD_LINES	   2200

/* A header as no honest sender would build it. */
static void
send_header(struct fake_worker *w, uint32_t bytes, unsigned int type,
    unsigned int flags, uint64_t id)
{
	struct buf b = {0};

	wire_add_u32(&b, bytes);
	wire_add_u16(&b, (uint16_t)type);
	wire_add_u16(&b, (uint16_t)flags);
	wire_add_u64(&b, id);
	fake_bytes(w, buf_slice(&b));
	buf_fini(&b);
}

static void
send_result(struct fake_worker *w, unsigned int status, uint64_t peak_bytes,
    unsigned int nheaders, const char *value, struct slice body)
{
	struct buf b = {0};

	wire_add_u64(&b, peak_bytes);
	wire_add_u16(&b, (uint16_t)status);
	wire_add_u32(&b, nheaders);
	for (unsigned int i = 0; i < nheaders; i++) {
		wire_add_str(&b, SLICE("x-a"));
		wire_add_str(&b, slice_of(value));
	}
	wire_add_str(&b, body);
	fake_frame(w, WIRE_RESULT, w->now.id, buf_slice(&b));
	buf_fini(&b);
}

static void
send_log(struct fake_worker *w, unsigned int level, struct slice text)
{
	struct buf b = {0};

	wire_add_u8(&b, (uint8_t)level);
	wire_add_str(&b, text);
	wire_add_str(&b, (struct slice){0});
	fake_frame(w, WIRE_LOG, w->now.id, buf_slice(&b));
	buf_fini(&b);
}

static void
send_failed(struct fake_worker *w, unsigned int why)
{
	fake_add_failed(&w->out, w->now.id, why, "m", "t");
	fake_flush(w);
}

/* --- headers ------------------------------------------------------------- */

static void
sends_ready_again(struct fake_worker *w)
{
	send_header(w, 0, WIRE_READY, 0, w->now.id);
}

static void
sends_what_the_gateway_sends(struct fake_worker *w)
{
	send_header(w, 0, WIRE_TIME_IS, 0, w->now.id);
}

static void
sends_an_unknown_type(struct fake_worker *w)
{
	send_header(w, 0, 99, 0, w->now.id);
}

static void
sends_a_huge_type(struct fake_worker *w)
{
	send_header(w, 0, 65535, 0, w->now.id);
}

static void
sends_flags(struct fake_worker *w)
{
	send_header(w, 0, WIRE_TIME, 1, w->now.id);
}

static void
sends_too_long_a_result(struct fake_worker *w)
{
	send_header(w, MORE_THAN_A_RESULT, WIRE_RESULT, 0, w->now.id);
}

static void
sends_the_longest_length(struct fake_worker *w)
{
	send_header(w, UINT32_MAX, WIRE_LOG, 0, w->now.id);
}

static void
sends_half_and_ends(struct fake_worker *w)
{
	send_header(w, 100, WIRE_RESULT, 0, w->now.id);
	fake_bytes(w, SLICE("half"));
	fake_die(w, 0);
}

static void
sends_half_a_header_and_ends(struct fake_worker *w)
{
	fake_bytes(w, SLICE("\1\2\3"));
	fake_die(w, 0);
}

static void
sends_another_calls_id(struct fake_worker *w)
{
	fake_add_result(&w->out, w->now.id + 1, 200, SLICE("hello"));
	fake_flush(w);
}

static void
sends_no_id(struct fake_worker *w)
{
	fake_add_result(&w->out, 0, 200, SLICE("hello"));
	fake_flush(w);
}

static void
sends_garbage(struct fake_worker *w)
{
	fake_bytes(w, SLICE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
}

/* --- STARTED, BUILT, HEAP_DATA ---------------------------------------------- */

static void
says_started_again(struct fake_worker *w)
{
	fake_frame(w, WIRE_STARTED, w->now.id, (struct slice){0});
}

static void
says_built(struct fake_worker *w)
{
	fake_frame(w, WIRE_BUILT, w->now.id, SLICE("1234567812345678"));
}

static void
sends_a_heap(struct fake_worker *w)
{
	fake_frame(w, WIRE_HEAP_DATA, w->now.id, SLICE("heap"));
}

/* --- RESULT ---------------------------------------------------------------- */

static void
sends_an_empty_result(struct fake_worker *w)
{
	fake_frame(w, WIRE_RESULT, w->now.id, (struct slice){0});
}

static void
sends_a_result_cut_short(struct fake_worker *w)
{
	fake_frame(w, WIRE_RESULT, w->now.id,
	    SLICE("\0\0\0\0\0\0\0\0\310\0\0\0\0\0\5\0\0\0hel"));
}

static void
sends_a_result_and_more(struct fake_worker *w)
{
	fake_frame(w, WIRE_RESULT, w->now.id,
	    SLICE("\0\0\0\0\0\0\0\0\310\0\0\0\0\0\1\0\0\0h!"));
}

static void
says_four_billion_headers(struct fake_worker *w)
{
	fake_frame(w, WIRE_RESULT, w->now.id,
	    SLICE("\0\0\0\0\0\0\0\0\310\0\377\377\377\377\0\0\0\0"));
}

static void
says_status_99(struct fake_worker *w)
{
	send_result(w, 99, 1024, 0, "", SLICE("hello"));
}

static void
says_status_101(struct fake_worker *w)
{
	send_result(w, 101, 1024, 0, "", SLICE("hello"));
}

static void
says_status_600(struct fake_worker *w)
{
	send_result(w, 600, 1024, 0, "", SLICE("hello"));
}

static void
says_it_used_more_than_there_is(struct fake_worker *w)
{
	send_result(w, 200, w->memory_bytes + 1, 0, "", SLICE("hello"));
}

static void
sends_101_headers(struct fake_worker *w)
{
	send_result(w, 200, 1024, 101, "b", SLICE("hello"));
	fake_next(w);
}

static void
sends_a_header_with_a_line_end(struct fake_worker *w)
{
	send_result(w, 200, 1024, 1, "b\r\nSet-Cookie: c", SLICE("hello"));
	fake_next(w);
}

static void
sends_too_long_a_body(struct fake_worker *w)
{
	static char body[4097];

	send_result(w, 200, 1024, 0, "", slice_from(body, sizeof(body)));
	fake_next(w);
}

/* --- LOG, FAILED, FILE_* ----------------------------------------------------- */

static void
logs_at_no_level(struct fake_worker *w)
{
	send_log(w, 4, SLICE("line"));
}

static void
logs_what_cannot_be_read(struct fake_worker *w)
{
	fake_frame(w, WIRE_LOG, w->now.id, SLICE("\1\377\377\377\377line"));
}

static void
floods_the_log(struct fake_worker *w)
{
	static char line[FLOOD_LINE_BYTES];

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < FLOOD_LINES; i++)
		send_log(w, WIRE_LOG_INFO, slice_from(line, sizeof(line)));
}

static void
fails_for_no_reason(struct fake_worker *w)
{
	send_failed(w, 0);
}

static void
fails_for_reason_99(struct fake_worker *w)
{
	send_failed(w, 99);
}

static void
fails_by_a_deadline_that_was_not(struct fake_worker *w)
{
	send_failed(w, WIRE_FAIL_TIMEOUT);
}

static void
sends_an_empty_failure(struct fake_worker *w)
{
	fake_frame(w, WIRE_FAILED, w->now.id, (struct slice){0});
}

static void
asks_twice(struct fake_worker *w)
{
	const struct slice question = SLICE("\0\0\0\0\0\0\0\0\1\0\0\0");

	fake_frame(w, WIRE_FILE_READ, w->now.id, question);
	fake_frame(w, WIRE_FILE_READ, w->now.id, question);
}

#define BREACH "protocol_error", RECORD_FAILED_SANDBOX, RECORD_OUTCOME_CRASHED
#define CRASH  "worker_crashed", RECORD_FAILED_SANDBOX, RECORD_OUTCOME_CRASHED
#define BAD    "bad_response", RECORD_FAILED_HANDLER, RECORD_OUTCOME_ERROR

static const struct hostile {
	void (*act)(struct fake_worker *w);
	const char *reason;
	enum record_failed_by failed_by;
	enum record_outcome outcome;
} hostiles[] = {
    {sends_ready_again, BREACH},
    {sends_what_the_gateway_sends, BREACH},
    {sends_an_unknown_type, BREACH},
    {sends_a_huge_type, BREACH},
    {sends_flags, BREACH},
    {sends_too_long_a_result, BREACH},
    {sends_the_longest_length, BREACH},
    {sends_half_and_ends, CRASH},
    {sends_half_a_header_and_ends, CRASH},
    {sends_another_calls_id, BREACH},
    {sends_no_id, BREACH},
    {sends_garbage, BREACH},
    {says_started_again, BREACH},
    {says_built, BREACH},
    {sends_a_heap, BREACH},
    {sends_an_empty_result, BREACH},
    {sends_a_result_cut_short, BREACH},
    {sends_a_result_and_more, BREACH},
    {says_four_billion_headers, BREACH},
    {says_status_99, BREACH},
    {says_status_101, BREACH},
    {says_status_600, BREACH},
    {says_it_used_more_than_there_is, BREACH},
    {sends_101_headers, BAD},
    {sends_a_header_with_a_line_end, BAD},
    {sends_too_long_a_body, BAD},
    {logs_at_no_level, BREACH},
    {logs_what_cannot_be_read, BREACH},
    {floods_the_log, BREACH},
    {fails_for_no_reason, BREACH},
    {fails_for_reason_99, BREACH},
    {fails_by_a_deadline_that_was_not, BREACH},
    {sends_an_empty_failure, BREACH},
    {asks_twice, BREACH},
};

#define HOSTILES ((int)(sizeof(hostiles) / sizeof(hostiles[0])))

static const struct hostile *hostile;

static void
misbehave(struct fake_worker *w)
{
	hostile->act(w);
}

static struct fn_version *
begin_hostile(int i)
{
	struct fn_version *f;

	hostile = &hostiles[i];
	keep_questions = true;
	begin(0, 10);
	fake->on_invoke = misbehave;
	f = deploy("f", NULL);
	f->manifest.max_response_bytes = 4096;
	return f;
}

static void
check_end(struct fn_version *f, const struct asked *a)
{
	bool breach = strcmp(hostile->reason, "protocol_error") == 0;
	bool kept = strcmp(hostile->reason, "bad_response") == 0;

	expect(a, 502, hostile->outcome, hostile->failed_by, hostile->reason);
	if (!kept)
		WAIT_FOR(loop, fake_worker(fake, 1)->fd < 0);
	expect_ok(ask_wait(f, "ok"));
	ck_assert_uint_eq(fake->spawns, kept ? 1 : 2);
	ck_assert_uint_eq(fake_worker(fake, 1)->killed, breach);
	ck_assert_uint_eq(pool_now().breaches, breach);
	ck_assert_uint_eq(nnotes, kept ? 0 : 1);
}

/* In the first call of a worker, which announces its start. */
START_TEST(a_hostile_worker_costs_its_first_call)
{
	struct fn_version *f = begin_hostile(_i);

	check_end(f, ask_wait(f, "misbehave"));
}
END_TEST

START_TEST(a_hostile_worker_costs_its_second_call)
{
	struct fn_version *f = begin_hostile(_i);

	expect_ok(ask_wait(f, "ok"));
	check_end(f, ask_wait(f, "misbehave"));
}
END_TEST

static void
answer_twice(struct fake_worker *w)
{
	fake_add_result(&w->out, w->now.id, 200, SLICE("hello"));
	fake_add_result(&w->out, w->now.id, 200, SLICE("hello"));
	fake_flush(w);
}

static void
answer_and_garbage(struct fake_worker *w)
{
	fake_add_result(&w->out, w->now.id, 200, SLICE("hello"));
	buf_puts(&w->out, "and something else");
	fake_flush(w);
}

static void (*const excesses[])(
    struct fake_worker *w) = {answer_twice, answer_and_garbage};

/* The answer stands; the worker goes. */
START_TEST(what_follows_a_result_ends_the_worker)
{
	struct fn_version *f;

	begin(0, 10);
	fake->on_invoke = excesses[_i];
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "too much"));
	WAIT_FOR(loop, fake_worker(fake, 1)->fd < 0);
	ck_assert(fake_worker(fake, 1)->killed);
	WAIT_FOR(loop, stats_of(f).idle == 0);
	expect_ok(ask_wait(f, "ok"));
	ck_assert_uint_eq(fake->spawns, 2);
	ck_assert_uint_eq(pool_now().breaches, 1);
}
END_TEST

/* Without it the handler's time, which is on the bill, would be 0. */
START_TEST(a_result_without_the_start_that_was_asked_for_is_a_breach)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	fake->no_started = true;
	f = deploy("f", NULL);
	a = ask_wait(f, "ok");
	expect(a, 502, RECORD_OUTCOME_CRASHED, RECORD_FAILED_SANDBOX,
	    "protocol_error");
	fake->no_started = false;
	expect_ok(ask_wait(f, "ok"));
}
END_TEST

START_TEST(an_idle_worker_that_speaks_is_killed)
{
	struct fn_version *f;

	begin(0, 10);
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "ok"));
	send_log(fake_worker(fake, 1), WIRE_LOG_INFO, SLICE("out of turn"));
	WAIT_FOR(loop, fake_worker(fake, 1)->killed);
	expect_ok(ask_wait(f, "ok"));
	ck_assert_uint_eq(nlogs, 0);
	ck_assert_uint_eq(fake->spawns, 2);
}
END_TEST

START_TEST(frames_may_come_byte_by_byte)
{
	struct fn_version *f;

	begin(0, 10);
	fake->slowly = true;
	f = deploy("f", NULL);
	for (int i = 0; i < 5; i++)
		expect_ok(ask_wait(f, "ok"));
	ck_assert_uint_eq(fake->spawns, 1);
}
END_TEST

static void
log_much(struct fake_worker *w)
{
	static char line[FLOOD_LINE_BYTES];

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 5; i++)
		send_log(w, WIRE_LOG_INFO, slice_from(line, sizeof(line)));
	fake_answer(w);
}

START_TEST(lines_over_the_limit_are_dropped_and_counted)
{
	struct fn_version *f;

	begin(0, 10);
	fake->on_invoke = log_much;
	f = deploy("f", NULL);
	expect_ok(ask_wait(f, "log"));
	ck_assert_uint_eq(nlogs, 3);
	ck_assert_str_eq(last_log,
	    "3 log lines dropped: more than max_log_bytes");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/call/hostile");
	TCase *tcase = tcase_create("hostile");

	tcase_set_timeout(tcase, 110);
	tcase_add_checked_fixture(tcase, call_setup, call_teardown);
	tcase_add_loop_test(tcase, a_hostile_worker_costs_its_first_call, 0,
	    HOSTILES);
	tcase_add_loop_test(tcase, a_hostile_worker_costs_its_second_call, 0,
	    HOSTILES);
	tcase_add_loop_test(tcase, what_follows_a_result_ends_the_worker, 0, 2);
	tcase_add_test(tcase,
	    a_result_without_the_start_that_was_asked_for_is_a_breach);
	tcase_add_test(tcase, an_idle_worker_that_speaks_is_killed);
	tcase_add_test(tcase, frames_may_come_byte_by_byte);
	tcase_add_test(tcase, lines_over_the_limit_are_dropped_and_counted);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
