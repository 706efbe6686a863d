/*
 * failure.c - what went wrong, in memory of fixed size.
 *
 * Runs in: worker, tests.
 * Owns:    nothing.
 *
 * Everything here works when Lua has no memory left and inside a hook: no
 * Lua allocation, no error raised, except that the text of an error object is
 * asked of its own __tostring, protected.
 */
#include "sandbox/lua/lua_priv.h"

#include <stdarg.h>
#include <stdio.h>

#define LEVELS_FIRST 10 /* of a long stack: so many from the top, */
#define LEVELS_LAST  11 /* and so many from the bottom */
#define CUT	     " ... (cut) ... "

struct text {
	char *p;
	size_t n, cap; /* cap has room for the NUL */
};

__attribute__((format(printf, 2, 3))) static void
add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->n + 1 >= t->cap)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->p + t->n, t->cap - t->n, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->n =
		    t->n + (size_t)n < t->cap ? t->n + (size_t)n : t->cap - 1;
}

/* A text too long keeps its beginning and its end: an error that came through
 * many calls has the place in front and the cause behind. */
static void
copy_cut(char *dst, size_t dst_bytes, struct slice s)
{
	size_t tail = dst_bytes / 4, head;
	const char *end = s.p + s.n;

	if (slice_copy(dst, dst_bytes, s))
		return;
	head = fnlua_cut(dst, dst_bytes - tail - sizeof(CUT));
	while (tail > 0 && (end[-(ptrdiff_t)tail] & 0xc0) == 0x80)
		tail--; /* begin with a whole character */
	memcpy(dst + head, CUT, sizeof(CUT) - 1);
	head += sizeof(CUT) - 1;
	memcpy(dst + head, end - tail, tail);
	dst[head + tail] = '\0';
}

void
fnlua_fail(struct fnlua_failure *failure, enum wire_failure why,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(failure->message, sizeof(failure->message), fmt, ap);
	va_end(ap);
	failure->why = why;
	failure->traceback[0] = '\0';
}

static void
add_level(struct text *t, lua_State *L, lua_Debug *ar)
{
	(void)lua_getinfo(L, "Slnt", ar);
	add(t, "\n\t%s:", ar->short_src);
	if (ar->currentline > 0)
		add(t, "%d:", ar->currentline);
	add(t, " in ");
	if (*ar->namewhat != '\0')
		add(t, "%s '%.100s'", ar->namewhat, ar->name);
	else if (*ar->what == 'm')
		add(t, "main chunk");
	else if (*ar->what != 'C')
		add(t, "function <%s:%d>", ar->short_src, ar->linedefined);
	else
		add(t, "?");
	if (ar->istailcall)
		add(t, "\n\t(...tail calls...)");
}

static int
levels_of(lua_State *L)
{
	lua_Debug ar;
	int low = 0, high = 1;

	while (lua_getstack(L, high, &ar)) {
		low = high;
		high *= 2;
	}
	while (low < high) {
		int middle = (low + high) / 2;

		if (lua_getstack(L, middle, &ar))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
add_stack(struct text *t, lua_State *L, int first)
{
	int levels = levels_of(L);
	lua_Debug ar;

	if (L == fnlua_call.main && levels > first + 1)
		levels--; /* our own entry */
	for (int i = first; i < levels; i++) {
		if (levels - first > LEVELS_FIRST + LEVELS_LAST &&
		    i == first + LEVELS_FIRST) {
			int skip = levels - LEVELS_LAST - i;

			add(t, "\n\t...\t(skipping %d levels)", skip);
			i += skip;
		}
		if (lua_getstack(L, i, &ar))
			add_level(t, L, &ar);
	}
}

static void
trace(lua_State *L, int first, char *p, size_t bytes)
{
	struct text t = {p, 0, bytes};

	if (bytes == 0)
		return;
	p[0] = '\0';
	add(&t, "stack traceback:");
	add_stack(&t, L, first);
	for (const struct fnlua_resume *r = fnlua_resumes(); r != NULL;
	     r = r->previous) {
		add(&t, "\n\t(resumed by)");
		add_stack(&t, r->from, 0);
	}
	p[fnlua_cut(p, t.n)] = '\0';
}

void
fnlua_traceback(lua_State *L, char *text, size_t text_bytes)
{
	trace(L, 0, text, text_bytes);
}

/* Called protected: the text of the object at 1, by its own __tostring. */
static int
object_text(lua_State *L)
{
	return luaL_callmeta(L, 1, "__tostring");
}

static void
describe(lua_State *L, int index, struct fnlua_failure *failure)
{
	char *message = failure->message;
	size_t n, bytes = sizeof(failure->message);
	const char *s;

	lua_pushvalue(L, index);
	if (!lua_isstring(L, -1) &&
	    luaL_getmetafield(L, -1, "__tostring") != LUA_TNIL) {
		lua_pop(L, 1);
		lua_pushcfunction(L, object_text);
		lua_insert(L, -2);
		(void)lua_pcall(L, 1, 1, 0);
	}
	if (lua_isstring(L, -1)) {
		s = lua_tolstring(L, -1, &n);
		copy_cut(message, bytes, slice_from(s, n));
	} else {
		(void)snprintf(message, bytes, "(error object is a %s value)",
		    luaL_typename(L, index));
	}
	lua_pop(L, 1);
}

int
fnlua_on_error(lua_State *L)
{
	struct fnlua_call *call = &fnlua_call;
	struct fnlua_failure *failure = call->failure;

	if (call->described)
		return 1;
	failure->why = WIRE_FAIL_ERROR;
	if (lua_type(L, 1) == LUA_TSTRING && call->compile_error != NULL &&
	    call->compile_error == lua_topointer(L, 1))
		failure->why = WIRE_FAIL_LOAD;
	trace(L, 1, failure->traceback, sizeof(failure->traceback));
	describe(L, 1, failure);
	call->described = true;
	return 1;
}
