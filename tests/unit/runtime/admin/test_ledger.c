/*
 * test_ledger.c - usage, uploads and logs: sums are exact, filters filter,
 * and a follower gets each line.
 *
 * Runs in: tests.
 */
#include "tests/unit/runtime/admin/admin_test.h"

/* --- usage ---------------------------------------------------------------- */

#define NOON_MS INT64_C(1767268800000) /* 2026-01-01T12:00:00Z */
#define HOUR_MS INT64_C(3600000)

static void
meter_one(const char *function, int64_t wall_ms)
{
	struct record record = {.kind = RECORD_KIND_WARM,
	    .outcome = RECORD_OUTCOME_OK,
	    .handler_us = 1500,
	    .memory_mb = 64,
	    .bytes_in = 10,
	    .bytes_out = 20,
	    .wall_ms = wall_ms};

	(void)snprintf(record.function, sizeof(record.function), "%s",
	    function);
	meter_add(world.meter, &record);
}

static json_t *
usage(const char *target, size_t rows, long long invocations)
{
	json_t *json = get(target);

	ck_assert_uint_eq(json_array_size(json_object_get(json, "rows")), rows);
	ck_assert_int_eq(number_of(json_object_get(json, "total"),
			     "invocations"),
	    invocations);
	return json;
}

START_TEST(the_total_is_the_sum_of_the_rows)
{
	json_t *json, *total, *row;

	meter_one("f", NOON_MS);
	meter_one("g", NOON_MS);
	meter_one("g", NOON_MS + HOUR_MS);
	json = usage("/v1/usage", 2, 3);
	row = json_array_get(json_object_get(json, "rows"), 1);
	ck_assert_str_eq(text_of(row, "key"), "g");
	ck_assert_int_eq(number_of(row, "billed_ms"), 4);
	ck_assert_str_eq(text_of(row, "gb_s"), "0.000250");
	total = json_object_get(json, "total");
	ck_assert_int_eq(number_of(total, "billed_ms"), 6);
	ck_assert_int_eq(number_of(total, "bytes_in"), 30);
	ck_assert_int_eq(number_of(total, "bytes_out"), 60);
	ck_assert_int_eq(number_of(total, "errors"), 0);
	ck_assert_int_eq(number_of(total, "cold"), 0);
	ck_assert_uint_gt(strlen(text_of(total, "cost")), 2);
	ck_assert_str_eq(text_of(json, "card"), meter_card_name(world.meter));
	json_decref(json);
}
END_TEST

START_TEST(nothing_used_is_no_row_and_a_total_of_zero)
{
	json_decref(usage("/v1/usage", 0, 0));
}
END_TEST

START_TEST(usage_is_grouped_and_cut_in_time)
{
	char target[128];

	meter_one("f", NOON_MS);
	meter_one("g", NOON_MS);
	meter_one("g", NOON_MS + HOUR_MS);
	json_decref(usage("/v1/usage?by=function", 2, 3));
	json_decref(usage("/v1/usage?by=day", 1, 3));
	json_decref(usage("/v1/usage?by=hour", 2, 3));
	json_decref(usage("/v1/usage?function=g&by=hour", 2, 2));
	json_decref(usage("/v1/usage?function=none", 0, 0));
	(void)snprintf(target, sizeof(target), "/v1/usage?since=%lld",
	    (long long)(NOON_MS + 1));
	json_decref(usage(target, 1, 1));
	(void)snprintf(target, sizeof(target), "/v1/usage?until=%lld",
	    (long long)(NOON_MS + 1));
	json_decref(usage(target, 2, 2));
}
END_TEST

START_TEST(usage_says_which_parameter_is_wrong)
{
	refuses("GET", "/v1/usage?by=week", 400, "bad_by",
	    "by is function, day or hour");
	refuses("GET", "/v1/usage?by=", 400, "bad_by", "by is");
	refuses("GET", "/v1/usage?since=yesterday", 400, "bad_since",
	    "since is a whole number");
	refuses("GET", "/v1/usage?until=-5", 400, "bad_until",
	    "until is a whole number");
}
END_TEST

