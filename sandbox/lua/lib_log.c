/*
 * lib_log.c - log lines: log.debug and so on, and what print and warn say.
 *
 * Runs in: worker, tests.
 * Owns:    buffers of one line in static memory, used within one call.
 *
 * A line fits one LOG frame: what is longer is cut and says so.  Fields that
 * cannot be encoded never fail a request: the line says why instead.
 */
#include "sandbox/lua/lua_priv.h"

#include <stdio.h>

#define CUT_MARK " ... (cut)"

static char line[LOG_TEXT_MAX];
static char encoded[LOG_FIELDS_MAX];

static size_t
add(size_t at, const char *p, size_t n, bool *cut)
{
	size_t left = sizeof(line) - at;
	size_t take = n < left ? n : left;

	if (take < n)
		*cut = true;
	memcpy(line + at, p, take);
	return at + take;
}

static size_t
mark_cut(void)
{
	size_t n = fnlua_cut(line, sizeof(line) - (sizeof(CUT_MARK) - 1));

	memcpy(line + n, CUT_MARK, sizeof(CUT_MARK) - 1);
	return n + sizeof(CUT_MARK) - 1;
}

void
fnlua_log_strings(lua_State *L, enum wire_log level, int first, int last,
    const char *sep, struct slice fields)
{
	size_t at = 0;
	bool cut = false;

	for (int i = first; i <= last && !cut; i++) {
		size_t n;
		const char *s = lua_tolstring(L, i, &n);

		if (i > first)
			at = add(at, sep, strlen(sep), &cut);
		at = add(at, s, n, &cut);
	}
	if (cut)
		at = mark_cut();
	fnlua_host->log(level, slice_from(line, at), fields);
}

static struct slice
fields_error(const char *what)
{
	struct json_out out = {.p = encoded, .cap = sizeof(encoded)};

	(void)memcpy(out.p, "{\"fields_error\":", 16);
	out.n = 16;
	fnlua_json_put_string(&out, slice_of(what));
	out.p[out.n++] = '}'; /* what is far shorter than the buffer */
	return slice_from(out.p, out.n);
}

static struct slice
encode_fields(lua_State *L, int index)
{
	struct json_out out = {.p = encoded, .cap = sizeof(encoded), .L = L};
	char what[200];

	if (lua_isnoneornil(L, index))
		return (struct slice){0};
	luaL_checktype(L, index, LUA_TTABLE);
	if (!fnlua_json_encode(L, index, &out)) {
		(void)snprintf(what, sizeof(what), "%s",
		    out.full ? "json: fields larger than 8192 bytes"
			     : out.error);
		return fields_error(what);
	}
	if (out.p[0] != '{')
		return fields_error("json: fields must have names");
	return slice_from(out.p, out.n);
}

static int
log_at(lua_State *L, enum wire_log level)
{
	luaL_checkany(L, 1);
	lua_settop(L, 2);
	(void)fnlua_tolstring(L, 1, NULL);
	lua_replace(L, 1);
	fnlua_log_strings(L, level, 1, 1, "", encode_fields(L, 2));
	return 0;
}

static int
log_debug(lua_State *L)
{
	return log_at(L, WIRE_LOG_DEBUG);
}

static int
log_info(lua_State *L)
{
	return log_at(L, WIRE_LOG_INFO);
}

static int
log_warn(lua_State *L)
{
	return log_at(L, WIRE_LOG_WARN);
}

static int
log_error(lua_State *L)
{
	return log_at(L, WIRE_LOG_ERROR);
}

void
fnlua_open_log(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"debug", log_debug},
	    {"info", log_info},
	    {"warn", log_warn},
	    {"error", log_error},
	    {NULL, NULL},
	};

	fnlua_library(L, "log", functions);
}
