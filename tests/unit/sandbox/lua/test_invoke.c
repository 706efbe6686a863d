/*
 * test_invoke.c - loading, events in, results out, failures.
 *
 * Runs in: tests.
 */
#include "tests/unit/sandbox/lua/lua_unit.h"

#define TEXT_PLAIN "content-type: text/plain; charset=utf-8\n"
#define JSON_TYPE  "content-type: application/json\n"

/* Load source as the whole function and require that it works. */
static void
load_ok(const char *source)
{
	ck_assert_msg(unit_load(source) == 0, "%s", unit.failure.message);
}

START_TEST(a_http_event_has_its_fields)
{
	const struct unit_http http = {.method = "POST",
	    .path = "/hello/7",
	    .query = "name=J%C3%B6rg+X&a=1&a=2&flag&&=e&%zz=%4&b=%3D%26",
	    .body = "the body",
	    .params = {"id", "7"},
	    .headers = {"Host", "x", "x-a", "1", "X-A", "2", "cookie", "c=1",
		"cookie", "d=2"}};

	load_ok("return function(e, ctx) return table.concat({e.type, e.method,"
		"e.path, e.raw_query, e.query.name, e.query.a, "
		"'[' .. e.query.flag .. ']', e.query[''], e.query['%zz'], "
		"e.query.b, e.params.id, e.headers.host, e.headers['x-a'], "
		"e.headers.cookie, e.body, e.remote_addr, e.id, "
		"tostring(e.time)}, '|') end");
	ck_assert_int_eq(unit_http(&http), 0);
	ck_assert_str_eq(unit.text,
	    "http|POST|/hello/7|"
	    "name=J%C3%B6rg+X&a=1&a=2&flag&&=e&%zz=%4&b=%3D%26|J\xc3\xb6rg "
	    "X|1|[]|e|%4|=&|7|x|1, 2|c=1; d=2|the body|10.0.0.7:1234|req-1|"
	    "1700000000123");
}
END_TEST

START_TEST(an_event_is_nothing_more_than_documented)
{
	const struct unit_http http = {0};

	load_ok("return function(e) local t = {} for k in pairs(e) do "
		"t[#t+1] = k end table.sort(t) return table.concat(t, ' ') "
		".. next(e.query == e.params and {1} or {0}) end");
	ck_assert_int_eq(unit_http(&http), 0);
	ck_assert_str_eq(unit.text,
	    "body headers id method params path query "
	    "raw_query remote_addr time type1");
}
END_TEST

START_TEST(a_json_event_is_the_document)
{
	load_ok("return function(e) return e end");
	ck_assert_int_eq(unit_json("{\"type\":\"upload\",\"id\":\"mine\"}"), 0);
	ck_assert_ptr_nonnull(strstr(unit.text, "\"id\":\"mine\""));
	ck_assert_ptr_nonnull(strstr(unit.text, "\"time\":1700000000123"));
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_ptr_nonnull(strstr(unit.text, "\"id\":\"req-1\""));
	ck_assert_int_eq(unit_json("[1,2]"), 0);
	ck_assert_str_eq(unit.text, "[1,2]");
	ck_assert_int_eq(unit_json("[]"), 0);
	ck_assert_str_eq(unit.text, "[]");
	ck_assert_int_eq(unit_json("17"), 0);
	ck_assert_str_eq(unit.text, "17");
	ck_assert_int_eq(unit_json("{\"a\":"), -1);
	ck_assert_str_eq(unit.text,
	    "json: line 1 column 6: expected a value, found the end");
}
END_TEST

START_TEST(a_malformed_event_is_a_failure)
{
	load_ok("return function(e) return 'x' end");
	buf_reset(&unit.request, SIZE_MAX);
	wire_add_u32(&unit.request, 77);
	ck_assert_int_eq(unit_invoke(WIRE_EVENT_HTTP), -1);
	ck_assert_str_eq(unit.text, "event: malformed INVOKE");
	ck_assert_int_eq(unit_invoke(WIRE_EVENT_JSON), -1);
	ck_assert_int_eq(unit_invoke((enum wire_event)9), -1);
	ck_assert_str_eq(unit.text, "event: unknown kind 9");
}
END_TEST

