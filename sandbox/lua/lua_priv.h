/*
 * lua_priv.h - what the files behind fnlua.h share.
 *
 * Runs in: worker, tests.
 * Owns:    fnlua_call, the one piece of static memory that matters.
 *
 * Two kinds of memory, and the difference is the design: the Lua heap is the
 * function's image and survives (handler, environment, modules: enum slot);
 * fnlua_call belongs to the request (or the init) that runs now and is set
 * anew before each.  Functions that raise Lua errors say so; everything else
 * returns.
 */
#pragma once

#include "sandbox/lua/chacha.h"
#include "sandbox/lua/fnlua.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

/* Bounds; README.md names them for authors. */
#define FNLUA_SHOWN	"perilune.shown" /* registry: object -> its number */
#define STRING_MAX	(16 << 20)	 /* bytes one library call may build */
#define ELEMENTS_MAX	(1 << 26) /* elements one table.* call may touch */
#define SOURCE_MAX	(1 << 20) /* bytes of a chunk given to load() */
#define COROUTINES_MAX	1000	  /* unfinished ones made by one request */
#define CLOSE_DEPTH_MAX 100	  /* coroutine.close inside __close inside .. */
#define STACK_SLOTS	1000	  /* of the main thread, from the start */
#define CO_STACK_SLOTS	200	  /* of a coroutine, from the start */
#define JSON_DEPTH_MAX	64
#define LOG_FIELDS_MAX	8192	  /* bytes of a log line's fields, as JSON */
#define LOG_TEXT_MAX	24000	  /* bytes of its text; both fit WIRE_LOG */
#define FILE_PIECE_MAX	(1 << 20) /* bytes per FILE_READ, FILE_WRITE */
#define FILE_NAME_MAX	255
#define HEADERS_MAX	100 /* of a response; the gateway takes no more */

/* The registry's integer keys: what must survive in the image. */
enum slot {
	SLOT_HANDLER = 16,
	SLOT_ENV,
	SLOT_NAME,	/* string */
	SLOT_VERSION,	/* integer */
	SLOT_MEMORY_MB, /* integer */
	SLOT_SOURCES,	/* module -> source, not loaded yet */
	SLOT_LOADED,	/* module -> value, or the loading mark */
	SLOT_MODULES,	/* array of module names */
	SLOT_ARRAY,	/* metatable that marks JSON arrays */
};

/* The init or request that runs now. */
struct fnlua_call {
	lua_State *main;
	uint8_t seed[WIRE_SEED_BYTES];
	int64_t wall_ms;
	uint64_t mono_us;
	uint64_t begin_us;    /* mono_us when it began */
	uint64_t deadline_us; /* on the same clock */
	bool loading;	      /* init, not a request */
	bool random_ready;
	bool crypto_ready;
	uint64_t random[4];   /* math.random */
	struct chacha crypto; /* crypto.random */
	int coroutines;	      /* made and not finished */
	int close_depth;
	struct fnlua_failure *failure; /* where on_error writes, or NULL */
	bool described;		       /* it has written */
	const void *compile_error;     /* the error value of a bad module */
};

extern struct fnlua_call fnlua_call;
extern const struct fnlua_host *fnlua_host;

/* Begin an init or a request: forget everything about the last one. */
void fnlua_begin(lua_State *L, const uint8_t *seed, int64_t wall_ms,
    uint64_t mono_us, uint64_t deadline_us);

/* A generator keyed by the request's seed; name separates its uses. */
void fnlua_generator(struct chacha *c, const char name[static 12]);

/* failure.c */
int fnlua_on_error(lua_State *L); /* message handler */
void fnlua_fail(struct fnlua_failure *failure, enum wire_failure why,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* utf8.c: the bytes of the sequence of two to four there, 0 if it is none */
size_t fnlua_utf8_bytes(const void *bytes, size_t n);
/* How many of the n bytes to keep so that no sequence is cut in two. */
size_t fnlua_cut(const char *p, size_t n);

/* coroutines: who runs, and who waits for it */
struct fnlua_resume {
	lua_State *from;
	struct fnlua_resume *previous;
};
const struct fnlua_resume *fnlua_resumes(void);

/* Libraries.  Each opens on top of the stock one and may raise errors. */
void fnlua_open_base(lua_State *L);
void fnlua_open_string(lua_State *L);
void fnlua_open_table(lua_State *L);
void fnlua_open_math(lua_State *L);
void fnlua_open_coroutine(lua_State *L);
void fnlua_open_json(lua_State *L);
void fnlua_open_base64(lua_State *L);
void fnlua_open_crypto(lua_State *L);
void fnlua_open_log(lua_State *L);
void fnlua_open_time(lua_State *L);
void fnlua_open_files(lua_State *L);
void fnlua_open_require(lua_State *L);

/* A new global table of these functions, left on the stack. */
void fnlua_library(lua_State *L, const char *name, const luaL_Reg *functions);

/* Replace table[name] by fn, whose upvalue 1 is the stock function; the table
 * is on top.  fn calls it in its own frame with fnlua_stock, so that error
 * messages name the caller's line as ever. */
void fnlua_wrap(lua_State *L, const char *name, lua_CFunction fn);
int fnlua_stock(lua_State *L);

/* tostring() as functions see it: pushes and returns the text; raises. */
const char *fnlua_tolstring(lua_State *L, int index, size_t *n_out);

/* Push where an object is in the heap, "0x00001234": what "%p" shows. */
void fnlua_push_place(lua_State *L, int index);

/* One log line of the strings at first..last, sep between; may raise only
 * when out of memory.  fields may be empty. */
void fnlua_log_strings(lua_State *L, enum wire_log level, int first, int last,
    const char *sep, struct slice fields);

/* Run fn with arg as its light userdata; what it raises goes to
 * fnlua_call.failure.  Returns 0 or -1; the stack is empty afterwards. */
int fnlua_protected(lua_State *L, lua_CFunction fn, void *arg);

/* The event and ctx tables, pushed.  Raise errors. */
void fnlua_push_event(lua_State *L, const struct fnlua_event *event);
void fnlua_push_ctx(lua_State *L, const struct fnlua_event *event);

/* The handler's result, at 1, into RESULT's fields; raises an
 * error that says what is wrong with it. */
void fnlua_put_result(lua_State *L, struct wire_writer *out);

/*
 * JSON.  The encoder runs no Lua code and raises nothing: what it holds
 * besides the Lua stack is out.  memory: grows by L's allocator when grow is
 * set; otherwise what does not fit sets full.
 */
struct json_out {
	char *p;
	size_t n, cap;
	bool full;
	bool grow;  /* may move to memory of L's allocator */
	bool owned; /* has moved: json_out_fini frees */
	lua_State *L;
	char error[160];
};

/* Encode the value at index; false: out->error, or out->full. */
bool fnlua_json_encode(lua_State *L, int index, struct json_out *out);
void fnlua_json_out_fini(struct json_out *out);
void fnlua_json_put_string(struct json_out *out, struct slice s);

/* Push the value of a document, or raise "json: line 1 column 2: ...". */
void fnlua_json_decode(lua_State *L, struct slice document);
