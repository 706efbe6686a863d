/*
 * test_human.c - times are read and written as people do.
 *
 * Runs in: tests.
 */
#include "tools/cli/human.h"

#include "tests/unit/unit.h"

#include <time.h>

#define NOW 1795428000123 /* 2026-11-23T10:00:00.123Z */

START_TEST(a_point_in_time_can_be_so_long_ago)
{
	int64_t ms = 0;

	ck_assert(human_parse_since("90s", NOW, &ms));
	ck_assert_int_eq(ms, NOW - 90000);
	ck_assert(human_parse_since("1h", NOW, &ms));
	ck_assert_int_eq(ms, NOW - 3600000);
	ck_assert(human_parse_since("2d", NOW, &ms));
	ck_assert_int_eq(ms, NOW - 2 * 86400000LL);
	ck_assert(human_parse_since("1w", NOW, &ms));
	ck_assert_int_eq(ms, NOW - 7 * 86400000LL);
	ck_assert(human_parse_since("999999999w", NOW, &ms));
	ck_assert_int_eq(ms, 0);
}
END_TEST

START_TEST(dates_are_local_unless_they_end_in_z)
{
	int64_t ms = 0;

	ck_assert(human_parse_since("2026-11-23", NOW, &ms));
	ck_assert_int_eq(ms, 1795388400000); /* 00:00 at UTC+1 */
	ck_assert(human_parse_since("2026-11-23T11:00", NOW, &ms));
	ck_assert_int_eq(ms, 1795428000000);
	ck_assert(human_parse_since("2026-11-23 11:00:05", NOW, &ms));
	ck_assert_int_eq(ms, 1795428005000);
	ck_assert(human_parse_since("2026-11-23T10:00:00Z", NOW, &ms));
	ck_assert_int_eq(ms, 1795428000000);
	ck_assert(human_parse_since("today", NOW, &ms));
	ck_assert_int_eq(ms, 1795388400000);
	ck_assert(human_parse_since("yesterday", NOW, &ms));
	ck_assert_int_eq(ms, 1795302000000);
}
END_TEST

START_TEST(what_is_no_time_is_refused)
{
	static const char *const bad[] = {"", "h", "1", "1x", "-1h", "1h2",
	    "2026-13-01", "2026-02-30", "2026-11-1", "2026-11-01T", "tomorrow",
	    "2026-11-01T25:00", "2026-11-01T10:60", "1234567890s", "1969-01-01",
	    "2026-11-01Tx", "2026-11-01ZZ"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t ms = 5;

		ck_assert_msg(!human_parse_since(bad[i], NOW, &ms), "%s",
		    bad[i]);
	}
}
END_TEST

START_TEST(server_times_are_exact_utc)
{
	int64_t ms = 0;

	ck_assert(human_parse_iso("2026-11-23T10:00:00.123Z", &ms));
	ck_assert_int_eq(ms, NOW);
	ck_assert(human_parse_iso("2026-11-23T10:00:00.5Z", &ms));
	ck_assert_int_eq(ms, NOW - 123 + 500);
	ck_assert(!human_parse_iso("2026-11-23T10:00:00.123", &ms));
	ck_assert(!human_parse_iso("", &ms));
	ck_assert_str_eq(human_time(NOW).text, "2026-11-23 11:00:00");
	ck_assert_str_eq(human_time_ms(NOW).text, "2026-11-23 11:00:00.123");
	ck_assert_str_eq(human_time_ms(-1).text, "1970-01-01 00:59:59.999");
}
END_TEST

START_TEST(quantities_have_units_that_fit)
{
	ck_assert_str_eq(human_us(17).text, "17 us");
	ck_assert_str_eq(human_us(12345).text, "12.3 ms");
	ck_assert_str_eq(human_us(2500000).text, "2.50 s");
	ck_assert_str_eq(human_ms(900).text, "900 ms");
	ck_assert_str_eq(human_ms(200000).text, "3m 20s");
	ck_assert_str_eq(human_bytes(1023).text, "1023 B");
	ck_assert_str_eq(human_bytes(1536).text, "1.5 KiB");
	ck_assert_str_eq(human_bytes(1048575).text, "1.0 MiB");
	ck_assert_str_eq(human_bytes(UINT64_MAX).text, "16777216.0 TiB");
	ck_assert_str_eq(human_age(200000000).text, "2d 7h");
	ck_assert_str_eq(human_count(0).text, "0");
	ck_assert_str_eq(human_count(123456).text, "123,456");
	ck_assert_str_eq(human_count(UINT64_MAX).text,
	    "18,446,744,073,709,551,615");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tools/cli/human");
	TCase *tcase = tcase_create("human");

	(void)setenv("TZ", "UTC-1", 1); /* POSIX: one hour east */
	tzset();
	tcase_add_test(tcase, a_point_in_time_can_be_so_long_ago);
	tcase_add_test(tcase, dates_are_local_unless_they_end_in_z);
	tcase_add_test(tcase, what_is_no_time_is_refused);
	tcase_add_test(tcase, server_times_are_exact_utc);
	tcase_add_test(tcase, quantities_have_units_that_fit);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
