/*
 * test_hostile.c - functions that try to break, fill or stop their worker,
 * as far as that shows without the jail and the deadline.
 *
 * Runs in: tests.
 */
#include "tests/unit/sandbox/lua/lua_unit.h"

START_TEST(results_of_library_calls_are_bounded)
{
	ck_eval("return #('').rep('', 1 << 40)", "0");
	ck_error("return #('x'):rep(1 << 30)", "larger than 16777216 bytes");
	ck_error("return #('x'):rep(math.maxinteger, 'yy')", "larger than");
	ck_error("return #(''):rep(1 << 40, 'yy')", "larger than");
	ck_eval("return #('ab'):rep(3, ', ') .. ('x'):rep(-5) .. "
		"#('x'):rep(1 << 24)",
	    "1016777216");
	ck_error("local s = ('x'):rep(1 << 23) return #table.concat({s, s, s})",
	    "larger than");
	ck_error("local s = ('x'):rep(1 << 23) "
		 "return #('%s%s%s'):format(s, s, s)",
	    "larger than");
	ck_error("return #('%q'):format(('\\0'):rep(1 << 23))", "larger than");
	ck_error("return #string.pack('c2000000000', '')", "larger than");
	ck_error("return #string.pack('c99999999999999999999999', '')",
	    "larger than");
	ck_error("local s = ('x'):rep(1 << 23) return #string.pack('sss', s, "
		 "s, s)",
	    "larger than");
	ck_error("return #base64.encode(('x'):rep(13 << 20))", "larger than");
}
END_TEST

START_TEST(bounded_calls_still_work)
{
	ck_eval("return table.concat({1, 2.5, 'x'}, ', ', 2, 3)", "2.5, x");
	ck_eval("return table.concat({}, ',') .. table.concat({}, ',', 1, 0)",
	    "");
	ck_eval("return table.concat(setmetatable({}, {__index = function(_, i)"
		" return i end, __len = function() return 3 end}))",
	    "123");
	ck_error("table.concat({1, {}, 3})",
	    "invalid value (at index 2) in "
	    "table for 'concat'");
	ck_error("table.concat(5)", "table expected");
	ck_eval("return table.concat({'a'}, ',', math.maxinteger, "
		"math.maxinteger - 1)",
	    "");
	ck_eval("return ('%5.1f|%-5s|%05d|%x|%q|%i|%c|%a|%%'):format(3.14159, "
		"'ab', 42, 255, 'a\\nb', 7, 65, 1.0)",
	    "  3.1|ab   |00042|ff|\"a\\\nb\"|7|A|0x1p+0|%");
	ck_eval("return #('%99.99f'):format(-1e308)", "410");
	ck_error("('%d'):format(1.5)", "number has no integer representation");
	ck_error("('%s %s'):format(1)", "no value");
	ck_error("('%y'):format(1)", "invalid conversion '%y' to 'format'");
	ck_error("('%'):format(1)", "invalid conversion '%' to 'format'");
	ck_eval("return string.pack('<i4s1z', 7, 'ab', 'c'):byte(1, -1)", "7");
	ck_eval("return string.unpack('<I2', '\\1\\2') .. "
		"#string.pack('!8 c5', 'ab')",
	    "5135");
}
END_TEST

START_TEST(tables_that_lie_about_their_size_are_refused)
{
	const char *lie = "local t = setmetatable({}, {__len = function() "
			  "return 1 << 40 end}) ";
	static const char *const calls[] = {"table.insert(t, 1, 'x')",
	    "table.remove(t, 1)", "table.sort(t)"};
	char code[512];

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		(void)snprintf(code, sizeof(code), "%s%s", lie, calls[i]);
		ck_error(code, "table of more than 67108864 elements");
		(void)snprintf(code, sizeof(code),
		    "local t = {} for i = 0, 62 do t[1 << i] = 1 end "
		    "t[5] = 1 t[9] = 1 assert(#t > 1 << 40) %s",
		    calls[i]);
		ck_error(code, "table of more than 67108864 elements");
	}
	ck_error("table.move({}, 1, 1 << 40, 2)", "more than 67108864");
	ck_error("table.move({}, math.mininteger, math.maxinteger, 2)",
	    "more than 67108864");
	ck_error("table.unpack({}, 1, 1 << 40)", "too many results");
	ck_eval("local t = {3, 1, 2} table.insert(t, 1, 9) table.insert(t, 5) "
		"table.sort(t) table.remove(t, 1) table.remove(t) "
		"return table.concat(table.move(t, 1, 3, 2), ' ')",
	    "2 2 3 5");
}
END_TEST

START_TEST(sorting_many_equal_elements_needs_no_clock)
{
	ck_eval("local t = {} for i = 1, 20000 do t[i] = i % 7 end "
		"table.sort(t) for i = 2, #t do assert(t[i-1] <= t[i]) end "
		"return 'sorted'",
	    "sorted");
	ck_error("table.sort({3, 1, 2, 5, 4, 6, 9, 8}, function() return true "
		 "end)",
	    "invalid order function");
}
END_TEST

