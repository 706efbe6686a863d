/*
 * lib_files.c - `files`: the uploaded file, and results beside it.
 *
 * Runs in: worker, tests.
 *
 * Every read and write is a message; the gateway knows which file belongs to
 * the request and where results may go, and refuses with a reason when there
 * is none.  A result is invisible until it is committed, whole.
 */
#include "sandbox/lua/lua_priv.h"

#define CHUNK_DEFAULT 65536
#define LINES_CHUNK   262144

__attribute__((noreturn)) static void
refused(lua_State *L, const char *who, struct slice reason)
{
	luaL_where(L, 1);
	lua_pushfstring(L, "files.%s: ", who);
	lua_pushlstring(L, reason.p, reason.n);
	lua_concat(L, 3);
	lua_error(L);
	__builtin_unreachable();
}

static void
check_available(lua_State *L, const char *who)
{
	if (fnlua_call.loading)
		refused(L, who, SLICE("only while an event is handled"));
}

/* Up to n bytes at offset, borrowed until the next message; none: the end. */
static struct slice
read_piece(lua_State *L, const char *who, uint64_t offset, uint64_t n)
{
	struct slice data = {0}, reason = {0};

	check_available(L, who);
	if (n > FILE_PIECE_MAX)
		n = FILE_PIECE_MAX;
	if (!fnlua_host->file_read(offset, (uint32_t)n, &data, &reason))
		refused(L, who, reason);
	return data;
}

/* files.read(): the whole file; files.read(offset [, n]): a part, nil
 * behind the end. */
static int
files_read(lua_State *L)
{
	bool whole = lua_isnone(L, 1);
	lua_Integer offset = luaL_optinteger(L, 1, 0);
	lua_Integer left = luaL_optinteger(L, 2, LUA_MAXINTEGER);
	luaL_Buffer b;

	luaL_argcheck(L, offset >= 0, 1, "must not be negative");
	luaL_argcheck(L, left >= 0, 2, "must not be negative");
	luaL_buffinit(L, &b);
	while (left > 0) {
		struct slice data =
		    read_piece(L, "read", (uint64_t)offset, (uint64_t)left);

		if (data.n == 0)
			break;
		luaL_addlstring(&b, data.p, data.n);
		offset += (lua_Integer)data.n;
		left -= (lua_Integer)data.n;
	}
	luaL_pushresult(&b);
	if (!whole && left > 0 && lua_rawlen(L, -1) == 0)
		lua_pushnil(L);
	return 1;
}

/* Upvalues: chunk size, offset. */
static int
next_chunk(lua_State *L)
{
	lua_Integer size = lua_tointeger(L, lua_upvalueindex(1));
	lua_Integer offset = lua_tointeger(L, lua_upvalueindex(2));
	struct slice data =
	    read_piece(L, "chunks", (uint64_t)offset, (uint64_t)size);

	if (data.n == 0)
		return 0;
	lua_pushlstring(L, data.p, data.n);
	lua_pushinteger(L, offset + (lua_Integer)data.n);
	lua_replace(L, lua_upvalueindex(2));
	return 1;
}

static int
files_chunks(lua_State *L)
{
	lua_Integer size = luaL_optinteger(L, 1, CHUNK_DEFAULT);

	luaL_argcheck(L, size >= 1 && size <= FILE_PIECE_MAX, 1,
	    "must be 1 to 1048576 bytes");
	check_available(L, "chunks");
	lua_pushinteger(L, size);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, next_chunk, 2);
	return 1;
}

/*
 * files.lines(): upvalues are the bytes read but not given out yet, where in
 * them the next line begins, and the file offset behind them (-1: the end).
 */
enum { LINES_BYTES = 1, LINES_AT, LINES_OFFSET };

