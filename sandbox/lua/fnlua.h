/*
 * fnlua.h - the Lua side of a worker: one state, the safe library, events in,
 * results out.
 *
 * Runs in: worker, tests.
 * Owns:    nothing outside the lua_State: everything that must survive until
 *          the next request is in the heap that the allocator gave, so that
 *          the heap's bytes are the function's image.  What belongs to one
 *          request (clock, seed, random generator) is in static memory and is
 *          set anew by fnlua_invoke.
 *
 * No function here makes a system call; what needs the gateway goes through
 * struct fnlua_host.  Lua errors never leave these functions.
 */
#pragma once

#include "sandbox/base/bytes.h"
#include "sandbox/wire/wire.h"

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

/* How Lua reaches the gateway.  Borrowed slices are valid until the next call.
 * A false return is an error whose text is in *reason_out. */
struct fnlua_host {
	void (
	    *log)(enum wire_log level, struct slice text, struct slice fields);
	void (*time)(int64_t *wall_ms_out, uint64_t *mono_us_out);
	bool (*file_read)(uint64_t offset, uint32_t bytes,
	    struct slice *data_out, struct slice *reason_out);
	bool (*file_write)(struct slice name, struct slice bytes,
	    struct slice *reason_out);
	bool (*file_commit)(struct slice name, struct slice *reason_out);
};

/* Why load or invoke failed; text is in memory of fixed size, cut to fit. */
struct fnlua_failure {
	enum wire_failure why;
	char message[1024];
	char traceback[8192];
};

struct fnlua_event {
	const uint8_t *seed; /* WIRE_SEED_BYTES */
	int64_t wall_ms;
	uint64_t mono_us;
	uint64_t deadline_us; /* on the clock of mono_us */
	bool cold;
	struct slice start; /* "image" */
	struct slice request_id;
	enum wire_event kind;
	struct wire_reader fields; /* of the event, see PROTOCOL.md */
};

struct fnlua_function {
	struct slice name;
	uint32_t version;
	uint64_t memory_bytes;
	enum wire_heap heap;
};

/*
 * A new state with the safe library and nothing else (see README.md).  seed
 * decides the state's string hash.  NULL when the allocator gave nothing.
 */
lua_State *fnlua_new(lua_Alloc alloc, void *alloc_arg,
    const struct fnlua_host *host, const uint8_t seed[WIRE_SEED_BYTES]);

/*
 * Load a function: fields stands at the environment and modules of BUILD.
 * Compiles the entry (text only), runs its init, keeps the handler it returns.
 * Time is wall_ms/mono_us, randomness comes from seed.  Returns 0, or -1 with
 * *failure; then the state is good for nothing.
 */
int fnlua_load(lua_State *L, const struct fnlua_function *function,
    struct wire_reader *fields, const uint8_t *seed, int64_t wall_ms,
    uint64_t mono_us, struct fnlua_failure *failure);

/*
 * Run the handler on an event and put the fields of RESULT from `status` on,
 * without peak_bytes: u16 status, headers, body.  Returns 0, or -1 with
 * *failure.  A result that does not fit out is WIRE_FAIL_RESULT.
 */
int fnlua_invoke(lua_State *L, const struct fnlua_event *event,
    struct wire_writer *out, struct fnlua_failure *failure);

/* The host functions are not in the image: set them again after a heap has
 * been copied in from elsewhere. */
void fnlua_set_host(const struct fnlua_host *host);

/* "Lua 5.4.4" */
const char *fnlua_release(void);

/* The thread (coroutine) that runs now, or NULL.  Async-signal-safe. */
lua_State *fnlua_running(void);

/* L is what runs from now on; NULL: nothing.  fnlua_invoke does this too, but
 * who sets hooks from signals may have to say so before. */
void fnlua_run_main(lua_State *L);

/* Format the running thread's traceback into text; safe inside a hook. */
void fnlua_traceback(lua_State *L, char *text, size_t text_bytes);
