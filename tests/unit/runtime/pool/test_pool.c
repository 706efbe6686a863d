/*
 * test_pool.c - ready workers, refills, waits, and a zygote that fails.
 *
 * Runs in: tests.
 */
#include "runtime/pool/pool.h"
#include "tests/unit/runtime/pool/fake_zygote.h"

#include <limits.h>

#define TAKEN_MAX 16

static struct loop *loop;
static struct pool *pool;
static struct fake *fake;
static int tenant; /* what a taken worker's job points to */
static struct worker *taken[TAKEN_MAX];
static int order[TAKEN_MAX];
static unsigned int ntaken, ngone, nzygotes_gone, nfull, nnotes, nframes;
static char last_reason[40];
static int refuse_hello;
static unsigned int lua_bytes, failed_tests;
static char last_note[128];

static void
on_frame(struct worker *worker, const struct wire_header *header,
    struct slice body, void *arg)
{
	nframes++;
}

static void
on_gone(struct worker *worker, const struct worker_death *death, void *arg)
{
	ngone++;
	(void)slice_copy(last_reason, sizeof(last_reason),
	    slice_of(death->reason));
}

static int
on_hello(const struct pool_hello *hello, void *arg)
{
	lua_bytes = (unsigned int)hello->lua.n;
	failed_tests = hello->failed;
	ck_assert(hello->report.active[JAIL_SECCOMP]);
	return refuse_hello;
}

static void
on_zygote_gone(void *arg)
{
	nzygotes_gone++;
}

static bool
on_full(void *arg)
{
	nfull++;
	return false;
}

static void
on_note(const char *what, void *arg)
{
	nnotes++;
	(void)slice_copy(last_note, sizeof(last_note), slice_of(what));
}

static void
begin(unsigned int ready_workers, unsigned int max_workers)
{
	const struct pool_callbacks callbacks = {
	    .on_frame = on_frame,
	    .on_gone = on_gone,
	    .on_hello = on_hello,
	    .on_zygote_gone = on_zygote_gone,
	    .on_full = on_full,
	    .on_note = on_note,
	};
	int control;

	pool = pool_new(loop, ready_workers, max_workers, &callbacks, NULL);
	fake = fake_new(loop, &control);
	pool_attach(pool, control);
}

static void
hello(void)
{
	fake_hello(fake, 0);
	WAIT_FOR(loop, pool_generation(pool) != 0);
}

static struct pool_stats
now(void)
{
	struct pool_stats stats;

	pool_stats(pool, &stats);
	return stats;
}

static void
keep(struct worker *worker, void *arg)
{
	worker->job = &tenant;
	order[ntaken] = arg == NULL ? 0 : *(const int *)arg;
	taken[ntaken++] = worker;
}

static void
setup(void)
{
	struct err err;

	ntaken = ngone = nzygotes_gone = nfull = nnotes = nframes = 0;
	refuse_hello = 0;
	loop = loop_new(&err);
	ck_assert_ptr_nonnull(loop);
}

static void
teardown(void)
{
	pool_free(pool);
	fake_free(fake);
	loop_free(loop);
}

START_TEST(nothing_is_forked_before_the_hello)
{
	begin(2, 10);
	fake_turns(loop, 20);
	ck_assert_uint_eq(fake->spawns, 0);
	ck_assert_uint_eq(pool_generation(pool), 0);
	hello();
	ck_assert_uint_eq(pool_generation(pool), 1);
	ck_assert_uint_eq(lua_bytes, 9);
	WAIT_FOR(loop, now().ready == 2);
	ck_assert_uint_eq(now().workers, 2);
}
END_TEST

START_TEST(a_ready_worker_that_is_taken_is_refilled)
{
	struct worker *worker;

	begin(2, 10);
	hello();
	WAIT_FOR(loop, now().ready == 2);
	worker = pool_take(pool, 64);
	ck_assert_ptr_nonnull(worker);
	keep(worker, NULL);
	ck_assert_int_eq(worker->state, WIRE_IDLE);
	WAIT_FOR(loop, now().ready == 2);
	ck_assert_uint_eq(now().workers, 3);
	ck_assert_ptr_null(pool_take(pool, 1024));
}
END_TEST

START_TEST(a_class_is_kept_ready_while_it_is_used)
{
	begin(1, 10);
	hello();
	WAIT_FOR(loop, now().ready == 1);
	pool_use_class(pool, 200, true);
	WAIT_FOR(loop, now().ready == 2);
	ck_assert_uint_eq(fake->workers->memory_bytes, (uint64_t)256 << 20);
	keep(pool_take(pool, 200), NULL);
	WAIT_FOR(loop, now().ready == 2);
	pool_use_class(pool, 200, false);
	keep(pool_take(pool, 256), NULL);
	fake_turns(loop, 20);
	ck_assert_uint_eq(now().ready, 1);
}
END_TEST

