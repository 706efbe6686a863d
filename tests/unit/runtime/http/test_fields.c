/*
 * test_fields.c - which header fields may be sent, and the status texts.
 *
 * Runs in: tests.
 */
#include "runtime/http/http.h"
#include "tests/unit/unit.h"

static bool
valid(const char *name, const char *value)
{
	return http_header_valid(slice_of(name), slice_of(value));
}

START_TEST(ordinary_fields_may_be_sent)
{
	ck_assert(valid("content-type", "text/plain; charset=utf-8"));
	ck_assert(valid("X-Empty", ""));
	ck_assert(valid("x", "tab\tand \xc3\xbc"));
	ck_assert(valid("Perilune-Start", "warm"));
	ck_assert(valid("tea", "green"));
}
END_TEST

START_TEST(injection_is_refused)
{
	ck_assert(!valid("", "x"));
	ck_assert(!valid("a b", "x"));
	ck_assert(!valid("a:", "x"));
	ck_assert(!valid("a\r\nb", "x"));
	ck_assert(!valid("\xc3\xbc", "x"));
	ck_assert(!valid("a", "x\r\nSet-Cookie: a"));
	ck_assert(!valid("a", "x\n"));
	ck_assert(!valid("a", "\x7f"));
	ck_assert(!http_header_valid(SLICE("a"), SLICE("x\0y")));
	ck_assert(!http_header_valid(SLICE("a\0"), SLICE("x")));
}
END_TEST

START_TEST(fields_of_the_connection_are_refused_in_any_case)
{
	static const char *const names[] = {"Content-Length",
	    "transfer-encoding", "CONNECTION", "Keep-Alive", "TE", "Trailer",
	    "Upgrade", "Proxy-Connection", "proxy-authenticate"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(!valid(names[i], "x"), "%s", names[i]);
}
END_TEST

START_TEST(the_platform_has_names_of_its_own)
{
	ck_assert(http_header_reserved(SLICE("Perilune-Billed-Ms")));
	ck_assert(http_header_reserved(SLICE("perilune-")));
	ck_assert(http_header_reserved(SLICE("server-Timing")));
	ck_assert(http_header_reserved(SLICE("DATE")));
	ck_assert(!http_header_reserved(SLICE("perilune")));
	ck_assert(!http_header_reserved(SLICE("x-date")));
}
END_TEST

START_TEST(status_texts_are_registered_ones)
{
	ck_assert_str_eq(http_status_text(200), "OK");
	ck_assert_str_eq(http_status_text(431),
	    "Request Header Fields Too Large");
	ck_assert_str_eq(http_status_text(599), "");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/http/fields");
	TCase *tcase = tcase_create("fields");

	tcase_add_test(tcase, ordinary_fields_may_be_sent);
	tcase_add_test(tcase, injection_is_refused);
	tcase_add_test(tcase, fields_of_the_connection_are_refused_in_any_case);
	tcase_add_test(tcase, the_platform_has_names_of_its_own);
	tcase_add_test(tcase, status_texts_are_registered_ones);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
