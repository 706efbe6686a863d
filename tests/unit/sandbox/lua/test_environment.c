/*
 * test_environment.c - what is there, what is gone, what depends on what.
 *
 * Runs in: tests.
 */
#include "tests/unit/sandbox/lua/lua_unit.h"

START_TEST(what_reaches_the_host_is_gone)
{
	ck_eval("local gone = {} "
		"for _, n in ipairs{'io', 'package', 'debug', 'dofile', "
		"'loadfile'} do if _G[n] ~= nil then gone[#gone+1] = n end end "
		"return table.concat(gone, ',')",
	    "");
	ck_eval("local t = {} for k in pairs(os) do t[#t+1] = k end "
		"table.sort(t) return table.concat(t, ' ')",
	    "clock date time");
	ck_eval("return tostring(string.dump)", "nil");
	ck_eval("return tostring(('').dump)", "nil");
}
END_TEST

START_TEST(the_globals_are_exactly_these)
{
	ck_eval("local t = {} for k in pairs(_G) do t[#t+1] = k end "
		"table.sort(t) return table.concat(t, ' ')",
	    "_G _VERSION assert base64 collectgarbage coroutine crypto error "
	    "files getmetatable ipairs json load log math next os pairs pcall "
	    "print rawequal rawget rawlen rawset require select setmetatable "
	    "string table time tonumber tostring type utf8 warn xpcall");
}
END_TEST

START_TEST(bytecode_is_refused_on_every_path)
{
	ck_error("assert(load('\\27Lua'))", "binary chunk");
	ck_error("assert(load('\\27Lua', 'x', 'b'))", "only text chunks");
	ck_error("assert(load('return 1', 'x', 'b'))", "only text chunks");
	ck_error("assert(load('\\27Lua', 'x', 'bt'))", "binary chunk");
	ck_error("local done = false assert(load(function() if done then "
		 "return nil end done = true return '\\27Lua' end))",
	    "binary chunk");
	ck_assert_int_eq(unit_load("\033LuaT"), -1);
	ck_assert_int_eq(unit.failure.why, WIRE_FAIL_LOAD);
}
END_TEST

START_TEST(load_takes_text_from_strings_and_functions)
{
	ck_eval("return load('return 6 * 7')()", "42");
	ck_eval("local parts, i = {'return ', '6', ' * 7', nil}, 0 "
		"return load(function() i = i + 1 return parts[i] end)()",
	    "42");
	ck_eval("return load('return x', 'n', 't', {x = 5})()", "5");
	ck_eval("local f, e = load('return +', '=here') return e",
	    "here:1: unexpected symbol near '+'");
	ck_error("load(function() return 5 end)", "must return a string");
	ck_error("load({})", "function expected");
	ck_error("assert(load((' '):rep(1048577)))", "larger than 1048576");
	ck_error("error(select(2, load(function() return (' '):rep(1000) "
		 "end)))",
	    "larger than 1048576");
}
END_TEST

START_TEST(the_collector_is_not_the_functions)
{
	ck_eval("return math.type(collectgarbage('count'))", "float");
	ck_eval("return collectgarbage() + collectgarbage('collect') + "
		"collectgarbage('step', 100)",
	    "0");
	ck_error("collectgarbage('stop')", "invalid option 'stop'");
	ck_error("collectgarbage('generational')", "invalid option");
	ck_error("setmetatable({}, {__gc = print})", "__gc is not available");
	ck_error("setmetatable({}, {__gc = true})", "__gc is not available");
}
END_TEST

START_TEST(metatables_work_as_ever)
{
	ck_eval("local t = setmetatable({}, {__index = {x = 1}}) return t.x",
	    "1");
	ck_eval("return type(getmetatable(setmetatable({}, nil)))", "nil");
	ck_error("setmetatable(setmetatable({}, {__metatable = 1}), {})",
	    "protected metatable");
	ck_error("setmetatable({}, 1)", "nil or table expected");
	ck_error("setmetatable('x', {})", "table expected");
}
END_TEST

