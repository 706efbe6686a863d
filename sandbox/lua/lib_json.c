/*
 * lib_json.c - the functions of `json`.
 *
 * Runs in: worker, tests.
 * Owns:    a scratch buffer in static memory, used within one call.
 */
#include "sandbox/lua/lua_priv.h"

static char scratch[16384]; /* most documents fit: no growing */

static int
json_encode(lua_State *L)
{
	struct json_out out = {.p = scratch,
	    .cap = sizeof(scratch),
	    .L = L,
	    .grow = true};

	luaL_checkany(L, 1);
	if (!fnlua_json_encode(L, 1, &out)) {
		fnlua_json_out_fini(&out);
		return luaL_error(L, "%s",
		    out.error[0] != '\0' ? out.error : "json: out of memory");
	}
	lua_pushlstring(L, out.p, out.n);
	fnlua_json_out_fini(&out);
	return 1;
}

static int
json_decode(lua_State *L)
{
	size_t n;
	const char *p = luaL_checklstring(L, 1, &n);

	fnlua_json_decode(L, slice_from(p, n));
	return 1;
}

/* Mark a table (a new one without argument) as an array. */
static int
json_array(lua_State *L)
{
	if (lua_isnoneornil(L, 1)) {
		lua_settop(L, 0);
		lua_newtable(L);
	} else {
		luaL_checktype(L, 1, LUA_TTABLE);
		lua_settop(L, 1);
		if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
			return luaL_error(L,
			    "cannot change a protected metatable");
	}
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_ARRAY);
	lua_setmetatable(L, 1);
	return 1;
}

void
fnlua_open_json(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"encode", json_encode},
	    {"decode", json_decode},
	    {"array", json_array},
	    {NULL, NULL},
	};

	fnlua_library(L, "json", functions);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	lua_newtable(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_ARRAY);
}
