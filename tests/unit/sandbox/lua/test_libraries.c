/*
 * test_libraries.c - time, files, log, coroutines, and the deadline's hook.
 *
 * Runs in: tests.
 */
#include "tests/unit/sandbox/lua/lua_unit.h"

#include <lauxlib.h>
#include <time.h>

START_TEST(time_stands_still_until_it_is_asked)
{
	ck_eval("local a, b = time.now(), time.monotonic() "
		"for i = 1, 100000 do end "
		"assert(a == time.now() and b == time.monotonic()) "
		"assert(math.type(a) == 'integer') "
		"local c = time.sync() "
		"return c - a .. ' ' .. time.now() - a .. ' ' .. "
		"time.monotonic() - b .. ' ' .. os.clock()",
	    "1500 1500 1500000 1.5");
	ck_eval("return os.time() .. ' ' .. os.clock()", "1700000000 0.0");
	ck_assert_int_eq(unit_load("local at = time.now() return function() "
				   "return tostring(at == time.now()) end"),
	    0);
	unit.wall_ms++;
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_str_eq(unit.text, "false");
}
END_TEST

#ifndef PERILUNE_SANITIZED
START_TEST(the_c_librarys_time_is_the_frozen_one)
{
	ck_eval("return 'x'", "x");
	ck_assert_int_eq(time(NULL), 1700000000);
	ck_assert_int_eq(clock(), clock());
}
END_TEST
#endif

static const struct {
	const char *code, *text;
} dates[] = {
    {"os.date('%Y-%m-%d %H:%M:%S')", "2023-11-14 22:13:20"},
    {"os.date('!%Y-%m-%dT%TZ', 0)", "1970-01-01T00:00:00Z"},
    {"os.date()", "Tue Nov 14 22:13:20 2023"},
    {"os.date('%a %A %b %B %h', 0)", "Thu Thursday Jan January Jan"},
    {"os.date('%D %F %R %T %r %x %X', 951782400)",
	"02/29/00 2000-02-29 00:00 00:00:00 12:00:00 AM 02/29/00 00:00:00"},
    {"os.date('%d %e %H %I %j %m %M %p %S %u %w %y %C', 1709337845)",
	"02  2 00 12 062 03 04 AM 05 6 6 24 20"},
    {"os.date('%U %W %V %G', 1704067200)", "00 01 01 2024"},
    {"os.date('%U %W %V %G', 1609459200)", "00 00 53 2020"},
    {"os.date('%Z%z%%%n%t')", "UTC+0000%\n\t"},
    {"os.date('%F %T', -1)", "1969-12-31 23:59:59"},
    {"os.date('%F', -62167219200)", "0-01-01"},
    {"os.date('%F', -62167219201)", "-1-12-31"},
    {"os.date('%F', 253402300799)", "9999-12-31"},
    {"os.date('%F', 4107542400)", "2100-03-01"},
    {"os.date('%F', 4107542399)", "2100-02-28"},
    {"os.date('*t', 1709337845).yday", "62"},
    {"os.date('!*t', 1709337845).wday", "7"},
    {"os.time{year = 2024, month = 3, day = 2, hour = 0, min = 4, sec = 5}",
	"1709337845"},
    {"os.time{year = 1970, month = 1, day = 1}", "43200"},
    {"os.time{year = 2024, month = 14, day = -3, hour = 25}", "1738112400"},
    {"os.time{year = 1900, month = 1, day = 1, hour = 0}", "-2208988800"},
};

START_TEST(dates_are_utc)
{
	char code[256];

	(void)snprintf(code, sizeof(code), "return tostring(%s)",
	    dates[_i].code);
	ck_eval(code, dates[_i].text);
}
END_TEST

