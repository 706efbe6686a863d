/*
 * json_encode.c - Lua values to JSON text.
 *
 * Runs in: worker, tests.
 * Owns:    the memory of a json_out that grew, until fnlua_json_out_fini.
 *
 * Runs no metamethod and raises no Lua error, so it can write straight into
 * the frame that is sent, and needs nothing cleaned up behind it.  Bytes that
 * are not UTF-8 become U+FFFD.  A table is an array when its keys are 1..n, or
 * when it is empty and carries the array mark; otherwise all its keys must be
 * strings.  An error names the path to the value: ".items[3].price".
 */
#include "sandbox/lua/lua_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_MAX_BYTES 96

struct encoder {
	lua_State *L;
	struct json_out *out;
	const void *array_mark;
	const char *what;	   /* of an error, or NULL */
	const char *type;	   /* more of it */
	char path[PATH_MAX_BYTES]; /* written from its end */
	size_t path_at;
};

static bool encode(struct encoder *e, int depth);

/* More memory from Lua's allocator; false when there is none. */
static bool
grow(struct json_out *out, size_t n)
{
	size_t cap = out->cap * 2;
	void *arg, *p;
	lua_Alloc alloc = lua_getallocf(out->L, &arg);

	while (cap - out->n < n)
		cap *= 2;
	p = alloc(arg, out->owned ? out->p : NULL, out->owned ? out->cap : 0,
	    cap);
	if (p == NULL)
		return false;
	if (!out->owned)
		memcpy(p, out->p, out->n);
	out->p = p;
	out->cap = cap;
	out->owned = true;
	return true;
}

static inline bool
room(struct json_out *out, size_t n)
{
	if (out->cap - out->n >= n && !out->full)
		return true;
	if (out->full || !out->grow || !grow(out, n)) {
		out->full = true;
		return false;
	}
	return true;
}

static inline void
put(struct json_out *out, const void *p, size_t n)
{
	if (room(out, n)) {
		memcpy(out->p + out->n, p, n);
		out->n += n;
	}
}

static inline void
put_char(struct json_out *out, char c)
{
	if (room(out, 1))
		out->p[out->n++] = c;
}

void
fnlua_json_out_fini(struct json_out *out)
{
	void *arg;
	lua_Alloc alloc = lua_getallocf(out->L, &arg);

	if (out->owned)
		(void)alloc(arg, out->p, out->cap, 0);
	out->owned = false;
}

static bool
plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* A byte that is not plain: an escape, or a whole sequence.  Returns how many
 * bytes of p it took. */
static size_t
put_special(struct json_out *out, const unsigned char *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	char text[6] = {'\\', 'u', '0', '0'};
	size_t bytes;

	for (size_t i = 0; i + 1 < sizeof(shorts); i += 2) {
		if (p[0] == (unsigned char)shorts[i]) {
			text[1] = shorts[i + 1];
			put(out, text, 2);
			return 1;
		}
	}
	if (p[0] < 0x80) {
		text[4] = hex[p[0] >> 4];
		text[5] = hex[p[0] & 15];
		put(out, text, 6);
		return 1;
	}
	bytes = fnlua_utf8_bytes(p, n);
	if (bytes == 0) {
		put(out, "\xef\xbf\xbd", 3);
		return 1;
	}
	put(out, p, bytes);
	return bytes;
}

void
fnlua_json_put_string(struct json_out *out, struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0;

	put_char(out, '"');
	while (i < s.n && !out->full) {
		size_t from = i;

		while (i < s.n && plain(p[i]))
			i++;
		if (i > from)
			put(out, p + from, i - from);
		if (i < s.n)
			i += put_special(out, p + i, s.n - i);
	}
	put_char(out, '"');
}

static void
put_integer(struct json_out *out, lua_Integer v)
{
	lua_Unsigned u = v < 0 ? 0 - (lua_Unsigned)v : (lua_Unsigned)v;
	char text[24];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + u % 10);
		u /= 10;
	} while (u != 0);
	if (v < 0)
		text[--at] = '-';
	put(out, text + at, sizeof(text) - at);
}

