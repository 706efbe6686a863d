/*
 * result.c - what a handler returned becomes the fields of RESULT.
 *
 * Runs in: worker, tests.
 *
 *	string             200 text/plain
 *	nil                204
 *	table with status  status, headers, body
 *	other table        200 application/json
 *	number, boolean    200 application/json
 *
 * Written straight into the frame; lengths and counts that are known only
 * afterwards are patched.  No metamethod runs.  What cannot be sent raises an
 * error that tells the author what to change.  The gateway checks header
 * fields again: this process may lie.
 */
#include "sandbox/lua/lua_priv.h"

#include <math.h>

struct result {
	lua_State *L;
	struct wire_writer *out;
	size_t count_at; /* where the number of headers stands */
	uint32_t headers;
	bool has_type;
};

static void
patch(struct wire_writer *out, size_t at, uint32_t v)
{
	struct wire_writer there = {out->p + at, 0, 4, false};

	wire_put_u32(&there, v);
}

static void
begin(struct result *r, unsigned int status)
{
	wire_put_u16(r->out, (uint16_t)status);
	r->count_at = r->out->n;
	wire_put_u32(r->out, 0);
}

static bool
token_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static void
check_name(lua_State *L, struct slice name)
{
	static const char *const ours[] = {"content-length", "connection",
	    "transfer-encoding", "keep-alive", "upgrade", "trailer", "te",
	    "proxy-connection", "date"};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (slice_ieq(name, slice_of(ours[i])))
			luaL_error(L, "headers: %s is set by the server",
			    ours[i]);
	for (size_t i = 0; i < name.n; i++)
		if (!token_byte((unsigned char)name.p[i]))
			name.n = 0;
	if (name.n == 0)
		luaL_error(L,
		    "headers: a name must be letters, digits and "
		    "-_.!#$%%&'*+^`|~, with no space");
}

static void
put_header(struct result *r, struct slice name, struct slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			luaL_error(r->L,
			    "headers: the value of a field has a control "
			    "byte at %d (a line break?)",
			    (int)i + 1);
	}
	if (++r->headers > HEADERS_MAX)
		luaL_error(r->L, "headers: more than %d fields", HEADERS_MAX);
	if (slice_ieq(name, SLICE("content-type")))
		r->has_type = true;
	wire_put_str(r->out, name);
	wire_put_str(r->out, value);
}

static void
put_type(struct result *r, struct slice type)
{
	if (!r->has_type)
		put_header(r, SLICE("content-type"), type);
}

/* The value on top: a string, number or boolean; it stays there. */
static void
put_header_value(struct result *r, struct slice name)
{
	lua_State *L = r->L;
	size_t n;
	const char *s;

	switch (lua_type(L, -1)) {
	case LUA_TSTRING:
	case LUA_TNUMBER:
	case LUA_TBOOLEAN:
		s = fnlua_tolstring(L, -1, &n);
		put_header(r, name, slice_from(s, n));
		lua_pop(L, 1);
		break;
	default:
		luaL_error(L,
		    "headers: a value must be a string, number or "
		    "boolean, or an array of them, not %s (a %s)",
		    lua_tostring(L, -2), luaL_typename(L, -1));
	}
}

/* The name is at -2, the value on top; both stay. */
static void
put_field(struct result *r)
{
	lua_State *L = r->L;
	struct slice name;
	size_t n;

	if (lua_type(L, -2) != LUA_TSTRING)
		luaL_error(L, "headers: a name must be a string, not a %s",
		    luaL_typename(L, -2));
	name.p = lua_tolstring(L, -2, &name.n);
	check_name(L, name);
	if (!lua_istable(L, -1)) {
		put_header_value(r, name);
		return;
	}
	n = lua_rawlen(L, -1);
	for (size_t i = 1; i <= n; i++) {
		lua_pushvalue(L, -2);
		(void)lua_rawgeti(L, -2, (lua_Integer)i);
		put_header_value(r, name);
		lua_pop(L, 2);
	}
}

