/*
 * lib_string.c - the string library, bounded.
 *
 * Runs in: worker, tests.
 *
 * rep, format and pack build at most STRING_MAX bytes; dump is gone; "%s" and
 * "%p" show objects as tostring does.  Methods ("x"):upper() are looked up in
 * a private copy that nothing can change, then in the global table `string`,
 * so a function may add methods but not replace one.
 */
#include "sandbox/lua/lua_priv.h"

#include <string.h>

#define ITEM_MAX  120 /* bytes of one formatted number, at most */
#define FIXED_MAX 450 /* of "%99.99f" */

static int
too_large(lua_State *L)
{
	return luaL_error(L, "result larger than %d bytes", STRING_MAX);
}

static int
str_rep(lua_State *L)
{
	size_t n, sep_n, total;
	const char *s = luaL_checklstring(L, 1, &n);
	lua_Integer times = luaL_checkinteger(L, 2);
	const char *sep = luaL_optlstring(L, 3, "", &sep_n);
	luaL_Buffer b;
	char *p;

	if (times <= 0 || n + sep_n == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	if (n + sep_n > STRING_MAX || times > STRING_MAX ||
	    (total = (size_t)times * (n + sep_n) - sep_n) > STRING_MAX)
		return too_large(L);
	p = luaL_buffinitsize(L, &b, total);
	for (; times > 1; times--) {
		memcpy(p, s, n);
		memcpy(p + n, sep, sep_n);
		p += n + sep_n;
	}
	memcpy(p, s, n);
	luaL_pushresultsize(&b, total);
	return 1;
}

/* From behind a '%' to its conversion letter. */
static const char *
conversion_of(const char *p, const char *end)
{
	while (p < end && strchr("-+ #0123456789.", *p) != NULL && *p != '\0')
		p++;
	return p;
}

/*
 * Make the argument of one conversion a string where stock would show an
 * address; returns how many bytes the result may take.
 */
static size_t
prepare_argument(lua_State *L, int arg, char conversion)
{
	if (arg > lua_gettop(L))
		return 0; /* stock says which argument is missing */
	switch (conversion) {
	case 's':
		(void)fnlua_tolstring(L, arg, NULL);
		lua_replace(L, arg);
		return lua_rawlen(L, arg) + ITEM_MAX;
	case 'p':
		fnlua_push_place(L, arg);
		lua_replace(L, arg);
		return ITEM_MAX;
	case 'q':
		if (lua_type(L, arg) == LUA_TSTRING)
			return 4 * lua_rawlen(L, arg) + ITEM_MAX;
		return ITEM_MAX;
	case 'f':
		return FIXED_MAX;
	default:
		return ITEM_MAX;
	}
}

/* Replace the format at 1 by one with each "%p" a "%s". */
static void
place_is_string(lua_State *L, size_t n)
{
	const char *format = lua_tostring(L, 1);
	const char *end = format + n;
	luaL_Buffer b;
	char *copy = luaL_buffinitsize(L, &b, n);

	memcpy(copy, format, n);
	for (const char *p = format; p < end; p++) {
		if (*p != '%')
			continue;
		p = conversion_of(p + 1, end);
		if (p < end && *p == 'p')
			copy[p - format] = 's';
	}
	luaL_pushresultsize(&b, n);
	lua_replace(L, 1);
}

static int
str_format(lua_State *L)
{
	size_t n, total;
	const char *p = luaL_checklstring(L, 1, &n);
	const char *end = p + n;
	bool has_place = false;
	int arg = 1;

	for (total = n; p < end && total <= STRING_MAX; p++) {
		if (*p != '%')
			continue;
		p = conversion_of(p + 1, end);
		if (p >= end || *p == '%')
			continue;
		total += prepare_argument(L, ++arg, *p);
		has_place |= *p == 'p';
	}
	if (total > STRING_MAX)
		return too_large(L);
	if (has_place)
		place_is_string(L, n);
	return fnlua_stock(L);
}

/* The bytes that "c123" asks for; p stands behind the c. */
static size_t
packed_chars(const char *p)
{
	size_t n = 0;

	for (; *p >= '0' && *p <= '9' && n <= STRING_MAX; p++)
		n = n * 10 + (size_t)(*p - '0');
	return n;
}

static int
str_pack(lua_State *L)
{
	size_t n, total;
	const char *format = luaL_checklstring(L, 1, &n);
	int top = lua_gettop(L);

	total = n > STRING_MAX ? n : 16 * n; /* numbers and their alignment */
	for (size_t i = 0; i < n && total <= STRING_MAX; i++)
		if (format[i] == 'c')
			total += packed_chars(format + i + 1);
	for (int i = 2; i <= top && total <= STRING_MAX; i++)
		if (lua_type(L, i) == LUA_TSTRING)
			total += lua_rawlen(L, i);
	if (total > STRING_MAX)
		return too_large(L);
	return fnlua_stock(L);
}

static void
push_frozen_copy(lua_State *L, int index)
{
	lua_newtable(L);
	for (lua_pushnil(L); lua_next(L, index) != 0;) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, -4);
	}
	lua_createtable(L, 0, 1);
	lua_pushvalue(L, index);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
}

void
fnlua_open_string(lua_State *L)
{
	int library = lua_gettop(L) + 1;

	lua_getglobal(L, LUA_STRLIBNAME);
	fnlua_wrap(L, "format", str_format);
	fnlua_wrap(L, "pack", str_pack);
	lua_pushcfunction(L, str_rep);
	lua_setfield(L, library, "rep");
	lua_pushnil(L);
	lua_setfield(L, library, "dump");
	lua_pushliteral(L, "");
	(void)lua_getmetatable(L, -1);
	push_frozen_copy(L, library);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
}