START_TEST(dates_agree_with_the_c_library)
{
	static const char format[] = "%Y-%m-%d %H:%M:%S %j %U %W %V %G %u %w";
	char code[256], expected[128];

	ck_assert_int_eq(unit_load(
			     "return function(e) return os.date(e.f, e.t) end"),
	    0);
	for (int i = 0; i < 3000; i++) {
		time_t t = (time_t)i * 1234567 + i;
		struct tm tm;

		ck_assert_ptr_nonnull(gmtime_r(&t, &tm));
		(void)strftime(expected, sizeof(expected), format, &tm);
		(void)snprintf(code, sizeof(code), "{\"f\":\"%s\",\"t\":%lld}",
		    format, (long long)t);
		ck_assert_int_eq(unit_json(code), 0);
		ck_assert_str_eq(unit.text, expected);
	}
}
END_TEST

START_TEST(bad_dates_are_errors)
{
	ck_error("os.date('%Ez')", "invalid conversion specifier '%E'");
	ck_error("os.date('%')", "invalid conversion specifier");
	ck_error("os.date('%c', 1 << 60)", "cannot be represented");
	ck_error("os.date('%c', math.mininteger)", "cannot be represented");
	ck_error("os.time{year = 2024}", "field 'month' missing");
	ck_error("os.time{year = 2024, month = 1.5, day = 1}",
	    "field 'month' is not an integer");
	ck_error("os.time{year = 1 << 40, month = 1, day = 1}",
	    "field 'year' is out-of-bound");
	ck_eval("local t = {year = 2024, month = 14, day = 1} os.time(t) "
		"return t.year .. '-' .. t.month .. ' ' .. t.yday",
	    "2025-2 32");
}
END_TEST

START_TEST(log_lines_have_fields)
{
	ck_eval("log.debug('d') log.info('i', {n = 1}) log.warn(5, {}) "
		"log.error(nil, {a = {'x'}}) return 'ok'",
	    "ok");
	buf_putc(&unit.log, '\0');
	ck_assert_str_eq(unit.log.p,
	    "DEBUG d\nINFO i {\"n\":1}\nWARN 5 {}\nERROR nil "
	    "{\"a\":[\"x\"]}\n");
}
END_TEST

START_TEST(bad_fields_never_fail_a_request)
{
	ck_eval("log.info('a', {f = print}) log.info('b', {1}) "
		"log.info('c', {s = ('x'):rep(9000)}) "
		"local t = {} t.t = t log.info('d', t) return 'ok'",
	    "ok");
	buf_putc(&unit.log, '\0');
	ck_assert_ptr_nonnull(strstr(unit.log.p,
	    "INFO a "
	    "{\"fields_error\":\"json: cannot encode a function at .f\"}"));
	ck_assert_ptr_nonnull(strstr(unit.log.p,
	    "INFO b {\"fields_error\":\"json: fields must have names\"}"));
	ck_assert_ptr_nonnull(strstr(unit.log.p,
	    "INFO c {\"fields_error\":\"json: fields larger than 8192"));
	ck_assert_ptr_nonnull(strstr(unit.log.p, "INFO d {\"fields_error\":"));
	ck_error("log.info()", "value expected");
	ck_error("log.info('x', 'y')", "table expected");
}
END_TEST

START_TEST(a_million_lines_are_a_million_frames)
{
	ck_eval("for i = 1, 100000 do print('\\27[1m', i) end return 'ok'",
	    "ok");
	ck_assert_uint_gt(unit.log.n, 1000000);
}
END_TEST

static void
upload(size_t lines)
{
	buf_reset(&unit.in, SIZE_MAX);
	for (size_t i = 1; i <= lines; i++)
		buf_addf(&unit.in, "line %zu%s", i, i % 2 == 0 ? "\r\n" : "\n");
}

