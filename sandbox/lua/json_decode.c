/*
 * json_decode.c - JSON text to Lua values (RFC 8259, strictly).
 *
 * Runs in: worker, tests.
 *
 * Straight from the bytes to the values, by recursion bounded at
 * JSON_DEPTH_MAX.  Integers that fit 64 bits stay integers, other numbers are
 * floats; null is json.null; arrays carry the mark that makes an empty one
 * come out as [] again; of equal keys the last wins.  Refused: anything after
 * the document, leading zeros, lone surrogates, raw control bytes, bytes that
 * are not UTF-8, numbers beyond a double.  Errors say line and column (in
 * bytes, both from 1).
 */
#include "sandbox/lua/lua_priv.h"

#include <math.h>
#include <stdlib.h>

#define NUMBER_SHORT 64 /* bytes of a number that needs no Lua string */

struct decoder {
	lua_State *L;
	const char *begin, *p, *end;
	int array_mark; /* stack index of the arrays' metatable */
	int depth;
};

static void decode(struct decoder *d);

__attribute__((noreturn)) static void
fail(struct decoder *d, const char *at, const char *what)
{
	const char *line_begin = d->begin;
	int line = 1;

	for (const char *p = d->begin; p < at; p++) {
		if (*p == '\n') {
			line++;
			line_begin = p + 1;
		}
	}
	luaL_error(d->L, "json: line %d column %d: %s", line,
	    (int)(at - line_begin) + 1, what);
	__builtin_unreachable();
}

static inline void
skip_space(struct decoder *d)
{
	while (d->p < d->end &&
	    (*d->p == ' ' || *d->p == '\n' || *d->p == '\r' || *d->p == '\t'))
		d->p++;
}

