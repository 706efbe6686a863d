/*
 * lib_coroutine.c - coroutines that know who runs, and have bounds.
 *
 * Runs in: worker, tests.
 * Owns:    which thread runs now, in static memory.
 *
 * The deadline's interrupt sets a hook on the thread that runs, so resume and
 * close keep that in `running`.  The signal may come between any two
 * instructions: whoever takes over or gives back also takes over a hook that
 * came too late for the other, after `running` has changed.
 *
 * status, isyieldable, running and yield are stock.
 */
#include "sandbox/lua/lua_priv.h"

static lua_State *volatile running;
static struct fnlua_resume *resumes; /* innermost first */

lua_State *
fnlua_running(void)
{
	return running;
}

const struct fnlua_resume *
fnlua_resumes(void)
{
	return resumes;
}

void
fnlua_run_main(lua_State *L)
{
	resumes = NULL;
	running = L;
}

static void
pass_hook(lua_State *from, lua_State *to)
{
	if (lua_gethook(from) != NULL)
		lua_sethook(to, lua_gethook(from), lua_gethookmask(from),
		    lua_gethookcount(from));
}

/* frame lives until leave; Lua errors do not pass between the two, because
 * what is called there catches them. */
static void
enter(struct fnlua_resume *frame, lua_State *from, lua_State *to)
{
	*frame = (struct fnlua_resume){from, resumes};
	resumes = frame;
	running = to;
	pass_hook(from, to);
}

static void
leave(struct fnlua_resume *frame, lua_State *to)
{
	resumes = frame->previous;
	running = frame->from;
	pass_hook(to, frame->from);
}

static void
count_finished(void)
{
	if (fnlua_call.coroutines > 0) /* it may be older than this request */
		fnlua_call.coroutines--;
}

static lua_State *
coroutine_at(lua_State *L, int index)
{
	lua_State *co = lua_tothread(L, index);

	luaL_argexpected(L, co != NULL, index, "coroutine");
	return co;
}

enum status { DEAD, SUSPENDED, ACTIVE };

static enum status
status_of(lua_State *co)
{
	lua_Debug ar;

	if (lua_status(co) == LUA_YIELD)
		return SUSPENDED;
	if (lua_status(co) != LUA_OK)
		return DEAD;
	if (lua_getstack(co, 0, &ar))
		return ACTIVE; /* runs, or waits for one it resumed */
	return lua_gettop(co) == 0 ? DEAD : SUSPENDED;
}

static void
new_coroutine(lua_State *L)
{
	lua_State *co;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	if (fnlua_call.coroutines >= COROUTINES_MAX)
		luaL_error(L, "more than %d unfinished coroutines",
		    COROUTINES_MAX);
	co = lua_newthread(L);
	if (!lua_checkstack(co, CO_STACK_SLOTS))
		luaL_error(L, "not enough memory for a coroutine");
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	fnlua_call.coroutines++;
}

/* The n results of a resume from co to L; -1 and a message if too many. */
static int
take_results(lua_State *L, lua_State *co, int n)
{
	if (!lua_checkstack(L, n + 1)) {
		lua_pop(co, n);
		lua_pushliteral(L, "too many results to resume");
		return -1;
	}
	lua_xmove(co, L, n);
	return n;
}

/* Returns how many values are on L now, or -1: an error value is. */
static int
resume(lua_State *L, lua_State *co, int nargs)
{
	struct fnlua_resume frame;
	enum status before = status_of(co);
	int status, nresults;

	if (before != SUSPENDED) {
		lua_pushfstring(L, "cannot resume %s coroutine",
		    before == DEAD ? "dead" : "non-suspended");
		return -1;
	}
	if (!lua_checkstack(co, nargs)) {
		lua_pushliteral(L, "too many arguments to resume");
		return -1;
	}
	lua_xmove(L, co, nargs);
	enter(&frame, L, co);
	status = lua_resume(co, L, nargs, &nresults);
	leave(&frame, co);
	if (status != LUA_YIELD)
		count_finished();
	if (status == LUA_OK || status == LUA_YIELD)
		return take_results(L, co, nresults);
	lua_xmove(co, L, 1);
	return -1;
}

/* Close what is pending in co; its status, an error value on co if bad.  A
 * chain of closes inside closes would overflow the C stack in Lua < 5.4.5. */
static int
close_thread(lua_State *L, lua_State *co)
{
	struct fnlua_resume frame;
	int status;

	if (fnlua_call.close_depth >= CLOSE_DEPTH_MAX)
		return luaL_error(L,
		    "C stack overflow (more than %d nested "
		    "closes of coroutines)",
		    CLOSE_DEPTH_MAX);
	fnlua_call.close_depth++;
	enter(&frame, L, co);
#if LUA_VERSION_RELEASE_NUM >= 50406
	status = lua_closethread(co, L);
#else
	status = lua_resetthread(co);
#endif
	leave(&frame, co);
	fnlua_call.close_depth--;
	return status;
}

static int
co_create(lua_State *L)
{
	new_coroutine(L);
	return 1;
}

static int
co_resume(lua_State *L)
{
	lua_State *co = coroutine_at(L, 1);
	int n = resume(L, co, lua_gettop(L) - 1);

	lua_pushboolean(L, n >= 0);
	if (n < 0) {
		lua_insert(L, -2);
		return 2;
	}
	lua_insert(L, -(n + 1));
	return n + 1;
}

/* An error inside goes on outside, with the line of the call before it. */
static int
wrap_error(lua_State *L, lua_State *co)
{
	int status = lua_status(co);

	if (status != LUA_OK && status != LUA_YIELD) {
		if (close_thread(L, co) != LUA_OK) {
			lua_pop(L, 1);
			lua_xmove(co, L, 1);
		}
	}
	if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

static int
wrapped(lua_State *L)
{
	lua_State *co = lua_tothread(L, lua_upvalueindex(1));
	int n = resume(L, co, lua_gettop(L));

	return n < 0 ? wrap_error(L, co) : n;
}

static int
co_wrap(lua_State *L)
{
	new_coroutine(L);
	lua_pushcclosure(L, wrapped, 1);
	return 1;
}

static int
co_close(lua_State *L)
{
	lua_State *co = coroutine_at(L, 1);
	enum status before = status_of(co);

	if (before == ACTIVE || co == fnlua_call.main)
		return luaL_error(L, "cannot close a running coroutine");
	if (before == SUSPENDED)
		count_finished();
	if (close_thread(L, co) == LUA_OK) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushboolean(L, 0);
	lua_xmove(co, L, 1);
	return 2;
}

void
fnlua_open_coroutine(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"create", co_create},
	    {"resume", co_resume},
	    {"wrap", co_wrap},
	    {"close", co_close},
	    {NULL, NULL},
	};

	lua_getglobal(L, LUA_COLIBNAME);
	luaL_setfuncs(L, functions, 0);
}
