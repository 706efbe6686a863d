/*
 * test_arena.c - what is allocated holds, what is freed is found again, and
 * the copied bytes are the heap.
 *
 * Runs in: tests.
 */
#include "sandbox/arena/arena.h"
#include "tests/unit/unit.h"

#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

static int softs;
static jmp_buf at_full;

static void
on_soft(void)
{
	softs++;
}

static void
on_full(void)
{
	longjmp(at_full, 1);
}

static void
setup(void)
{
	ck_assert_int_eq(arena_map(ARENA_MAX_BYTES), 0);
	arena_set_hooks(on_soft, on_full);
	arena_init(4 * MIB);
	softs = 0;
}

START_TEST(blocks_of_all_sizes_do_not_overlap)
{
	enum { N = 600 };
	static uint8_t *blocks[N];

	for (size_t i = 0; i < N; i++) {
		size_t n = 1 + i * i % 5000;

		blocks[i] = arena_alloc(NULL, NULL, 0, n);
		ck_assert_uint_eq((uintptr_t)blocks[i] % 16, 0);
		memset(blocks[i], (int)(i & 0xff), n);
	}
	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < 1 + i * i % 5000; j++)
			ck_assert_uint_eq(blocks[i][j], i & 0xff);
}
END_TEST

START_TEST(a_freed_block_is_used_again)
{
	void *first = arena_alloc(NULL, NULL, 0, 100);
	void *second;
	size_t used;

	(void)arena_alloc(NULL, NULL, 0, 16);
	used = arena_used();
	(void)arena_alloc(NULL, first, 100, 0);
	second = arena_alloc(NULL, NULL, 0, 97);
	ck_assert_ptr_eq(first, second);
	ck_assert_uint_eq(arena_used(), used);
}
END_TEST

START_TEST(the_last_block_grows_and_shrinks_in_place)
{
	char *p = arena_alloc(NULL, NULL, 0, 1000);
	size_t before = arena_used();

	memcpy(p, "kept", 5);
	ck_assert_ptr_eq(arena_alloc(NULL, p, 1000, 100000), p);
	ck_assert_str_eq(p, "kept");
	ck_assert_ptr_eq(arena_alloc(NULL, p, 100000, 1000), p);
	ck_assert_uint_eq(arena_used(), before);
	ck_assert_uint_ge(arena_peak(), 100000);
}
END_TEST

START_TEST(a_block_that_must_move_keeps_its_bytes)
{
	char *p = arena_alloc(NULL, NULL, 0, 40);
	char *q;

	memset(p, 'x', 40);
	(void)arena_alloc(NULL, NULL, 0, 16);
	q = arena_alloc(NULL, p, 40, 4000);
	ck_assert_ptr_ne(p, q);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(q[i], 'x');
}
END_TEST

START_TEST(past_the_mark_it_asks_for_a_collection_once)
{
	arena_begin();
	for (int i = 0; i < 12; i++)
		(void)arena_alloc(NULL, NULL, 0, MIB / 8);
	ck_assert_int_eq(softs, 1);
	arena_collected();
	while (softs == 1)
		(void)arena_alloc(NULL, NULL, 0, MIB / 8);
	ck_assert_uint_lt(arena_used(), 4 * MIB);
}
END_TEST

START_TEST(at_the_limit_it_never_returns_null)
{
	if (setjmp(at_full) != 0)
		return;
	for (;;)
		ck_assert_ptr_nonnull(arena_alloc(NULL, NULL, 0, 4096));
}
END_TEST

START_TEST(absurd_sizes_are_full_and_not_small)
{
	if (setjmp(at_full) != 0)
		return;
	(void)arena_alloc(NULL, NULL, 0, SIZE_MAX - 3);
	ck_abort();
}
END_TEST

START_TEST(the_copied_bytes_are_the_heap)
{
	char *p = arena_alloc(NULL, NULL, 0, 32);
	size_t n;
	char *copy;

	memcpy(p, "before", 7);
	arena_set_root(p);
	n = arena_used();
	copy = malloc(n);
	memcpy(copy, ARENA_BASE, n);
	memcpy(p, "after", 6);
	(void)arena_alloc(NULL, NULL, 0, 3000);
	memcpy(ARENA_BASE, copy, n);
	ck_assert(arena_adopt(n, 8 * MIB));
	ck_assert_str_eq(arena_root(), "before");
	ck_assert_uint_eq(arena_used(), n);
	ck_assert(!arena_adopt(n + 16, 8 * MIB));
	ck_assert(!arena_adopt(n, n - 1));
	free(copy);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/arena/arena");
	TCase *tcase = tcase_create("arena");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, blocks_of_all_sizes_do_not_overlap);
	tcase_add_test(tcase, a_freed_block_is_used_again);
	tcase_add_test(tcase, the_last_block_grows_and_shrinks_in_place);
	tcase_add_test(tcase, a_block_that_must_move_keeps_its_bytes);
	tcase_add_test(tcase, past_the_mark_it_asks_for_a_collection_once);
	tcase_add_test(tcase, at_the_limit_it_never_returns_null);
	tcase_add_test(tcase, absurd_sizes_are_full_and_not_small);
	tcase_add_test(tcase, the_copied_bytes_are_the_heap);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