/*
 * Prices and the like: v is the number nearest to an integer below 2^53
 * divided by a power of ten, so those digits read back as v.  Much faster
 * than trying with printf and strtod; false when v is no such number.
 */
static bool
put_decimal(struct json_out *out, double v)
{
	char text[24];
	size_t at = sizeof(text);
	double power = 1, scaled = fabs(v);
	lua_Unsigned digits;
	int places = 0;

	if (scaled >= 1e9 || scaled < 1e-3)
		return false;
	do {
		if (++places > 6)
			return false;
		power *= 10;
		scaled = rint(fabs(v) * power);
	} while (scaled / power != fabs(v));
	digits = (lua_Unsigned)scaled;
	for (int i = 0; i < places || digits > 0 || i == places; i++) {
		if (i == places)
			text[--at] = '.';
		text[--at] = (char)('0' + digits % 10);
		digits /= 10;
	}
	if (v < 0)
		text[--at] = '-';
	put(out, text + at, sizeof(text) - at);
	return true;
}

/* The shortest of 15 to 17 digits that reads back as the same number. */
static void
put_float(struct json_out *out, double v)
{
	char text[40];
	int n = 0;

	if (fabs(v) < 1e15 && v == floor(v) && !(v == 0 && signbit(v))) {
		put_integer(out, (lua_Integer)v);
		return;
	}
	if (put_decimal(out, v))
		return;
	for (int digits = 15; digits <= 17; digits++) {
		n = snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	put(out, text, (size_t)n);
}

static bool
fail(struct encoder *e, const char *what, const char *type)
{
	e->what = what;
	e->type = type;
	return false;
}

/* Put one step in front of the path of an error. */
static void
prepend(struct encoder *e, const char *p, size_t n)
{
	if (e->path_at == 0)
		return;
	if (n > e->path_at) {
		e->path_at = 0; /* too deep to tell: the beginning is lost */
		memcpy(e->path, "...", 3);
		return;
	}
	e->path_at -= n;
	memcpy(e->path + e->path_at, p, n);
}

static void
prepend_key(struct encoder *e, const char *key, size_t n)
{
	char step[40];
	size_t kept = n < 32 ? n : fnlua_cut(key, 32);

	step[0] = '.';
	memcpy(step + 1, key, kept);
	for (size_t i = 1; i <= kept; i++)
		if ((unsigned char)step[i] < 0x20 || step[i] == 0x7f)
			step[i] = '?';
	prepend(e, step, kept + 1);
}

static bool
encode_number(struct encoder *e)
{
	double v;

	if (lua_isinteger(e->L, -1)) {
		put_integer(e->out, lua_tointeger(e->L, -1));
		return true;
	}
	v = lua_tonumber(e->L, -1);
	if (!isfinite(v))
		return fail(e, isnan(v) ? "NaN" : "an infinite number", "");
	put_float(e->out, v);
	return true;
}

/* The table on top has an integer as its first key: are its keys 1..n? */
static bool
count_elements(struct encoder *e, lua_Integer *n_out)
{
	lua_State *L = e->L;
	lua_Integer count = 0, max = 0;

	for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
		lua_Integer key;

		if (!lua_isinteger(L, -2))
			return fail(e, "keys of more than one kind: 1.. and a ",
			    luaL_typename(L, -2));
		key = lua_tointeger(L, -2);
		if (key < 1)
			return fail(e, "an integer key below 1", "");
		max = key > max ? key : max;
		count++;
	}
	if (max != count)
		return fail(e,
		    "an array with holes, or integers as keys (use "
		    "json.null, or strings as keys)",
		    "");
	*n_out = count;
	return true;
}

static bool
encode_array(struct encoder *e, int depth)
{
	lua_State *L = e->L;
	int top = lua_gettop(L);
	lua_Integer n = 0;
	char step[24];

	if (!count_elements(e, &n)) {
		lua_settop(L, top);
		return false;
	}
	put_char(e->out, '[');
	for (lua_Integer i = 1; i <= n && !e->out->full; i++) {
		if (i > 1)
			put_char(e->out, ',');
		(void)lua_rawgeti(L, top, i);
		if (!encode(e, depth + 1)) {
			int bytes = snprintf(step, sizeof(step), "[%lld]",
			    (long long)i);

			lua_settop(L, top);
			prepend(e, step, (size_t)bytes);
			return false;
		}
		lua_pop(L, 1);
	}
	put_char(e->out, ']');
	return true;
}