START_TEST(ctx_tells_about_the_call)
{
	unit.cold = true;
	ck_eval("return table.concat({ctx.request_id, ctx.function_name, "
		"ctx.version, ctx.memory_mb, ctx.deadline_ms, "
		"ctx.remaining_ms(), tostring(ctx.cold), ctx.start, "
		"ctx.env.GREETING}, '|')",
	    "req-1|hello|3|64|1700000003123|3000|true|image|hi");
	ck_eval("time.sync() return ctx.remaining_ms()", "1500");
	unit.deadline_us = 10;
	ck_eval("return ctx.remaining_ms()", "0");
}
END_TEST

static const struct {
	const char *code;
	unsigned int status;
	const char *headers, *body;
} results[] = {
    {"return 'hi'", 200, TEXT_PLAIN, "hi"},
    {"return ''", 200, TEXT_PLAIN, ""},
    {"return", 204, "", ""},
    {"return nil", 204, "", ""},
    {"return {a = 1}", 200, JSON_TYPE, "{\"a\":1}"},
    {"return {}", 200, JSON_TYPE, "{}"},
    {"return json.array()", 200, JSON_TYPE, "[]"},
    {"return {1, 2}", 200, JSON_TYPE, "[1,2]"},
    {"return 42", 200, JSON_TYPE, "42"},
    {"return 1.5", 200, JSON_TYPE, "1.5"},
    {"return false", 200, JSON_TYPE, "false"},
    {"return json.null", 200, JSON_TYPE, "null"},
    {"return 'a', 'b'", 200, TEXT_PLAIN, "a"},
    {"return {body = 'x'}", 200, JSON_TYPE, "{\"body\":\"x\"}"},
    {"return {status = 404}", 404, "", ""},
    {"return {status = 200.0, body = 'x'}", 200, TEXT_PLAIN, "x"},
    {"return {status = 201, body = {id = 7}}", 201, JSON_TYPE, "{\"id\":7}"},
    {"return {status = 200, body = 5}", 200, TEXT_PLAIN, "5"},
    {"return {status = 200, body = true}", 200, TEXT_PLAIN, "true"},
    {"return {status = 200, body = json.null}", 200, JSON_TYPE, "null"},
    {"return {status = 200, headers = {['Content-Type'] = 'text/html'}, body "
     "= '<p>'}",
	200, "Content-Type: text/html\n", "<p>"},
    {"return {status = 200, headers = {['content-type'] = "
     "'application/x+json'}, body = {}}",
	200, "content-type: application/x+json\n", "{}"},
    {"return {status = 302, headers = {location = '/x'}}", 302,
	"location: /x\n", ""},
    {"return {status = 204, headers = {['set-cookie'] = {'a=1', 'b=2'}}}", 204,
	"set-cookie: a=1\nset-cookie: b=2\n", ""},
    {"return {status = 204, headers = {['x-n'] = 5}}", 204, "x-n: 5\n", ""},
    {"return {status = 204, headers = {['x-b'] = true}}", 204, "x-b: true\n",
	""},
    {"return {status = 200, body = '\\0\\xff'}", 200, TEXT_PLAIN, ""},
    {"return {a = '\\xff'}", 200, JSON_TYPE, "{\"a\":\"\xef\xbf\xbd\"}"},
    {"return {a = 2^63, b = nil}", 200, JSON_TYPE,
	"{\"a\":9.223372036854776e+18}"},
};

START_TEST(a_result_becomes_a_response)
{
	(void)eval(results[_i].code);
	ck_assert_str_eq(unit.failure.message, "");
	ck_assert_str_eq(unit.text, results[_i].body);
	ck_assert_uint_eq(unit.status, results[_i].status);
	ck_assert_str_eq(unit.headers, results[_i].headers);
}
END_TEST

