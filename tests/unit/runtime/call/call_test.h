/*
 * call_test.h - calls on a fake zygote, and what came of each.
 *
 * Runs in: tests.
 * Owns:    the loop, the calls, the zygote, the versions, the answers.
 *
 * Every test ends with the balance: each call that was started has exactly one
 * record, one done() and one on_over(), and nothing is counted as there that
 * is not.
 */
#pragma once

#include "runtime/call/call.h"
#include "tests/unit/runtime/pool/fake_zygote.h"

#define ASKED_MAX    1024
#define VERSIONS_MAX 8

/* One request and its answer. */
struct asked {
	struct call *call; /* NULL when it is over */
	char document[64];
	unsigned int done;
	struct record record;
	char message[512];
	char traceback[256];
	char body[64];
	uint32_t retry_after_s;
	unsigned int order; /* it was the nth that was answered */
	unsigned int files; /* questions that came */
};

static struct loop *loop;
static struct calls *calls;
static struct fake *fake;
static struct fn_version *versions[VERSIONS_MAX];
static unsigned int nversions;
static struct asked asked[ASKED_MAX];
static unsigned int nasked, nrecords, ndone, nover, nlogs, nnotes, nzero;
static char last_log[512];
static char last_note[512];
static bool keep_questions;

static struct call_limits limits;

static bool ledger_behind;

static inline bool
may_test_record(void *arg)
{
	return !ledger_behind;
}

static inline void
on_test_record(struct record *record, void *arg)
{
	nrecords++;
}

static inline void
on_test_over(const struct fn_version *version, const struct call_result *result,
    void *arg)
{
	nover++;
}

static inline void
on_test_log(const struct fn_version *version, const char *request_id,
    enum wire_log level, struct slice text, struct slice fields, void *arg)
{
	nlogs++;
	(void)slice_copy(last_log, sizeof(last_log), text);
}

static inline void
on_test_note(const struct fn_version *version, const char *what, void *arg)
{
	nnotes++;
	(void)slice_copy(last_note, sizeof(last_note), slice_of(what));
}

static inline void
on_test_zero(void *arg)
{
	nzero++;
}

static inline void
zygote_start(void)
{
	int control;

	fake = fake_new(loop, &control);
	pool_attach(calls_pool(calls), control);
}

static inline void
zygote_hello(void)
{
	uint64_t before = pool_generation(calls_pool(calls));

	fake_hello(fake, 0);
	WAIT_FOR(loop, pool_generation(calls_pool(calls)) != before);
}

/* Another zygote; the old one is gone. */
static inline void
zygote_again(void)
{
	fake_free(fake);
	fake = NULL;
	WAIT_FOR(loop, pool_generation(calls_pool(calls)) == 0);
	zygote_start();
}

static inline void
begin(unsigned int ready_workers, unsigned int max_workers)
{
	const struct calls_callbacks callbacks = {
	    .may_record = may_test_record,
	    .on_record = on_test_record,
	    .on_over = on_test_over,
	    .on_log = on_test_log,
	    .on_note = on_test_note,
	};

	calls = calls_new(loop, &limits, ready_workers, max_workers, &callbacks,
	    NULL);
	zygote_start();
	zygote_hello();
}

static inline void
call_setup(void)
{
	struct err err;

	limits = (struct call_limits){.max_queue = 1000,
	    .max_queue_bytes = 1u << 30,
	    .max_queue_wait_ms = 60000,
	    .init_timeout_ms = 60000,
	    .kill_grace_ms = 100,
	    .max_log_bytes = 65536,
	    .image_cache_bytes = 1u << 20};
	nversions = nasked = nrecords = ndone = nover = 0;
	nlogs = nnotes = nzero = 0;
	ledger_behind = false;
	keep_questions = false;
	memset(asked, 0, sizeof(asked));
	loop = loop_new(&err);
	ck_assert_ptr_nonnull(loop);
}

static inline void
check_balance(void)
{
	struct calls_stats stats;

	WAIT_FOR(loop, ndone == nasked);
	ck_assert_uint_eq(nrecords, nasked);
	ck_assert_uint_eq(nover, nasked);
	for (unsigned int i = 0; i < nasked; i++)
		ck_assert_uint_eq(asked[i].done, 1);
	calls_stats(calls, &stats);
	ck_assert_uint_eq(stats.in_flight, 0);
	ck_assert_uint_eq(stats.queued, 0);
	ck_assert_uint_eq(stats.queued_bytes, 0);
	for (unsigned int i = 0; i < nversions; i++) {
		struct call_function_stats of;

		calls_function_stats(versions[i], &of);
		ck_assert_uint_eq(of.busy, 0);
		ck_assert_uint_eq(of.queued, 0);
	}
}

static inline bool
no_starts(void)
{
	for (unsigned int i = 0; i < nversions; i++) {
		struct call_function_stats of;

		calls_function_stats(versions[i], &of);
		if (of.starting > 0)
			return false;
	}
	return true;
}