START_TEST(a_file_is_read_whole_or_in_part)
{
	upload(300000); /* over 3 MiB */
	ck_eval("local s = files.read() return #s .. s:sub(1, 6)",
	    "3638895line 1");
	ck_eval("return files.read(0, 4) .. '|' .. files.read(5, 3) .. '|' .. "
		"tostring(files.read(3638895, 5)) .. '|' .. "
		"files.read(3638893, 5) .. '|' .. files.read(1, 0) .. '|' .. "
		"#files.read(100) .. '|' .. #files.read(7, 2000000)",
	    "line|1\nl|nil|\r\n||3638795|2000000");
	ck_eval("local n, c = 0, 0 for s in files.chunks() do n = n + #s "
		"c = c + 1 end return n .. ' ' .. c",
	    "3638895 56");
	ck_eval("local n = 0 for s in files.chunks(1048576) do n = n + #s end "
		"return n",
	    "3638895");
	ck_error("files.read(-1, 5)", "must not be negative");
	ck_error("files.chunks(0)", "1 to 1048576");
	ck_error("files.chunks(1 << 21)", "1 to 1048576");
}
END_TEST

START_TEST(a_file_is_read_line_by_line)
{
	upload(300000);
	ck_eval("local n = 0 for l in files.lines() do n = n + 1 "
		"assert(l == 'line ' .. n, l) end return n",
	    "300000");
	buf_reset(&unit.in, SIZE_MAX);
	ck_eval("for l in files.lines() do error('a line') end return 'none'",
	    "none");
	buf_puts(&unit.in, "\n\na\n\rb");
	ck_eval("local t = {} for l in files.lines() do t[#t+1] = '[' .. l .. "
		"']' end return table.concat(t)",
	    "[][][a][\rb]");
	for (size_t i = 0; i < 1000000; i++)
		buf_putc(&unit.in, 'x');
	ck_eval("local t = {} for l in files.lines() do t[#t+1] = #l end "
		"return table.concat(t, ' ')",
	    "0 0 1 1000002");
	ck_eval("local a, b = files.lines(), files.lines() a() a() b() b() "
		"return a() .. b()",
	    "aa");
}
END_TEST

START_TEST(an_endless_line_is_an_error)
{
	(void)memset(buf_room(&unit.in, 18 << 20), 'x', 18 << 20);
	unit.in.n = 18 << 20;
	ck_error("for l in files.lines() do end",
	    "files.lines: a line of more than 16 MiB");
}
END_TEST

START_TEST(results_are_written_and_committed)
{
	ck_eval("files.write('a.txt', ('x'):rep(3 << 20)) "
		"files.append('b', '12') files.append('b', '34') "
		"files.commit('b') files.write('empty', '') return 'ok'",
	    "ok");
	ck_assert_uint_eq(unit.out.n, (3 << 20) + 4);
	buf_putc(&unit.committed, '\0');
	ck_assert_str_eq(unit.committed.p, "a.txt;b;empty;");
	ck_error("files.write('', 'x')", "a name has 1 to 255 bytes");
	ck_error("files.write(('x'):rep(256), 'x')", "a name has 1 to 255");
	ck_error("files.write('x')", "string expected");
}
END_TEST

START_TEST(a_refusal_is_an_error_with_its_reason)
{
	unit.refuse = "this event is not an upload";
	ck_error("files.read()",
	    "hello.lua:1: files.read: this event is not an upload");
	ck_error("files.lines()()", "files.lines: this event is not an upload");
	ck_error("files.write('x', 'y')", "files.write: this event is not");
	ck_error("files.commit('x')", "files.commit: this event is not");
	ck_eval("local ok, e = pcall(files.read) return tostring(ok)", "false");
	unit.refuse = NULL;
	ck_assert_int_eq(unit_load("files.read() return print"), -1);
	ck_assert_ptr_nonnull(strstr(unit.failure.message,
	    "files.read: only while an event is handled"));
}
END_TEST

