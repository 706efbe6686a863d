/*
 * sqlite_calls.c - the store's calls as SQL.
 *
 * Runs in: gateway
 *          (the writer thread).
 *
 * SQLite's integers are signed, and its sum() fails when it overflows: large
 * values are clamped on their way in, and sums are made of the upper and the
 * lower 32 bits, then put together with saturation.
 */
#include "runtime/store/sqlite_priv.h"

#include <stdio.h>
#include <string.h>

#define CHECKPOINT_PAGES 1000  /* of 4 KiB in the log */
#define COMPACT_ROWS	 10000 /* records in one step of store_compact */
#define SUM_MAX		 ((uint64_t)1 << 61) /* so that two can be added */

/* Columns of a record that are plain numbers, in the order of the insert. */
/* clang-format off */
#define NUMBERS(X)                                                     \
	X(queue_us) X(spawn_us) X(jail_us) X(load_us) X(init_us)       \
	X(handler_us) X(first_us) X(cpu_us) X(peak_kb) X(bytes_in)     \
	X(bytes_out) X(billed_ms) X(cost_pico) X(version) X(memory_mb) \
	X(attempt) X(status) X(source) X(kind) X(cause) X(outcome)     \
	X(failed_by)
/* clang-format on */
#define NAME(column) "," #column
#define MARK(column) ",?"

/* Columns of the sums, in the order of struct store_usage_row. */
/* clang-format off */
#define SUMS(X)                                                       \
	X(invocations) X(errors) X(cold) X(billed_ms) X(mb_ms)        \
	X(cpu_us) X(bytes_in) X(bytes_out) X(cost_pico)
/* clang-format on */
#define SUM_PAIR(column) ",sum(" #column ">>32),sum(" #column "&4294967295)"
#define PLAIN(column)	 "," #column
#define UPSERT(column) \
	column "=min(" column "+excluded." column ",4611686018427387904)"

/* A record as a row of sums. */
#define AS_SUMS                                                 \
	"1 AS invocations,outcome<>0 AS errors,kind>1 AS cold," \
	"billed_ms,mb_ms,cpu_us,bytes_in,bytes_out,cost_pico"
_Static_assert(RECORD_OUTCOME_OK == 0 && RECORD_KIND_WARM == 1,
    "AS_SUMS has these numbers in it");

#define OLD_RECORDS                                      \
	"(SELECT * FROM records INDEXED BY records_wall" \
	" WHERE wall_ms<?1 ORDER BY wall_ms,seq LIMIT 10000)"
_Static_assert(COMPACT_ROWS == 10000, "OLD_RECORDS has this number in it");

#define EVENT_COLUMNS                                                  \
	"id,key,function,source,event,note,error,blob,state,attempts," \
	"accepted_ms,run_at_ms,finished_ms,bytes"

const char *const sql_text[SQL_N] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_ADD_RECORD] = "INSERT OR IGNORE INTO records"
		       "(seq,function,request_id,reason,mb_ms,wall_ms" NUMBERS(
			   NAME) ") VALUES(?,?,?,?,?,?" NUMBERS(MARK) ")",
    [SQL_LAST_SEQ] = "SELECT max("
		     "coalesce((SELECT max(seq) FROM records),0),"
		     "coalesce((SELECT value FROM meta"
		     " WHERE name='compacted_seq'),0))",
    [SQL_COMPACT_LIST] =
	"SELECT function,wall_ms-(wall_ms%86400000) AS day" SUMS(
	    SUM_PAIR) ",count(*) FROM (SELECT function,wall_ms," AS_SUMS
		      " FROM " OLD_RECORDS ") GROUP BY function,day",
    [SQL_COMPACT_ADD] =
	"INSERT INTO daily VALUES(?,?,?,?,?,?,?,?,?,?,?)"
	" ON CONFLICT(function,day_ms) DO UPDATE "
	"SET " UPSERT("invocations") "," UPSERT("errors") "," UPSERT("cold") "," UPSERT("billed_ms") "," UPSERT(
	    "mb_ms") "," UPSERT("cpu_us") "," UPSERT("bytes"
						     "_in") "," UPSERT("bytes_"
								       "out") "," UPSERT("cost_pico"),
    [SQL_COMPACT_MARK] =
	"INSERT INTO meta SELECT 'compacted_seq',coalesce(max(seq),0) "
	"FROM " OLD_RECORDS " WHERE true ON CONFLICT(name) DO UPDATE SET"
	" value=max(value,excluded.value)",
    [SQL_COMPACT_DELETE] =
	"DELETE FROM records WHERE seq IN (SELECT seq FROM " OLD_RECORDS ")",
    [SQL_VERSIONS] =
	"SELECT name,hash,number FROM versions ORDER BY name,number",
    [SQL_ADD_VERSION] =
	"INSERT OR REPLACE INTO versions(name,hash,number) VALUES(?,?,?)",
    [SQL_ACCEPT_EVENT] =
	"INSERT INTO "
	"events(key,function,source,event,note,error,blob,state,"
	"attempts,accepted_ms,run_at_ms,finished_ms,bytes)"
	" VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(key) DO NOTHING",
    [SQL_UPDATE_EVENT] = "UPDATE events SET state=?,attempts=?,run_at_ms=?,"
			 "finished_ms=?,error=? WHERE id=?",
    [SQL_FIND_EVENT] = "SELECT " EVENT_COLUMNS " FROM events WHERE key=?",
};

