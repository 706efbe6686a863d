/*
 * load.c - a function's sources become a handler; require().
 *
 * Runs in: worker, tests.
 *
 * The sources come with BUILD, the entry first.  Modules are compiled when
 * they are first required, at init or later, and their source is dropped
 * then.  A module stands in SLOT_LOADED under a mark while its own code runs,
 * so that a circle is an error and not a loop; a to-be-closed value takes the
 * mark away when that code fails.
 */
#include "sandbox/lua/lua_priv.h"

#include <string.h>

#define MODULE_MAX 256 /* bytes of a module's name */
#define LIST_MAX   8   /* modules named in "there is no module" */

static const char loading_mark = 0; /* only its address matters */

struct load {
	const struct fnlua_function *function;
	struct wire_reader *fields;
};

static void
push_str(lua_State *L, struct slice s)
{
	lua_pushlstring(L, s.p, s.n);
}

/* "@hello/a/b.lua" for a.b, "@_lib/x.lua" for _lib.x. */
static void
push_chunk_name(lua_State *L, const char *module)
{
	if (strncmp(module, "_lib.", 5) == 0) {
		lua_pushliteral(L, "@");
	} else {
		lua_pushliteral(L, "@");
		(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_NAME);
		lua_pushliteral(L, "/");
		lua_concat(L, 3);
	}
	luaL_gsub(L, module, ".", "/");
	lua_pushliteral(L, ".lua");
	lua_concat(L, 3);
}

/* The entry: "@hello.lua", or "@hello/init.lua" in a folder. */
static void
push_entry_name(lua_State *L, bool folder)
{
	lua_pushliteral(L, "@");
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_NAME);
	lua_pushstring(L, folder ? "/init.lua" : ".lua");
	lua_concat(L, 3);
}

/* Compile source under the chunk name on top, which it replaces by the chunk
 * or, with false, by the error. */
static bool
compile(lua_State *L, struct slice source)
{
	int status =
	    luaL_loadbufferx(L, source.p, source.n, lua_tostring(L, -1), "t");

	lua_remove(L, -2);
	return status == LUA_OK;
}

/* __close of the guard: the code of the module failed. */
static int
forget_mark(lua_State *L)
{
	lua_getiuservalue(L, 1, 1);
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_LOADED);
	lua_pushvalue(L, -2);
	if (lua_rawget(L, -2) == LUA_TLIGHTUSERDATA &&
	    lua_touserdata(L, -1) == (const void *)&loading_mark) {
		lua_pop(L, 1);
		lua_pushvalue(L, -2);
		lua_pushnil(L);
		lua_rawset(L, -3);
	}
	return 0;
}

static void
push_guard(lua_State *L, int name)
{
	(void)lua_newuserdatauv(L, 0, 1);
	lua_pushvalue(L, name);
	lua_setiuservalue(L, -2, 1);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, forget_mark);
	lua_setfield(L, -2, "__close");
	lua_setmetatable(L, -2);
	lua_toclose(L, -1);
}

/* LOADED[name] = the value on top, which is popped. */
static void
set_loaded(lua_State *L, int name)
{
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_LOADED);
	lua_pushvalue(L, name);
	lua_pushvalue(L, -3);
	lua_rawset(L, -3);
	lua_pop(L, 2);
}

static int
no_such_module(lua_State *L, const char *name)
{
	lua_Integer n;
	luaL_Buffer b;

	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_MODULES);
	n = (lua_Integer)lua_rawlen(L, -1);
	if (n == 0)
		return luaL_error(L,
		    "require: there is no module '%s': this "
		    "function is one file and uses nothing of _lib",
		    name);
	luaL_buffinit(L, &b);
	for (lua_Integer i = 1; i <= n && i <= LIST_MAX; i++) {
		if (i > 1)
			luaL_addstring(&b, ", ");
		(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_MODULES);
		(void)lua_rawgeti(L, -1, i);
		lua_remove(L, -2);
		luaL_addvalue(&b);
	}
	if (n > LIST_MAX)
		luaL_addstring(&b, ", ...");
	luaL_pushresult(&b);
	return luaL_error(L, "require: there is no module '%s'; there are: %s",
	    name, lua_tostring(L, -1));
}

/* Push the compiled module, whose source is on top. */
static void
compile_module(lua_State *L, const char *name)
{
	size_t n;
	const char *source = lua_tolstring(L, -1, &n);

	push_chunk_name(L, name);
	if (compile(L, slice_from(source, n)))
		return;
	lua_pushfstring(L, "error loading module '%s': %s", name,
	    lua_tostring(L, -1));
	if (fnlua_call.loading)
		fnlua_call.compile_error = lua_topointer(L, -1);
	lua_error(L);
}

/* Run the module at name (1), whose source is on top; push its value. */
static void
run_module(lua_State *L, const char *name)
{
	compile_module(L, name);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&loading_mark);
	set_loaded(L, 1);
	push_guard(L, 1);
	lua_pushvalue(L, -2);
	lua_pushvalue(L, 1);
	lua_call(L, 1, 1);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_pushboolean(L, 1);
	}
	lua_pushvalue(L, -1);
	set_loaded(L, 1);
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_SOURCES);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

