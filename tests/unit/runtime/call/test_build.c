/*
 * test_build.c - running an init, and keeping its heap.
 *
 * Runs in: tests.
 */
#include "tests/unit/runtime/call/call_test.h"

static unsigned int nbuilt;
static char error[512]; /* "" for none */

static void
on_built(struct fn_version *version, const char *why, void *arg)
{
	nbuilt++;
	(void)slice_copy(error, sizeof(error), slice_of(why));
}

static void
build_wait(struct fn_version *f)
{
	unsigned int before = nbuilt;

	calls_build(calls, f, on_built, NULL);
	WAIT_FOR(loop, nbuilt == before + 1);
}

static struct calls_stats
calls_now(void)
{
	struct calls_stats stats;

	calls_stats(calls, &stats);
	return stats;
}

static void
hold(struct fake_worker *w)
{
}

static void
fail_error(struct fake_worker *w)
{
	w->now.id = 0;
	fake_fail(w, WIRE_FAIL_ERROR, "f.lua:3: boom", "");
}

static void
fail_load(struct fake_worker *w)
{
	w->now.id = 0;
	fake_fail(w, WIRE_FAIL_LOAD, "f.lua:1: unexpected symbol", "");
}

static void
fail_memory(struct fake_worker *w)
{
	w->now.id = 0;
	fake_fail(w, WIRE_FAIL_MEMORY, "full", "");
}

static void
crash(struct fake_worker *w)
{
	fake_die(w, SIGSEGV);
}

static void
violate(struct fake_worker *w)
{
	fake_die(w, SIGSYS);
}

/* --- breaches --------------------------------------------------------------- */

static void
announce(struct fake_worker *w, uint64_t heap_bytes, uint64_t peak_bytes)
{
	struct buf b = {0};

	wire_add_u64(&b, heap_bytes);
	wire_add_u64(&b, peak_bytes);
	fake_frame(w, WIRE_BUILT, 0, buf_slice(&b));
	buf_fini(&b);
}

static void
built_twice(struct fake_worker *w)
{
	announce(w, 4, 4);
	announce(w, 4, 4);
}

static void
built_nothing(struct fake_worker *w)
{
	announce(w, 0, 4);
}

static void
built_too_much(struct fake_worker *w)
{
	announce(w, w->memory_bytes + 1, 4);
}

static void
peaked_too_high(struct fake_worker *w)
{
	announce(w, 4, w->memory_bytes + 1);
}

static void
built_in_few_bytes(struct fake_worker *w)
{
	fake_frame(w, WIRE_BUILT, 0, SLICE("1234"));
}

static void
more_heap(struct fake_worker *w)
{
	announce(w, 4, 4);
	fake_frame(w, WIRE_HEAP_DATA, 0, SLICE("12345"));
}

static void
heap_unannounced(struct fake_worker *w)
{
	fake_frame(w, WIRE_HEAP_DATA, 0, SLICE("1234"));
}

static void
result_in_init(struct fake_worker *w)
{
	fake_add_result(&w->out, 0, 200, SLICE("hello"));
	fake_flush(w);
}

static void
log_at_no_level(struct fake_worker *w)
{
	fake_frame(w, WIRE_LOG, 0, SLICE("\4\1\0\0\0x\0\0\0\0"));
}

static void
fail_in_few_bytes(struct fake_worker *w)
{
	fake_frame(w, WIRE_FAILED, 0, SLICE("\1"));
}

static void
fail_for_no_reason(struct fake_worker *w)
{
	fake_add_failed(&w->out, 0, 0, "m", "t");
	fake_flush(w);
}

static void
fail_for_reason_99(struct fake_worker *w)
{
	fake_add_failed(&w->out, 0, 99, "m", "t");
	fake_flush(w);
}

static const struct {
	void (*act)(struct fake_worker *w);
	const char *error;
} failures[] = {
    {fail_error, "f.lua:3: boom"},
    {fail_load, "f.lua:1: unexpected symbol"},
    {fail_memory, "the init needs more than memory_mb = "},
    {crash, "the init failed: the worker died by signal 11"},
    {violate, "the init failed: the worker tried a forbidden system call"},
    {built_twice, "the init failed: the worker broke the protocol"},
    {built_nothing, "the init failed: the worker broke the protocol"},
    {built_too_much, "the init failed: the worker broke the protocol"},
    {peaked_too_high, "the init failed: the worker broke the protocol"},
    {built_in_few_bytes, "the init failed: the worker broke the protocol"},
    {more_heap, "the init failed: the worker broke the protocol"},
    {heap_unannounced, "the init failed: the worker broke the protocol"},
    {result_in_init, "the init failed: the worker broke the protocol"},
    {log_at_no_level, "the init failed: the worker broke the protocol"},
    {fail_in_few_bytes, "the init failed: the worker broke the protocol"},
    {fail_for_no_reason, "the init failed: the worker broke the protocol"},
    {fail_for_reason_99, "the init failed: the worker broke the protocol"},
};

#define FAILURES ((int)(sizeof(failures) / sizeof(failures[0])))

static void
check_text(const char *got, const char *expected)
{
	ck_assert_msg(strncmp(got, expected, strlen(expected)) == 0,
	    "\"%s\" instead of \"%s\"", got, expected);
}