START_TEST(string_methods_cannot_be_poisoned)
{
	ck_eval("return tostring(getmetatable(''))", "false");
	ck_error("getmetatable('').__index = {}", "boolean");
	ck_eval("string.upper = function() return 'poison' end "
		"string.find = nil return ('x'):upper() .. ('x'):find('x')",
	    "X1");
	ck_eval("function string.shout(s) return s:upper() .. '!' end "
		"return ('hi'):shout()",
	    "HI!");
	ck_error("setmetatable('', {})", "table expected");
}
END_TEST

START_TEST(our_own_code_uses_no_global_of_lua)
{
	ck_assert_int_eq(unit_load("local rawset, G = rawset, _G "
				   "setmetatable(G, {__index = error, "
				   "__newindex = error}) "
				   "for k in pairs(G) do if k ~= '_G' then "
				   "rawset(G, k, nil) end end "
				   "return function(e) return {a = e.x} end"),
	    0);
	ck_assert_int_eq(unit_json("{\"x\": [1]}"), 0);
	ck_assert_str_eq(unit.text, "{\"a\":[1]}");
}
END_TEST

START_TEST(tostring_shows_places_not_addresses)
{
	const char *text = eval("local t = {} assert(tostring(t) == "
				"tostring(t)) assert(tostring({}) ~= "
				"tostring({})) return string.format('%p', t)");
	unsigned long long shown;

	ck_assert_str_eq(unit.failure.message, "");
	ck_assert_int_eq(sscanf(text, "0x%llx", &shown), 1);
	ck_eval("return tostring(print)", "function: builtin");
	ck_eval("return ('%s %p'):format(print, print)",
	    "function: builtin builtin");
	ck_eval("return ('%p|%5p|%-5p|%s'):format(1, nil, true, 1)",
	    "null| null|null |1");
	ck_eval("return tostring(json.null)", "null");
	ck_eval("local t = {} return tostring(('%s'):format(t) == tostring(t) "
		"and tostring(t) == 'table: ' .. ('%p'):format(t))",
	    "true");
	ck_eval("return (tostring(setmetatable({}, {__name = 'Account'}))"
		":gsub('0x%x+', 'X'))",
	    "Account: X");
	ck_eval("return (tostring(setmetatable({}, {__name = 5}))"
		":gsub('0x%x+', 'X'))",
	    "table: X");
}
END_TEST

START_TEST(tostring_asks_the_object)
{
	ck_eval("return tostring(setmetatable({}, {__tostring = function() "
		"return 'me' end}))",
	    "me");
	ck_error("tostring(setmetatable({}, {__tostring = function() return {} "
		 "end}))",
	    "'__tostring' must return a string");
	ck_eval("return tostring(1) .. tostring(1.0) .. tostring(nil) .. "
		"tostring(true) .. tostring('s') .. tostring(1e15) .. "
		"tostring(2^63)",
	    "11.0niltrues1e+159.2233720368548e+18");
	ck_error("tostring()", "value expected");
}
END_TEST

START_TEST(errors_name_the_callers_line)
{
	ck_eval("local ok, e = pcall(function()\n string.format('%d', 'x') end)"
		" return e",
	    "hello.lua:2: bad argument #2 to 'format' (number expected, got "
	    "string)");
	ck_eval("local ok, e = pcall(function()\n table.insert(1, 2) end)"
		" return e",
	    "hello.lua:2: bad argument #1 to 'insert' (table expected, got "
	    "number)");
	ck_eval("local ok, e = pcall(function()\n json.decode('{') end)"
		" return e",
	    "hello.lua:2: json: line 1 column 2: expected a string as key");
}
END_TEST

START_TEST(print_and_warn_are_log_lines)
{
	ck_eval("print('a', 1, nil, true, 2.5) print() warn('x', 'y') "
		"warn('@off') return 'ok'",
	    "ok");
	buf_putc(&unit.log, '\0');
	ck_assert_str_eq(unit.log.p,
	    "INFO a\t1\tnil\ttrue\t2.5\nINFO \nWARN xy\n");
}
END_TEST