/* Read more behind what is left of the bytes; false at the end. */
static bool
more_lines(lua_State *L)
{
	lua_Integer offset = lua_tointeger(L, lua_upvalueindex(LINES_OFFSET));
	size_t at = (size_t)lua_tointeger(L, lua_upvalueindex(LINES_AT));
	size_t n;
	const char *bytes = lua_tolstring(L, lua_upvalueindex(LINES_BYTES), &n);
	struct slice data = {0};

	if (n - at > STRING_MAX)
		refused(L, "lines", SLICE("a line of more than 16 MiB"));
	if (offset >= 0)
		data = read_piece(L, "lines", (uint64_t)offset, LINES_CHUNK);
	lua_pushinteger(L, data.n == 0 ? -1 : offset + (lua_Integer)data.n);
	lua_replace(L, lua_upvalueindex(LINES_OFFSET));
	if (data.n == 0)
		return false;
	lua_pushlstring(L, bytes + at, n - at);
	lua_pushlstring(L, data.p, data.n);
	lua_concat(L, 2);
	lua_replace(L, lua_upvalueindex(LINES_BYTES));
	lua_pushinteger(L, 0);
	lua_replace(L, lua_upvalueindex(LINES_AT));
	return true;
}

static void
push_line(lua_State *L, const char *p, size_t n)
{
	if (n > 0 && p[n - 1] == '\r')
		n--;
	lua_pushlstring(L, p, n);
}

static int
next_line(lua_State *L)
{
	for (;;) {
		size_t n, at;
		const char *bytes =
		    lua_tolstring(L, lua_upvalueindex(LINES_BYTES), &n);
		const char *end;

		at = (size_t)lua_tointeger(L, lua_upvalueindex(LINES_AT));
		end = memchr(bytes + at, '\n', n - at);
		if (end != NULL) {
			push_line(L, bytes + at, (size_t)(end - bytes) - at);
			lua_pushinteger(L, end - bytes + 1);
			lua_replace(L, lua_upvalueindex(LINES_AT));
			return 1;
		}
		if (more_lines(L))
			continue;
		if (at == n)
			return 0;
		push_line(L, bytes + at, n - at); /* the last, without end */
		lua_pushinteger(L, (lua_Integer)n);
		lua_replace(L, lua_upvalueindex(LINES_AT));
		return 1;
	}
}

static int
files_lines(lua_State *L)
{
	check_available(L, "lines");
	lua_pushliteral(L, "");
	lua_pushinteger(L, 0);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, next_line, 3);
	return 1;
}

static struct slice
name_argument(lua_State *L)
{
	size_t n;
	const char *name = luaL_checklstring(L, 1, &n);

	luaL_argcheck(L, n >= 1 && n <= FILE_NAME_MAX, 1,
	    "a name has 1 to 255 bytes");
	return slice_from(name, n);
}

static void
append(lua_State *L, const char *who, struct slice name)
{
	size_t n, at = 0;
	const char *p = luaL_checklstring(L, 2, &n);
	struct slice reason = {0};

	check_available(L, who);
	do {
		size_t piece =
		    n - at < FILE_PIECE_MAX ? n - at : FILE_PIECE_MAX;

		if (!fnlua_host->file_write(name, slice_from(p + at, piece),
			&reason))
			refused(L, who, reason);
		at += piece;
	} while (at < n);
}

static void
commit(lua_State *L, const char *who, struct slice name)
{
	struct slice reason = {0};

	check_available(L, who);
	if (!fnlua_host->file_commit(name, &reason))
		refused(L, who, reason);
}

static int
files_write(lua_State *L)
{
	struct slice name = name_argument(L);

	append(L, "write", name);
	commit(L, "write", name);
	return 0;
}

static int
files_append(lua_State *L)
{
	append(L, "append", name_argument(L));
	return 0;
}

static int
files_commit(lua_State *L)
{
	commit(L, "commit", name_argument(L));
	return 0;
}

void
fnlua_open_files(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"read", files_read},
	    {"chunks", files_chunks},
	    {"lines", files_lines},
	    {"write", files_write},
	    {"append", files_append},
	    {"commit", files_commit},
	    {NULL, NULL},
	};

	fnlua_library(L, "files", functions);
}
