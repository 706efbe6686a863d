/*
 * test_invoke.c - POST /v1/invoke: what is asked of the calls, and what
 * becomes of their answer.
 *
 * Runs in: tests.
 */
#include "tests/unit/runtime/admin/admin_test.h"

static struct record record;
static struct buf headers;

static void
deploy(void)
{
	folder_put("functions/f.lua", "return 1");
	folder_put("functions/b.lua", "return 'broken'");
	start_catalog();
	record = (struct record){.status = 200,
	    .outcome = RECORD_OUTCOME_OK,
	    .kind = RECORD_KIND_WARM,
	    .function = "f"};
	script.result = (struct call_result){.record = &record};
}

static void
fail_with(unsigned int status, enum record_outcome outcome,
    enum record_failed_by failed_by, const char *reason)
{
	record.status = (uint16_t)status;
	record.outcome = (uint8_t)outcome;
	record.failed_by = (uint8_t)failed_by;
	(void)snprintf(record.reason, sizeof(record.reason), "%s", reason);
	script.result.message = SLICE("a \"message\"");
	script.result.traceback = SLICE("f.lua:1");
}

/* POST that must get 200, with JSON. */
static json_t *
invoke(const char *target, struct slice body)
{
	ck_assert_msg(ask("POST", target, body) == 200, "%s", answer.p);
	return answer_json();
}

static struct wire_reader
reader_of(const struct buf *b)
{
	return (struct wire_reader){.p = (const uint8_t *)b->p, .n = b->n};
}

static const char *
event_text(struct wire_reader *r)
{
	static char text[256];

	(void)slice_copy(text, sizeof(text), wire_get_str(r));
	return text;
}

START_TEST(the_event_is_a_get_of_its_route)
{
	struct wire_reader r;

	deploy();
	json_decref(invoke("/v1/invoke/f", SLICE("")));
	ck_assert_uint_eq(script.calls, 1);
	ck_assert_uint_eq(strlen(script.id), 26);
	ck_assert_int_eq(script.kind, RECORD_KIND_WARM);
	ck_assert_int_eq(script.request.source, RECORD_SOURCE_INVOKE);
	ck_assert_int_eq(script.request.kind, WIRE_EVENT_HTTP);
	r = reader_of(&script.event);
	ck_assert_str_eq(event_text(&r), "GET");
	ck_assert_str_eq(event_text(&r), "/f");
}
END_TEST

START_TEST(a_body_makes_it_a_post_and_the_query_says_otherwise)
{
	struct wire_reader r;

	deploy();
	json_decref(invoke("/v1/invoke/f", SLICE("x")));
	r = reader_of(&script.event);
	ck_assert_str_eq(event_text(&r), "POST");
	ck_assert_uint_eq(script.request.bytes_in, 1);
	buf_fini(&script.event);
	json_decref(
	    invoke("/v1/invoke/f?method=PUT&path=%2fa+b%3fc%3Dd&type=http",
		SLICE("x")));
	r = reader_of(&script.event);
	ck_assert_str_eq(event_text(&r), "PUT");
	ck_assert_str_eq(event_text(&r), "/a b");
}
END_TEST

START_TEST(with_type_json_the_body_is_the_whole_event)
{
	struct wire_reader r;

	deploy();
	json_decref(invoke("/v1/invoke/f?type=json", SLICE("{\"a\":1}")));
	ck_assert_int_eq(script.request.kind, WIRE_EVENT_JSON);
	r = reader_of(&script.event);
	ck_assert_str_eq(event_text(&r), "{\"a\":1}");
}
END_TEST

