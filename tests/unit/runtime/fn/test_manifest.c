/*
 * test_manifest.c - what a manifest may say, and what is said of mistakes.
 *
 * Runs in: tests.
 */
#include "runtime/fn/fn.h"
#include "sandbox/base/err.h"
#include "tests/unit/docs.h"
#include "tests/unit/unit.h"

static struct fn_manifest m;
static struct err err;

static int
parse(const char *json)
{
	fn_manifest_init(&m, "hello");
	return fn_manifest_parse(&m, "hello", json, strlen(json), &err);
}

START_TEST(an_empty_manifest_has_the_defaults)
{
	ck_assert_int_eq(parse("{}"), 0);
	ck_assert_uint_eq(m.timeout_ms, 3000);
	ck_assert_uint_eq(m.memory_mb, 64);
	ck_assert_uint_eq(m.max_workers, 16);
	ck_assert_uint_eq(m.min_workers, 0);
	ck_assert_uint_eq(m.idle_timeout_s, 60);
	ck_assert_int_eq(m.heap, WIRE_HEAP_FRESH);
	ck_assert_uint_eq(m.max_request_bytes, 0);
	ck_assert_uint_eq(m.max_response_bytes, 6291456);
	ck_assert_str_eq(m.route, "/hello");
	ck_assert_uint_eq(m.nmethods + m.nenv + m.nuploads, 0);
	fn_manifest_fini(&m);
}
END_TEST

START_TEST(every_field_is_read)
{
	ck_assert_int_eq(parse(
			     "{\"timeout_ms\": 900000, \"memory_mb\": 1024,"
			     " \"max_workers\": 1000, \"min_workers\": 100,"
			     " \"idle_timeout_s\": 86400, \"heap\": \"shared\","
			     " \"env\": {\"A_1\": \"x\", \"b\": \"\"},"
			     " \"route\": \"/o/:id/items\","
			     " \"methods\": [\"GET\", \"M-SEARCH\"],"
			     " \"max_request_bytes\": 0,"
			     " \"max_response_bytes\": 33554432,"
			     " \"triggers\": [{\"type\": \"upload\","
			     "  \"dir\": \"uploads/in/new\", \"pattern\": "
			     "\"*.csv\","
			     "  \"output\": \"uploads/in/newer\"},"
			     "  {\"type\": \"upload\", \"dir\": "
			     "\"uploads/x\"}]}"),
	    0);
	ck_assert_uint_eq(m.timeout_ms, 900000);
	ck_assert_uint_eq(m.memory_mb, 1024);
	ck_assert_uint_eq(m.max_workers, 1000);
	ck_assert_uint_eq(m.min_workers, 100);
	ck_assert_uint_eq(m.idle_timeout_s, 86400);
	ck_assert_int_eq(m.heap, WIRE_HEAP_SHARED);
	ck_assert_uint_eq(m.nenv, 2);
	ck_assert_str_eq(m.env[0].name, "A_1");
	ck_assert_str_eq(m.env[0].value, "x");
	ck_assert_str_eq(m.route, "/o/:id/items");
	ck_assert_uint_eq(m.nmethods, 2);
	ck_assert_str_eq(m.methods[1], "M-SEARCH");
	ck_assert_uint_eq(m.max_request_bytes, 0);
	ck_assert_uint_eq(m.max_response_bytes, 33554432);
	ck_assert_uint_eq(m.nuploads, 2);
	ck_assert_str_eq(m.uploads[0].dir, "in/new");
	ck_assert_str_eq(m.uploads[0].pattern, "*.csv");
	ck_assert_str_eq(m.uploads[0].output, "in/newer");
	ck_assert_str_eq(m.uploads[1].pattern, "*");
	ck_assert_ptr_null(m.uploads[1].output);
	fn_manifest_fini(&m);
}
END_TEST

#define UPLOAD(rest) "{\"triggers\": [{\"type\": \"upload\", " rest "}]}"

