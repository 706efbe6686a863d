/*
 * state.c - a new Lua state with the safe library, and what runs now.
 *
 * Runs in: worker, tests.
 * Owns:    fnlua_call and fnlua_host, in static memory.
 *
 * Lua asks the C library for the time in three places: the hash seed of a new
 * state, the seed of math.random (which is ours), the pivot of table.sort.
 * A worker may not ask the kernel for it, so time() and clock() are defined
 * here; liblua is linked statically and binds to them.  While a state is made
 * they say bytes of the seed, so that each version has its own string hash;
 * later the frozen clock.  Sanitizers bring their own time() and clock() and
 * there is no jail around those builds, so there they stay the C library's.
 */
#include "sandbox/lua/lua_priv.h"

#include <stdlib.h>
#include <time.h>

struct fnlua_call fnlua_call;
const struct fnlua_host *fnlua_host;

static bool making; /* fnlua_new is at work */

#ifndef PERILUNE_SANITIZED
time_t
time(time_t *time_out)
{
	uint32_t word;
	time_t now = (time_t)(fnlua_call.wall_ms / 1000);

	if (making) {
		memcpy(&word, fnlua_call.seed, sizeof(word));
		now = (time_t)word;
	}
	if (time_out != NULL)
		*time_out = now;
	return now;
}

clock_t
clock(void)
{
	uint32_t word;

	memcpy(&word, fnlua_call.seed + 4, sizeof(word));
	return (clock_t)word;
}
#endif

void
fnlua_begin(lua_State *L, const uint8_t *seed, int64_t wall_ms,
    uint64_t mono_us, uint64_t deadline_us)
{
	struct fnlua_call *call = &fnlua_call;

	call->main = L;
	memcpy(call->seed, seed, sizeof(call->seed));
	call->wall_ms = wall_ms;
	call->mono_us = mono_us;
	call->begin_us = mono_us;
	call->deadline_us = deadline_us;
	call->loading = false;
	call->random_ready = false;
	call->crypto_ready = false;
	call->coroutines = 0;
	call->close_depth = 0;
	call->failure = NULL;
	call->described = false;
	call->compile_error = NULL;
}

void
fnlua_generator(struct chacha *c, const char name[static 12])
{
	uint8_t nonce[CHACHA_NONCE_BYTES];

	memcpy(nonce, name, sizeof(nonce));
	chacha_init(c, fnlua_call.seed, nonce, 0);
}

void
fnlua_set_host(const struct fnlua_host *host)
{
	fnlua_host = host;
}

void
fnlua_library(lua_State *L, const char *name, const luaL_Reg *functions)
{
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, name); /* so that error messages know its names */
	lua_pop(L, 1);
	lua_pushvalue(L, -1);
	lua_setglobal(L, name);
}

void
fnlua_wrap(lua_State *L, const char *name, lua_CFunction fn)
{
	lua_getfield(L, -1, name);
	lua_pushcclosure(L, fn, 1);
	lua_setfield(L, -2, name);
}

int
fnlua_stock(lua_State *L)
{
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static const luaL_Reg stock[] = {
    {LUA_GNAME, luaopen_base},
    {LUA_STRLIBNAME, luaopen_string},
    {LUA_TABLIBNAME, luaopen_table},
    {LUA_MATHLIBNAME, luaopen_math},
    {LUA_UTF8LIBNAME, luaopen_utf8},
    {LUA_COLIBNAME, luaopen_coroutine},
};

static void (*const ours[])(lua_State *L) = {
    fnlua_open_base,
    fnlua_open_string,
    fnlua_open_table,
    fnlua_open_math,
    fnlua_open_coroutine,
    fnlua_open_json,
    fnlua_open_base64,
    fnlua_open_crypto,
    fnlua_open_log,
    fnlua_open_time,
    fnlua_open_files,
    fnlua_open_require,
};

/*
 * Strings that differ from request to request (ctx.start) are in the image
 * already, so that a request allocates the same blocks whatever its start was:
 * what addresses decide (pairs, tostring) depends on the image alone.
 */
static void
keep_start_names(lua_State *L)
{
	static const char *const names[] = {"none", "warm", "image", "build",
	    "fork"};
	int n = (int)(sizeof(names) / sizeof(names[0]));

	lua_createtable(L, n, 0);
	for (int i = 0; i < n; i++) {
		lua_pushstring(L, names[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, LUA_REGISTRYINDEX, "perilune.start_names");
}

/* The numbers of objects that tostring has shown; it keeps none alive. */
static void
make_shown(lua_State *L)
{
	lua_newtable(L);
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "k");
	lua_setfield(L, -2, "__mode");
	(void)lua_setmetatable(L, -2);
	lua_setfield(L, LUA_REGISTRYINDEX, FNLUA_SHOWN);
}

static int
open_libraries(lua_State *L)
{
	keep_start_names(L);
	make_shown(L);
	for (size_t i = 0; i < sizeof(stock) / sizeof(stock[0]); i++) {
		luaL_requiref(L, stock[i].name, stock[i].func, 1);
		lua_pop(L, 1);
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		ours[i](L);
		lua_settop(L, 0);
	}
	return 0;
}

/* Only a bug of ours gets here: every entry is protected. */
static int
on_panic(lua_State *L)
{
	(void)L;
	abort();
}

/*
 * A stack that is large before any code runs, and is never shrunk below it
 * because the base level claims it, keeps ordinary code from moving the stack
 * inside a __concat metamethod, where 5.4.4 as Debian patches it has a use
 * after free.
 */
static bool
grow_stack(lua_State *L)
{
	return lua_checkstack(L, STACK_SLOTS) != 0;
}

const char *
fnlua_release(void)
{
	return LUA_RELEASE;
}

lua_State *
fnlua_new(lua_Alloc alloc, void *alloc_arg, const struct fnlua_host *host,
    const uint8_t seed[WIRE_SEED_BYTES])
{
	lua_State *L;

	fnlua_set_host(host);
	fnlua_begin(NULL, seed, 0, 0, 0);
	making = true;
	L = lua_newstate(alloc, alloc_arg);
	making = false;
	if (L == NULL)
		return NULL;
	fnlua_call.main = L;
	(void)lua_atpanic(L, on_panic);
	(void)lua_gc(L, LUA_GCSTOP);
	lua_pushcfunction(L, open_libraries);
	if (lua_pcall(L, 0, 0, 0) != LUA_OK || !grow_stack(L)) {
		lua_close(L);
		return NULL;
	}
	return L;
}
