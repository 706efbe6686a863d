/*
 * event.c - the two arguments of a handler: event and ctx.
 *
 * Runs in: worker, tests.
 *
 * On the path of every request: tables are made at their final size and field
 * names are literals, which Lua finds by their address.
 */
#include "sandbox/lua/lua_priv.h"

#include <string.h>

static void
set_str(lua_State *L, const char *name, struct slice s)
{
	lua_pushlstring(L, s.p, s.n);
	lua_setfield(L, -2, name);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "%41" and '+' as in a form; a '%' that starts no escape stays. */
static void
push_decoded(lua_State *L, const char *p, size_t n)
{
	luaL_Buffer b;
	size_t done = 0;
	char *q;

	if (memchr(p, '%', n) == NULL && memchr(p, '+', n) == NULL) {
		lua_pushlstring(L, p, n);
		return;
	}
	q = luaL_buffinitsize(L, &b, n);
	for (size_t i = 0; i < n; i++) {
		int high = -1, low = -1;

		if (p[i] == '%' && n - i > 2) {
			high = hex_digit(p[i + 1]);
			low = hex_digit(p[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			q[done++] = (char)(high << 4 | low);
			i += 2;
		} else {
			q[done] = p[i];
			if (p[i] == '+')
				q[done] = ' ';
			done++;
		}
	}
	luaL_pushresultsize(&b, done);
}

/* name=value into the table on top, unless it has that name. */
static void
set_pair(lua_State *L, const char *p, size_t n)
{
	const char *equals = memchr(p, '=', n);
	size_t name_n = equals == NULL ? n : (size_t)(equals - p);

	push_decoded(L, p, name_n);
	lua_pushvalue(L, -1);
	if (lua_rawget(L, -3) != LUA_TNIL) {
		lua_pop(L, 2);
		return;
	}
	lua_pop(L, 1);
	if (equals == NULL)
		lua_pushliteral(L, "");
	else
		push_decoded(L, equals + 1, n - name_n - 1);
	lua_rawset(L, -3);
}

static void
push_query(lua_State *L, struct slice query)
{
	const char *p = query.p;
	size_t left = query.n;

	lua_newtable(L);
	while (left > 0) {
		const char *end = memchr(p, '&', left);
		size_t n = end == NULL ? left : (size_t)(end - p);

		if (n > 0)
			set_pair(L, p, n);
		n += end != NULL;
		p += n;
		left -= n;
	}
}

/* n from the wire, as a size hint that a lie cannot make large. */
static int
size_hint(uint32_t n, const struct wire_reader *r)
{
	return n > r->n / 8 ? 0 : (int)n;
}

static void
push_params(lua_State *L, struct wire_reader *r)
{
	uint32_t n = wire_get_u32(r);

	lua_createtable(L, 0, size_hint(n, r));
	for (; n > 0 && !r->bad; n--) {
		struct slice name = wire_get_str(r), value = wire_get_str(r);

		lua_pushlstring(L, name.p, name.n);
		lua_pushlstring(L, value.p, value.n);
		lua_rawset(L, -3);
	}
}

static void
push_lower(lua_State *L, struct slice s)
{
	luaL_Buffer b;
	size_t i = 0;
	char *q;

	while (i < s.n && (s.p[i] < 'A' || s.p[i] > 'Z'))
		i++;
	if (i == s.n) {
		lua_pushlstring(L, s.p, s.n);
		return;
	}
	q = luaL_buffinitsize(L, &b, s.n);
	memcpy(q, s.p, s.n);
	for (; i < s.n; i++)
		if (q[i] >= 'A' && q[i] <= 'Z')
			q[i] |= 0x20;
	luaL_pushresultsize(&b, s.n);
}

/* A header into the table on top; a repeated one is joined (RFC 9110 5.3,
 * and for cookies RFC 9113 8.2.3). */
static void
set_header(lua_State *L, struct slice name, struct slice value)
{
	push_lower(L, name);
	lua_pushvalue(L, -1);
	if (lua_rawget(L, -3) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_pushlstring(L, value.p, value.n);
	} else {
		bool cookie = strcmp(lua_tostring(L, -2), "cookie") == 0;

		lua_pushstring(L, cookie ? "; " : ", ");
		lua_pushlstring(L, value.p, value.n);
		lua_concat(L, 3);
	}
	lua_rawset(L, -3);
}

static void
push_headers(lua_State *L, struct wire_reader *r)
{
	uint32_t n = wire_get_u32(r);

	lua_createtable(L, 0, size_hint(n, r));
	for (; n > 0 && !r->bad; n--) {
		struct slice name = wire_get_str(r), value = wire_get_str(r);

		set_header(L, name, value);
	}
}

static void
push_http(lua_State *L, const struct fnlua_event *event)
{
	struct wire_reader r = event->fields;
	struct slice query;

	lua_createtable(L, 0, 11);
	lua_pushliteral(L, "http");
	lua_setfield(L, -2, "type");
	set_str(L, "method", wire_get_str(&r));
	set_str(L, "path", wire_get_str(&r));
	query = wire_get_str(&r);
	set_str(L, "raw_query", query);
	push_query(L, query);
	lua_setfield(L, -2, "query");
	set_str(L, "remote_addr", wire_get_str(&r));
	push_params(L, &r);
	lua_setfield(L, -2, "params");
	push_headers(L, &r);
	lua_setfield(L, -2, "headers");
	set_str(L, "body", wire_get_str(&r));
	set_str(L, "id", event->request_id);
	lua_pushinteger(L, event->wall_ms);
	lua_setfield(L, -2, "time");
	if (!wire_got_all(&r))
		luaL_error(L, "event: malformed INVOKE");
}

/* Set a field of the table below, if absent, to the value on top. */
static void
set_absent(lua_State *L, const char *name)
{
	lua_pushstring(L, name);
	if (lua_rawget(L, -3) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_setfield(L, -2, name);
	} else {
		lua_pop(L, 2);
	}
}

static void
push_json(lua_State *L, const struct fnlua_event *event)
{
	struct wire_reader r = event->fields;
	struct slice document = wire_get_str(&r);

	if (!wire_got_all(&r))
		luaL_error(L, "event: malformed INVOKE");
	fnlua_json_decode(L, document);
	if (!lua_istable(L, -1))
		return;
	if (lua_getmetatable(L, -1)) { /* an array */
		lua_pop(L, 1);
		return;
	}
	lua_pushlstring(L, event->request_id.p, event->request_id.n);
	set_absent(L, "id");
	lua_pushinteger(L, event->wall_ms);
	set_absent(L, "time");
}

void
fnlua_push_event(lua_State *L, const struct fnlua_event *event)
{
	if (event->kind == WIRE_EVENT_HTTP)
		push_http(L, event);
	else if (event->kind == WIRE_EVENT_JSON)
		push_json(L, event);
	else
		luaL_error(L, "event: unknown kind %d", (int)event->kind);
}

/* As far as the frozen clock knows: call time.sync() first to be exact. */
static int
ctx_remaining_ms(lua_State *L)
{
	const struct fnlua_call *call = &fnlua_call;
	uint64_t left = 0;

	if (call->deadline_us > call->mono_us)
		left = (call->deadline_us - call->mono_us) / 1000;
	lua_pushinteger(L, (lua_Integer)left);
	return 1;
}

static void
set_slot(lua_State *L, const char *name, enum slot slot)
{
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, slot);
	lua_setfield(L, -2, name);
}

void
fnlua_push_ctx(lua_State *L, const struct fnlua_event *event)
{
	int64_t left_us = (int64_t)(event->deadline_us - event->mono_us);

	lua_createtable(L, 0, 9);
	set_str(L, "request_id", event->request_id);
	set_slot(L, "function_name", SLOT_NAME);
	set_slot(L, "version", SLOT_VERSION);
	set_slot(L, "memory_mb", SLOT_MEMORY_MB);
	set_slot(L, "env", SLOT_ENV);
	lua_pushinteger(L, event->wall_ms + left_us / 1000);
	lua_setfield(L, -2, "deadline_ms");
	lua_pushcfunction(L, ctx_remaining_ms);
	lua_setfield(L, -2, "remaining_ms");
	lua_pushboolean(L, event->cold);
	lua_setfield(L, -2, "cold");
	set_str(L, "start", event->start);
}
