/*
 * lib_base.c - the global functions that differ from stock Lua.
 *
 * Runs in: worker, tests.
 *
 * Gone: dofile, loadfile.  load takes text only; collectgarbage only counts,
 * for the worker decides when to collect; setmetatable refuses finalizers,
 * which would run at points that an attacker picks; print and warn are log
 * lines; tostring shows how many objects were shown before this one, never an
 * address: what a request sees depends on its image and on what it did.
 */
#include "sandbox/lua/lua_priv.h"

#include <stdio.h>
#include <string.h>

/* A C function without upvalues is not in the heap: its pointer is code. */
static bool
is_builtin(lua_State *L, int index)
{
	if (!lua_iscfunction(L, index))
		return false;
	if (lua_getupvalue(L, index, 1) == NULL)
		return true;
	lua_pop(L, 1);
	return false;
}

/* The number of an object: 1 for the first that was ever shown, and so on.
 * The numbers are in the heap, so a fresh heap counts from its image on. */
static lua_Integer
number_of(lua_State *L, int index)
{
	lua_Integer number;

	(void)lua_getfield(L, LUA_REGISTRYINDEX, FNLUA_SHOWN);
	lua_pushvalue(L, index);
	if (lua_rawget(L, -2) == LUA_TNIL) {
		(void)lua_rawgeti(L, -2, 1);
		number = lua_tointeger(L, -1) + 1;
		lua_pushinteger(L, number);
		lua_rawseti(L, -4, 1);
		lua_pushvalue(L, index);
		lua_pushinteger(L, number);
		lua_rawset(L, -5);
		lua_pop(L, 1);
	} else {
		number = lua_tointeger(L, -1);
	}
	lua_pop(L, 2);
	return number;
}

void
fnlua_push_place(lua_State *L, int index)
{
	char text[32];

	index = lua_absindex(L, index);
	if (lua_topointer(L, index) == NULL) {
		lua_pushliteral(L, "null"); /* not an object, or json.null */
	} else if (is_builtin(L, index)) {
		lua_pushliteral(L, "builtin");
	} else {
		(void)snprintf(text, sizeof(text), "0x%08llx",
		    (unsigned long long)number_of(L, index));
		lua_pushstring(L, text);
	}
}

/* "table: 0x00001234", or with the __name of its metatable. */
static void
push_object_name(lua_State *L, int index)
{
	int top = lua_gettop(L);
	const char *kind = luaL_typename(L, index);

	if (lua_islightuserdata(L, index)) {
		fnlua_push_place(L, index);
		return;
	}
	if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING)
		kind = lua_tostring(L, -1);
	fnlua_push_place(L, index);
	lua_pushfstring(L, "%s: %s", kind, lua_tostring(L, -1));
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
}

const char *
fnlua_tolstring(lua_State *L, int index, size_t *n_out)
{
	index = lua_absindex(L, index);
	if (luaL_callmeta(L, index, "__tostring")) {
		if (!lua_isstring(L, -1))
			luaL_error(L, "'__tostring' must return a string");
		return lua_tolstring(L, -1, n_out);
	}
	switch (lua_type(L, index)) {
	case LUA_TNIL:
		lua_pushliteral(L, "nil");
		break;
	case LUA_TBOOLEAN:
		lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
		break;
	case LUA_TNUMBER:
	case LUA_TSTRING:
		lua_pushvalue(L, index);
		break;
	default:
		push_object_name(L, index);
	}
	return lua_tolstring(L, -1, n_out);
}

static int
base_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	(void)fnlua_tolstring(L, 1, NULL);
	return 1;
}

static int
base_print(lua_State *L)
{
	int n = lua_gettop(L);

	for (int i = 1; i <= n; i++) {
		(void)fnlua_tolstring(L, i, NULL);
		lua_replace(L, i);
	}
	fnlua_log_strings(L, WIRE_LOG_INFO, 1, n, "\t", (struct slice){0});
	return 0;
}

static int
base_warn(lua_State *L)
{
	int n = lua_gettop(L);

	(void)luaL_checkstring(L, 1);
	for (int i = 2; i <= n; i++)
		(void)luaL_checkstring(L, i);
	if (n == 1 && *lua_tostring(L, 1) == '@')
		return 0; /* a control message: warnings are always on */
	fnlua_log_strings(L, WIRE_LOG_WARN, 1, n, "", (struct slice){0});
	return 0;
}