/* --- binding and reading ------------------------------------------------ */

static void
bind_u64(sqlite3_stmt *stmt, int at, uint64_t n)
{
	(void)sqlite3_bind_int64(stmt, at, (sqlite3_int64)store_clamp(n));
}

/* Bytes as they are; never NULL.  Valid until the step is done. */
static void
bind_blob(sqlite3_stmt *stmt, int at, struct slice s)
{
	(void)sqlite3_bind_blob(stmt, at, s.n == 0 ? "" : s.p, (int)s.n,
	    SQLITE_STATIC);
}

static void
bind_text(sqlite3_stmt *stmt, int at, struct slice s)
{
	(void)sqlite3_bind_text(stmt, at, s.n == 0 ? "" : s.p, (int)s.n,
	    SQLITE_STATIC);
}

static struct slice
column(sqlite3_stmt *stmt, int at)
{
	const void *p = sqlite3_column_blob(stmt, at);

	return slice_from(p, (size_t)sqlite3_column_bytes(stmt, at));
}

static uint64_t
column_u64(sqlite3_stmt *stmt, int at)
{
	sqlite3_int64 n = sqlite3_column_int64(stmt, at);

	return n < 0 ? 0 : (uint64_t)n;
}

/* Two columns, upper and lower 32 bits of many values, each summed up. */
static uint64_t
column_sum(sqlite3_stmt *stmt, int at)
{
	uint64_t high = column_u64(stmt, at);
	uint64_t low = column_u64(stmt, at + 1);

	return high > UINT32_MAX ? UINT64_MAX : store_sum(high << 32, low);
}

/* SUMS(SUM_PAIR) from column `at` on. */
static void
column_sums(sqlite3_stmt *stmt, int at, struct store_usage_row *row)
{
#define X(column)                           \
	row->column = column_sum(stmt, at); \
	at += 2;
	SUMS(X)
#undef X
}

/* A statement that returns no rows. */
static int
done(struct sqlite *sql, enum sql_statement which, const char *what,
    struct err *err)
{
	return sqlite_step(sql, sql->statements[which], what, err) < 0 ? -1 : 0;
}

/* --- groups ------------------------------------------------------------- */

static int
sqlite_begin(void *self, struct err *err)
{
	return done(self, SQL_BEGIN, "begin", err);
}

static int
sqlite_commit(void *self, struct err *err)
{
	return done(self, SQL_COMMIT, "commit", err);
}

/* After some errors SQLite has rolled back by itself. */
static void
sqlite_rollback(void *self)
{
	struct sqlite *sql = self;
	struct err ignored;

	for (int i = 0; i < SQL_N; i++)
		(void)sqlite3_reset(sql->statements[i]);
	if (sqlite3_get_autocommit(sql->db) == 0)
		(void)done(sql, SQL_ROLLBACK, "rollback", &ignored);
}

/* A full disk only puts the checkpoint off. */
static int
sqlite_tidy(void *self, struct err *err)
{
	struct sqlite *sql = self;
	struct err ignored;

	if (!sql->dead && sql->wal_pages >= CHECKPOINT_PAGES) {
		if (sqlite3_wal_checkpoint_v2(sql->db, NULL,
			SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) != SQLITE_OK)
			(void)sqlite_err(sql, "checkpoint", &ignored);
		sql->wal_pages = 0;
	}
	if (!sql->dead)
		return 0;
	*err = sql->death;
	return -1;
}