START_TEST(waits_are_served_in_order)
{
	static int numbers[] = {1, 2, 3, 4};
	struct pool_wait *third = NULL;

	begin(0, 10);
	fake->hold_ready = true;
	hello();
	for (int i = 0; i < 4; i++) {
		struct pool_wait *wait = pool_fork(pool, 64, keep, &numbers[i]);

		if (i == 2)
			third = wait;
	}
	ck_assert_uint_eq(now().waiting, 4);
	pool_forget(pool, third);
	ck_assert_uint_eq(now().waiting, 3);
	WAIT_FOR(loop, fake->spawns == 4);
	for (unsigned int n = 4; n > 0; n--)
		fake_ready(fake_worker(fake, n));
	WAIT_FOR(loop, ntaken == 3 && now().ready == 1);
	ck_assert_int_eq(order[0], 1);
	ck_assert_int_eq(order[1], 2);
	ck_assert_int_eq(order[2], 4);
	ck_assert_uint_eq(now().waiting, 0);
	ck_assert_uint_eq(now().starting, 0);
}
END_TEST

START_TEST(a_fork_that_fails_is_tried_again)
{
	begin(0, 10);
	fake->refuse = 3;
	hello();
	(void)pool_fork(pool, 64, keep, NULL);
	WAIT_FOR(loop, ntaken == 1);
	ck_assert_uint_eq(fake->refused, 3);
	ck_assert_uint_eq(now().fork_failures, 3);
	ck_assert_uint_eq(now().workers, 1);
	ck_assert_uint_eq(nnotes, 3);
	ck_assert_ptr_nonnull(strstr(last_note, "could not fork"));
}
END_TEST

START_TEST(but_not_in_a_hurry)
{
	begin(1, 10);
	fake->refuse = UINT_MAX;
	hello();
	(void)pool_fork(pool, 64, keep, NULL);
	fake_turns(loop, 350);
	ck_assert_uint_le(fake->refused, 20);
	fake->refuse = 0;
	WAIT_FOR(loop, ntaken == 1 && now().ready == 1);
}
END_TEST

START_TEST(a_worker_that_dies_before_it_is_ready_is_replaced)
{
	begin(0, 10);
	fake->hold_ready = true;
	hello();
	(void)pool_fork(pool, 64, keep, NULL);
	WAIT_FOR(loop, fake->spawns == 1);
	fake_die(fake_worker(fake, 1), SIGSYS);
	WAIT_FOR(loop, fake->spawns == 2);
	fake_ready(fake_worker(fake, 2));
	WAIT_FOR(loop, ntaken == 1);
	ck_assert_uint_eq(now().violations, 1);
	ck_assert_uint_eq(now().deaths, 1);
	ck_assert_uint_eq(ngone, 0); /* nobody's */
	ck_assert_uint_eq(now().starting, 0);
}
END_TEST

START_TEST(a_ready_worker_that_dies_is_replaced)
{
	begin(1, 10);
	hello();
	WAIT_FOR(loop, now().ready == 1);
	fake_die(fake_worker(fake, 1), SIGKILL);
	WAIT_FOR(loop, fake->spawns == 2 && now().ready == 1);
	ck_assert_uint_eq(now().workers, 1);
	ck_assert_uint_eq(now().deaths, 1);
}
END_TEST

START_TEST(max_workers_stops_refills_and_asks_for_room)
{
	begin(2, 3);
	hello();
	WAIT_FOR(loop, now().ready == 2);
	keep(pool_take(pool, 64), NULL);
	keep(pool_take(pool, 64), NULL);
	WAIT_FOR(loop, now().ready == 1);
	fake_turns(loop, 20);
	ck_assert_uint_eq(now().workers, 3);
	ck_assert_uint_eq(nfull, 0);
	keep(pool_take(pool, 64), NULL);
	(void)pool_fork(pool, 64, keep, NULL);
	ck_assert_uint_ge(nfull, 1);
	fake_turns(loop, 20);
	ck_assert_uint_eq(now().workers, 3);
	worker_kill(taken[0]);
	WAIT_FOR(loop, ntaken == 4);
	ck_assert_uint_eq(ngone, 1);
}
END_TEST

START_TEST(a_hello_that_is_refused_ends_the_zygote)
{
	begin(1, 10);
	refuse_hello = -1;
	fake_hello(fake, 2);
	WAIT_FOR(loop, nzygotes_gone == 1);
	ck_assert_uint_eq(failed_tests, 2);
	ck_assert_uint_eq(pool_generation(pool), 0);
	ck_assert_uint_eq(fake->spawns, 0);
}
END_TEST