/* --- uploads -------------------------------------------------------------- */

static bool stored;

static void
on_updated(const struct err *err, void *arg)
{
	ck_assert_ptr_null(err);
	stored = true;
}

static void
on_accepted(uint64_t id, const struct err *err, void *arg)
{
	struct store_event event = {.id = id,
	    .state = STORE_EVENT_FAILED,
	    .attempts = 3,
	    .error = SLICE("f.lua:1: \"no\""),
	    .finished_ms = 9};

	ck_assert_ptr_null(err);
	if (*(bool *)arg)
		store_update_event(world.store, &event, on_updated, NULL);
	else
		stored = true;
}

static void
put_event(const char *key, const char *function, bool failed)
{
	const struct store_event event = {.key = slice_of(key),
	    .function = slice_of(function),
	    .source = SLICE("upload"),
	    .event = SLICE("{}"),
	    .note = slice_of(key),
	    .bytes = 12,
	    .accepted_ms = 7};

	stored = false;
	store_accept_event(world.store, &event, on_accepted, &failed);
	WAIT(stored);
}

static json_t *
uploads(const char *target, size_t n)
{
	json_t *json = get(target);

	ck_assert_uint_eq(json_array_size(json_object_get(json, "events")), n);
	ck_assert(json_is_array(json_object_get(json, "refused")));
	return json;
}

START_TEST(events_are_listed_newest_first)
{
	json_t *json, *event;

	json_decref(uploads("/v1/uploads", 0));
	put_event("uploads/in/a", "f", true);
	put_event("uploads/in/\"b\"", "g", false);
	json = uploads("/v1/uploads", 2);
	event = json_array_get(json_object_get(json, "events"), 0);
	ck_assert_str_eq(text_of(event, "file"), "uploads/in/\"b\"");
	ck_assert_str_eq(text_of(event, "state"), "accepted");
	ck_assert(json_is_null(json_object_get(event, "error")));
	event = json_array_get(json_object_get(json, "events"), 1);
	ck_assert_str_eq(text_of(event, "state"), "failed");
	ck_assert_str_eq(text_of(event, "error"), "f.lua:1: \"no\"");
	ck_assert_int_eq(number_of(event, "attempts"), 3);
	ck_assert_int_eq(number_of(event, "bytes"), 12);
	ck_assert_int_eq(number_of(event, "finished_ms"), 9);
	json_decref(json);
	json_decref(uploads("/v1/uploads?function=g", 1));
	json_decref(uploads("/v1/uploads?limit=1", 1));
	json_decref(uploads("/v1/uploads?limit=0", 0));
}
END_TEST

START_TEST(an_old_failure_is_found_behind_newer_events)
{
	char key[16];

	put_event("old", "f", true);
	put_event("older", "f", true);
	for (int i = 0; i < 150; i++) {
		(void)snprintf(key, sizeof(key), "key%d", i);
		put_event(key, "f", false);
	}
	json_decref(uploads("/v1/uploads?state=failed", 2));
	json_decref(uploads("/v1/uploads?state=failed&limit=1", 1));
	json_decref(uploads("/v1/uploads?state=accepted", 100));
	json_decref(uploads("/v1/uploads", 100));
}
END_TEST

START_TEST(uploads_says_which_parameter_is_wrong)
{
	refuses("GET", "/v1/uploads?state=lost", 400, "bad_state",
	    "state is accepted, running, done or failed");
	refuses("GET", "/v1/uploads?limit=all", 400, "bad_limit",
	    "limit is a whole number");
}
END_TEST

/* --- logs ----------------------------------------------------------------- */

static size_t
count_lines(const char *target)
{
	size_t n = 0;

	ck_assert_int_eq(ask("GET", target, SLICE("")), 200);
	ck_assert_ptr_nonnull(
	    strstr(answer.p, "\r\ncontent-type: application/x-ndjson\r\n"));
	for (char *line = strtok(strstr(answer.p, "\r\n\r\n") + 4, "\n");
	     line != NULL; line = strtok(NULL, "\n"), n++) {
		json_t *json = json_loads(line, 0, NULL);

		ck_assert_msg(json != NULL, "%s", line);
		json_decref(json);
	}
	return n;
}