START_TEST(a_long_line_is_cut_and_says_so)
{
	ck_eval("print(('\\u{e9}'):rep(50000)) log.info(('x'):rep(100000)) "
		"print(table.unpack({}, 1, 9000)) return 'ok'",
	    "ok");
	ck_assert_uint_lt(unit.log.n, 3 * 24100);
	ck_assert(
	    memmem(unit.log.p, unit.log.n, "\xc3\xa9 ... (cut)\n", 13) != NULL);
	ck_assert(memmem(unit.log.p, unit.log.n, "x ... (cut)\n", 12) != NULL);
}
END_TEST

START_TEST(printing_inside_tostring_does_not_mix_lines)
{
	ck_eval("local t = setmetatable({}, {__tostring = function() "
		"print('inner') return 'outer' end}) print('a', t, 'b')",
	    "");
	buf_putc(&unit.log, '\0');
	ck_assert_str_eq(unit.log.p, "INFO inner\nINFO a\touter\tb\n");
}
END_TEST

START_TEST(an_image_depends_on_its_seed_alone)
{
	static char first[sizeof(unit.text)];
	const char *code = "local t = {} for i = 1, 200 do t['k' .. i] = i end "
			   "local s = {} for k in pairs(t) do s[#s+1] = k end "
			   "return table.concat(s, ' ')";

	(void)eval(code);
	memcpy(first, unit.text, sizeof(first));
	ck_assert_uint_gt(strlen(first), 500);
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_str_eq(first, unit.text);
}
END_TEST

START_TEST(a_loaded_fresh_heap_is_small_and_not_collected)
{
	ck_assert_int_eq(unit_load("return function() local t = {} for i = 1, "
				   "1000 do t[i] = {} t[i] = nil end end"),
	    0);
	ck_assert_uint_lt(unit.memory, 80000);
	ck_assert_int_eq(lua_gc(unit.L, LUA_GCISRUNNING), 0);
	ck_assert_int_eq(unit_json("{}"), 0);
	ck_assert_uint_gt(unit.memory, 80000);
}
END_TEST

START_TEST(a_shared_heap_is_collected_and_does_not_grow)
{
	static const char *const modules[] = {"init",
	    "local n = 0 return function(e) n = n + 1 local t = {} for i = 1, "
	    "100 do t[i] = {i} end return tostring(n) end",
	    NULL, NULL};
	size_t settled = 0;

	ck_assert_int_eq(unit_load_as(WIRE_HEAP_SHARED, modules), 0);
	ck_assert_int_eq(lua_gc(unit.L, LUA_GCISRUNNING), 1);
	for (int i = 1; i <= 20000; i++) {
		ck_assert_int_eq(unit_json("{\"a\": [1, 2, {}]}"), 0);
		if (i == 10000) {
			(void)lua_gc(unit.L, LUA_GCCOLLECT);
			settled = unit.memory;
		}
	}
	ck_assert_str_eq(unit.text, "20000");
	(void)lua_gc(unit.L, LUA_GCCOLLECT);
	ck_assert_uint_le(unit.memory, settled + 256);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/lua/environment");
	TCase *tcase = unit_case(suite, "environment");

	tcase_add_test(tcase, what_reaches_the_host_is_gone);
	tcase_add_test(tcase, the_globals_are_exactly_these);
	tcase_add_test(tcase, bytecode_is_refused_on_every_path);
	tcase_add_test(tcase, load_takes_text_from_strings_and_functions);
	tcase_add_test(tcase, the_collector_is_not_the_functions);
	tcase_add_test(tcase, metatables_work_as_ever);
	tcase_add_test(tcase, string_methods_cannot_be_poisoned);
	tcase_add_test(tcase, our_own_code_uses_no_global_of_lua);
	tcase_add_test(tcase, tostring_shows_places_not_addresses);
	tcase_add_test(tcase, tostring_asks_the_object);
	tcase_add_test(tcase, errors_name_the_callers_line);
	tcase_add_test(tcase, print_and_warn_are_log_lines);
	tcase_add_test(tcase, a_long_line_is_cut_and_says_so);
	tcase_add_test(tcase, printing_inside_tostring_does_not_mix_lines);
	tcase_add_test(tcase, an_image_depends_on_its_seed_alone);
	tcase_add_test(tcase, a_loaded_fresh_heap_is_small_and_not_collected);
	tcase_add_test(tcase, a_shared_heap_is_collected_and_does_not_grow);
	return unit_run(suite);
}
