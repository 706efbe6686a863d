/*
 * invoke.c - one event through the handler.
 *
 * Runs in: worker, tests.
 *
 * One protected call: until the handler has returned, errors are its own;
 * then they are about what it returned.  Nothing stays on the Lua stack, so
 * that a shared heap can be invoked for ever.
 */
#include "sandbox/lua/lua_priv.h"

struct invocation {
	const struct fnlua_event *event;
	struct wire_writer *out;
	bool handled; /* the handler has returned */
};

/* Protected: 1 is a struct invocation. */
static int
invoke(lua_State *L)
{
	struct invocation *v = lua_touserdata(L, 1);

	(void)lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_HANDLER);
	fnlua_push_event(L, v->event);
	fnlua_push_ctx(L, v->event);
	lua_call(L, 2, 1);
	v->handled = true;
	lua_replace(L, 1);
	fnlua_put_result(L, v->out);
	return 0;
}

/* Where the message handler did not get to run: no memory left for it, or an
 * error inside it. */
static void
describe_status(lua_State *L, int status, struct fnlua_failure *failure)
{
	const char *text = lua_type(L, -1) == LUA_TSTRING
	    ? lua_tostring(L, -1)
	    : "error in error handling";

	fnlua_fail(failure,
	    status == LUA_ERRMEM ? WIRE_FAIL_MEMORY : WIRE_FAIL_ERROR, "%s",
	    text);
}

int
fnlua_protected(lua_State *L, lua_CFunction fn, void *arg)
{
	int status;

	lua_settop(L, 0);
	fnlua_run_main(L);
	lua_pushcfunction(L, fnlua_on_error);
	lua_pushcfunction(L, fn);
	lua_pushlightuserdata(L, arg);
	status = lua_pcall(L, 1, 0, 1);
	fnlua_run_main(NULL);
	if (status != LUA_OK && !fnlua_call.described)
		describe_status(L, status, fnlua_call.failure);
	lua_settop(L, 0);
	return status == LUA_OK ? 0 : -1;
}

int
fnlua_invoke(lua_State *L, const struct fnlua_event *event,
    struct wire_writer *out, struct fnlua_failure *failure)
{
	struct invocation v = {event, out, false};
	size_t begin = out->n;
	int rc;

	fnlua_begin(L, event->seed, event->wall_ms, event->mono_us,
	    event->deadline_us);
	fnlua_call.failure = failure;
	rc = fnlua_protected(L, invoke, &v);
	if (rc == 0 && !out->full)
		return 0;
	if (rc == 0)
		fnlua_fail(failure, WIRE_FAIL_RESULT,
		    "response larger than %zu bytes, headers included (see "
		    "max_response_bytes in the manifest)",
		    out->cap - begin);
	else if (v.handled && failure->why == WIRE_FAIL_ERROR)
		failure->why = WIRE_FAIL_RESULT;
	out->n = begin;
	out->full = false;
	return -1;
}