START_TEST(so_does_a_second_hello)
{
	begin(1, 10);
	hello();
	fake_hello(fake, 0);
	WAIT_FOR(loop, nzygotes_gone == 1);
	WAIT_FOR(loop, now().workers == 0);
	ck_assert_uint_eq(now().ready, 0);
}
END_TEST

static const struct {
	const char *bytes;
	size_t n;
} packets[] = {
    {"\7", 1},		       /* no such word */
    {"\1\0\0\0\0\0\0\0\0", 9}, /* the gateway's own */
    {"\2", 1},		       /* a hello of nothing */
    {"\2\377\377\377\377", 5},
    {"\3\1", 2}, /* short of a slot */
    {"\4\1\0\0\0\0\0\0\0", 9},
    {"\5\1\0\0\0\0\0\0\0\1", 10},
};

START_TEST(so_does_a_packet_that_cannot_be_read)
{
	struct buf b = {0};

	begin(1, 10);
	hello();
	buf_add(&b, packets[_i].bytes, packets[_i].n);
	fake_say(fake, &b, -1);
	buf_fini(&b);
	WAIT_FOR(loop, nzygotes_gone == 1);
	WAIT_FOR(loop, now().workers == 0);
}
END_TEST

START_TEST(words_on_workers_that_never_were_harm_nobody)
{
	begin(1, 10);
	hello();
	WAIT_FOR(loop, now().ready == 1);
	fake_say_spawned(fake, 999, -1);
	fake_say_spawned(fake, 999, 0);
	fake_say_spawned(fake, fake_worker(fake, 1)->slot, -1);
	fake_say_no_fork(fake, 999);
	fake_turns(loop, 20);
	ck_assert_uint_eq(now().ready, 1);
	ck_assert_uint_eq(nzygotes_gone, 0);
}
END_TEST

START_TEST(a_zygote_takes_its_workers_along)
{
	int control;

	begin(1, 10);
	hello();
	WAIT_FOR(loop, now().ready == 1);
	keep(pool_take(pool, 64), NULL);
	WAIT_FOR(loop, now().ready == 1);
	fake->hold_ready = true;
	(void)pool_fork(pool, 128, keep, NULL);
	WAIT_FOR(loop, now().starting == 1);
	fake_free(fake);
	WAIT_FOR(loop, now().workers == 0);
	ck_assert_uint_eq(nzygotes_gone, 1);
	ck_assert_uint_eq(ngone, 1);
	ck_assert_str_eq(last_reason, "zygote_died");
	ck_assert_uint_eq(now().ready, 0);
	ck_assert_uint_eq(now().starting, 0);
	ck_assert_uint_eq(now().waiting, 1);
	fake = fake_new(loop, &control);
	pool_attach(pool, control);
	hello();
	ck_assert_uint_eq(pool_generation(pool), 2);
	WAIT_FOR(loop, ntaken == 2 && now().ready == 1);
	ck_assert_uint_eq(now().waiting, 0);
}
END_TEST

START_TEST(an_emptied_pool_is_filled_again)
{
	begin(3, 10);
	fake->processes = true;
	hello();
	WAIT_FOR(loop, now().ready == 3);
	pool_empty(pool);
	ck_assert_uint_eq(now().ready, 0);
	ck_assert_ptr_null(pool_take(pool, 64));
	WAIT_FOR(loop, now().ready == 3 && fake_alive(fake) == 3);
	WAIT_FOR(loop, fake_worker(fake, 1)->told);
	ck_assert_int_eq(WTERMSIG(fake_worker(fake, 1)->status), SIGKILL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/pool/pool");
	TCase *tcase = tcase_create("pool");

	tcase_set_timeout(tcase, 110);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, nothing_is_forked_before_the_hello);
	tcase_add_test(tcase, a_ready_worker_that_is_taken_is_refilled);
	tcase_add_test(tcase, a_class_is_kept_ready_while_it_is_used);
	tcase_add_test(tcase, waits_are_served_in_order);
	tcase_add_test(tcase, a_fork_that_fails_is_tried_again);
	tcase_add_test(tcase, but_not_in_a_hurry);
	tcase_add_test(tcase,
	    a_worker_that_dies_before_it_is_ready_is_replaced);
	tcase_add_test(tcase, a_ready_worker_that_dies_is_replaced);
	tcase_add_test(tcase, max_workers_stops_refills_and_asks_for_room);
	tcase_add_test(tcase, a_hello_that_is_refused_ends_the_zygote);
	tcase_add_test(tcase, so_does_a_second_hello);
	tcase_add_loop_test(tcase, so_does_a_packet_that_cannot_be_read, 0,
	    sizeof(packets) / sizeof(packets[0]));
	tcase_add_test(tcase, words_on_workers_that_never_were_harm_nobody);
	tcase_add_test(tcase, a_zygote_takes_its_workers_along);
	tcase_add_test(tcase, an_emptied_pool_is_filled_again);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