START_TEST(a_build_that_fails_says_why)
{
	struct fn_version *f;

	begin(0, 10);
	fake->on_build = failures[_i].act;
	f = deploy("f", NULL);
	build_wait(f);
	check_text(error, failures[_i].error);
	ck_assert_uint_eq(fake->spawns, 1);
	ck_assert_uint_eq(calls_now().build_failures, 1);
	WAIT_FOR(loop, pool_now().workers == 0);
	fake->on_build = NULL;
	build_wait(f);
	ck_assert_str_eq(error, "");
}
END_TEST

START_TEST(so_does_the_build_that_a_call_needed)
{
	struct fn_version *f;
	struct asked *a;

	begin(0, 10);
	fake->on_build = failures[_i].act;
	f = deploy("f", NULL);
	a = ask_wait(f, "ok");
	expect(a, 500, RECORD_OUTCOME_ERROR, RECORD_FAILED_HANDLER,
	    "init_failed");
	check_text(a->message, failures[_i].error);
	fake->on_build = NULL;
	expect_ok(ask_wait(f, "ok"));
}
END_TEST

START_TEST(an_init_that_takes_too_long_says_its_line)
{
	struct fn_version *f;

	limits.init_timeout_ms = 50;
	limits.kill_grace_ms = 60000;
	begin(0, 10);
	fake->processes = true;
	fake->on_build = hold;
	f = deploy("f", NULL);
	build_wait(f);
	ck_assert_str_eq(error,
	    "the init (top level) ran longer than 50 ms\n" FAKE_LINE);
}
END_TEST

START_TEST(or_is_killed)
{
	struct fn_version *f;

	limits.init_timeout_ms = 50;
	begin(0, 10);
	fake->on_build = hold;
	f = deploy("f", NULL);
	build_wait(f);
	ck_assert_str_eq(error,
	    "the init (top level) ran longer than 50 ms and had to be killed");
	ck_assert(fake_worker(fake, 1)->killed);
}
END_TEST

static void
die_twice(struct fake_worker *w)
{
	if (w->number <= 2)
		fake_die(w, SIGKILL);
	else
		fake_built(w, SLICE(FAKE_HEAP));
}

START_TEST(a_build_that_was_killed_from_outside_is_tried_again)
{
	struct fn_version *f;

	begin(0, 10);
	fake->on_build = die_twice;
	f = deploy("f", NULL);
	build_wait(f);
	ck_assert_str_eq(error, "");
	ck_assert_uint_eq(fake->spawns, 3);
}
END_TEST

START_TEST(what_was_built_at_deploy_is_the_image_of_the_first_call)
{
	struct fn_version *f;
	struct asked *a;

	begin(1, 10);
	WAIT_FOR(loop, pool_now().ready == 1);
	f = deploy("f", NULL);
	build_wait(f);
	ck_assert_str_eq(error, "");
	ck_assert_uint_eq(stats_of(f).image_bytes, strlen(FAKE_HEAP));
	WAIT_FOR(loop, pool_now().ready == 1 && pool_now().workers == 1);
	a = ask_wait(f, "ok");
	expect_start(a, RECORD_KIND_IMAGE, RECORD_CAUSE_FIRST);
	ck_assert_uint_eq(fake_builds(fake), 1);
}
END_TEST

START_TEST(the_image_used_longest_ago_is_evicted_and_built_again)
{
	struct fn_version *f[3];

	limits.image_cache_bytes = 2 * strlen(FAKE_HEAP);
	begin(1, 10);
	f[0] = deploy("f", NULL);
	f[1] = deploy("g", NULL);
	f[2] = deploy("h", NULL);
	build_wait(f[0]);
	build_wait(f[1]);
	ck_assert_uint_eq(calls_now().images, 2);
	WAIT_FOR(loop, pool_now().ready == 1);
	expect_ok(ask_wait(f[0], "ok")); /* used: g is the oldest now */
	build_wait(f[2]);
	ck_assert_uint_eq(calls_now().images, 2);
	ck_assert_uint_eq(calls_now().images_evicted, 1);
	ck_assert_uint_eq(stats_of(f[1]).image_bytes, 0);
	ck_assert_uint_gt(stats_of(f[0]).image_bytes, 0);
	WAIT_FOR(loop, pool_now().ready == 1);
	expect_start(ask_wait(f[1], "ok"), RECORD_KIND_BUILD,
	    RECORD_CAUSE_FIRST);
	ck_assert_uint_eq(fake_builds(fake), 4);
	ck_assert_uint_le(calls_now().image_bytes, limits.image_cache_bytes);
}
END_TEST

static void
setup(void)
{
	nbuilt = 0;
	error[0] = '\0';
	call_setup();
}

int
main(void)
{
	Suite *suite = suite_create("runtime/call/build");
	TCase *tcase = tcase_create("build");

	tcase_set_timeout(tcase, 110);
	tcase_add_checked_fixture(tcase, setup, call_teardown);
	tcase_add_loop_test(tcase, a_build_that_fails_says_why, 0, FAILURES);
	tcase_add_loop_test(tcase, so_does_the_build_that_a_call_needed, 0,
	    FAILURES);
	tcase_add_test(tcase, an_init_that_takes_too_long_says_its_line);
	tcase_add_test(tcase, or_is_killed);
	tcase_add_test(tcase,
	    a_build_that_was_killed_from_outside_is_tried_again);
	tcase_add_test(tcase,
	    what_was_built_at_deploy_is_the_image_of_the_first_call);
	tcase_add_test(tcase,
	    the_image_used_longest_ago_is_evicted_and_built_again);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