static const struct {
	const char *code, *said;
} bad_results[] = {
    {"return print",
	"a handler may return a string, a table, a number, a "
	"boolean or nothing, not a function"},
    {"return coroutine.create(print)", "not a thread"},
    {"local t = {} t.t = t return t",
	"json: cannot encode a table nested "
	"deeper than 64 (or in itself)"},
    {"return {x = 0/0}", "json: cannot encode NaN at .x"},
    {"return {1, a = 2}", "json: cannot encode keys of more than one kind"},
    {"return {a = print}", "json: cannot encode a function at .a"},
    {"return {status = 'ok'}",
	"status must be an integer from 200 to 599, "
	"not a string; to send this table as JSON"},
    {"return {status = '200 OK\\r\\n'}", "status must be an integer"},
    {"return {status = 200.5}", "status must be an integer"},
    {"return {status = 99}", "status must be from 200 to 599, not 99"},
    {"return {status = 1000}", "not 1000"},
    {"return {status = 200, body = print}", "body must be a string"},
    {"return {status = 200, body = {x = print}}", "at .x"},
    {"return {status = 200, headers = 'x'}",
	"headers must be a table, not a "
	"string"},
    {"return {status = 200, headers = {'x'}}",
	"a name must be a string, not "
	"a number"},
    {"return {status = 200, headers = {a = print}}", "not a (a function)"},
    {"return {status = 200, headers = {a = {{}}}}", "not a (a table)"},
    {"return {status = 200, headers = {a = 'x\\r\\nSet-Cookie: a'}}",
	"has a control byte at 2"},
    {"return {status = 200, headers = {a = 'x\\0'}}", "control byte at 2"},
    {"return {status = 200, headers = {['a b'] = 'x'}}", "with no space"},
    {"return {status = 200, headers = {['a\\r\\n'] = 'x'}}", "a name must be"},
    {"return {status = 200, headers = {['a\\0'] = 'x'}}", "a name must be"},
    {"return {status = 200, headers = {[''] = 'x'}}", "a name must be"},
    {"return {status = 200, headers = {['Content-Length'] = '5'}}",
	"content-length is set by the server"},
    {"return {status = 200, headers = {['transfer-encoding'] = 'chunked'}}",
	"transfer-encoding is set by the server"},
    {"local t = {} for i = 1, 200 do t['x' .. i] = i end "
     "return {status = 200, headers = t}",
	"more than 100 fields"},
    {"return ('x'):rep(1 << 20)", "response larger than 1048576 bytes"},
    {"local t = {} for i = 1, 1000000 do t[i] = i end return t",
	"response larger than 1048576 bytes"},
    {"return {status = 200, body = ('x'):rep(1 << 21)}", "response larger"},
    {"local t = {} for i = 1, 20 do t['x' .. i] = ('x'):rep(100000) end "
     "return {status = 200, headers = t, body = {1}}",
	"response larger"},
};

START_TEST(a_result_that_cannot_be_sent_says_why)
{
	const char *text = eval(bad_results[_i].code);

	ck_assert_msg(strstr(text, bad_results[_i].said) != NULL, "said: %s",
	    text);
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_RESULT);
}
END_TEST

START_TEST(any_room_for_a_response_is_enough_or_too_little)
{
	const char *source =
	    "return function() return {status = 200, headers = {['x-a'] = "
	    "'1', ['set-cookie'] = {'a', 'b'}}, body = {a = {1, 2.5, 'x\\n', "
	    "true, json.null}}} end";
	size_t needed = 0;

	load_ok(source);
	for (size_t cap = 0; cap < 400; cap++) {
		unit.result_cap = cap;
		buf_fini(&unit.result); /* so that ASan sees the end */
		unit.result.p = malloc(cap == 0 ? 1 : cap);
		unit.result.cap = cap == 0 ? 1 : cap;
		if (unit_json("{}") == 0 && needed == 0)
			needed = cap;
		else if (needed == 0)
			ck_assert_int_eq(unit.failure.why, WIRE_FAIL_RESULT);
	}
	ck_assert_uint_gt(needed, 100);
	ck_assert_uint_lt(needed, 200);
}
END_TEST