START_TEST(coroutines_work_as_ever)
{
	ck_eval("local co = coroutine.create(function(a, b) "
		"local c = coroutine.yield(a + b) "
		"local d, e = coroutine.yield(c * 2) return d + e end) "
		"local t = {select(2, coroutine.resume(co, 1, 2)), "
		"select(2, coroutine.resume(co, 10)), "
		"select(2, coroutine.resume(co, 3, 4)), "
		"tostring(coroutine.resume(co)), "
		"select(2, coroutine.resume(co)), coroutine.status(co)} "
		"return table.concat(t, ' ')",
	    "3 20 7 false cannot resume dead coroutine dead");
	ck_eval("local s = '' for v in coroutine.wrap(function() for i = 1, 3 "
		"do coroutine.yield(i) end end) do s = s .. v end return s",
	    "123");
	ck_eval("local co co = coroutine.create(function() "
		"return coroutine.status(co), coroutine.isyieldable(), "
		"select(2, coroutine.resume(co)) end) "
		"local t = {coroutine.resume(co)} t[1] = tostring(t[1]) "
		"t[3] = tostring(t[3]) return table.concat(t, ' ')",
	    "true running true cannot resume non-suspended coroutine");
	ck_error("coroutine.wrap(function()\nerror('in')\nend)()",
	    "hello.lua:1: hello.lua:2: in");
	ck_eval("local co = coroutine.create(function() error({5}) end) "
		"local ok, e = coroutine.resume(co) return e[1]",
	    "5");
	ck_eval("local co = coroutine.create(function() local x <close> = "
		"setmetatable({}, {__close = function() error('c', 0) end}) "
		"coroutine.yield() end) coroutine.resume(co) "
		"local ok, e = coroutine.close(co) return tostring(ok) .. e",
	    "falsec");
	ck_eval("local f = coroutine.wrap(function() local x <close> = "
		"setmetatable({}, {__close = function() CLOSED = 1 end}) "
		"error('e', 0) end) local ok, e = pcall(f) return e .. CLOSED",
	    "e1");
	ck_eval("return select('#', coroutine.wrap(function() return "
		"table.unpack({}, 1, 200) end)())",
	    "200");
	ck_error("coroutine.resume(5)", "coroutine expected");
	ck_error("coroutine.create(5)", "function expected");
}
END_TEST

static char traced[8192];
static lua_State *hooked;

static void
on_deadline(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	hooked = L;
	fnlua_traceback(L, traced, sizeof(traced));
	(void)lua_sethook(L, NULL, 0, 0);
	luaL_error(L, "interrupted");
}

/* The signal comes while a log line is sent. */
static void
interrupting_log(enum wire_log level, struct slice text, struct slice fields)
{
	(void)level, (void)text, (void)fields;
	lua_sethook(fnlua_running(), on_deadline, LUA_MASKCOUNT, 1);
}

static struct fnlua_host interrupting;

static void
run_interrupted(const char *code)
{
	char source[1024];

	(void)snprintf(source, sizeof(source), "return function()\n%s\nend",
	    code);
	hooked = NULL;
	traced[0] = '\0';
	ck_assert_int_eq(unit_load(source), 0);
	interrupting = unit_host;
	interrupting.log = interrupting_log;
	fnlua_set_host(&interrupting);
	(void)unit_json("{}");
}

START_TEST(the_hook_finds_the_thread_that_runs)
{
	run_interrupted("print()\nwhile true do end");
	ck_assert_ptr_eq(hooked, unit.L);
	ck_assert_ptr_nonnull(strstr(traced, "\n\thello.lua:3: in function <"));
	ck_assert_str_eq(unit.text, "interrupted");
}
END_TEST

START_TEST(a_traceback_goes_on_in_who_resumed)
{
	run_interrupted("coroutine.wrap(function()\n"
			"coroutine.wrap(function()\n"
			"print()\n"
			"while true do end end)() end)()");
	ck_assert_ptr_ne(hooked, unit.L);
	ck_assert_ptr_nonnull(strstr(traced,
	    "hello.lua:5: in function <hello.lua:3>\n\t(resumed by)\n"));
	ck_assert_ptr_nonnull(strstr(traced,
	    "hello.lua:3: in function <hello.lua:2>\n\t(resumed by)\n"));
	ck_assert_ptr_nonnull(
	    strstr(traced, "hello.lua:2: in function <hello.lua:1>"));
}
END_TEST