START_TEST(an_answer_has_status_headers_body_and_record)
{
	json_t *json, *pair;

	deploy();
	record.status = 418;
	wire_add_u32(&headers, 1);
	wire_add_str(&headers, SLICE("x-\"y\""));
	wire_add_str(&headers, SLICE("z"));
	script.result.headers = reader_of(&headers);
	script.result.body = SLICE("caf\xc3\xa9 \\ufffd \xef\xbf\xbd\n");
	json = invoke("/v1/invoke/f", SLICE(""));
	ck_assert_int_eq(number_of(json, "status"), 418);
	pair = json_array_get(json_object_get(json, "headers"), 0);
	ck_assert_str_eq(json_string_value(json_array_get(pair, 0)), "x-\"y\"");
	ck_assert_str_eq(json_string_value(json_array_get(pair, 1)), "z");
	ck_assert_str_eq(text_of(json, "body"),
	    "caf\xc3\xa9 \\ufffd \xef\xbf\xbd\n");
	ck_assert_ptr_null(json_object_get(json, "body_base64"));
	ck_assert(json_is_null(json_object_get(json, "error")));
	ck_assert_str_eq(text_of(json_object_get(json, "record"), "function"),
	    "f");
	json_decref(json);
	buf_fini(&headers);
}
END_TEST

START_TEST(bytes_that_are_no_text_come_as_base64)
{
	static const struct {
		struct slice body;
		const char *base64;
	} cases[] = {{SLICE("\xff"), "/w=="}, {SLICE("\xff\x01"), "/wE="},
	    {SLICE("\xff\x01z"), "/wF6"}, {SLICE("ab\xc3"), "YWLD"}};

	deploy();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json;

		script.result.body = cases[i].body;
		json = invoke("/v1/invoke/f", SLICE(""));
		ck_assert_str_eq(text_of(json, "body"), cases[i].base64);
		ck_assert(json_is_true(json_object_get(json, "body_base64")));
		json_decref(json);
	}
}
END_TEST

START_TEST(what_the_handler_did_wrong_is_an_answer_too)
{
	json_t *json, *error;

	deploy();
	fail_with(500, RECORD_OUTCOME_ERROR, RECORD_FAILED_HANDLER,
	    "handler_error");
	json = invoke("/v1/invoke/f", SLICE(""));
	ck_assert_int_eq(number_of(json, "status"), 500);
	error = json_object_get(json, "error");
	ck_assert_str_eq(text_of(error, "reason"), "handler_error");
	ck_assert_str_eq(text_of(error, "message"), "a \"message\"");
	ck_assert_str_eq(text_of(error, "traceback"), "f.lua:1");
	ck_assert_str_eq(text_of(json_object_get(json, "record"), "reason"),
	    "handler_error");
	json_decref(json);
}
END_TEST

START_TEST(what_never_ran_is_a_problem_document)
{
	deploy();
	fail_with(429, RECORD_OUTCOME_REJECTED, RECORD_FAILED_LIMIT,
	    "queue_full");
	refuses("POST", "/v1/invoke/f", 429, "queue_full", "a \"message\"");
	ck_assert_ptr_nonnull(
	    strstr(answer.p, "\r\nPerilune-Failed-By: limit\r\n"));
	fail_with(503, RECORD_OUTCOME_EXPIRED, RECORD_FAILED_POOL,
	    "no_worker_in_time");
	refuses("POST", "/v1/invoke/f", 503, "no_worker_in_time", "message");
	ck_assert_ptr_nonnull(
	    strstr(answer.p, "\r\nPerilune-Failed-By: pool\r\n"));
}
END_TEST

START_TEST(a_function_without_a_version_is_404)
{
	deploy();
	refuses("POST", "/v1/invoke/b", 404, "no_such_function", "serves");
	refuses("POST", "/v1/invoke/none", 404, "no_such_function", "serves");
	refuses("POST", "/v1/invoke/f/g", 404, "no_such_function", "serves");
	ck_assert_uint_eq(script.calls, 0);
}
END_TEST

