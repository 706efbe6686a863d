/*
 * test_reqid.c - request ids sort by time and never repeat.
 *
 * Runs in: tests.
 */
#include "runtime/stat/reqid.h"
#include "tests/unit/unit.h"

#include <string.h>

#define NOW INT64_C(1763856000000)

START_TEST(an_id_is_26_characters_of_base_36)
{
	struct reqid_source source;
	char id[REQID_CHARS + 1];

	reqid_init(&source);
	reqid_make(&source, NOW, id);
	ck_assert_uint_eq(strlen(id), REQID_CHARS);
	ck_assert_uint_eq(strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz"),
	    REQID_CHARS);
}
END_TEST

START_TEST(ids_sort_by_time_and_within_a_millisecond)
{
	struct reqid_source source;
	char before[REQID_CHARS + 1] = "";
	char id[REQID_CHARS + 1];

	reqid_init(&source);
	for (int i = 0; i < 100000; i++) {
		reqid_make(&source, NOW + i / 1000, id);
		ck_assert_str_lt(before, id);
		memcpy(before, id, sizeof(id));
	}
}
END_TEST

START_TEST(a_clock_that_goes_back_does_not_take_ids_with_it)
{
	struct reqid_source source;
	char first[REQID_CHARS + 1];
	char second[REQID_CHARS + 1];

	reqid_init(&source);
	reqid_make(&source, NOW, first);
	reqid_make(&source, NOW - 3600000, second);
	ck_assert_str_lt(first, second);
}
END_TEST

START_TEST(a_full_counter_moves_to_the_next_millisecond)
{
	struct reqid_source source;
	char first[REQID_CHARS + 1];
	char second[REQID_CHARS + 1];

	reqid_init(&source);
	reqid_make(&source, NOW, first);
	source.count = 60466175 - 1;
	reqid_make(&source, NOW, first);
	reqid_make(&source, NOW, second);
	ck_assert_str_lt(first, second);
	ck_assert_int_eq(source.last_ms, NOW + 1);
}
END_TEST

START_TEST(two_sources_make_different_ids)
{
	struct reqid_source a, b;
	char ida[REQID_CHARS + 1];
	char idb[REQID_CHARS + 1];

	reqid_init(&a);
	reqid_init(&b);
	reqid_make(&a, NOW, ida);
	reqid_make(&b, NOW, idb);
	ck_assert_str_ne(ida, idb);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/stat/reqid");
	TCase *tcase = tcase_create("reqid");

	tcase_add_test(tcase, an_id_is_26_characters_of_base_36);
	tcase_add_test(tcase, ids_sort_by_time_and_within_a_millisecond);
	tcase_add_test(tcase, a_clock_that_goes_back_does_not_take_ids_with_it);
	tcase_add_test(tcase, a_full_counter_moves_to_the_next_millisecond);
	tcase_add_test(tcase, two_sources_make_different_ids);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