static const char *const recursions[] = {
    "local function f() return 1 + f() end f()",
    "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) "
    "return t[k .. 'x'] end return t.a",
    "local t = setmetatable({}, {}) getmetatable(t).__tostring = function(t) "
    "return tostring(t) end return tostring(t)",
    "local function f() return pcall(f) end return tostring(f()) .. error('C "
    "stack overflow')",
    "local function f(s) return (s:gsub('.', f)) end f('x')",
    "local function f() return coroutine.wrap(f)() end f()",
    "local s = 'return ' for i = 1, 300 do s = 'return load(' .. ('%q'):format"
    "(s) .. ')()' if #s > 1e6 then error('C stack overflow') end end",
    "local function f(a, b) table.sort({3, 2, 1}, f) end f()",
    "require = nil local t = {} for i = 1, 300 do t = setmetatable({}, "
    "{__index = t}) end return t.x.y.z or error('stack overflow')",
};

START_TEST(endless_recursion_is_an_error_and_no_more)
{
	const char *text = eval(recursions[_i]);

	ck_assert_msg(strstr(text, "stack overflow") != NULL ||
		strstr(text, "error in error handling") != NULL ||
		strstr(text, "attempt to index a nil") != NULL,
	    "%s", text);
	ck_assert_int_eq(unit_json("{}"), -1); /* the state is still good */
	ck_assert_uint_le(strlen(unit.failure.traceback), 8191);
}
END_TEST

START_TEST(deep_source_is_a_compile_error)
{
	static const struct {
		const char *make, *said;
	} sources[] = {
	    {"('('):rep(200000)", "C stack overflow"},
	    {"'return ' .. ('{'):rep(300) .. ('}'):rep(300)",
		"C stack overflow"},
	    {"('local a '):rep(1000)", "too many local variables"},
	    {"'x = ' .. ('a..'):rep(100000) .. 'a'", "C stack overflow"},
	    {"('do '):rep(100000)", "C stack overflow"},
	    {"'return ' .. ('-'):rep(3) .. ('not '):rep(200000)", "nil"},
	    {"('a='):rep(300) .. '1'", "="},
	};
	char code[512];

	(void)snprintf(code, sizeof(code),
	    "local f, e = load(%s, '=x') return tostring(e)", sources[_i].make);
	ck_assert_msg(strstr(eval(code), sources[_i].said) != NULL, "%s",
	    unit.text);
}
END_TEST

static const struct {
	const char *code, *message;
} thrown[] = {
    {"error(nil)", "(error object is a nil value)"},
    {"error()", "(error object is a nil value)"},
    {"error({})", "(error object is a table value)"},
    {"error(print)", "(error object is a function value)"},
    {"error(5)", "5"},
    {"error(setmetatable({}, {__tostring = function() return 'mine' end}))",
	"mine"},
    {"error(setmetatable({}, {__tostring = function() error('again') end}))",
	"hello.lua:1: again"},
    {"error(setmetatable({}, {__tostring = function() error({}) end}))",
	"(error object is a table value)"},
    {"error(setmetatable({}, {__tostring = 5}))",
	"attempt to call a number value"},
    {"error(setmetatable({}, {__tostring = function() return {} end}))",
	"(error object is a table value)"},
    {"local t <close> = setmetatable({}, {__close = function() error('in "
     "close') end}) error('first')",
	"hello.lua:1: first"},
    {"xpcall(error, function() error('in handler') end) error('after')",
	"hello.lua:1: after"},
};

START_TEST(whatever_is_thrown_the_message_is_a_text)
{
	ck_eval(thrown[_i].code, thrown[_i].message);
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_ERROR);
	ck_assert_int_eq(strncmp(unit.failure.traceback,
			     "stack traceback:", 16),
	    0);
}
END_TEST

START_TEST(a_long_message_is_cut)
{
	const char *text = eval("error(setmetatable({}, {__tostring = "
				"function() return ('\\u{20ac}'):rep(1 << 20) "
				"end}))");
	size_t n = strlen(text);

	ck_assert_uint_lt(n, 1024);
	ck_assert_uint_gt(n, 1000);
	ck_assert_ptr_nonnull(
	    strstr(text, "\xe2\x82\xac ... (cut) ... \xe2\x82\xac"));
	ck_assert_str_eq(text + n - 3, "\xe2\x82\xac");
}
END_TEST

START_TEST(running_out_of_memory_is_an_error_here)
{
	/* In a worker the allocator ends the process instead. */
	(void)eval("local t = {} while true do t[#t+1] = ('x'):rep(1 << 20) .. "
		   "#t end");
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_MEMORY);
	ck_assert_str_eq(unit.failure.message, "not enough memory");
	(void)eval("local s = 'x' while true do s = s .. s end");
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_MEMORY);
}
END_TEST