START_TEST(each_kind_of_start_can_be_asked_for)
{
	deploy();
	json_decref(invoke("/v1/invoke/f?start=warm", SLICE("")));
	ck_assert_int_eq(script.kind, RECORD_KIND_WARM);
	json_decref(invoke("/v1/invoke/f?start=image", SLICE("")));
	ck_assert_int_eq(script.kind, RECORD_KIND_IMAGE);
	json_decref(invoke("/v1/invoke/f?start=build", SLICE("")));
	ck_assert_int_eq(script.kind, RECORD_KIND_BUILD);
	json_decref(invoke("/v1/invoke/f?start=fork", SLICE("")));
	ck_assert_int_eq(script.kind, RECORD_KIND_FORK);
}
END_TEST

START_TEST(a_busy_function_cannot_be_brought_to_zero)
{
	deploy();
	script.busy = true;
	refuses("POST", "/v1/invoke/f?start=image", 409, "function_busy",
	    "serving requests");
	ck_assert_uint_eq(script.calls, 0);
}
END_TEST

START_TEST(a_parameter_that_is_wrong_is_named)
{
	char target[4096];

	deploy();
	refuses("POST", "/v1/invoke/f?start=none", 400, "bad_start",
	    "start is warm, image, build or fork");
	refuses("POST", "/v1/invoke/f?start=", 400, "bad_start", "start is");
	refuses("POST", "/v1/invoke/f?type=xml", 400, "bad_type",
	    "type is http or json");
	refuses("POST",
	    "/v1/invoke/f?method=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 400,
	    "bad_method", "method has at most 31 bytes");
	(void)snprintf(target, sizeof(target), "/v1/invoke/f?path=/%02000d", 0);
	refuses("POST", target, 400, "bad_path", "path has at most 1023 bytes");
	ck_assert_uint_eq(script.calls, 0);
}
END_TEST

/* An end right after the request is a client that only said all it has. */
static void
stay_a_while(void)
{
	uint64_t end = clock_mono_us() + 200000;

	while (clock_mono_us() < end)
		turn();
}

START_TEST(a_client_that_leaves_cancels_its_call)
{
	struct client c;

	deploy();
	script.hold_call = true;
	c = client_open();
	client_send(&c, "POST", "/v1/invoke/f", SLICE(""));
	WAIT(script.calls == 1);
	stay_a_while();
	client_close(&c);
	WAIT(script.cancelled == 1);
	json_decref(get("/v1/info"));
}
END_TEST

START_TEST(a_client_that_leaves_before_it_began_is_never_run)
{
	struct client c;

	deploy();
	script.hold = true;
	c = client_open();
	client_send(&c, "POST", "/v1/invoke/f?start=image", SLICE(""));
	WAIT(script.prepared != NULL);
	stay_a_while();
	client_close(&c);
	stay_a_while();
	script.prepared(script.prepared_arg);
	ck_assert_uint_eq(script.calls, 0);
}
END_TEST

static void
add(TCase *tcase)
{
	tcase_add_test(tcase, the_event_is_a_get_of_its_route);
	tcase_add_test(tcase,
	    a_body_makes_it_a_post_and_the_query_says_otherwise);
	tcase_add_test(tcase, with_type_json_the_body_is_the_whole_event);
	tcase_add_test(tcase, an_answer_has_status_headers_body_and_record);
	tcase_add_test(tcase, bytes_that_are_no_text_come_as_base64);
	tcase_add_test(tcase, what_the_handler_did_wrong_is_an_answer_too);
	tcase_add_test(tcase, what_never_ran_is_a_problem_document);
	tcase_add_test(tcase, a_function_without_a_version_is_404);
	tcase_add_test(tcase, each_kind_of_start_can_be_asked_for);
	tcase_add_test(tcase, a_busy_function_cannot_be_brought_to_zero);
	tcase_add_test(tcase, a_parameter_that_is_wrong_is_named);
	tcase_add_test(tcase, a_client_that_leaves_cancels_its_call);
	tcase_add_test(tcase,
	    a_client_that_leaves_before_it_began_is_never_run);
}

int
main(void)
{
	return admin_test_run("runtime/admin/invoke", add);
}