START_TEST(a_file_must_return_a_handler)
{
	ck_assert_int_eq(unit_load("local x = 1"), -1);
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_LOAD);
	ck_assert_str_eq(unit.failure.message,
	    "the file must return its handler: return function(event, ctx) ... "
	    "end; it returned nothing");
	ck_assert_int_eq(unit_load("return {handle = print}"), -1);
	ck_assert_ptr_nonnull(strstr(unit.failure.message,
	    "it returned a table without a function `handler`"));
	ck_assert_int_eq(unit_load("return 5"), -1);
	load_ok("return {handler = function() return 'ok' end}");
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_str_eq(unit.text, "ok");
}
END_TEST

START_TEST(a_file_that_does_not_compile_names_the_line)
{
	ck_assert_int_eq(unit_load("local x = 1\nreturn function( end"), -1);
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_LOAD);
	ck_assert_str_eq(unit.failure.message,
	    "hello.lua:2: <name> or '...' expected near 'end'");
}
END_TEST

START_TEST(an_error_in_init_has_a_traceback)
{
	ck_assert_int_eq(unit_load("local function f()\n error('no') end\n f()"
				   " return f"),
	    -1);
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_ERROR);
	ck_assert_str_eq(unit.failure.message, "hello.lua:2: no");
	ck_assert_str_eq(unit.failure.traceback,
	    "stack traceback:\n"
	    "\t[C]: in global 'error'\n"
	    "\thello.lua:2: in local 'f'\n"
	    "\thello.lua:3: in main chunk");
}
END_TEST

START_TEST(a_handler_error_has_a_traceback)
{
	load_ok("local function deep(n)\n if n == 0 then error('boom') end\n"
		" return 1 + deep(n - 1)\nend\n"
		"return function() deep(40) end");
	ck_assert_int_eq(unit_json("{}"), -1);
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_ERROR);
	ck_assert_str_eq(unit.text, "hello.lua:2: boom");
	ck_assert_ptr_nonnull(
	    strstr(unit.failure.traceback, "\t...\t(skipping "));
	ck_assert_ptr_nonnull(
	    strstr(unit.failure.traceback, "\n\thello.lua:5: in function <"));
	ck_assert_ptr_null(strstr(unit.failure.traceback, "[C]: in ?"));
}
END_TEST

START_TEST(a_failure_leaves_the_function_usable)
{
	load_ok("return function(e) if e.fail then error('x') end "
		"return 'fine' end");
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(unit_json("{\"fail\":true}"), -1);
		ck_assert_int_eq(unit_json("{}"), 0);
		ck_assert_str_eq(unit.text, "fine");
	}
}
END_TEST

START_TEST(modules_are_required_by_name)
{
	static const char *const modules[] = {"init",
	    "local util = require('util') assert(util == require 'util') "
	    "return function(e) return util.f() .. require('a.b').x .. "
	    "require('_lib.x') .. tostring(require('late')) end",
	    "util", "return {f = function() return 'u' end}", "a.b",
	    "return {x = ...}", "_lib.x", "return 'L'", "late",
	    "LATE = (LATE or 0) + 1", NULL, NULL};

	ck_assert_int_eq(unit_load_as(WIRE_HEAP_SHARED, modules), 0);
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_str_eq(unit.text, "ua.bLtrue");
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_str_eq(unit.text, "ua.bLtrue");
}
END_TEST

START_TEST(errors_in_modules_name_their_file)
{
	static const char *const bad[] = {"init", "require 'sub.bad'",
	    "sub.bad", "\nlocal x = = 1", NULL, NULL};
	static const char *const raising[] = {"init", "require '_lib.r'",
	    "_lib.r", "\n\nerror 'no'", NULL, NULL};

	ck_assert_int_eq(unit_load_as(WIRE_HEAP_FRESH, bad), -1);
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_LOAD);
	ck_assert_str_eq(unit.failure.message,
	    "error loading module 'sub.bad': hello/sub/bad.lua:2: unexpected "
	    "symbol near '='");
	ck_assert_int_eq(unit_load_as(WIRE_HEAP_FRESH, raising), -1);
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_ERROR);
	ck_assert_str_eq(unit.failure.message, "_lib/r.lua:3: no");
	ck_assert_ptr_nonnull(
	    strstr(unit.failure.traceback, "\thello.lua:1: in main chunk"));
}
END_TEST

