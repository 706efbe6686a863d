/*
 * test_receipt.c - a record as headers, a failure in safe words.
 *
 * Runs in: tests.
 */
#include "runtime/trigger/receipt.h"
#include "tests/unit/unit.h"

static struct record record;
static struct buf detail;

static void
setup(void)
{
	record = (struct record){.kind = RECORD_KIND_IMAGE,
	    .cause = RECORD_CAUSE_FROM_ZERO,
	    .queue_us = 12,
	    .spawn_us = 100,
	    .jail_us = 50,
	    .load_us = 40,
	    .handler_us = 1204,
	    .billed_ms = 2,
	    .peak_kb = 41,
	    .status = 200};
}

static void
teardown(void)
{
	buf_fini(&detail);
}

static const char *
say(enum record_failed_by by, unsigned int status, const char *traceback,
    bool dev)
{
	struct call_result result = {.record = &record,
	    .message = SLICE("secret is 42"),
	    .traceback = slice_of(traceback)};

	record.failed_by = (uint8_t)by;
	record.status = (uint16_t)status;
	receipt_detail(&detail, &result, dev);
	return detail.p;
}

START_TEST(the_headers_add_up_to_the_record)
{
	struct http_header headers[RECEIPT_HEADERS];
	struct receipt receipt;

	ck_assert_uint_eq(receipt_make(&receipt, &record, headers), 4);
	ck_assert_str_eq(receipt.timing,
	    "queue;dur=0.012, start;dur=0.190, init;dur=0.000, "
	    "handler;dur=1.204");
	ck_assert_str_eq(receipt.start, "image; cause=from_zero");
	ck_assert_str_eq(receipt.billed, "2");
	ck_assert_str_eq(receipt.peak, "41");
	for (int i = 0; i < 4; i++)
		ck_assert(http_header_valid(headers[i].name, headers[i].value));
}
END_TEST

START_TEST(who_never_got_a_worker_has_no_start)
{
	struct http_header headers[RECEIPT_HEADERS];
	struct receipt receipt;

	record.kind = RECORD_KIND_NONE;
	ck_assert_uint_eq(receipt_make(&receipt, &record, headers), 3);
}
END_TEST

START_TEST(a_handlers_error_stays_in_the_log)
{
	ck_assert_ptr_null(
	    strstr(say(RECORD_FAILED_HANDLER, 500, "x", false), "secret"));
}
END_TEST

START_TEST(with_dev_the_caller_sees_message_and_traceback)
{
	const char *text = say(RECORD_FAILED_HANDLER, 500,
	    "stack traceback:\n\ta.lua:1", true);

	ck_assert_ptr_nonnull(strstr(text, "secret"));
	ck_assert_ptr_nonnull(strstr(text, "a.lua:1"));
}
END_TEST

START_TEST(a_timeout_names_the_line_and_no_more)
{
	const char *text;

	record.outcome = RECORD_OUTCOME_TIMEOUT;
	text = say(RECORD_FAILED_LIMIT, 504,
	    "stack traceback:\n\t[C]: in ?\n\thello.lua:7: in function <x>",
	    false);
	ck_assert_ptr_nonnull(strstr(text, "it was running hello.lua:7"));
	ck_assert_ptr_null(strstr(text, "in function"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/trigger/receipt");
	TCase *tcase = tcase_create("receipt");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_headers_add_up_to_the_record);
	tcase_add_test(tcase, who_never_got_a_worker_has_no_start);
	tcase_add_test(tcase, a_handlers_error_stays_in_the_log);
	tcase_add_test(tcase, with_dev_the_caller_sees_message_and_traceback);
	tcase_add_test(tcase, a_timeout_names_the_line_and_no_more);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
