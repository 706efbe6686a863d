/*
 * lua_unit.h - a state with a fake gateway, for the tests of sandbox/lua.
 *
 * Runs in: tests.
 * Owns:    one state and what the fake gateway was told, per test.
 *
 * eval("return 1 + 1") runs the code as the body of a handler and gives back
 * the body of its response, or the message of its failure.
 */
#pragma once

#include "sandbox/lua/fnlua.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#define UNIT_MEMORY (256u << 20)

static struct unit {
	lua_State *L;
	size_t memory, peak;
	struct fnlua_failure failure;
	struct buf result; /* room that the writer gets */
	size_t result_n;
	struct buf log;	      /* "INFO text {fields}\n" */
	struct buf in, out;   /* the uploaded file; what was written */
	struct buf committed; /* "name;" */
	struct buf request;
	char text[1 << 16]; /* of the last response or failure */
	unsigned int status;
	char headers[4096]; /* "name: value\n" */
	const char *refuse; /* the gateway's reason to refuse files */
	int64_t wall_ms;
	uint64_t mono_us, deadline_us;
	uint8_t seed[WIRE_SEED_BYTES];
	size_t result_cap;
	bool cold;
} unit;

static inline void *
unit_alloc(void *arg, void *p, size_t old, size_t n)
{
	(void)arg;
	if (p == NULL)
		old = 0;
	if (n == 0) {
		free(p);
		unit.memory -= old;
		return NULL;
	}
	if (n > old && unit.memory + n - old > UNIT_MEMORY)
		return NULL;
	p = realloc(p, n);
	if (p != NULL)
		unit.memory += n - old;
	return p;
}

static inline void
unit_log(enum wire_log level, struct slice text, struct slice fields)
{
	static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};

	buf_addf(&unit.log, "%s ", names[level]);
	buf_add_slice(&unit.log, text);
	if (fields.n > 0) {
		buf_putc(&unit.log, ' ');
		buf_add_slice(&unit.log, fields);
	}
	buf_putc(&unit.log, '\n');
	ck_assert_uint_le(text.n + fields.n + 9,
	    wire_max_bytes(WIRE_LOG)); /* fits its frame */
}

static inline void
unit_time(int64_t *wall_ms_out, uint64_t *mono_us_out)
{
	*wall_ms_out = unit.wall_ms + 1500;
	*mono_us_out = unit.mono_us + 1500000;
}

static inline bool
unit_refuses(struct slice *reason_out)
{
	if (unit.refuse == NULL)
		return false;
	*reason_out = slice_of(unit.refuse);
	return true;
}

static inline bool
unit_file_read(uint64_t offset, uint32_t bytes, struct slice *data_out,
    struct slice *reason_out)
{
	size_t left = offset < unit.in.n ? unit.in.n - (size_t)offset : 0;

	ck_assert_uint_le(bytes, 1 << 20);
	if (unit_refuses(reason_out))
		return false;
	*data_out = slice_from(unit.in.p + (left > 0 ? offset : 0),
	    left < bytes ? left : bytes);
	return true;
}

static inline bool
unit_file_write(struct slice name, struct slice bytes, struct slice *reason_out)
{
	ck_assert_uint_le(name.n + bytes.n + 8,
	    wire_max_bytes(WIRE_FILE_WRITE));
	if (unit_refuses(reason_out))
		return false;
	buf_add_slice(&unit.out, bytes);
	return true;
}

static inline bool
unit_file_commit(struct slice name, struct slice *reason_out)
{
	if (unit_refuses(reason_out))
		return false;
	buf_add_slice(&unit.committed, name);
	buf_putc(&unit.committed, ';');
	return true;
}

static const struct fnlua_host unit_host = {unit_log, unit_time, unit_file_read,
    unit_file_write, unit_file_commit};

static inline void
unit_close(void)
{
	if (unit.L != NULL)
		lua_close(unit.L);
	unit.L = NULL;
}

static inline void
unit_setup(void)
{
	unit.wall_ms = INT64_C(1700000000123);
	unit.mono_us = 5000000;
	unit.deadline_us = 8000000;
	unit.result_cap = 1 << 20;
	for (size_t i = 0; i < sizeof(unit.seed); i++)
		unit.seed[i] = (uint8_t)(7 * i + 1);
}

static inline void
unit_teardown(void)
{
	unit_close();
	ck_assert_uint_eq(unit.memory, 0);
	buf_fini(&unit.result);
	buf_fini(&unit.log);
	buf_fini(&unit.in);
	buf_fini(&unit.out);
	buf_fini(&unit.committed);
	buf_fini(&unit.request);
}

static inline TCase *
unit_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, unit_setup, unit_teardown);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