/* Replace the function at 1 by all that it returns until nil or ""; false
 * when that is too much. */
static bool
collect_chunk(lua_State *L)
{
	luaL_Buffer b;
	size_t n;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	luaL_buffinit(L, &b);
	for (;;) {
		lua_pushvalue(L, 1);
		lua_call(L, 0, 1);
		if (lua_isnil(L, -1))
			break;
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "reader function must return a string");
		n = lua_rawlen(L, -1);
		if (n == 0)
			break;
		if (luaL_bufflen(&b) + n > SOURCE_MAX)
			return false;
		luaL_addvalue(&b);
	}
	lua_pop(L, 1);
	luaL_pushresult(&b);
	lua_replace(L, 1);
	return true;
}

/* nil and the text: how load says no. */
static int
refuse(lua_State *L, const char *text)
{
	lua_pushnil(L);
	lua_pushstring(L, text);
	return 2;
}

static int
base_load(lua_State *L)
{
	static const char too_large[] = "load: chunk larger than 1048576 bytes";
	bool has_env = !lua_isnone(L, 4);
	const char *mode = luaL_optstring(L, 3, "t");
	const char *source, *name;
	size_t n;

	lua_settop(L, 4);
	if (lua_type(L, 1) == LUA_TSTRING) {
		name = luaL_optstring(L, 2, lua_tostring(L, 1));
	} else {
		name = luaL_optstring(L, 2, "=(load)");
		if (!collect_chunk(L))
			return refuse(L, too_large);
	}
	source = lua_tolstring(L, 1, &n);
	if (strchr(mode, 't') == NULL)
		return refuse(L, "load: only text chunks, mode must have 't'");
	if (n > SOURCE_MAX)
		return refuse(L, too_large);
	if (luaL_loadbufferx(L, source, n, name, "t") != LUA_OK) {
		lua_pushnil(L);
		lua_insert(L, -2);
		return 2;
	}
	if (has_env) {
		lua_pushvalue(L, 4);
		if (lua_setupvalue(L, -2, 1) == NULL)
			lua_pop(L, 1);
	}
	return 1;
}

static int
base_collectgarbage(lua_State *L)
{
	static const char *const options[] = {"collect", "step", "count", NULL};

	switch (luaL_checkoption(L, 1, "collect", options)) {
	case 2:
		lua_pushnumber(L,
		    (lua_Number)lua_gc(L, LUA_GCCOUNT) +
			(lua_Number)lua_gc(L, LUA_GCCOUNTB) / 1024);
		return 1;
	default:
		lua_pushinteger(L, 0);
		return 1;
	}
}

static int
base_setmetatable(lua_State *L)
{
	int type = lua_type(L, 2);

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2,
	    "nil or table");
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	if (type == LUA_TTABLE) {
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L,
			    "__gc is not available: use a to-be-closed "
			    "variable (local x <close>)");
	}
	lua_settop(L, 2);
	lua_setmetatable(L, 1);
	return 1;
}

/* Lua's own warnings: an error in a __close while another is handled. */
static void
on_warning(void *arg, const char *text, int to_be_continued)
{
	(void)arg;
	(void)to_be_continued;
	if (*text != '@' && fnlua_host != NULL)
		fnlua_host->log(WIRE_LOG_WARN, slice_of(text),
		    (struct slice){0});
}

static const luaL_Reg functions[] = {
    {"tostring", base_tostring},
    {"print", base_print},
    {"warn", base_warn},
    {"load", base_load},
    {"collectgarbage", base_collectgarbage},
    {"setmetatable", base_setmetatable},
    {NULL, NULL},
};

void
fnlua_open_base(lua_State *L)
{
	lua_pushglobaltable(L);
	luaL_setfuncs(L, functions, 0);
	lua_pushnil(L);
	lua_setfield(L, -2, "dofile");
	lua_pushnil(L);
	lua_setfield(L, -2, "loadfile");
	lua_setwarnf(L, on_warning, NULL);
}