static int
base_require(lua_State *L)
{
	size_t n;
	const char *name = luaL_checklstring(L, 1, &n);

	luaL_argcheck(L, n <= MODULE_MAX, 1, "name longer than 256 bytes");
	lua_settop(L, 1);
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_LOADED);
	lua_pushvalue(L, 1);
	(void)lua_rawget(L, -2);
	if (lua_islightuserdata(L, -1) &&
	    lua_touserdata(L, -1) == (const void *)&loading_mark)
		return luaL_error(L,
		    "require: module '%s' is still loading: "
		    "modules that require each other in a circle",
		    name);
	if (!lua_isnil(L, -1))
		return 1;
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_SOURCES);
	lua_pushvalue(L, 1);
	if (lua_rawget(L, -2) != LUA_TSTRING)
		return no_such_module(L, name);
	run_module(L, name);
	return 1;
}

void
fnlua_open_require(lua_State *L)
{
	static const enum slot tables[] = {SLOT_SOURCES, SLOT_LOADED,
	    SLOT_MODULES, SLOT_ENV};

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		lua_newtable(L);
		lua_rawseti(L, LUA_REGISTRYINDEX, tables[i]);
	}
	lua_pushcfunction(L, base_require);
	lua_setglobal(L, "require");
}

static void
keep_function(lua_State *L, const struct fnlua_function *function)
{
	push_str(L, function->name);
	lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_NAME);
	lua_pushinteger(L, (lua_Integer)function->version);
	lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_VERSION);
	lua_pushinteger(L, (lua_Integer)(function->memory_bytes >> 20));
	lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_MEMORY_MB);
}

static void
keep_environment(lua_State *L, struct wire_reader *r)
{
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_ENV);
	for (uint32_t n = wire_get_u32(r); n > 0 && !r->bad; n--) {
		push_str(L, wire_get_str(r));
		push_str(L, wire_get_str(r));
		lua_rawset(L, -3);
	}
	lua_pop(L, 1);
}

/* Keep all modules but the entry; returns true when one of them is the
 * function's own, which makes it a folder. */
static bool
keep_modules(lua_State *L, struct wire_reader *r, uint32_t n)
{
	bool folder = false;
	lua_Integer i = 0;

	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_SOURCES);
	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_MODULES);
	for (; n > 0 && !r->bad; n--) {
		struct slice name = wire_get_str(r);

		folder |= name.n < 5 || memcmp(name.p, "_lib.", 5) != 0;
		push_str(L, name);
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, ++i);
		push_str(L, wire_get_str(r));
		lua_rawset(L, -4);
	}
	lua_pop(L, 2);
	return folder;
}

/* What init returned is on top: leave the handler there, or raise. */
static void
check_handler(lua_State *L)
{
	if (lua_istable(L, -1)) {
		lua_pushliteral(L, "handler");
		(void)lua_rawget(L, -2);
		if (lua_isfunction(L, -1))
			return;
		lua_pop(L, 1);
	}
	if (!lua_isfunction(L, -1)) {
		lua_pushfstring(L,
		    "the file must return its handler: "
		    "return function(event, ctx) ... end; it returned %s",
		    lua_isnil(L, -1) ? "nothing"
			: lua_istable(L, -1)
			? "a table without a function `handler`"
			: luaL_typename(L, -1));
		fnlua_call.compile_error = lua_topointer(L, -1);
		lua_error(L);
	}
}

/* Protected: 1 is a struct load. */
static int
load(lua_State *L)
{
	struct load *l = lua_touserdata(L, 1);
	struct wire_reader *r = l->fields;
	struct slice entry;
	uint32_t n;
	bool folder;

	keep_function(L, l->function);
	keep_environment(L, r);
	n = wire_get_u32(r);
	(void)wire_get_str(r);
	entry = wire_get_str(r);
	folder = n > 1 && keep_modules(L, r, n - 1);
	if (n == 0 || !wire_got_all(r))
		return luaL_error(L, "malformed BUILD");
	push_entry_name(L, folder);
	if (!compile(L, entry)) {
		fnlua_call.compile_error = lua_topointer(L, -1);
		return lua_error(L);
	}
	lua_call(L, 0, 1);
	check_handler(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_HANDLER);
	return 0;
}

/*
 * A fresh heap is copied back after each request: it is made small, and the
 * collector stays off.  A shared one lives on and is collected as it grows.
 */
static void
settle_heap(lua_State *L, enum wire_heap heap)
{
	(void)lua_gc(L, LUA_GCCOLLECT);
	(void)lua_gc(L, LUA_GCCOLLECT); /* what finalizers have let go */
	if (heap == WIRE_HEAP_SHARED)
		(void)lua_gc(L, LUA_GCRESTART);
}

int
fnlua_load(lua_State *L, const struct fnlua_function *function,
    struct wire_reader *fields, const uint8_t *seed, int64_t wall_ms,
    uint64_t mono_us, struct fnlua_failure *failure)
{
	struct load l = {function, fields};
	int status;

	fnlua_begin(L, seed, wall_ms, mono_us, 0);
	fnlua_call.loading = true;
	fnlua_call.failure = failure;
	status = fnlua_protected(L, load, &l);
	if (status < 0)
		return -1;
	settle_heap(L, function->heap);
	return 0;
}