static void
write_line(const char *function, const char *text)
{
	logbook_write(world.logbook, LOG_LEVEL_INFO, function, 1, NULL,
	    slice_of(text), SLICE(""));
}

START_TEST(each_line_of_the_log_is_json)
{
	ck_assert_uint_eq(count_lines("/v1/logs"), 0);
	write_line("f", "one\n\"two\"\xff");
	write_line(NULL, "of the platform");
	write_line("g", "three");
	ck_assert_uint_eq(count_lines("/v1/logs"), 3);
	ck_assert_uint_eq(count_lines("/v1/logs?lines=2"), 2);
	ck_assert_uint_eq(count_lines("/v1/logs?function=f"), 1);
	ck_assert_uint_eq(count_lines("/v1/logs?function=h&lines=5"), 0);
	ck_assert_uint_eq(count_lines("/v1/logs?follow=0"), 3);
}
END_TEST

START_TEST(a_follower_gets_what_was_and_what_comes)
{
	struct client c = client_open();

	write_line("f", "before");
	client_send(&c, "GET", "/v1/logs?follow=1&function=f", SLICE(""));
	WAIT(client_has(&c, "before"));
	write_line("g", "of another");
	write_line("f", "after");
	WAIT(client_has(&c, "after"));
	ck_assert(!client_has(&c, "of another"));
	ck_assert(!c.end);
	client_close(&c);
	for (int i = 0; i < 50; i++)
		turn();
	write_line("f", "to nobody");
}
END_TEST

START_TEST(a_follower_that_does_not_read_is_let_go)
{
	static char text[32001];
	struct client c = client_open();

	memset(text, 'x', sizeof(text) - 1);
	client_send(&c, "GET", "/v1/logs?follow=1", SLICE(""));
	WAIT(client_has(&c, "200 OK"));
	for (int i = 0; i < 400; i++)
		write_line("f", text);
	WAIT(client_ended(&c));
	ck_assert_uint_lt(c.got.n, 400 * 32000);
	client_close(&c);
}
END_TEST

START_TEST(the_admin_can_end_while_somebody_follows)
{
	struct client c = client_open();

	client_send(&c, "GET", "/v1/logs?follow=1", SLICE(""));
	WAIT(client_has(&c, "200 OK"));
	admin_free(admin);
	admin = NULL;
	turn();
	WAIT(client_ended(&c));
	client_close(&c);
}
END_TEST

START_TEST(logs_says_which_parameter_is_wrong)
{
	refuses("GET", "/v1/logs?lines=many", 400, "bad_lines",
	    "lines is a whole number");
	refuses("GET", "/v1/logs?follow=yes", 400, "bad_follow",
	    "follow is a whole number");
}
END_TEST

static void
add(TCase *tcase)
{
	tcase_add_test(tcase, the_total_is_the_sum_of_the_rows);
	tcase_add_test(tcase, nothing_used_is_no_row_and_a_total_of_zero);
	tcase_add_test(tcase, usage_is_grouped_and_cut_in_time);
	tcase_add_test(tcase, usage_says_which_parameter_is_wrong);
	tcase_add_test(tcase, events_are_listed_newest_first);
	tcase_add_test(tcase, an_old_failure_is_found_behind_newer_events);
	tcase_add_test(tcase, uploads_says_which_parameter_is_wrong);
	tcase_add_test(tcase, each_line_of_the_log_is_json);
	tcase_add_test(tcase, a_follower_gets_what_was_and_what_comes);
	tcase_add_test(tcase, a_follower_that_does_not_read_is_let_go);
	tcase_add_test(tcase, the_admin_can_end_while_somebody_follows);
	tcase_add_test(tcase, logs_says_which_parameter_is_wrong);
}

int
main(void)
{
	return admin_test_run("runtime/admin/ledger", add);
}