/* So late that the thread itself will not notice any more. */
static void
late_log(enum wire_log level, struct slice text, struct slice fields)
{
	(void)level, (void)text, (void)fields;
	lua_sethook(fnlua_running(), on_deadline, LUA_MASKCOUNT, 1000000);
}

static void
run_late(const char *code)
{
	ck_assert_int_eq(unit_load(code), 0);
	interrupting = unit_host;
	interrupting.log = late_log;
	fnlua_set_host(&interrupting);
	hooked = NULL;
	ck_assert_int_eq(unit_json("{}"), -1);
	ck_assert_ptr_nonnull(hooked);
}

START_TEST(a_hook_on_a_finished_coroutine_passes_to_its_caller)
{
	run_late("return function() coroutine.wrap(function() print() end)() "
		 "while true do end end");
	ck_assert_ptr_eq(hooked, unit.L);
	run_late("return function() local co = coroutine.create(function() "
		 "local x <close> = setmetatable({}, {__close = print}) "
		 "coroutine.yield() end) coroutine.resume(co) "
		 "coroutine.close(co) while true do end end");
	ck_assert_ptr_eq(hooked, unit.L);
}
END_TEST

START_TEST(a_hook_on_the_caller_passes_to_a_coroutine)
{
	run_late("local spin = coroutine.wrap(function() while true do end end)"
		 " return function() print() spin() end");
	ck_assert_ptr_ne(hooked, unit.L);
}
END_TEST

START_TEST(a_small_traceback_is_cut)
{
	char text[40];

	ck_assert_int_eq(unit_load("return print"), 0);
	fnlua_traceback(unit.L, text, sizeof(text));
	ck_assert_str_eq(text, "stack traceback:");
	fnlua_traceback(unit.L, text, 5);
	ck_assert_str_eq(text, "stac");
	fnlua_traceback(unit.L, text, 1);
	ck_assert_str_eq(text, "");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/lua/libraries");
	TCase *tcase = unit_case(suite, "libraries");
	TCase *hook = unit_case(suite, "hook");

	tcase_add_test(tcase, time_stands_still_until_it_is_asked);
#ifndef PERILUNE_SANITIZED
	tcase_add_test(tcase, the_c_librarys_time_is_the_frozen_one);
#endif
	tcase_add_loop_test(tcase, dates_are_utc, 0,
	    sizeof(dates) / sizeof(dates[0]));
	tcase_add_test(tcase, dates_agree_with_the_c_library);
	tcase_add_test(tcase, bad_dates_are_errors);
	tcase_add_test(tcase, log_lines_have_fields);
	tcase_add_test(tcase, bad_fields_never_fail_a_request);
	tcase_add_test(tcase, a_million_lines_are_a_million_frames);
	tcase_add_test(tcase, a_file_is_read_whole_or_in_part);
	tcase_add_test(tcase, a_file_is_read_line_by_line);
	tcase_add_test(tcase, an_endless_line_is_an_error);
	tcase_add_test(tcase, results_are_written_and_committed);
	tcase_add_test(tcase, a_refusal_is_an_error_with_its_reason);
	tcase_add_test(tcase, coroutines_work_as_ever);
	tcase_add_test(hook, the_hook_finds_the_thread_that_runs);
	tcase_add_test(hook, a_traceback_goes_on_in_who_resumed);
	tcase_add_test(hook,
	    a_hook_on_a_finished_coroutine_passes_to_its_caller);
	tcase_add_test(hook, a_hook_on_the_caller_passes_to_a_coroutine);
	tcase_add_test(hook, a_small_traceback_is_cut);
	return unit_run(suite);
}