/* The field of the table at 1, raw, pushed. */
static int
get(lua_State *L, const char *name)
{
	lua_pushstring(L, name);
	return lua_rawget(L, 1);
}

static void
put_headers(struct result *r)
{
	lua_State *L = r->L;
	int type = get(L, "headers");

	if (type != LUA_TNIL && type != LUA_TTABLE)
		luaL_error(L, "headers must be a table, not a %s",
		    lua_typename(L, type));
	if (type == LUA_TTABLE)
		for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
			put_field(r);
	lua_pop(L, 1);
}

static void
put_body(struct result *r, struct slice body)
{
	if (!r->out->full)
		patch(r->out, r->count_at, r->headers);
	wire_put_str(r->out, body);
}

/* The value at index, as JSON, into the frame behind its length. */
static void
put_json(struct result *r, int index)
{
	struct wire_writer *w = r->out;
	struct json_out out = {.L = r->L};
	size_t length_at;

	put_type(r, SLICE("application/json"));
	if (w->full)
		return;
	patch(w, r->count_at, r->headers);
	length_at = w->n;
	wire_put_u32(w, 0);
	out.p = (char *)w->p + w->n;
	out.cap = w->cap - w->n;
	if (!w->full && !fnlua_json_encode(r->L, index, &out)) {
		if (!out.full)
			luaL_error(r->L, "%s", out.error);
		w->full = true;
	}
	if (w->full)
		return;
	w->n += out.n;
	patch(w, length_at, (uint32_t)out.n);
}

static unsigned int
check_status(lua_State *L)
{
	int exact;
	lua_Integer status = lua_tointegerx(L, -1, &exact);

	if (lua_type(L, -1) != LUA_TNUMBER || !exact)
		luaL_error(L,
		    "status must be an integer from 200 to 599, not "
		    "a %s; to send this table as JSON, return "
		    "{ status = 200, body = that table }",
		    luaL_typename(L, -1));
	if (status < 200 || status > 599)
		luaL_error(L, "status must be from 200 to 599, not %I",
		    (LUAI_UACINT)status);
	return (unsigned int)status;
}

/* Status is on top. */
static void
put_response(struct result *r)
{
	lua_State *L = r->L;
	struct slice body = {0};

	begin(r, check_status(L));
	put_headers(r);
	switch (get(L, "body")) {
	case LUA_TNIL:
		break;
	case LUA_TTABLE:
	case LUA_TLIGHTUSERDATA:
		put_json(r, -1);
		return;
	case LUA_TSTRING:
	case LUA_TNUMBER:
	case LUA_TBOOLEAN:
		body.p = fnlua_tolstring(L, -1, &body.n);
		put_type(r, SLICE("text/plain; charset=utf-8"));
		break;
	default:
		luaL_error(L,
		    "body must be a string, or a table to send as "
		    "JSON, not a %s",
		    luaL_typename(L, -1));
	}
	put_body(r, body);
}

static void
put_table(struct result *r)
{
	if (get(r->L, "status") != LUA_TNIL) {
		put_response(r);
		return;
	}
	begin(r, 200);
	put_json(r, 1);
}

void
fnlua_put_result(lua_State *L, struct wire_writer *out)
{
	struct result r = {.L = L, .out = out};
	struct slice body = {0};

	switch (lua_type(L, 1)) {
	case LUA_TNIL:
		begin(&r, 204);
		put_body(&r, body);
		break;
	case LUA_TSTRING:
		body.p = lua_tolstring(L, 1, &body.n);
		begin(&r, 200);
		put_type(&r, SLICE("text/plain; charset=utf-8"));
		put_body(&r, body);
		break;
	case LUA_TTABLE:
		put_table(&r);
		break;
	case LUA_TNUMBER:
	case LUA_TBOOLEAN:
	case LUA_TLIGHTUSERDATA:
		begin(&r, 200);
		put_json(&r, 1);
		break;
	default:
		luaL_error(L,
		    "a handler may return a string, a table, a "
		    "number, a boolean or nothing, not a %s",
		    luaL_typename(L, 1));
	}
}
