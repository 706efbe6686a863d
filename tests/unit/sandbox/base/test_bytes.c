/*
 * test_bytes.c - slices compare, bufs grow, JSON strings are always valid.
 *
 * Runs in: tests.
 */
#include "sandbox/base/bytes.h"
#include "tests/unit/unit.h"

START_TEST(numbers_are_digits_only)
{
	uint64_t value = 7;

	ck_assert(slice_u64(SLICE("042"), 100, &value));
	ck_assert_uint_eq(value, 42);
	ck_assert(!slice_u64(SLICE("101"), 100, &value));
	ck_assert(!slice_u64(SLICE(""), 100, &value));
	ck_assert(!slice_u64(SLICE("+1"), 100, &value));
	ck_assert(
	    !slice_u64(SLICE("18446744073709551616"), UINT64_MAX, &value));
	ck_assert_uint_eq(value, 42);
}
END_TEST

START_TEST(header_names_match_in_either_case)
{
	ck_assert(slice_ieq(SLICE("Content-Type"), SLICE("content-TYPE")));
	ck_assert(!slice_ieq(SLICE("a"), SLICE("ab")));
	ck_assert(!slice_ieq(SLICE("@"), SLICE("`")));
}
END_TEST

START_TEST(a_buf_keeps_what_was_added)
{
	struct buf b = {0};
	char *text;
	size_t n;

	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%d,", i);
	ck_assert_uint_eq(b.n, 3890);
	buf_drop(&b, 3886);
	text = buf_steal(&b, &n);
	ck_assert_uint_eq(n, 4);
	ck_assert_str_eq(text, "999,");
	free(text);
	buf_fini(&b);
}
END_TEST

START_TEST(utf8_is_told_from_other_bytes)
{
	ck_assert(slice_is_utf8(SLICE("")));
	ck_assert(slice_is_utf8(SLICE("a\\ufffd\0\xc3\xa9\xef\xbf\xbd")));
	ck_assert(!slice_is_utf8(SLICE("a\xff")));
	ck_assert(!slice_is_utf8(SLICE("\xc3")));
	ck_assert(!slice_is_utf8(SLICE("\xc0\x80")));
	ck_assert(!slice_is_utf8(SLICE("\xed\xa0\x80")));
}
END_TEST

START_TEST(bytes_that_are_not_utf8_are_replaced)
{
	struct buf b = {0};

	buf_json_string(&b, SLICE("a\"\\\n\x01\xff\xc3\xa9\xed\xa0\x80"));
	buf_putc(&b, '\0');
	ck_assert_str_eq(b.p,
	    "\"a\\\"\\\\\\n\\u0001\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffd\"");
	buf_fini(&b);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/base/bytes");
	TCase *tcase = tcase_create("bytes");

	tcase_add_test(tcase, numbers_are_digits_only);
	tcase_add_test(tcase, header_names_match_in_either_case);
	tcase_add_test(tcase, a_buf_keeps_what_was_added);
	tcase_add_test(tcase, utf8_is_told_from_other_bytes);
	tcase_add_test(tcase, bytes_that_are_not_utf8_are_replaced);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