/* modules: name, source, ..., NULL; the first is the entry. */
static inline int
unit_load_as(enum wire_heap heap, const char *const *modules)
{
	struct fnlua_function function = {SLICE("hello"), 3, 64u << 20, heap};
	struct buf b = {0};
	struct wire_reader r;
	uint32_t n = 0;
	int rc;

	while (modules[2 * n] != NULL)
		n++;
	wire_add_u32(&b, 1);
	wire_add_str(&b, SLICE("GREETING"));
	wire_add_str(&b, SLICE("hi"));
	wire_add_u32(&b, n);
	for (uint32_t i = 0; i < 2 * n; i++)
		wire_add_str(&b, slice_of(modules[i]));
	unit_close();
	unit.L = fnlua_new(unit_alloc, NULL, &unit_host, unit.seed);
	ck_assert_ptr_nonnull(unit.L);
	r = (struct wire_reader){(const uint8_t *)b.p, b.n, false};
	rc = fnlua_load(unit.L, &function, &r, unit.seed, unit.wall_ms,
	    unit.mono_us, &unit.failure);
	buf_fini(&b);
	return rc;
}

static inline int
unit_load(const char *source)
{
	const char *const modules[] = {"init", source, NULL, NULL};

	return unit_load_as(WIRE_HEAP_FRESH, modules);
}

/* Read the fields of RESULT into unit.status, .headers, .text. */
static inline void
unit_read_result(struct wire_writer *w)
{
	struct wire_reader r = {w->p, w->n, false};
	struct slice name, value;
	size_t at = 0;

	unit.headers[0] = '\0';
	unit.status = wire_get_u16(&r);
	for (uint32_t n = wire_get_u32(&r); n > 0 && !r.bad; n--) {
		name = wire_get_str(&r);
		value = wire_get_str(&r);
		at += (size_t)snprintf(unit.headers + at,
		    sizeof(unit.headers) - at, "%.*s: %.*s\n", (int)name.n,
		    name.p, (int)value.n, value.p);
		ck_assert_uint_lt(at, sizeof(unit.headers));
	}
	value = wire_get_str(&r);
	ck_assert(wire_got_all(&r));
	unit.result_n = value.n;
	(void)slice_copy(unit.text, sizeof(unit.text), value);
}

/* Invoke with the event in unit.request.  0, or -1 with unit.failure, whose
 * message is in unit.text too. */
static inline int
unit_invoke(enum wire_event kind)
{
	struct fnlua_event event = {
	    .seed = unit.seed,
	    .wall_ms = unit.wall_ms,
	    .mono_us = unit.mono_us,
	    .deadline_us = unit.deadline_us,
	    .cold = unit.cold,
	    .start = SLICE("image"),
	    .request_id = SLICE("req-1"),
	    .kind = kind,
	    .fields = {(const uint8_t *)unit.request.p, unit.request.n, false},
	};
	struct wire_writer w = {(uint8_t *)buf_room(&unit.result,
				    unit.result_cap),
	    0, unit.result_cap, false};
	int rc = fnlua_invoke(unit.L, &event, &w, &unit.failure);

	ck_assert_int_eq(lua_gettop(unit.L), 0);
	ck_assert_ptr_null(fnlua_running());
	if (rc == 0) {
		unit_read_result(&w);
	} else {
		ck_assert_uint_eq(w.n, 0);
		ck_assert(!w.full);
		(void)slice_copy(unit.text, sizeof(unit.text),
		    slice_of(unit.failure.message));
	}
	return rc;
}

static inline int
unit_json(const char *document)
{
	buf_reset(&unit.request, SIZE_MAX);
	wire_add_str(&unit.request, slice_of(document));
	return unit_invoke(WIRE_EVENT_JSON);
}

struct unit_http {
	const char *method, *path, *query, *body;
	const char *params[8];	 /* name, value, ..., NULL */
	const char *headers[16]; /* likewise */
};

static inline void
unit_add_pairs(const char *const *pairs)
{
	uint32_t n = 0;

	while (pairs[2 * n] != NULL)
		n++;
	wire_add_u32(&unit.request, n);
	for (uint32_t i = 0; i < 2 * n; i++)
		wire_add_str(&unit.request, slice_of(pairs[i]));
}

static inline int
unit_http(const struct unit_http *http)
{
	buf_reset(&unit.request, SIZE_MAX);
	wire_add_str(&unit.request,
	    slice_of(http->method == NULL ? "GET" : http->method));
	wire_add_str(&unit.request,
	    slice_of(http->path == NULL ? "/hello" : http->path));
	wire_add_str(&unit.request, slice_of(http->query));
	wire_add_str(&unit.request, SLICE("10.0.0.7:1234"));
	unit_add_pairs(http->params);
	unit_add_pairs(http->headers);
	wire_add_str(&unit.request, slice_of(http->body));
	return unit_invoke(WIRE_EVENT_HTTP);
}

/* The code as a handler, on an empty JSON event. */
static inline const char *
eval(const char *code)
{
	char source[8192];

	ck_assert_uint_lt(strlen(code), sizeof(source) - 64);
	(void)snprintf(source, sizeof(source),
	    "return function(event, ctx) %s end", code);
	if (unit_load(source) < 0)
		return unit.failure.message;
	(void)unit_json("{}");
	return unit.text;
}

#define ck_eval(code, expected) ck_assert_str_eq(eval(code), expected)

/* The code raises an error whose text has that in it. */
static inline void
ck_error(const char *code, const char *part)
{
	const char *text = eval(code);

	ck_assert_msg(strstr(text, part) != NULL, "%s\n  said: %s\n  not:  %s",
	    code, text, part);
}