/* The first key and value are on the stack above the table. */
static bool
encode_object(struct encoder *e, int depth)
{
	lua_State *L = e->L;
	int table = lua_gettop(L) - 2;
	char before = '{';

	do {
		size_t n;
		const char *key;

		if (lua_type(L, -2) != LUA_TSTRING)
			return fail(e,
			    "an object key that is not a string "
			    "but a ",
			    luaL_typename(L, -2));
		key = lua_tolstring(L, -2, &n);
		put_char(e->out, before);
		before = ',';
		fnlua_json_put_string(e->out, slice_from(key, n));
		put_char(e->out, ':');
		if (!encode(e, depth + 1)) {
			prepend_key(e, key, n);
			return false;
		}
		lua_pop(L, 1);
	} while (!e->out->full && lua_next(L, table) != 0);
	put_char(e->out, '}');
	return true;
}

static bool
has_array_mark(struct encoder *e)
{
	bool has;

	if (!lua_getmetatable(e->L, -1))
		return false;
	has = lua_topointer(e->L, -1) == e->array_mark;
	lua_pop(e->L, 1);
	return has;
}

static bool
encode_table(struct encoder *e, int depth)
{
	lua_State *L = e->L;
	int table = lua_gettop(L);
	bool ok, first_is_number;

	if (depth >= JSON_DEPTH_MAX)
		return fail(e, "a table nested deeper than 64 (or in itself)",
		    "");
	lua_pushnil(L);
	if (lua_next(L, table) == 0) {
		put(e->out, has_array_mark(e) ? "[]" : "{}", 2);
		return true;
	}
	first_is_number = lua_type(L, -2) == LUA_TNUMBER;
	if (first_is_number) {
		lua_pop(L, 2);
		ok = encode_array(e, depth);
	} else {
		ok = encode_object(e, depth);
	}
	lua_settop(L, table);
	return ok;
}

/* The value on top of the stack; it stays there. */
static bool
encode(struct encoder *e, int depth)
{
	lua_State *L = e->L;
	size_t n;
	const char *s;

	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		put(e->out, "null", 4);
		return true;
	case LUA_TLIGHTUSERDATA:
		if (lua_touserdata(L, -1) != NULL)
			return fail(e, "a userdata", "");
		put(e->out, "null", 4);
		return true;
	case LUA_TBOOLEAN:
		if (lua_toboolean(L, -1))
			put(e->out, "true", 4);
		else
			put(e->out, "false", 5);
		return true;
	case LUA_TNUMBER:
		return encode_number(e);
	case LUA_TSTRING:
		s = lua_tolstring(L, -1, &n);
		fnlua_json_put_string(e->out, slice_from(s, n));
		return true;
	case LUA_TTABLE:
		return encode_table(e, depth);
	default:
		return fail(e, "a ", luaL_typename(L, -1));
	}
}

static void
describe(struct encoder *e)
{
	size_t n = sizeof(e->path) - e->path_at;

	(void)snprintf(e->out->error, sizeof(e->out->error),
	    "json: cannot encode %s%s%s%.*s", e->what, e->type,
	    n > 0 ? " at " : "", (int)n, e->path + e->path_at);
}

bool
fnlua_json_encode(lua_State *L, int index, struct json_out *out)
{
	struct encoder e = {.L = L, .out = out, .path_at = sizeof(e.path)};
	int top = lua_gettop(L);
	bool ok;

	out->error[0] = '\0';
	index = lua_absindex(L, index);
	if (!lua_checkstack(L, JSON_DEPTH_MAX * 4)) {
		e.what = "this: the Lua stack is full";
		e.type = "";
		describe(&e);
		return false;
	}
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_ARRAY);
	e.array_mark = lua_topointer(L, -1);
	lua_pushvalue(L, index);
	ok = encode(&e, 0);
	lua_settop(L, top);
	if (!ok)
		describe(&e);
	return ok && !out->full;
}
