/*
 * test_json.c - JSON in and out of Lua values.
 *
 * Runs in: tests.
 */
#include "tests/unit/sandbox/lua/lua_unit.h"

static const struct {
	const char *expression, *text;
} encodes[] = {
    {"nil", "null"},
    {"json.null", "null"},
    {"true", "true"},
    {"false", "false"},
    {"0", "0"},
    {"-0.0", "-0"},
    {"math.maxinteger", "9223372036854775807"},
    {"math.mininteger", "-9223372036854775808"},
    {"3.0", "3"},
    {"0.1", "0.1"},
    {"-0.001", "-0.001"},
    {"0.000001", "1e-06"},
    {"19.99", "19.99"},
    {"-1234.5", "-1234.5"},
    {"999999999.999999", "999999999.999999"},
    {"0.1 + 0.2", "0.30000000000000004"},
    {"100.25", "100.25"},
    {"1/3", "0.3333333333333333"},
    {"5e-324", "4.94065645841247e-324"},
    {"2^53", "9007199254740992"},
    {"1e15", "1e+15"},
    {"123456789012345.0", "123456789012345"},
    {"1e300", "1e+300"},
    {"''", "\"\""},
    {"'a\\0b\\n\\r\\t\\b\\f\\1\\127\"\\\\/'",
	"\"a\\u0000b\\n\\r\\t\\b\\f\\u0001\\u007f\\\"\\\\/\""},
    {"'h\\u{e9}\\u{20ac}\\u{1f600}'",
	"\"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {"'\\xff\\xc0\\x80x\\xe2\\x82'",
	"\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd\""},
    {"'\\xed\\xa0\\x80'", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {"{}", "{}"},
    {"json.array()", "[]"},
    {"json.array({})", "[]"},
    {"json.array{1, 2}", "[1,2]"},
    {"{1, 'two', {3}, {}}", "[1,\"two\",[3],{}]"},
    {"{[2] = 'b', [1] = 'a'}", "[\"a\",\"b\"]"},
    {"{a = {b = {c = 1}}}", "{\"a\":{\"b\":{\"c\":1}}}"},
    {"{['a\\0b'] = 1}", "{\"a\\u0000b\":1}"},
    {"{1, json.null, 3}", "[1,null,3]"},
};

START_TEST(values_become_text)
{
	char code[256];

	(void)snprintf(code, sizeof(code), "return json.encode(%s)",
	    encodes[_i].expression);
	ck_eval(code, encodes[_i].text);
}
END_TEST

static const struct {
	const char *expression, *said;
} refusals[] = {
    {"0/0", "json: cannot encode NaN"},
    {"{a = 1/0}", "json: cannot encode an infinite number at .a"},
    {"{x = {1, {y = print}}}", "json: cannot encode a function at .x[2].y"},
    {"coroutine.create(print)", "json: cannot encode a thread"},
    {"{1, 2, x = 3}", "keys of more than one kind: 1.. and a string"},
    {"{x = 3, [true] = 1}", "an object key that is not a string"},
    {"{[1.5] = 1}", "keys of more than one kind: 1.. and a number"},
    {"{[0] = 1}", "an integer key below 1"},
    {"{1, nil, 3}", "an array with holes"},
    {"{a = {[1000000] = 1}}",
	"an array with holes, or integers as keys (use "
	"json.null, or strings as keys) at .a"},
};

START_TEST(what_json_cannot_say_is_an_error_with_its_path)
{
	char code[256];

	(void)snprintf(code, sizeof(code), "return json.encode(%s)",
	    refusals[_i].expression);
	ck_error(code, refusals[_i].said);
}
END_TEST

START_TEST(depth_is_bounded_both_ways)
{
	ck_error("local t = {} t.self = t json.encode(t)",
	    "nested deeper than 64 (or in itself) at ...");
	ck_eval("local t = {} for i = 1, 63 do t = {t} end "
		"return #json.encode(t)",
	    "128");
	ck_error("local t = {} for i = 1, 64 do t = {t} end json.encode(t)",
	    "nested deeper");
	ck_eval("local s = ('['):rep(64) .. (']'):rep(64) "
		"return #json.encode(json.decode(s))",
	    "128");
	ck_error("json.decode(('['):rep(65))",
	    "json: line 1 column 65: nested deeper than 64");
	ck_error("json.decode(('{\"a\":'):rep(100000))", "nested deeper");
}
END_TEST

START_TEST(large_documents_pass)
{
	ck_eval("local t = {} for i = 1, 20000 do t[i] = {id = i, name = "
		"'item ' .. i} end local s = json.encode(t) "
		"local u = json.decode(s) return #s > 500000 and "
		"#json.encode(u) == #s and u[20000].name",
	    "item 20000");
}
END_TEST

static const struct {
	const char *text, *code, *result;
} decodes[] = {
    {"9223372036854775807", "math.type(v) .. v", "integer9223372036854775807"},
    {"-9223372036854775808", "math.type(v) .. v",
	"integer-9223372036854775808"},
    {"9223372036854775808", "math.type(v) .. v", "float9.2233720368548e+18"},
    {"-9223372036854775809", "math.type(v)", "float"},
    {"1.0", "math.type(v) .. v", "float1.0"},
    {"-0", "1 / v", "-inf"},
    {"0", "math.type(v) .. v", "integer0"},
    {"1e2", "v", "100.0"},
    {"1E-2", "v", "0.01"},
    {" \t\r\n[ 1 , 2 ] ", "#v", "2"},
    {"\"a\\u0041\\u00e9\\ud83d\\ude00\\/\\n\"", "v",
	"aA\xc3\xa9\xf0\x9f\x98\x80/\n"},
    {"\"\\u0000\"", "#v", "1"},
    {"{\"a\":1,\"a\":2}", "v.a", "2"},
    {"{\"a\":null}", "v.a == json.null", "true"},
    {"null", "v == json.null", "true"},
    {"[]", "json.encode(v)", "[]"},
    {"{}", "json.encode(v)", "{}"},
    {"{\"\":[[],{}]}", "json.encode(v)", "{\"\":[[],{}]}"},
    {"[false,true]", "v[1] == false and v[2]", "true"},
};

START_TEST(text_becomes_values)
{
	char code[512];

	(void)snprintf(code, sizeof(code),
	    "local v = json.decode [==[%s]==] return tostring(%s)",
	    decodes[_i].text, decodes[_i].code);
	ck_eval(code, decodes[_i].result);
}
END_TEST

static const struct {
	const char *text, *said;
} errors[] = {
    {"", "line 1 column 1: expected a value, found the end"},
    {"{\"a\" 1}", "line 1 column 6: expected ':'"},
    {"{\n  \"a\": 1,\n  \"b\"; 2\n}", "line 3 column 6: expected ':'"},
    {"{\"a\":1,}", "line 1 column 8: expected a string as key"},
    {"[1,]", "line 1 column 4: expected a value"},
    {"[1 2]", "line 1 column 4: expected ',' or ']'"},
    {"{\"a\":1", "expected ',' or '}'"},
    {"[1] x", "line 1 column 5: expected the end of the document"},
    {"01", "line 1 column 1: number with a leading zero"},
    {"-", "line 1 column 2: expected a digit"},
    {"1.", "expected a digit"},
    {".5", "expected a value"},
    {"1e", "expected a digit"},
    {"+1", "expected a value"},
    {"1e999", "number out of range"},
    {"NaN", "expected a value"},
    {"nul", "expected a value"},
    {"'a'", "expected a value"},
    {"\"a", "line 1 column 3: string without its end"},
    {"\"\\", "string without its end"},
    {"\"\\x\"", "line 1 column 2: bad escape"},
    {"\"\\u12g4\"", "line 1 column 2: bad \\u escape"},
    {"\"\\ud800\"", "line 1 column 2: lone surrogate"},
    {"\"\\ud800\\u0041\"", "lone surrogate"},
    {"\"\\udc00\"", "lone surrogate"},
    {"\"a\nb\"", "line 1 column 3: control byte in a string"},
    {"\xef\xbb\xbf[]", "line 1 column 1: expected a value"},
    {"\"\xff\"", "line 1 column 2: not UTF-8"},
    {"\"\xed\xa0\x80\"", "not UTF-8"},
    {"\"\xe0\x80\x80\"", "not UTF-8"},
    {"\"\xf0\x80\x80\x80\"", "not UTF-8"},
    {"\"\xf4\x90\x80\x80\"", "not UTF-8"},
    {"\"\xf5\x80\x80\x80\"", "not UTF-8"},
    {"\"\xc1\x80\"", "not UTF-8"},
    {"\"\xe2\x82", "not UTF-8"},
    {"[1] // x", "expected the end"},
};

START_TEST(bad_text_is_an_error_with_line_and_column)
{
	char code[512];

	(void)snprintf(code, sizeof(code), "json.decode [==[%s]==]",
	    errors[_i].text);
	ck_error(code, errors[_i].said);
}
END_TEST

START_TEST(long_numbers_are_numbers)
{
	ck_eval("return json.decode(('9'):rep(300))", "1e+300");
	ck_eval("return json.decode('0.' .. ('0'):rep(100000) .. '1')", "0");
	ck_error("json.decode(('9'):rep(10000000))", "number out of range");
}
END_TEST

START_TEST(an_array_keeps_its_mark)
{
	ck_eval("local t = json.decode('[1]') t[1] = nil "
		"return json.encode(t)",
	    "[]");
	ck_error("json.array(setmetatable({}, {__metatable = 1}))",
	    "protected metatable");
	ck_error("json.array(5)", "table expected");
}
END_TEST

START_TEST(floats_come_back_the_same)
{
	ck_eval("for i = 1, 20000 do local x = (math.random() - 0.5) * "
		"10.0 ^ math.random(-300, 300) "
		"assert(json.decode(json.encode(x)) == x, x) "
		"x = math.random(0, 1 << 40) / 10 ^ math.random(0, 8) "
		"assert(json.decode(json.encode(x)) == x, x) end return 'ok'",
	    "ok");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/lua/json");
	TCase *tcase = unit_case(suite, "json");

	tcase_add_loop_test(tcase, values_become_text, 0,
	    sizeof(encodes) / sizeof(encodes[0]));
	tcase_add_loop_test(tcase,
	    what_json_cannot_say_is_an_error_with_its_path, 0,
	    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tcase, depth_is_bounded_both_ways);
	tcase_add_test(tcase, large_documents_pass);
	tcase_add_loop_test(tcase, text_becomes_values, 0,
	    sizeof(decodes) / sizeof(decodes[0]));
	tcase_add_loop_test(tcase, bad_text_is_an_error_with_line_and_column, 0,
	    sizeof(errors) / sizeof(errors[0]));
	tcase_add_test(tcase, long_numbers_are_numbers);
	tcase_add_test(tcase, an_array_keeps_its_mark);
	tcase_add_test(tcase, floats_come_back_the_same);
	return unit_run(suite);
}