static inline void
call_teardown(void)
{
	if (fake != NULL)
		fake->hold_spawns = fake->hold_ready = false;
	check_balance();
	WAIT_FOR(loop, no_starts());
	for (unsigned int i = 0; i < nversions; i++)
		fn_version_unref(versions[i]);
	calls_free(calls);
	fake_free(fake);
	fake = NULL;
	loop_free(loop);
}

/* A version that serves, after `before` (or NULL). */
static inline struct fn_version *
deploy(const char *name, struct fn_version *before)
{
	struct fn_version *version = calloc(1, sizeof(*version));

	ck_assert_uint_lt(nversions, VERSIONS_MAX);
	version->refs = 1;
	version->number = before == NULL ? 1 : before->number + 1;
	(void)slice_copy(version->name, sizeof(version->name), slice_of(name));
	fn_manifest_init(&version->manifest, name);
	version->manifest.timeout_ms = 60000;
	version->modules = calloc(1, sizeof(*version->modules));
	version->modules[0].name = strdup("init");
	version->modules[0].source = strdup("return print");
	version->modules[0].source_bytes = strlen("return print");
	version->nmodules = 1;
	calls_activate(calls, version, before);
	versions[nversions++] = version;
	return version;
}

static inline void
on_test_encode(struct buf *out, void *arg)
{
	const struct asked *a = arg;

	wire_add_str(out, slice_of(a->document));
}

static inline void
on_test_done(struct call *call, const struct call_result *result, void *arg)
{
	struct asked *a = arg;

	a->call = NULL;
	a->done++;
	a->order = ++ndone;
	a->record = *result->record;
	a->retry_after_s = result->retry_after_s;
	(void)slice_copy(a->message, sizeof(a->message), result->message);
	(void)slice_copy(a->traceback, sizeof(a->traceback), result->traceback);
	(void)slice_copy(a->body, sizeof(a->body), result->body);
}

static inline void
on_test_file(struct call *call, const struct wire_header *header,
    struct slice body, void *arg)
{
	struct asked *a = arg;

	a->files++;
	if (!keep_questions)
		call_answer_data(call, true, SLICE("of the file"));
}

/* Start a call of so many bytes; its document says what its worker does. */
static inline struct asked *
ask_bytes(struct fn_version *version, const char *document, uint64_t bytes)
{
	struct asked *a = &asked[nasked++];
	char id[16];
	struct call_request request = {.version = version,
	    .source = RECORD_SOURCE_INVOKE,
	    .request_id = id,
	    .wall_ms = clock_wall_ms(),
	    .accepted_us = clock_mono_us(),
	    .bytes_in = bytes,
	    .attempt = 1,
	    .kind = WIRE_EVENT_JSON,
	    .encode = on_test_encode,
	    .done = on_test_done,
	    .on_file = on_test_file,
	    .arg = a};
	struct call *call;

	ck_assert_uint_lt(nasked, ASKED_MAX);
	(void)snprintf(id, sizeof(id), "id-%u", nasked);
	(void)slice_copy(a->document, sizeof(a->document), slice_of(document));
	call = call_start(calls, &request);
	if (a->done == 0)
		a->call = call;
	return a;
}

static inline struct asked *
ask(struct fn_version *version, const char *document)
{
	return ask_bytes(version, document, 10);
}

/* Start a call and run the loop until it is over. */
static inline struct asked *
ask_wait(struct fn_version *version, const char *document)
{
	struct asked *a = ask(version, document);

	WAIT_FOR(loop, a->done > 0);
	return a;
}

static inline void
expect(const struct asked *a, unsigned int status, enum record_outcome outcome,
    enum record_failed_by failed_by, const char *reason)
{
	ck_assert_uint_eq(a->done, 1);
	ck_assert_uint_eq(a->record.status, status);
	ck_assert_str_eq(record_outcome_name(a->record.outcome),
	    record_outcome_name(outcome));
	ck_assert_str_eq(record_failed_by_name(a->record.failed_by),
	    record_failed_by_name(failed_by));
	ck_assert_str_eq(a->record.reason, reason);
}

static inline void
expect_ok(const struct asked *a)
{
	expect(a, 200, RECORD_OUTCOME_OK, RECORD_FAILED_NONE, "");
	ck_assert_str_eq(a->body, "hello");
}

static inline void
expect_start(const struct asked *a, enum record_kind kind,
    enum record_cause cause)
{
	ck_assert_str_eq(record_kind_name(a->record.kind),
	    record_kind_name(kind));
	ck_assert_str_eq(record_cause_name(a->record.cause),
	    record_cause_name(cause));
}

static inline struct call_function_stats
stats_of(const struct fn_version *version)
{
	struct call_function_stats stats;

	calls_function_stats(version, &stats);
	return stats;
}

static inline struct pool_stats
pool_now(void)
{
	struct pool_stats stats;

	pool_stats(calls_pool(calls), &stats);
	return stats;
}