/* --- the ledger --------------------------------------------------------- */

static int
add_record(struct sqlite *sql, const struct record *record, struct err *err)
{
	sqlite3_stmt *stmt = sql->statements[SQL_ADD_RECORD];
	int at = 7;

	bind_u64(stmt, 1, record->seq);
	bind_text(stmt, 2, slice_of(record->function));
	bind_text(stmt, 3, slice_of(record->request_id));
	bind_text(stmt, 4, slice_of(record->reason));
	bind_u64(stmt, 5, store_mb_ms(record));
	(void)sqlite3_bind_int64(stmt, 6, record->wall_ms);
#define X(column) bind_u64(stmt, at++, record->column);
	NUMBERS(X)
#undef X
	return done(sql, SQL_ADD_RECORD, "add records", err);
}

static int
sqlite_add_records(void *self, const struct record *records, size_t n,
    struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (add_record(self, &records[i], err) < 0)
			return -1;
	return 0;
}

static int
sqlite_last_seq(void *self, uint64_t *seq_out, struct err *err)
{
	struct sqlite *sql = self;
	sqlite3_stmt *stmt = sql->statements[SQL_LAST_SEQ];
	int got = sqlite_step(sql, stmt, "last record", err);

	if (got == 1)
		*seq_out = column_u64(stmt, 0);
	(void)sqlite3_reset(stmt);
	return got < 0 ? -1 : 0;
}

/* The key of a row, from a wall clock; ?2, ?3: the range. */
static const char *
key_expression(enum store_usage_by by)
{
	switch (by) {
	case STORE_BY_DAY:
		return "strftime('%Y-%m-%d',wall_ms/1000,'unixepoch')";
	case STORE_BY_HOUR:
		return "strftime('%Y-%m-%dT%H',wall_ms/1000,'unixepoch')";
	case STORE_BY_FUNCTION:
		break;
	}
	return "function";
}

/* Records and the daily sums of those that were compacted, as one list. */
static int
prepare_usage(struct sqlite *sql, const struct store_usage_query *query,
    sqlite3_stmt **stmt_out, struct err *err)
{
	const char *key = key_expression(query->by);
	const char *only = query->function == NULL ? "" : "function=?1 AND ";
	char text[2048];

	(void)snprintf(text, sizeof(text),
	    "SELECT key" SUMS(
		SUM_PAIR) " FROM ("
			  "SELECT %s AS key," AS_SUMS " FROM records"
			  " WHERE %swall_ms>=?2 AND wall_ms<?3 UNION ALL "
			  "SELECT %s AS key" SUMS(
			      PLAIN) " FROM"
				     " (SELECT *,day_ms AS wall_ms FROM daily)"
				     " WHERE %swall_ms>=?2 AND wall_ms<?3) "
				     "GROUP BY key ORDER BY key",
	    key, only, key, only);
	if (sqlite3_prepare_v2(sql->db, text, -1, stmt_out, NULL) != SQLITE_OK)
		return sqlite_err(sql, "usage", err);
	if (query->function != NULL)
		bind_text(*stmt_out, 1, slice_of(query->function));
	(void)sqlite3_bind_int64(*stmt_out, 2, query->since_ms);
	(void)sqlite3_bind_int64(*stmt_out, 3, query->until_ms);
	return 0;
}

static int
sqlite_usage(void *self, const struct store_usage_query *query,
    struct store_rows *rows, struct err *err)
{
	struct sqlite *sql = self;
	sqlite3_stmt *stmt;
	int got;

	if (prepare_usage(sql, query, &stmt, err) < 0)
		return -1;
	while ((got = sqlite_step(sql, stmt, "usage", err)) == 1) {
		struct store_usage_row *row =
		    store_rows_add(rows, sizeof(*row));

		(void)slice_copy(row->key, sizeof(row->key), column(stmt, 0));
		column_sums(stmt, 1, row);
	}
	(void)sqlite3_finalize(stmt);
	return got;
}

