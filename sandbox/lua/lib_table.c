/*
 * lib_table.c - the table library, bounded.
 *
 * Runs in: worker, tests.
 *
 * A table can say that it has 2^62 elements (by __len, or by a few keys that
 * mislead the search for its border); what would walk them refuses.  unpack
 * is bounded by Lua's stack (a million values).
 */
#include "sandbox/lua/lua_priv.h"

static void
check_elements(lua_State *L, int index)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, index);

	if (luaL_getmetafield(L, index, "__len") != LUA_TNIL) {
		lua_pop(L, 1);
		n = luaL_len(L, index);
	}
	if (n > ELEMENTS_MAX)
		luaL_error(L, "table of more than %d elements", ELEMENTS_MAX);
}

/* Appending walks nothing; inserting moves what is behind. */
static int
table_insert(lua_State *L)
{
	if (lua_gettop(L) == 3)
		check_elements(L, 1);
	return fnlua_stock(L);
}

static int
table_remove(lua_State *L)
{
	if (lua_gettop(L) == 2)
		check_elements(L, 1);
	return fnlua_stock(L);
}

static int
table_sort(lua_State *L)
{
	check_elements(L, 1);
	return fnlua_stock(L);
}

static int
table_move(lua_State *L)
{
	lua_Integer from = luaL_checkinteger(L, 2);
	lua_Integer to = luaL_checkinteger(L, 3);

	if (to >= from && (lua_Unsigned)to - (lua_Unsigned)from >= ELEMENTS_MAX)
		return luaL_error(L, "more than %d elements", ELEMENTS_MAX);
	return fnlua_stock(L);
}

static int
table_concat(lua_State *L)
{
	size_t sep_n, n;
	const char *sep = luaL_optlstring(L, 2, "", &sep_n);
	lua_Integer from = luaL_optinteger(L, 3, 1), to;
	luaL_Buffer b;

	if (!lua_istable(L, 1) &&
	    luaL_getmetafield(L, 1, "__index") == LUA_TNIL)
		luaL_checktype(L, 1, LUA_TTABLE);
	to = lua_isnoneornil(L, 4) ? luaL_len(L, 1) : luaL_checkinteger(L, 4);
	luaL_buffinit(L, &b);
	for (lua_Integer i = from; i <= to; i++) {
		(void)lua_geti(L, 1, i);
		if (!lua_isstring(L, -1))
			return luaL_error(L,
			    "invalid value (at index %I) in table for "
			    "'concat' (a %s)",
			    (LUAI_UACINT)i, luaL_typename(L, -1));
		(void)lua_tolstring(L, -1, &n);
		if (luaL_bufflen(&b) + n + sep_n > STRING_MAX)
			return luaL_error(L, "result larger than %d bytes",
			    STRING_MAX);
		luaL_addvalue(&b);
		if (i == to)
			break;
		luaL_addlstring(&b, sep, sep_n);
	}
	luaL_pushresult(&b);
	return 1;
}

void
fnlua_open_table(lua_State *L)
{
	lua_getglobal(L, LUA_TABLIBNAME);
	fnlua_wrap(L, "insert", table_insert);
	fnlua_wrap(L, "remove", table_remove);
	fnlua_wrap(L, "sort", table_sort);
	fnlua_wrap(L, "move", table_move);
	lua_pushcfunction(L, table_concat);
	lua_setfield(L, -2, "concat");
}