START_TEST(require_reaches_the_bundle_only)
{
	static const char *const modules[] = {"init",
	    "return function(e) require(e.name) end", "util", "return 1",
	    "other", "return 2", NULL, NULL};
	static const char *const names[] = {"../../x", "/etc/passwd", "init",
	    "socket", "", "util.lua", "util/", "string"};
	char document[128];

	ck_assert_int_eq(unit_load_as(WIRE_HEAP_FRESH, modules), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(document, sizeof(document), "{\"name\":\"%s\"}",
		    names[i]);
		ck_assert_int_eq(unit_json(document), -1);
		ck_assert_ptr_nonnull(
		    strstr(unit.text, "'; there are: util, other"));
	}
	ck_error("require 'x'",
	    "there is no module 'x': this function is one "
	    "file");
	ck_error("require(('x'):rep(300))", "name longer than 256 bytes");
	ck_error("require {}", "string expected");
}
END_TEST

START_TEST(modules_in_a_circle_are_an_error)
{
	static const char *const modules[] = {"init", "require 'a'", "a",
	    "require 'b'", "b", "require 'a'", NULL, NULL};

	ck_assert_int_eq(unit_load_as(WIRE_HEAP_FRESH, modules), -1);
	ck_assert_str_eq(unit.failure.message,
	    "hello/b.lua:1: require: module 'a' is still loading: modules that "
	    "require each other in a circle");
}
END_TEST

START_TEST(a_module_that_failed_can_be_required_again)
{
	static const char *const modules[] = {"init",
	    "return function(e) local ok, m = pcall(require, 'm') "
	    "READY = true return tostring(ok) .. ' ' .. m end",
	    "m", "if not READY then error('not yet') end return 'up'", NULL,
	    NULL};

	ck_assert_int_eq(unit_load_as(WIRE_HEAP_SHARED, modules), 0);
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_str_eq(unit.text, "false hello/m.lua:1: not yet");
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_str_eq(unit.text, "true up");
}
END_TEST

START_TEST(a_malformed_build_is_a_failure)
{
	struct fnlua_function function = {SLICE("x"), 1, 1 << 20,
	    WIRE_HEAP_FRESH};
	const uint8_t lying[] = {9, 0, 0, 0, 1};
	struct wire_reader r = {lying, sizeof(lying), false};

	unit.L = fnlua_new(unit_alloc, NULL, &unit_host, unit.seed);
	ck_assert_int_eq(fnlua_load(unit.L, &function, &r, unit.seed, 0, 0,
			     &unit.failure),
	    -1);
	ck_assert_str_eq(unit.failure.message, "malformed BUILD");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/lua/invoke");
	TCase *events = unit_case(suite, "events");
	TCase *out = unit_case(suite, "results");
	TCase *load = unit_case(suite, "load");

	tcase_add_test(events, a_http_event_has_its_fields);
	tcase_add_test(events, an_event_is_nothing_more_than_documented);
	tcase_add_test(events, a_json_event_is_the_document);
	tcase_add_test(events, a_malformed_event_is_a_failure);
	tcase_add_test(events, ctx_tells_about_the_call);
	tcase_add_loop_test(out, a_result_becomes_a_response, 0,
	    sizeof(results) / sizeof(results[0]));
	tcase_add_loop_test(out, a_result_that_cannot_be_sent_says_why, 0,
	    sizeof(bad_results) / sizeof(bad_results[0]));
	tcase_add_test(out, any_room_for_a_response_is_enough_or_too_little);
	tcase_add_test(load, a_file_must_return_a_handler);
	tcase_add_test(load, a_file_that_does_not_compile_names_the_line);
	tcase_add_test(load, an_error_in_init_has_a_traceback);
	tcase_add_test(load, a_handler_error_has_a_traceback);
	tcase_add_test(load, a_failure_leaves_the_function_usable);
	tcase_add_test(load, modules_are_required_by_name);
	tcase_add_test(load, errors_in_modules_name_their_file);
	tcase_add_test(load, require_reaches_the_bundle_only);
	tcase_add_test(load, modules_in_a_circle_are_an_error);
	tcase_add_test(load, a_module_that_failed_can_be_required_again);
	tcase_add_test(load, a_malformed_build_is_a_failure);
	return unit_run(suite);
}