/* Step over c, with space before it; false if something else is there. */
static inline bool
accept(struct decoder *d, char c)
{
	skip_space(d);
	if (d->p >= d->end || *d->p != c)
		return false;
	d->p++;
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits at p, or -1. */
static int
hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

static size_t
put_utf8(char *q, uint32_t c)
{
	if (c < 0x80) {
		q[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		q[0] = (char)(0xc0 | c >> 6);
		q[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		q[0] = (char)(0xe0 | c >> 12);
		q[1] = (char)(0x80 | (c >> 6 & 0x3f));
		q[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	q[0] = (char)(0xf0 | c >> 18);
	q[1] = (char)(0x80 | (c >> 12 & 0x3f));
	q[2] = (char)(0x80 | (c >> 6 & 0x3f));
	q[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* "\uXXXX", perhaps two for one character; *pp stands behind the u. */
static uint32_t
unicode_escape(struct decoder *d, const char **pp, const char *end)
{
	const char *p = *pp;
	int high = hex4(p, end), low;

	if (high < 0)
		fail(d, p - 2, "bad \\u escape");
	p += 4;
	*pp = p;
	if (high < 0xd800 || high > 0xdfff)
		return (uint32_t)high;
	if (high > 0xdbff || end - p < 6 || p[0] != '\\' || p[1] != 'u' ||
	    (low = hex4(p + 2, end)) < 0xdc00 || low > 0xdfff)
		fail(d, p - 6, "lone surrogate");
	*pp = p + 6;
	return 0x10000u + ((uint32_t)(high - 0xd800) << 10) +
	    (uint32_t)(low - 0xdc00);
}

/* One escape at p (behind the backslash) to q; where to go on. */
static const char *
unescape(struct decoder *d, const char *p, const char *end, char **q)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	const char *found;

	if (*p == 'u') {
		p++;
		*q += put_utf8(*q, unicode_escape(d, &p, end));
		return p;
	}
	found = *p == '\0' ? NULL : strchr(from, *p);
	if (found == NULL)
		fail(d, p - 1, "bad escape");
	*(*q)++ = to[found - from];
	return p + 1;
}

/* Find the closing quote from p on; checks bytes.  *escaped_out: any \. */
static const char *
string_end(struct decoder *d, const char *p, bool *escaped_out)
{
	*escaped_out = false;
	while (p < d->end) {
		unsigned char c = (unsigned char)*p;

		if (c == '"')
			return p;
		if (c == '\\') {
			*escaped_out = true;
			p += d->end - p < 2 ? 1 : 2;
		} else if (c < 0x20) {
			fail(d, p, "control byte in a string");
		} else if (c < 0x80) {
			p++;
		} else {
			size_t n = fnlua_utf8_bytes(p, (size_t)(d->end - p));

			if (n == 0)
				fail(d, p, "not UTF-8");
			p += n;
		}
	}
	fail(d, d->end, "string without its end");
}

/* Push the string whose opening quote was stepped over. */
static void
decode_string(struct decoder *d)
{
	bool escaped;
	const char *p = d->p;
	const char *end = string_end(d, p, &escaped);
	size_t n = (size_t)(end - p);
	luaL_Buffer b;
	char *q, *start;

	d->p = end + 1;
	if (!escaped) {
		lua_pushlstring(d->L, p, n);
		return;
	}
	start = q = luaL_buffinitsize(d->L, &b, n);
	while (p < end) {
		const char *slash = memchr(p, '\\', (size_t)(end - p));
		size_t run = (size_t)((slash == NULL ? end : slash) - p);

		memcpy(q, p, run);
		q += run;
		p += run;
		if (slash != NULL)
			p = unescape(d, p + 1, end, &q);
	}
	luaL_pushresultsize(&b, (size_t)(q - start));
}

static const char *
digits(struct decoder *d, const char *p)
{
	const char *from = p;

	while (p < d->end && *p >= '0' && *p <= '9')
		p++;
	if (p == from)
		fail(d, p, "expected a digit");
	return p;
}

static void
push_float(struct decoder *d, const char *p, size_t n)
{
	char small[NUMBER_SHORT];
	double v;

	if (n < sizeof(small)) {
		memcpy(small, p, n);
		small[n] = '\0';
		v = strtod(small, NULL);
	} else {
		v = strtod(lua_pushlstring(d->L, p, n), NULL);
		lua_pop(d->L, 1);
	}
	if (isinf(v))
		fail(d, p, "number out of range");
	lua_pushnumber(d->L, v);
}

/* Push digits p..end with their sign as an integer, if they fit. */
static bool
push_integer(struct decoder *d, const char *p, const char *end)
{
	bool negative = *p == '-';
	lua_Unsigned v = 0;

	p += negative;
	if (negative && end - p == 1 && *p == '0')
		return false; /* -0 is a float */
	for (; p < end; p++) {
		lua_Unsigned digit = (lua_Unsigned)(*p - '0');

		if (v > ((lua_Unsigned)LUA_MAXINTEGER + 1 - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (v > (lua_Unsigned)LUA_MAXINTEGER + negative)
		return false;
	lua_pushinteger(d->L, (lua_Integer)(negative ? 0 - v : v));
	return true;
}

static void
decode_number(struct decoder *d)
{
	const char *from = d->p, *p = from, *whole_end;
	bool whole = true;

	p += *p == '-';
	if (p < d->end && *p == '0')
		p++;
	else
		p = digits(d, p);
	whole_end = p;
	if (p < d->end && *p >= '0' && *p <= '9')
		fail(d, from, "number with a leading zero");
	if (p < d->end && *p == '.') {
		whole = false;
		p = digits(d, p + 1);
	}
	if (p < d->end && (*p == 'e' || *p == 'E')) {
		whole = false;
		p++;
		p += p < d->end && (*p == '+' || *p == '-');
		p = digits(d, p);
	}
	d->p = p;
	if (!whole || !push_integer(d, from, whole_end))
		push_float(d, from, (size_t)(p - from));
}

static void
begin_nested(struct decoder *d)
{
	if (++d->depth > JSON_DEPTH_MAX)
		fail(d, d->p - 1, "nested deeper than 64");
}

static void
decode_array(struct decoder *d)
{
	lua_State *L = d->L;
	lua_Integer n = 0;

	begin_nested(d);
	lua_newtable(L);
	lua_pushvalue(L, d->array_mark);
	lua_setmetatable(L, -2);
	if (!accept(d, ']')) {
		do {
			decode(d);
			lua_rawseti(L, -2, ++n);
		} while (accept(d, ','));
		if (!accept(d, ']'))
			fail(d, d->p, "expected ',' or ']'");
	}
	d->depth--;
}

static void
decode_object(struct decoder *d)
{
	lua_State *L = d->L;

	begin_nested(d);
	lua_createtable(L, 0, 4);
	if (!accept(d, '}')) {
		do {
			if (!accept(d, '"'))
				fail(d, d->p, "expected a string as key");
			decode_string(d);
			if (!accept(d, ':'))
				fail(d, d->p, "expected ':'");
			decode(d);
			lua_rawset(L, -3);
		} while (accept(d, ','));
		if (!accept(d, '}'))
			fail(d, d->p, "expected ',' or '}'");
	}
	d->depth--;
}

static bool
decode_word(struct decoder *d, const char *word, size_t n)
{
	if ((size_t)(d->end - d->p) < n || memcmp(d->p, word, n) != 0)
		return false;
	d->p += n;
	return true;
}

static void
decode_literal(struct decoder *d)
{
	if (decode_word(d, "true", 4))
		lua_pushboolean(d->L, 1);
	else if (decode_word(d, "false", 5))
		lua_pushboolean(d->L, 0);
	else if (decode_word(d, "null", 4))
		lua_pushlightuserdata(d->L, NULL);
	else
		fail(d, d->p, "expected a value");
}

static void
decode(struct decoder *d)
{
	skip_space(d);
	if (d->p >= d->end)
		fail(d, d->p, "expected a value, found the end");
	switch (*d->p) {
	case '"':
		d->p++;
		decode_string(d);
		break;
	case '{':
		d->p++;
		decode_object(d);
		break;
	case '[':
		d->p++;
		decode_array(d);
		break;
	case '-':
	case '0' ... '9':
		decode_number(d);
		break;
	default:
		decode_literal(d);
	}
}

void
fnlua_json_decode(lua_State *L, struct slice document)
{
	struct decoder d = {.L = L,
	    .begin = document.p,
	    .p = document.p,
	    .end = document.p + document.n};

	luaL_checkstack(L, JSON_DEPTH_MAX * 3 + LUA_MINSTACK, "json");
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_ARRAY);
	d.array_mark = lua_gettop(L);
	decode(&d);
	skip_space(&d);
	if (d.p < d.end)
		fail(&d, d.p, "expected the end of the document");
	lua_remove(L, d.array_mark);
}