static const struct {
	const char *json;
	const char *says; /* part of the message */
} bad[] = {
    {"{\n  \"heap\": \"fresh\",\n  \"timeout_ms\": 0\n}",
	"line 3: timeout_ms: must be 1 to 900000 ms, not 0"},
    {"{\"timeout_ms\": 900001}", "timeout_ms: must be 1 to 900000 ms"},
    {"{\"timeout_ms\": -1}", "not -1"},
    {"{\"timeout_ms\": 3.5}", "must be a whole number, not 3.5"},
    {"{\"timeout_ms\": \"3000\"}", "must be a whole number, not \"3000\""},
    {"{\"memory_mb\": 3}", "must be 4 to 1024 MB, not 3"},
    {"{\"memory_mb\": 4294967360}", "not 4294967360"},
    {"{\"max_workers\": 0}", "line 1: max_workers"},
    {"{\n\"min_workers\": 17}",
	"line 2: min_workers: must be at most max_workers (16), not 17"},
    {"{\"max_request_bytes\": 33554433}", "max_request_bytes"},
    {"{\"heap\": \"warm\"}", "must be \"fresh\" or \"shared\", not \"warm\""},
    {"{\n\n\"timeot_ms\": 1}",
	"line 3: timeot_ms: unknown field, did you mean timeout_ms?"},
    {"{\"colour\": 1}", "line 1: colour: unknown field"},
    {"{\"e\\u006ev\": 1}", "env: must be an object of strings, not 1"},
    {"{\"timeout_ms\": 1,\n\"timeout_ms\": 2}", "line 2: duplicate"},
    {"{\"timeout_ms\": 1,\n}", "line 2: "},
    {"[]", "line 1: must be an object"},
    {"", "line 1: "},
    {"{} x", "line 1: "},
    {"{\"route\": \"hello\"}", "must begin with \"/\""},
    {"{\"route\": \"/a/\"}", "no \"/\" at its end"},
    {"{\"route\": \"/a//b\"}", "no \"//\""},
    {"{\"route\": \"/a/../b\"}", "\"..\": segments are"},
    {"{\"route\": \"/a b\"}", "\"a b\": segments are"},
    {"{\"route\": \"/%41\"}", "segments are"},
    {"{\"route\": \"/:\"}", "\":\": a parameter is"},
    {"{\"route\": \"/:1\"}", "a parameter is"},
    {"{\"route\": \"/:a/:a\"}", "\":a\" is there twice"},
    {"{\"route\": \"/:a/:b/:c/:d/:e/:f/:g/:h/:i\"}", "8 parameters"},
    {"{\"route\": \"/healthz\"}", "the server's own"},
    {"{\"route\": \"/readyz/x\"}", "the server's own"},
    {"{\"route\": 1}", "route: must be a string"},
    {"{\"methods\": \"GET\"}", "methods: must be an array"},
    {"{\"methods\": [\"GET\",\n \"get\"]}",
	"line 2: methods[1]: must be a method in upper case"},
    {"{\"methods\": [\"GET\", \"GET\"]}", "methods[1]: GET is there twice"},
    {"{\"methods\": [\"\"]}", "methods[0]"},
    {"{\"methods\": [\"A B\"]}", "methods[0]"},
    {"{\"env\": [\"A\"]}", "env: must be an object of strings"},
    {"{\"env\": {\n\"1A\": \"x\"}}", "line 2: env.1A: names are letters"},
    {"{\"env\": {\"A-B\": \"x\"}}", "env.A-B: names are"},
    {"{\"env\": {\"A\": 1}}", "env.A: must be a string, not 1"},
    {"{\"env\": {\"A\": \"a\\u0000b\"}}", "line 1: "},
    {"{\"triggers\": {}}", "triggers: must be an array of objects"},
    {"{\"triggers\": [1]}", "triggers[0]: must be an object, not 1"},
    {"{\"triggers\": [{\"dir\": \"uploads/in\"}]}",
	"triggers[0]: needs \"type\""},
    {"{\"triggers\": [{\"type\": \"timer\", \"dir\": \"uploads/a\"}]}",
	"triggers[0].type: must be \"upload\", not \"timer\""},
    {UPLOAD("\"pattern\": \"*\""), "triggers[0]: needs \"dir\""},
    {UPLOAD("\n\"dri\": \"uploads/in\""),
	"line 2: triggers[0].dri: unknown field, did you mean dir?"},
    {UPLOAD("\"dir\": \"in\""), "must be a folder below uploads"},
    {UPLOAD("\"dir\": \"uploads\""), "must be a folder below uploads"},
    {UPLOAD("\"dir\": \"uploads/\""), "must be a folder below uploads"},
    {UPLOAD("\"dir\": \"/uploads/in\""), "must be a folder below uploads"},
    {UPLOAD("\"dir\": \"uploads//in\""), "triggers[0].dir: must have no"},
    {UPLOAD("\"dir\": \"uploads/in/\""), "triggers[0].dir: must have no"},
    {UPLOAD("\"dir\": \"uploads/../etc\""), "must have no"},
    {UPLOAD("\"dir\": \"uploads/./etc\""), "must have no"},
    {UPLOAD("\"dir\": \"uploads/a\\nb\""), "must have no"},
    {UPLOAD("\"dir\": \"uploads/in\", \"pattern\": \"a/b\""),
	"triggers[0].pattern: must be a pattern"},
    {UPLOAD("\"dir\": \"uploads/in\", \"pattern\": \"\""), "pattern"},
    {UPLOAD("\"dir\": \"uploads/in\",\n\"output\": \"uploads/in\""),
	"line 2: triggers[0].output: must not be dir or inside it"},
    {UPLOAD("\"dir\": \"uploads/in\", \"output\": \"uploads/in/x\""),
	"must not be dir or inside it"},
    {UPLOAD("\"dir\": \"uploads/a/b\", \"output\": \"uploads/a\""),
	"must not have dir inside it"},
    {UPLOAD("\"dir\": \"uploads/in\", \"output\": \"/tmp\""),
	"triggers[0].output: must be a folder below uploads"},
};