/* The sums of one function and day into `daily`. */
static int
compact_add(struct sqlite *sql, sqlite3_stmt *list, struct err *err)
{
	sqlite3_stmt *add = sql->statements[SQL_COMPACT_ADD];
	struct store_usage_row sums;
	int at = 3;

	column_sums(list, 2, &sums);
	bind_text(add, 1, column(list, 0));
	(void)sqlite3_bind_int64(add, 2, sqlite3_column_int64(list, 1));
#define X(column) \
	bind_u64(add, at++, sums.column > SUM_MAX ? SUM_MAX : sums.column);
	SUMS(X)
#undef X
	return done(sql, SQL_COMPACT_ADD, "compact", err);
}

static int
sqlite_compact(void *self, int64_t before_ms, bool *more_out, struct err *err)
{
	struct sqlite *sql = self;
	sqlite3_stmt *list = sql->statements[SQL_COMPACT_LIST];
	uint64_t n = 0;
	int got;

	(void)sqlite3_bind_int64(list, 1, before_ms);
	while ((got = sqlite_step(sql, list, "compact", err)) == 1) {
		n += column_u64(list, 20);
		if (compact_add(sql, list, err) < 0) {
			(void)sqlite3_reset(list);
			return -1;
		}
	}
	(void)sqlite3_bind_int64(sql->statements[SQL_COMPACT_MARK], 1,
	    before_ms);
	(void)sqlite3_bind_int64(sql->statements[SQL_COMPACT_DELETE], 1,
	    before_ms);
	*more_out = n >= COMPACT_ROWS;
	if (got < 0 || done(sql, SQL_COMPACT_MARK, "compact", err) < 0)
		return -1;
	return done(sql, SQL_COMPACT_DELETE, "compact", err);
}

/* --- versions ----------------------------------------------------------- */

static int
sqlite_versions(void *self, struct store_rows *rows, struct err *err)
{
	struct sqlite *sql = self;
	sqlite3_stmt *stmt = sql->statements[SQL_VERSIONS];
	int got;

	while ((got = sqlite_step(sql, stmt, "versions", err)) == 1) {
		struct store_version *row = store_rows_add(rows, sizeof(*row));

		(void)slice_copy(row->name, sizeof(row->name), column(stmt, 0));
		(void)slice_copy(row->hash, sizeof(row->hash), column(stmt, 1));
		row->number = (uint32_t)column_u64(stmt, 2);
	}
	return got;
}

static int
sqlite_add_version(void *self, const struct store_version *version,
    struct err *err)
{
	struct sqlite *sql = self;
	sqlite3_stmt *stmt = sql->statements[SQL_ADD_VERSION];

	bind_text(stmt, 1, slice_of(version->name));
	bind_text(stmt, 2, slice_of(version->hash));
	bind_u64(stmt, 3, version->number);
	return done(sql, SQL_ADD_VERSION, "add a version", err);
}

/* --- events ------------------------------------------------------------- */

static int
sqlite_accept_event(void *self, const struct store_event *event,
    uint64_t *id_out, struct err *err)
{
	struct sqlite *sql = self;
	sqlite3_stmt *stmt = sql->statements[SQL_ACCEPT_EVENT];

	bind_blob(stmt, 1, event->key);
	bind_text(stmt, 2, event->function);
	bind_text(stmt, 3, event->source);
	bind_blob(stmt, 4, event->event);
	bind_blob(stmt, 5, event->note);
	bind_blob(stmt, 6, event->error);
	bind_blob(stmt, 7, event->blob);
	bind_u64(stmt, 8, event->state);
	bind_u64(stmt, 9, event->attempts);
	(void)sqlite3_bind_int64(stmt, 10, event->accepted_ms);
	(void)sqlite3_bind_int64(stmt, 11, event->run_at_ms);
	(void)sqlite3_bind_int64(stmt, 12, event->finished_ms);
	bind_u64(stmt, 13, event->bytes);
	if (done(sql, SQL_ACCEPT_EVENT, "accept an event", err) < 0)
		return -1;
	*id_out = sqlite3_changes(sql->db) == 0
	    ? 0
	    : (uint64_t)sqlite3_last_insert_rowid(sql->db);
	return 0;
}

static int
sqlite_update_event(void *self, const struct store_event *event,
    struct err *err)
{
	struct sqlite *sql = self;
	sqlite3_stmt *stmt = sql->statements[SQL_UPDATE_EVENT];

