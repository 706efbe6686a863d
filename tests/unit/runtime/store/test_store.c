/*
 * test_store.c - the contract of store.h, kept by both implementations; and
 * what the one on disk must survive.
 *
 * Runs in: tests.
 */
#include "runtime/loop/loop.h"
#include "runtime/store/store.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const kinds[] = {"memory", "sqlite"};
#define KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))
#define DAY   ((int64_t)86400000)
#define NOON  (((int64_t)1763899200000 / DAY) * DAY + DAY / 2) /* 2025-11-23 */

static char dir[] = "/tmp/perilune-store-XXXXXX";
static int dirfd_;
static struct loop *loop;
static struct store *store;
static struct err err;

static void
reopen(const char *kind)
{
	store = store_open(kind, loop, dirfd_, &err);
	ck_assert_msg(store != NULL, "%s", err.msg);
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	dirfd_ = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fchdir(dirfd_), 0);
	loop = loop_new(&err);
}

static void
teardown(void)
{
	char command[128];

	store_close(store);
	loop_free(loop);
	(void)close(dirfd_);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/* --- waiting for completions ------------------------------------------- */

static int waiting;
static struct err last_err; /* code ERR_NONE: success */

static void
completed(const struct err *e)
{
	last_err = e == NULL ? (struct err){.code = ERR_NONE} : *e;
	if (--waiting == 0)
		loop_stop(loop);
}

static void
on_done(const struct err *e, void *arg)
{
	completed(e);
}

static void
await(int n)
{
	waiting += n;
	ck_assert_int_eq(loop_run(loop, &err), 0);
	ck_assert_int_eq(waiting, 0);
}

#define assert_ok() ck_assert_msg(last_err.code == ERR_NONE, "%s", last_err.msg)
#define assert_failed(part)                           \
	do {                                          \
		ck_assert(last_err.code != ERR_NONE); \
		assert_says(last_err, part);          \
	} while (0)
#define assert_says(e, part)                                                \
	ck_assert_msg(strstr((e).msg, part) != NULL, "\"%s\" lacks \"%s\"", \
	    (e).msg, part)

static struct record
a_record(uint64_t seq, const char *function, int64_t wall_ms)
{
	struct record record = {.seq = seq,
	    .wall_ms = wall_ms,
	    .kind = RECORD_KIND_WARM,
	    .billed_ms = 3,
	    .memory_mb = 64,
	    .cpu_us = 1500,
	    .bytes_in = 10,
	    .bytes_out = 20,
	    .cost_pico = 1000};

	(void)slice_copy(record.function, sizeof(record.function),
	    slice_of(function));
	return record;
}

static void
add(uint64_t seq, const char *function, int64_t wall_ms)
{
	struct record record = a_record(seq, function, wall_ms);

	store_add_records(store, &record, 1, on_done, NULL);
	memset(&record, 0xff, sizeof(record)); /* inputs are copied */
	await(1);
	assert_ok();
}

static uint64_t
last_seq(void)
{
	uint64_t seq = 0;

	ck_assert_int_eq(store_last_seq(store, &seq, &err), 0);
	return seq;
}

static struct store_usage_row usage[64];
static size_t nusage;

static void
on_usage(const struct store_usage_row *rows, size_t n, const struct err *e,
    void *arg)
{
	ck_assert_uint_le(n, 64);
	nusage = n;
	if (n > 0)
		memcpy(usage, rows, n * sizeof(*rows));
	completed(e);
}

static void
ask_usage(const char *function, int64_t since, int64_t until,
    enum store_usage_by by)
{
	struct store_usage_query query = {.function = function,
	    .since_ms = since,
	    .until_ms = until,
	    .by = by};

	store_usage(store, &query, on_usage, NULL);
	await(1);
	assert_ok();
}

/* --- the file, when no store has it open --------------------------------- */

static void
sql(const char *text)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open("perilune.db", &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* The first row of a query, with a comma behind each column. */
static void
first_row(const char *text, char *said, size_t n)
{
	sqlite3_stmt *stmt;
	sqlite3 *db;

	*said = '\0';
	ck_assert_int_eq(sqlite3_open("perilune.db", &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, text, -1, &stmt, NULL),
	    SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	for (int i = 0; i < sqlite3_column_count(stmt); i++)
		(void)snprintf(said + strlen(said), n - strlen(said), "%s,",
		    (const char *)sqlite3_column_text(stmt, i));
	(void)sqlite3_finalize(stmt);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static int
rows_in(const char *table)
{
	char text[64];
	char said[32];

	(void)snprintf(text, sizeof(text), "SELECT count(*) FROM %s", table);
	first_row(text, said, sizeof(said));
	return atoi(said);
}

/* --- the ledger --------------------------------------------------------- */

START_TEST(the_last_seq_of_an_empty_ledger_is_zero)
{
	reopen(kinds[_i]);
	ck_assert_uint_eq(last_seq(), 0);
	add(7, "f", NOON);
	ck_assert_uint_eq(last_seq(), 7);
}
END_TEST

START_TEST(a_record_counts_once_and_the_first_one_stays)
{
	reopen(kinds[_i]);
	add(1, "f", NOON);
	add(1, "g", NOON);
	add(2, "f", NOON);
	ask_usage(NULL, 0, 0, STORE_BY_FUNCTION);
	ck_assert_uint_eq(nusage, 1);
	ck_assert_str_eq(usage[0].key, "f");
	ck_assert_uint_eq(usage[0].invocations, 2);
}
END_TEST

START_TEST(usage_sums_every_column)
{
	struct record records[3];

	reopen(kinds[_i]);
	for (int i = 0; i < 3; i++)
		records[i] = a_record((uint64_t)i + 1, "f", NOON);
	records[1].kind = RECORD_KIND_IMAGE;
	records[2].kind = RECORD_KIND_NONE;
	records[2].outcome = RECORD_OUTCOME_REJECTED;
	store_add_records(store, records, 3, on_done, NULL);
	await(1);
	ask_usage(NULL, 0, 0, STORE_BY_FUNCTION);
	ck_assert_str_eq(usage[0].key, "f");
	ck_assert_uint_eq(usage[0].invocations, 3);
	ck_assert_uint_eq(usage[0].errors, 1);
	ck_assert_uint_eq(usage[0].cold, 1);
	ck_assert_uint_eq(usage[0].billed_ms, 9);
	ck_assert_uint_eq(usage[0].mb_ms, 9 * 64);
	ck_assert_uint_eq(usage[0].cpu_us, 4500);
	ck_assert_uint_eq(usage[0].bytes_in, 30);
	ck_assert_uint_eq(usage[0].bytes_out, 60);
	ck_assert_uint_eq(usage[0].cost_pico, 3000);
}
END_TEST

START_TEST(usage_is_grouped_and_ordered_by_its_key)
{
	reopen(kinds[_i]);
	add(1, "b", NOON);
	add(2, "a", NOON + 3600000);
	add(3, "a", NOON + DAY);
	ask_usage(NULL, 0, 0, STORE_BY_FUNCTION);
	ck_assert_uint_eq(nusage, 2);
	ck_assert_str_eq(usage[0].key, "a");
	ck_assert_uint_eq(usage[0].invocations, 2);
	ask_usage(NULL, 0, 0, STORE_BY_DAY);
	ck_assert_uint_eq(nusage, 2);
	ck_assert_str_eq(usage[0].key, "2025-11-23");
	ck_assert_uint_eq(usage[0].invocations, 2);
	ck_assert_str_eq(usage[1].key, "2025-11-24");
	ask_usage("a", 0, 0, STORE_BY_HOUR);
	ck_assert_uint_eq(nusage, 2);
	ck_assert_str_eq(usage[0].key, "2025-11-23T13");
	ck_assert_str_eq(usage[1].key, "2025-11-24T12");
	ask_usage("nobody", 0, 0, STORE_BY_HOUR);
	ck_assert_uint_eq(nusage, 0);
}
END_TEST

START_TEST(since_is_inclusive_and_until_exclusive)
{
	reopen(kinds[_i]);
	add(1, "f", NOON);
	add(2, "f", NOON + 1);
	add(3, "f", NOON + 2);
	ask_usage(NULL, NOON + 1, NOON + 2, STORE_BY_FUNCTION);
	ck_assert_uint_eq(nusage, 1);
	ck_assert_uint_eq(usage[0].invocations, 1);
	ask_usage("f", NOON, NOON + 2, STORE_BY_FUNCTION);
	ck_assert_uint_eq(usage[0].invocations, 2);
	ask_usage("f", NOON + 3, 0, STORE_BY_FUNCTION);
	ck_assert_uint_eq(nusage, 0);
}
END_TEST

START_TEST(absurd_values_saturate_and_do_not_wrap)
{
	struct record records[4];

	reopen(kinds[_i]);
	for (int i = 0; i < 4; i++) {
		records[i] = a_record((uint64_t)i + 1, "f", NOON);
		records[i].cost_pico = UINT64_MAX;
		records[i].billed_ms = UINT64_MAX;
	}
	store_add_records(store, records, 4, on_done, NULL);
	await(1);
	assert_ok();
	ask_usage("f", 0, 0, STORE_BY_FUNCTION);
	ck_assert_uint_eq(usage[0].cost_pico, UINT64_MAX);
	ck_assert_uint_eq(usage[0].mb_ms, UINT64_MAX);
	store_compact(store, NOON + DAY, on_done, NULL);
	await(1);
	assert_ok();
	ask_usage("f", 0, 0, STORE_BY_FUNCTION);
	ck_assert_uint_eq(usage[0].invocations, 4);
	ck_assert_uint_ge(usage[0].cost_pico, (uint64_t)1 << 61);
}
END_TEST

START_TEST(a_sum_over_32_bits_is_exact)
{
	struct record records[2];

	reopen(kinds[_i]);
	for (int i = 0; i < 2; i++) {
		records[i] = a_record((uint64_t)i + 1, "f", NOON);
		records[i].cost_pico = 123456789012345678;
	}
	store_add_records(store, records, 2, on_done, NULL);
	await(1);
	ask_usage(NULL, 0, 0, STORE_BY_DAY);
	ck_assert_uint_eq(usage[0].cost_pico, 246913578024691356);
}
END_TEST

START_TEST(compacted_records_still_count)
{
	reopen(kinds[_i]);
	add(1, "f", NOON - 2 * DAY);
	add(2, "f", NOON - 2 * DAY + 5);
	add(3, "g", NOON - DAY);
	add(4, "f", NOON);
	store_compact(store, NOON, on_done, NULL);
	await(1);
	assert_ok();
	ask_usage(NULL, 0, 0, STORE_BY_FUNCTION);
	ck_assert_uint_eq(nusage, 2);
	ck_assert_uint_eq(usage[0].invocations, 3);
	ck_assert_uint_eq(usage[0].cost_pico, 3000);
	ck_assert_uint_eq(usage[0].mb_ms, 9 * 64);
	ask_usage("f", 0, 0, STORE_BY_HOUR);
	ck_assert_str_eq(usage[0].key, "2025-11-21T00");
	ck_assert_str_eq(usage[1].key, "2025-11-23T12");
	ck_assert_uint_eq(last_seq(), 4);
}
END_TEST

START_TEST(seqs_are_not_given_again_after_compaction)
{
	reopen(kinds[_i]);
	add(5, "f", NOON - 2 * DAY);
	store_compact(store, NOON, on_done, NULL);
	await(1);
	ck_assert_uint_eq(last_seq(), 5);
}
END_TEST

START_TEST(late_records_join_their_day)
{
	reopen(kinds[_i]);
	for (uint64_t seq = 1; seq <= 3; seq++) {
		add(seq, "f", NOON - 2 * DAY);
		store_compact(store, NOON, on_done, NULL);
		await(1);
	}
	ask_usage(NULL, 0, 0, STORE_BY_DAY);
	ck_assert_uint_eq(nusage, 1);
	ck_assert_uint_eq(usage[0].invocations, 3);
	ck_assert_uint_eq(usage[0].billed_ms, 9);
}
END_TEST

START_TEST(every_column_of_a_record_is_kept)
{
	struct record record = {.seq = 1,
	    .billed_ms = 3,
	    .memory_mb = 50,
	    .wall_ms = 103,
	    .queue_us = 104,
	    .spawn_us = 105,
	    .jail_us = 106,
	    .load_us = 107,
	    .init_us = 108,
	    .handler_us = 109,
	    .first_us = 110,
	    .cpu_us = 111,
	    .peak_kb = 112,
	    .bytes_in = 113,
	    .bytes_out = 114,
	    .cost_pico = 116,
	    .version = 117,
	    .attempt = 119,
	    .status = 120,
	    .source = 1,
	    .kind = 2,
	    .cause = 3,
	    .outcome = 4,
	    .failed_by = 5,
	    .function = "f",
	    .request_id = "r",
	    .reason = "why"};
	char said[512] = "";

	reopen("sqlite");
	store_add_records(store, &record, 1, on_done, NULL);
	await(1);
	assert_ok();
	store_close(store);
	store = NULL;
	first_row("SELECT seq,mb_ms,wall_ms,queue_us,spawn_us,jail_us,"
		  "load_us,init_us,handler_us,first_us,cpu_us,"
		  "peak_kb,bytes_in,bytes_out,billed_ms,cost_pico,"
		  "version,memory_mb,attempt,status,source,kind,"
		  "cause,outcome,failed_by,function,request_id,reason FROM "
		  "records",
	    said, sizeof(said));
	ck_assert_str_eq(said,
	    "1,150,103,104,105,106,107,108,109,110,111,112,113,114,3,116,117,"
	    "50,119,120,1,2,3,4,5,f,r,why,");
}
END_TEST

START_TEST(many_records_are_compacted_in_steps)
{
	static struct record records[25000];

	reopen("sqlite");
	for (uint64_t i = 0; i < 25000; i++)
		records[i] = a_record(i + 1, "f", NOON - 3 * DAY + (int64_t)i);
	store_add_records(store, records, 25000, on_done, NULL);
	store_compact(store, NOON, on_done, NULL);
	await(2);
	assert_ok();
	ask_usage(NULL, 0, 0, STORE_BY_DAY);
	ck_assert_uint_eq(nusage, 1);
	ck_assert_uint_eq(usage[0].invocations, 25000);
	ck_assert_uint_eq(last_seq(), 25000);
	store_close(store);
	store = NULL;
	ck_assert_int_eq(rows_in("records"), 0);
	ck_assert_int_eq(rows_in("daily"), 1);
}
END_TEST

/* --- order -------------------------------------------------------------- */

static int order;

static void
on_ordered(const struct err *e, void *arg)
{
	ck_assert_ptr_null(e);
	ck_assert_int_eq(order++, (int)(intptr_t)arg);
	completed(e);
}

static void
on_ordered_usage(const struct store_usage_row *rows, size_t n,
    const struct err *e, void *arg)
{
	ck_assert_ptr_null(e);
	ck_assert_int_eq(order++, (int)(intptr_t)arg);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(rows[0].invocations, (uint64_t)(intptr_t)arg / 2 + 1);
	completed(e);
}

START_TEST(completions_come_in_order_and_reads_see_earlier_writes)
{
	struct store_usage_query query = {0};

	reopen(kinds[_i]);
	for (int i = 0; i < 100; i++) {
		struct record record = a_record((uint64_t)i + 1, "f", NOON);

		store_add_records(store, &record, 1, on_ordered,
		    (void *)(intptr_t)(2 * i));
		store_usage(store, &query, on_ordered_usage,
		    (void *)(intptr_t)(2 * i + 1));
	}
	ck_assert_int_eq(order, 0); /* never inside the call */
	await(200);
	ck_assert_int_eq(order, 200);
}
END_TEST

START_TEST(closing_finishes_what_was_submitted)
{
	reopen(kinds[_i]);
	waiting = 1000;
	for (int i = 0; i < 50; i++) {
		struct record record = a_record((uint64_t)i + 1, "f", NOON);

		store_add_records(store, &record, 1, on_ordered,
		    (void *)(intptr_t)i);
	}
	store_close(store);
	store = NULL;
	ck_assert_int_eq(order, 50);
}
END_TEST

static void
submit_again(const struct err *e, void *arg)
{
	if (e == NULL)
		store_compact(store, 0, submit_again, NULL);
	else
		last_err = *e;
}

START_TEST(a_call_from_a_completion_inside_close_gets_an_error)
{
	reopen(kinds[_i]);
	store_compact(store, 0, submit_again, NULL);
	store_close(store);
	store = NULL;
	assert_failed("closed");
}
END_TEST

/* --- versions ----------------------------------------------------------- */

static struct store_version versions[8];
static size_t nversions;

static void
on_versions(const struct store_version *rows, size_t n, const struct err *e,
    void *arg)
{
	nversions = n;
	if (n > 0)
		memcpy(versions, rows, n * sizeof(*rows));
	completed(e);
}

static void
add_version(const char *name, uint32_t number, const char *hash)
{
	struct store_version version = {.number = number};

	(void)slice_copy(version.name, sizeof(version.name), slice_of(name));
	(void)slice_copy(version.hash, sizeof(version.hash), slice_of(hash));
	store_add_version(store, &version, on_done, NULL);
	await(1);
	assert_ok();
}

START_TEST(versions_are_listed_by_name_and_number)
{
	reopen(kinds[_i]);
	store_versions(store, on_versions, NULL);
	await(1);
	ck_assert_uint_eq(nversions, 0);
	add_version("b", 1, "cc");
	add_version("a", 10, "bb");
	add_version("a", 2, "aa");
	add_version("a", 2, "dd");
	store_versions(store, on_versions, NULL);
	await(1);
	assert_ok();
	ck_assert_uint_eq(nversions, 3);
	ck_assert_str_eq(versions[0].hash, "dd");
	ck_assert_uint_eq(versions[1].number, 10);
	ck_assert_str_eq(versions[2].name, "b");
}
END_TEST

/* --- events ------------------------------------------------------------- */

static uint64_t accepted;

static void
on_accepted(uint64_t id, const struct err *e, void *arg)
{
	accepted = id;
	completed(e);
}

static uint64_t
accept_event(const char *key, const char *function)
{
	struct store_event event = {.key = slice_of(key),
	    .function = slice_of(function),
	    .source = SLICE("upload"),
	    .event = slice_from("{\"a\":\0}", 7),
	    .note = SLICE("in/a.csv"),
	    .blob = SLICE("abc"),
	    .accepted_ms = NOON,
	    .run_at_ms = NOON + 1,
	    .bytes = 99};

	store_accept_event(store, &event, on_accepted, NULL);
	await(1);
	assert_ok();
	return accepted;
}

static struct store_event found; /* its slices are gone after the call */
static char found_error[8192];
static bool was_found;

static void
on_found(const struct store_event *event, const struct err *e, void *arg)
{
	was_found = event != NULL;
	if (event != NULL) {
		found = *event;
		(void)slice_copy(found_error, sizeof(found_error),
		    event->error);
		ck_assert(slice_is(event->source, "upload"));
		ck_assert(slice_is(event->note, "in/a.csv"));
		ck_assert(slice_is(event->blob, "abc"));
		ck_assert_uint_eq(event->event.n, 7);
		ck_assert_mem_eq(event->event.p, "{\"a\":\0}", 7);
	}
	completed(e);
}

static void
find(const char *key)
{
	store_find_event(store, slice_of(key), on_found, NULL);
	await(1);
	assert_ok();
}

START_TEST(a_key_is_accepted_once)
{
	uint64_t first;

	reopen(kinds[_i]);
	first = accept_event("k1", "f");
	ck_assert_uint_gt(first, 0);
	ck_assert_uint_eq(accept_event("k1", "g"), 0);
	ck_assert_uint_gt(accept_event("k2", "f"), first);
	find("k1");
	ck_assert(was_found);
	ck_assert_uint_eq(found.id, first);
	ck_assert_uint_eq(found.bytes, 99);
	ck_assert_int_eq(found.run_at_ms, NOON + 1);
	ck_assert_int_eq(found.state, STORE_EVENT_ACCEPTED);
	find("k3");
	ck_assert(!was_found);
}
END_TEST

START_TEST(an_event_is_updated)
{
	static char text[6000];
	struct store_event event = {.state = STORE_EVENT_FAILED,
	    .attempts = 3,
	    .run_at_ms = 5,
	    .finished_ms = 6};

	reopen(kinds[_i]);
	memset(text, 'x', sizeof(text));
	event.id = accept_event("k1", "f");
	event.error = slice_from(text, sizeof(text));
	store_update_event(store, &event, on_done, NULL);
	await(1);
	assert_ok();
	find("k1");
	ck_assert_int_eq(found.state, STORE_EVENT_FAILED);
	ck_assert_uint_eq(found.attempts, 3);
	ck_assert_int_eq(found.run_at_ms, 5);
	ck_assert_int_eq(found.finished_ms, 6);
	ck_assert_int_eq(found.accepted_ms, NOON);
	ck_assert_uint_eq(strlen(found_error), 4096);
}
END_TEST

START_TEST(an_unknown_event_is_an_error_that_spoils_nothing_else)
{
	struct store_event event = {.id = 77};
	struct record record = a_record(1, "f", NOON);

	reopen(kinds[_i]);
	store_add_records(store, &record, 1, on_done, NULL);
	store_update_event(store, &event, on_done, NULL);
	await(2);
	ck_assert_int_eq(last_err.code, ERR_NOT_FOUND);
	ck_assert_uint_eq(last_seq(), 1);
}
END_TEST

START_TEST(events_have_limits)
{
	static char big[1048577];
	struct store_event event = {.key = SLICE("k")};

	reopen(kinds[_i]);
	event.event = slice_from(big, sizeof(big));
	store_accept_event(store, &event, on_accepted, NULL);
	await(1);
	ck_assert_int_eq(last_err.code, ERR_LIMIT);
	event = (struct store_event){.key = slice_from(big, 9000)};
	store_accept_event(store, &event, on_accepted, NULL);
	await(1);
	ck_assert_int_eq(last_err.code, ERR_LIMIT);
	event = (struct store_event){0};
	store_accept_event(store, &event, on_accepted, NULL);
	await(1);
	ck_assert_int_eq(last_err.code, ERR_BAD_INPUT);
}
END_TEST

static uint64_t listed[16];
static size_t nlisted;

static void
on_events(const struct store_event *events, size_t n, const struct err *e,
    void *arg)
{
	ck_assert_uint_le(n, 16);
	nlisted = n;
	for (size_t i = 0; i < n; i++)
		listed[i] = events[i].id;
	completed(e);
}

static void
list(struct store_event_query query)
{
	store_events(store, &query, on_events, NULL);
	await(1);
	assert_ok();
}

START_TEST(events_are_listed_and_paged)
{
	uint64_t ids[4];
	struct store_event done = {.state = STORE_EVENT_DONE};

	reopen(kinds[_i]);
	ids[0] = accept_event("a", "f");
	ids[1] = accept_event("b", "g");
	ids[2] = accept_event("c", "f");
	ids[3] = accept_event("d", "f");
	done.id = ids[2];
	store_update_event(store, &done, on_done, NULL);
	await(1);
	list((struct store_event_query){.limit = 2});
	ck_assert_uint_eq(nlisted, 2);
	ck_assert_uint_eq(listed[0], ids[3]);
	ck_assert_uint_eq(listed[1], ids[2]);
	list((struct store_event_query){.limit = 9, .after_id = ids[2]});
	ck_assert_uint_eq(nlisted, 2);
	ck_assert_uint_eq(listed[0], ids[1]);
	list((struct store_event_query){.limit = 9,
	    .unfinished = true,
	    .function = "f"});
	ck_assert_uint_eq(nlisted, 2);
	ck_assert_uint_eq(listed[0], ids[0]);
	ck_assert_uint_eq(listed[1], ids[3]);
	list((struct store_event_query){.limit = SIZE_MAX,
	    .unfinished = true,
	    .after_id = ids[0]});
	ck_assert_uint_eq(nlisted, 2);
	ck_assert_uint_eq(listed[0], ids[1]);
	list((struct store_event_query){.limit = 9, .source = "queue"});
	ck_assert_uint_eq(nlisted, 0);
}
END_TEST

START_TEST(event_states_have_names)
{
	ck_assert_str_eq(store_event_state_name(STORE_EVENT_FAILED), "failed");
	ck_assert_str_eq(store_event_state_name(99), "?");
}
END_TEST

START_TEST(an_unknown_kind_is_refused)
{
	ck_assert_ptr_null(store_open("paper", loop, dirfd_, &err));
	assert_says(err, "paper");
}
END_TEST

/* --- on disk ------------------------------------------------------------ */

START_TEST(everything_is_there_after_reopening)
{
	uint64_t id;

	reopen("sqlite");
	add(1, "f", NOON);
	add_version("f", 3, "aa");
	id = accept_event("k", "f");
	store_close(store);
	reopen("sqlite");
	ck_assert_uint_eq(last_seq(), 1);
	ask_usage("f", 0, 0, STORE_BY_FUNCTION);
	ck_assert_uint_eq(usage[0].cost_pico, 1000);
	store_versions(store, on_versions, NULL);
	await(1);
	ck_assert_uint_eq(nversions, 1);
	ck_assert_uint_eq(versions[0].number, 3);
	find("k");
	ck_assert_uint_eq(found.id, id);
	ck_assert_uint_eq(accept_event("k", "f"), 0);
}
END_TEST

/* In a child: write, tell the parent of each acknowledged one, die. */
static void
write_and_die(int fd, int n)
{
	struct err child_err;

	loop = loop_new(&child_err);
	store = store_open("sqlite", loop, dirfd_, &child_err);
	for (int i = 1; store != NULL && i <= n; i++) {
		struct record record = a_record((uint64_t)i, "f", NOON);

		store_add_records(store, &record, 1, on_done, NULL);
		waiting = 1;
		(void)loop_run(loop, &child_err);
		if (last_err.code != ERR_NONE || write(fd, "x", 1) != 1)
			break;
	}
	(void)kill(getpid(), SIGKILL);
}

START_TEST(acknowledged_writes_survive_kill_9)
{
	char told[64];
	ssize_t n = 0;
	ssize_t got;
	int fds[2];
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		write_and_die(fds[1], 50);
	(void)close(fds[1]);
	while ((got = read(fds[0], told, sizeof(told))) > 0)
		n += got;
	(void)close(fds[0]);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(n, 50);
	reopen("sqlite");
	ask_usage("f", 0, 0, STORE_BY_FUNCTION);
	ck_assert_uint_eq(usage[0].invocations, 50);
}
END_TEST

START_TEST(a_second_server_is_refused_by_name)
{
	char pid[32];

	reopen("sqlite");
	ck_assert_ptr_null(store_open("sqlite", loop, dirfd_, &err));
	(void)snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	assert_says(err, pid);
	add(1, "f", NOON); /* and the first goes on */
}
END_TEST

static void
put_file(const char *name, const void *p, size_t n, off_t at)
{
	int fd = open(name, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, p, n, at), (ssize_t)n);
	(void)close(fd);
}

START_TEST(what_is_not_a_database_is_refused)
{
	char junk[8192];

	memset(junk, 'j', sizeof(junk));
	put_file("perilune.db", junk, sizeof(junk), 0);
	ck_assert_ptr_null(store_open("sqlite", loop, dirfd_, &err));
	assert_says(err, "not a database");
	assert_says(err, "move perilune.db");
}
END_TEST

START_TEST(a_damaged_database_is_refused)
{
	static struct record records[2000];
	char junk[4096];
	struct stat st;

	reopen("sqlite");
	for (uint64_t i = 0; i < 2000; i++)
		records[i] = a_record(i + 1, "f", NOON);
	store_add_records(store, records, 2000, on_done, NULL);
	await(1);
	store_close(store);
	store = NULL;
	ck_assert_int_eq(stat("perilune.db", &st), 0);
	ck_assert_int_gt(st.st_size, 100000);
	memset(junk, 0xa5, sizeof(junk));
	for (off_t at = 40960; at + 4096 <= st.st_size; at += 20480)
		put_file("perilune.db", junk, sizeof(junk), at);
	ck_assert_ptr_null(store_open("sqlite", loop, dirfd_, &err));
	assert_says(err, "damaged");
	assert_says(err, "backup");
}
END_TEST

START_TEST(a_schema_from_the_future_is_refused)
{
	reopen("sqlite");
	store_close(store);
	store = NULL;
	sql("PRAGMA user_version=999");
	ck_assert_ptr_null(store_open("sqlite", loop, dirfd_, &err));
	assert_says(err, "newer perilune");
	assert_says(err, "999");
}
END_TEST

START_TEST(another_programs_database_is_refused)
{
	sql("CREATE TABLE theirs(x)");
	ck_assert_ptr_null(store_open("sqlite", loop, dirfd_, &err));
	assert_says(err, "another program");
}
END_TEST

START_TEST(a_directory_in_place_of_the_database_is_refused)
{
	ck_assert_int_eq(mkdir("perilune.db", 0700), 0);
	ck_assert_ptr_null(store_open("sqlite", loop, dirfd_, &err));
	assert_says(err, "perilune.db");
}
END_TEST

START_TEST(a_wrong_current_directory_is_refused)
{
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_ptr_null(store_open("sqlite", loop, dirfd_, &err));
	assert_says(err, "current directory");
}
END_TEST

START_TEST(nobody_else_can_read_the_files)
{
	static const char *const names[] = {"perilune.db", "perilune.db-wal",
	    "lock"};
	struct stat st;

	(void)umask(0);
	reopen("sqlite");
	add(1, "f", NOON);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ck_assert_int_eq(stat(names[i], &st), 0);
		ck_assert_uint_eq(st.st_mode & 0777, 0600);
	}
	ck_assert_int_ne(access("perilune.db-shm", F_OK), 0);
}
END_TEST

/* In a child, in a folder whose parent is closed to it: by its mode, and for
 * root by no longer being root.  As the gateway below /root. */
static int
open_unreachable(void)
{
	struct loop *here;
	int fd;

	if (chdir("inner") < 0 || chmod(dir, 0) < 0)
		return 1;
	if (getuid() == 0 && setresuid(65534, 65534, 65534) < 0)
		return 2;
	if (access(dir, X_OK) == 0)
		return 3;
	fd = open(".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	here = loop_new(&err);
	for (int i = 0; i < 2; i++) {
		store = store_open("sqlite", here, fd, &err);
		if (store == NULL)
			return 4 + i;
		store_close(store);
	}
	return 0;
}

START_TEST(the_directory_needs_no_reachable_path)
{
	pid_t pid;
	int status;

	ck_assert_int_eq(mkdir("inner", 0700), 0);
	if (getuid() == 0)
		ck_assert_int_eq(chown("inner", 65534, 65534), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(open_unreachable());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(chmod(dir, 0700), 0);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* --- a failing disk ----------------------------------------------------- */

static volatile bool disk_full;
static volatile bool sync_fails;

/* Instead of the C library's, for SQLite too. */
int fdatasync(int fd);
int
fdatasync(int fd)
{
	if (sync_fails) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd);
int
fsync(int fd)
{
	return fdatasync(fd);
}

static ssize_t
full_write(int fd, const void *p, size_t n)
{
	errno = ENOSPC;
	return disk_full ? -1 : write(fd, p, n);
}

static ssize_t
full_pwrite(int fd, const void *p, size_t n, off_t at)
{
	errno = ENOSPC;
	return disk_full ? -1 : pwrite(fd, p, n, at);
}

static void
set_call(const char *name, sqlite3_syscall_ptr call)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

	ck_assert_int_eq(vfs->xSetSystemCall(vfs, name, call), SQLITE_OK);
}

START_TEST(a_full_disk_refuses_writes_and_recovers)
{
	struct record record = a_record(2, "f", NOON);
	struct store_usage_query query = {0};

	set_call("write", (sqlite3_syscall_ptr)full_write);
	set_call("pwrite", (sqlite3_syscall_ptr)full_pwrite);
	set_call("pwrite64", (sqlite3_syscall_ptr)full_pwrite);
	reopen("sqlite");
	add(1, "f", NOON);
	disk_full = true;
	store_add_records(store, &record, 1, on_done, NULL);
	await(1);
	assert_failed("no space left");
	ck_assert_int_eq(last_err.sys, ENOSPC);
	for (int i = 0; i < 20; i++) {
		store_add_records(store, &record, 1, on_done, NULL);
		store_usage(store, &query, on_usage, NULL);
	}
	await(40);
	assert_ok(); /* the last was a read: those go on */
	ck_assert_uint_eq(usage[0].invocations, 1);
	disk_full = false;
	add(2, "f", NOON);
	ask_usage(NULL, 0, 0, STORE_BY_FUNCTION);
	ck_assert_uint_eq(usage[0].invocations, 2);
}
END_TEST

START_TEST(a_failed_fsync_is_the_end_of_the_store)
{
	struct record record = a_record(2, "f", NOON);
	uint64_t seq;

	reopen("sqlite");
	add(1, "f", NOON);
	sync_fails = true;
	store_add_records(store, &record, 1, on_done, NULL);
	await(1);
	assert_failed("perilune.db");
	sync_fails = false;
	store_add_records(store, &record, 1, on_done, NULL);
	await(1);
	assert_failed("perilune.db");
	ck_assert_int_lt(store_last_seq(store, &seq, &err), 0);
	store_close(store);
	reopen("sqlite"); /* a new one reads what the disk really has */
	ck_assert_uint_ge(last_seq(), 1);
}
END_TEST

START_TEST(the_log_does_not_grow_for_ever)
{
	static struct record records[5000];
	struct stat st;

	reopen("sqlite");
	for (int round = 0; round < 12; round++) {
		for (uint64_t i = 0; i < 5000; i++)
			records[i] =
			    a_record((uint64_t)round * 5000 + i + 1, "f", NOON);
		store_add_records(store, records, 5000, on_done, NULL);
		await(1);
		assert_ok();
	}
	ck_assert_uint_eq(last_seq(), 60000);
	ck_assert_int_eq(stat("perilune.db-wal", &st), 0);
	ck_assert_int_lt(st.st_size, 5000000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/store/store");
	TCase *both = tcase_create("both");
	TCase *disk = tcase_create("disk");

	tcase_add_checked_fixture(both, setup, teardown);
	tcase_set_timeout(both, 60);
#define BOTH(test) tcase_add_loop_test(both, test, 0, KINDS)
	BOTH(the_last_seq_of_an_empty_ledger_is_zero);
	BOTH(a_record_counts_once_and_the_first_one_stays);
	BOTH(usage_sums_every_column);
	BOTH(usage_is_grouped_and_ordered_by_its_key);
	BOTH(since_is_inclusive_and_until_exclusive);
	BOTH(absurd_values_saturate_and_do_not_wrap);
	BOTH(a_sum_over_32_bits_is_exact);
	BOTH(compacted_records_still_count);
	BOTH(seqs_are_not_given_again_after_compaction);
	BOTH(late_records_join_their_day);
	BOTH(completions_come_in_order_and_reads_see_earlier_writes);
	BOTH(closing_finishes_what_was_submitted);
	BOTH(a_call_from_a_completion_inside_close_gets_an_error);
	BOTH(versions_are_listed_by_name_and_number);
	BOTH(a_key_is_accepted_once);
	BOTH(an_event_is_updated);
	BOTH(an_unknown_event_is_an_error_that_spoils_nothing_else);
	BOTH(events_have_limits);
	BOTH(events_are_listed_and_paged);
	suite_add_tcase(suite, both);
	tcase_add_checked_fixture(disk, setup, teardown);
	tcase_set_timeout(disk, 60);
	tcase_add_test(disk, event_states_have_names);
	tcase_add_test(disk, an_unknown_kind_is_refused);
	tcase_add_test(disk, every_column_of_a_record_is_kept);
	tcase_add_test(disk, many_records_are_compacted_in_steps);
	tcase_add_test(disk, everything_is_there_after_reopening);
	tcase_add_test(disk, acknowledged_writes_survive_kill_9);
	tcase_add_test(disk, a_second_server_is_refused_by_name);
	tcase_add_test(disk, what_is_not_a_database_is_refused);
	tcase_add_test(disk, a_damaged_database_is_refused);
	tcase_add_test(disk, a_schema_from_the_future_is_refused);
	tcase_add_test(disk, another_programs_database_is_refused);
	tcase_add_test(disk, a_directory_in_place_of_the_database_is_refused);
	tcase_add_test(disk, a_wrong_current_directory_is_refused);
	tcase_add_test(disk, nobody_else_can_read_the_files);
	tcase_add_test(disk, the_directory_needs_no_reachable_path);
	tcase_add_test(disk, a_full_disk_refuses_writes_and_recovers);
	tcase_add_test(disk, a_failed_fsync_is_the_end_of_the_store);
	tcase_add_test(disk, the_log_does_not_grow_for_ever);
	suite_add_tcase(suite, disk);
	return unit_run(suite);
}