START_TEST(yielding_out_of_the_handler_is_an_error)
{
	ck_error("coroutine.yield(1)",
	    "attempt to yield from outside a coroutine");
	ck_error("local co, main = coroutine.running() "
		 "assert(main and not coroutine.isyieldable()) "
		 "error(select(2, coroutine.resume(co)))",
	    "cannot resume non-suspended coroutine");
	ck_error("local main = coroutine.running() coroutine.wrap(function() "
		 "local ok, e = coroutine.resume(main) error(e) end)()",
	    "cannot resume non-suspended coroutine");
	ck_error("coroutine.close((coroutine.running()))",
	    "cannot close a running coroutine");
	ck_assert_int_eq(unit_load("coroutine.yield() return print"), -1);
	ck_assert_ptr_nonnull(strstr(unit.failure.message,
	    "outside a "
	    "coroutine"));
}
END_TEST

START_TEST(a_chain_of_closes_is_bounded)
{
	ck_error("local function chain(n) local co = coroutine.create("
		 "function() local x <close> = setmetatable({}, {__close = "
		 "function() if n > 0 then assert(coroutine.close(chain(n - 1))"
		 ") end end}) coroutine.yield() end) coroutine.resume(co) "
		 "return co end "
		 "assert(coroutine.close(chain(100000)))",
	    "C stack overflow");
	ck_eval("local n = 0 local co = coroutine.create(function() local x "
		"<close> = setmetatable({}, {__close = function() n = n + 1 "
		"end}) coroutine.yield() end) coroutine.resume(co) "
		"coroutine.close(co) return n .. coroutine.status(co)",
	    "1dead");
}
END_TEST

START_TEST(a_metamethod_may_grow_the_stack)
{
	ck_eval("local function deep(n) if n == 0 then return 'x' end "
		"return (deep(n - 1)) end "
		"local t = setmetatable({}, {__concat = function(a, b) "
		"return deep(150) .. (type(b) == 'string' and b or '') end}) "
		"local r = {} for i = 1, 50 do r[i] = 'a' .. t .. 'b' .. 'c' "
		"end return r[50]",
	    "axbc");
	ck_eval("local function deep(n) if n == 0 then return 'x' end "
		"return (deep(n - 1)) end "
		"local t = setmetatable({}, {__concat = function(a, b) "
		"return deep(20) .. (type(b) == 'string' and b or '') end}) "
		"return coroutine.wrap(function() return 'a' .. t .. 'b' "
		"end)()",
	    "axb");
}
END_TEST

START_TEST(unfinished_coroutines_are_counted)
{
	ck_error("for i = 1, 2000 do coroutine.create(print) end",
	    "more than 1000 unfinished coroutines");
	ck_error("for i = 1, 2000 do coroutine.wrap(coroutine.yield)() end",
	    "more than 1000 unfinished coroutines");
	ck_eval("for i = 1, 5000 do coroutine.wrap(function() end)() "
		"pcall(coroutine.wrap(error)) "
		"local co = coroutine.create(coroutine.yield) "
		"coroutine.resume(co) coroutine.close(co) end return 'ok'",
	    "ok");
}
END_TEST

START_TEST(hash_floods_of_another_seed_do_no_harm)
{
	ck_eval("local t = {} for i = 1, 100000 do t[('k%d'):format(i)] = i "
		"end return t.k77777",
	    "77777");
}
END_TEST

START_TEST(patterns_are_stock)
{
	ck_eval("return ('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "key");
	ck_error("(' '):rep(300000):find(('.-'):rep(250000) .. 'b')",
	    "pattern too complex");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/lua/hostile");
	TCase *tcase = unit_case(suite, "hostile");

	tcase_add_test(tcase, results_of_library_calls_are_bounded);
	tcase_add_test(tcase, bounded_calls_still_work);
	tcase_add_test(tcase, tables_that_lie_about_their_size_are_refused);
	tcase_add_test(tcase, sorting_many_equal_elements_needs_no_clock);
	tcase_add_loop_test(tcase, endless_recursion_is_an_error_and_no_more, 0,
	    sizeof(recursions) / sizeof(recursions[0]));
	tcase_add_loop_test(tcase, deep_source_is_a_compile_error, 0, 7);
	tcase_add_loop_test(tcase, whatever_is_thrown_the_message_is_a_text, 0,
	    sizeof(thrown) / sizeof(thrown[0]));
	tcase_add_test(tcase, a_long_message_is_cut);
	tcase_add_test(tcase, running_out_of_memory_is_an_error_here);
	tcase_add_test(tcase, yielding_out_of_the_handler_is_an_error);
	tcase_add_test(tcase, a_chain_of_closes_is_bounded);
	tcase_add_test(tcase, a_metamethod_may_grow_the_stack);
	tcase_add_test(tcase, unfinished_coroutines_are_counted);
	tcase_add_test(tcase, hash_floods_of_another_seed_do_no_harm);
	tcase_add_test(tcase, patterns_are_stock);
	return unit_run(suite);
}