	bind_u64(stmt, 1, event->state);
	bind_u64(stmt, 2, event->attempts);
	(void)sqlite3_bind_int64(stmt, 3, event->run_at_ms);
	(void)sqlite3_bind_int64(stmt, 4, event->finished_ms);
	bind_blob(stmt, 5, event->error);
	bind_u64(stmt, 6, event->id);
	if (done(sql, SQL_UPDATE_EVENT, "update an event", err) < 0)
		return -1;
	if (sqlite3_changes(sql->db) == 0)
		return err_set(err, ERR_NOT_FOUND, "no event has the id %llu",
		    (unsigned long long)event->id);
	return 0;
}

/* EVENT_COLUMNS as a row; its texts belong to the rows. */
static void
column_event(sqlite3_stmt *stmt, struct store_rows *rows)
{
	struct store_event *row = store_rows_add(rows, sizeof(*row));
	struct store_text **texts = &rows->texts;

	row->id = column_u64(stmt, 0);
	row->key = store_text_copy(texts, column(stmt, 1));
	row->function = store_text_copy(texts, column(stmt, 2));
	row->source = store_text_copy(texts, column(stmt, 3));
	row->event = store_text_copy(texts, column(stmt, 4));
	row->note = store_text_copy(texts, column(stmt, 5));
	row->error = store_text_copy(texts, column(stmt, 6));
	row->blob = store_text_copy(texts, column(stmt, 7));
	row->state = (enum store_event_state)sqlite3_column_int(stmt, 8);
	row->attempts = (uint32_t)column_u64(stmt, 9);
	row->accepted_ms = sqlite3_column_int64(stmt, 10);
	row->run_at_ms = sqlite3_column_int64(stmt, 11);
	row->finished_ms = sqlite3_column_int64(stmt, 12);
	row->bytes = column_u64(stmt, 13);
}

static int
sqlite_find_event(void *self, struct slice key, struct store_rows *rows,
    struct err *err)
{
	struct sqlite *sql = self;
	sqlite3_stmt *stmt = sql->statements[SQL_FIND_EVENT];
	int got;

	bind_blob(stmt, 1, key);
	got = sqlite_step(sql, stmt, "find an event", err);
	if (got == 1)
		column_event(stmt, rows);
	(void)sqlite3_reset(stmt);
	return got < 0 ? -1 : 0;
}

static int
sqlite_events(void *self, const struct store_event_query *query,
    struct store_rows *rows, struct err *err)
{
	struct sqlite *sql = self;
	sqlite3_stmt *stmt;
	char text[512];
	int got;

	(void)snprintf(text, sizeof(text),
	    "SELECT " EVENT_COLUMNS " FROM events WHERE %s%s%s(?3=0 OR id%s?3)"
	    " ORDER BY id %s LIMIT ?4",
	    query->unfinished ? "state<2 AND " : "",
	    query->source == NULL ? "" : "source=?1 AND ",
	    query->function == NULL ? "" : "function=?2 AND ",
	    query->unfinished ? ">" : "<", query->unfinished ? "ASC" : "DESC");
	if (sqlite3_prepare_v2(sql->db, text, -1, &stmt, NULL) != SQLITE_OK)
		return sqlite_err(sql, "events", err);
	if (query->source != NULL)
		bind_text(stmt, 1, slice_of(query->source));
	if (query->function != NULL)
		bind_text(stmt, 2, slice_of(query->function));
	bind_u64(stmt, 3, query->after_id);
	bind_u64(stmt, 4, query->limit);
	while ((got = sqlite_step(sql, stmt, "events", err)) == 1)
		column_event(stmt, rows);
	(void)sqlite3_finalize(stmt);
	return got;
}

const struct store_ops store_sqlite = {
    .kind = "sqlite",
    .open = sqlite_store_open,
    .close = sqlite_store_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .tidy = sqlite_tidy,
    .add_records = sqlite_add_records,
    .last_seq = sqlite_last_seq,
    .usage = sqlite_usage,
    .compact = sqlite_compact,
    .versions = sqlite_versions,
    .add_version = sqlite_add_version,
    .accept_event = sqlite_accept_event,
    .update_event = sqlite_update_event,
    .find_event = sqlite_find_event,
    .events = sqlite_events,
};
