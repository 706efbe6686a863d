/*
 * fuzz_json.c - any document is an error, or survives a round trip.
 *
 * Runs in: tests.
 *
 * Through the public door: the input is a JSON event, the handler encodes and
 * decodes it again.  Only a refusal of the event itself may fail.
 */
#include "sandbox/lua/fnlua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char handler[] =
    "return function(e) "
    "local a = json.encode(e) local b = json.encode(json.decode(a)) "
    "assert(#a == #b, a .. ' / ' .. b) return {v = json.decode(b)} end";

static const uint8_t seed[WIRE_SEED_BYTES] = {1};
static struct fnlua_failure failure;

static void *
alloc(void *arg, void *p, size_t old, size_t n)
{
	(void)arg, (void)old;
	if (n == 0) {
		free(p);
		return NULL;
	}
	return realloc(p, n);
}

static void
on_log(enum wire_log level, struct slice text, struct slice fields)
{
	(void)level, (void)text, (void)fields;
}

static void
must(int ok)
{
	if (ok)
		return;
	(void)fprintf(stderr, "%s\n%s\n", failure.message, failure.traceback);
	abort();
}

static lua_State *
load(void)
{
	static const struct fnlua_host host = {.log = on_log};
	static const struct fnlua_function function = {SLICE("fuzz"), 1,
	    1 << 20, WIRE_HEAP_SHARED};
	struct buf b = {0};
	struct wire_reader r;
	lua_State *L = fnlua_new(alloc, NULL, &host, seed);

	wire_add_u32(&b, 0);
	wire_add_u32(&b, 1);
	wire_add_str(&b, SLICE("init"));
	wire_add_str(&b, SLICE(handler));
	r = (struct wire_reader){(const uint8_t *)b.p, b.n, false};
	must(L != NULL &&
	    fnlua_load(L, &function, &r, seed, 0, 0, &failure) == 0);
	buf_fini(&b);
	return L;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static uint8_t room[1 << 20];
	static lua_State *L;
	struct fnlua_event event = {.seed = seed, .kind = WIRE_EVENT_JSON};
	struct wire_writer out = {room, 0, sizeof(room), false};
	struct buf b = {0};

	if (L == NULL)
		L = load();
	if (bytes > sizeof(room) / 8)
		return 0;
	wire_add_str(&b, slice_from(data, bytes));
	event.fields = (struct wire_reader){(const uint8_t *)b.p, b.n, false};
	if (fnlua_invoke(L, &event, &out, &failure) < 0)
		must(strncmp(failure.message, "json: line ", 11) == 0 ||
		    strstr(failure.message, "nested deeper") != NULL);
	buf_fini(&b);
	return 0;
}