START_TEST(a_mistake_is_named_with_line_and_field)
{
	ck_assert_int_eq(parse(bad[_i].json), -1);
	ck_assert_int_eq(err.code, ERR_BAD_INPUT);
	ck_assert_msg(strstr(err.msg, bad[_i].says) != NULL,
	    "%s\nsays: %s\nnot:  %s", bad[_i].json, err.msg, bad[_i].says);
	/* and the manifest is as it was */
	ck_assert_str_eq(m.route, "/hello");
	ck_assert_uint_eq(m.timeout_ms, 3000);
	ck_assert_uint_eq(m.nenv + m.nmethods + m.nuploads, 0);
	fn_manifest_fini(&m);
}
END_TEST

/* "{ FIELD: [ONE, ONE, ...] }" with n times ONE, numbered. */
static char *
many(const char *begin, const char *one, int n, const char *end)
{
	struct buf out = {0};

	buf_puts(&out, begin);
	for (int i = 0; i < n; i++) {
		buf_puts(&out, i == 0 ? "" : ",");
		buf_addf(&out, one, i);
	}
	buf_puts(&out, end);
	return buf_steal(&out, NULL);
}

static void
check_count(const char *begin, const char *one, const char *end, int max)
{
	char *json = many(begin, one, max, end);

	ck_assert_msg(parse(json) == 0, "%d of %s: %s", max, begin, err.msg);
	fn_manifest_fini(&m);
	free(json);
	json = many(begin, one, max + 1, end);
	ck_assert_int_eq(parse(json), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "must have at most"));
	fn_manifest_fini(&m);
	free(json);
}

START_TEST(what_can_be_many_has_a_limit)
{
	check_count("{\"env\":{", "\"V%d\":\"x\"", "}}", FN_ENV_MAX);
	check_count("{\"methods\":[", "\"M%d\"", "]}", 16);
	check_count("{\"triggers\":[",
	    "{\"type\":\"upload\",\"dir\":\"uploads/%d\"}", "]}",
	    FN_TRIGGERS_MAX);
}
END_TEST

START_TEST(a_long_value_is_refused)
{
	char *json = many("{\"env\":{\"A\":\"", "%d", 3000, "\"}}");

	ck_assert_int_eq(parse(json), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "env.A: must be at most 4096"));
	fn_manifest_fini(&m);
	free(json);
	json = many("{\"env\":{\"A\":\"", "%d", 30000, "\"}}");
	ck_assert_int_eq(parse(json), -1);
	ck_assert_int_eq(err.code, ERR_LIMIT);
	fn_manifest_fini(&m);
	free(json);
}
END_TEST

START_TEST(names_are_names)
{
	char longest[66];

	memset(longest, 'a', 65);
	longest[65] = '\0';
	ck_assert(!fn_name_valid(slice_of(longest)));
	ck_assert(fn_name_valid(slice_of(longest + 1)));
	ck_assert(fn_name_valid(SLICE("a-B_9")));
	ck_assert(fn_name_valid(SLICE("-rf")));
	ck_assert(!fn_name_valid(SLICE("")));
	ck_assert(!fn_name_valid(SLICE("_lib")));
	ck_assert(!fn_name_valid(SLICE("a.b")));
	ck_assert(!fn_name_valid(SLICE("a/b")));
	ck_assert(!fn_name_valid(SLICE("a\n")));
	ck_assert(!fn_name_valid(SLICE("\xc3\xa4")));
}
END_TEST

START_TEST(the_page_is_what_the_table_says)
{
	struct buf page = {0};

	fn_manifest_describe(&page);
	docs_check(__FILE__, "manifest.md", buf_slice(&page));
	buf_fini(&page);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/fn/manifest");
	TCase *tcase = tcase_create("manifest");

	tcase_add_test(tcase, an_empty_manifest_has_the_defaults);
	tcase_add_test(tcase, every_field_is_read);
	tcase_add_loop_test(tcase, a_mistake_is_named_with_line_and_field, 0,
	    sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tcase, what_can_be_many_has_a_limit);
	tcase_add_test(tcase, a_long_value_is_refused);
	tcase_add_test(tcase, names_are_names);
	tcase_add_test(tcase, the_page_is_what_the_table_says);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
