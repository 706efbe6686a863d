/*
 * memory.c - a store that forgets everything at the end: for tests, and to
 * say what the other one must do.
 *
 * Runs in: gateway
 *          (the writer thread).
 * Owns:    arrays of everything, searched from end to end.
 */
#include "runtime/store/store_priv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct daily {
	int64_t day_ms;
	struct store_usage_row sums; /* key: the function */
};

struct memory {
	struct store_rows records;
	struct store_rows daily;
	struct store_rows versions;
	struct store_rows events; /* ids are positions + 1 */
	uint64_t last_seq;
};

#define AT(list, type, i) (&((type *)(void *)(list)->rows.p)[i])

static void *
memory_open(int dirfd, struct err *err)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (memory == NULL)
		abort();
	return memory;
}

static void
rows_free(struct store_rows *rows)
{
	buf_fini(&rows->rows);
	while (rows->texts != NULL) {
		struct store_text *next = rows->texts->next;

		free(rows->texts);
		rows->texts = next;
	}
}

static void
memory_close(void *self)
{
	struct memory *memory = self;

	rows_free(&memory->records);
	rows_free(&memory->daily);
	rows_free(&memory->versions);
	rows_free(&memory->events);
	free(memory);
}

/* No call here fails half-way, so a group needs no undoing. */
static int
memory_begin(void *self, struct err *err)
{
	return 0;
}

static void
memory_rollback(void *self)
{
}

static bool
has_seq(const struct memory *memory, uint64_t seq)
{
	for (size_t i = 0; i < memory->records.n; i++)
		if (AT(&memory->records, const struct record, i)->seq == seq)
			return true;
	return false;
}

static int
memory_add_records(void *self, const struct record *records, size_t n,
    struct err *err)
{
	struct memory *memory = self;

	for (size_t i = 0; i < n; i++) {
		if (has_seq(memory, records[i].seq))
			continue;
		memcpy(store_rows_add(&memory->records, sizeof(*records)),
		    &records[i], sizeof(*records));
		if (records[i].seq > memory->last_seq)
			memory->last_seq = records[i].seq;
	}
	return 0;
}

static int
memory_last_seq(void *self, uint64_t *seq_out, struct err *err)
{
	*seq_out = ((struct memory *)self)->last_seq;
	return 0;
}

static void
make_key(char *key, size_t n, enum store_usage_by by, const char *function,
    int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	if (by == STORE_BY_FUNCTION)
		(void)slice_copy(key, n, slice_of(function));
	else
		(void)strftime(key, n,
		    by == STORE_BY_DAY ? "%Y-%m-%d" : "%Y-%m-%dT%H", &tm);
}

static struct store_usage_row *
row_of(struct store_rows *rows, const char *key)
{
	struct store_usage_row *row;

	for (size_t i = 0; i < rows->n; i++) {
		row = AT(rows, struct store_usage_row, i);
		if (strcmp(row->key, key) == 0)
			return row;
	}
	row = store_rows_add(rows, sizeof(*row));
	(void)slice_copy(row->key, sizeof(row->key), slice_of(key));
	return row;
}

static void
add_sums(struct store_usage_row *row, const struct store_usage_row *more)
{
	row->invocations = store_sum(row->invocations, more->invocations);
	row->errors = store_sum(row->errors, more->errors);
	row->cold = store_sum(row->cold, more->cold);
	row->billed_ms = store_sum(row->billed_ms, more->billed_ms);
	row->mb_ms = store_sum(row->mb_ms, more->mb_ms);
	row->cpu_us = store_sum(row->cpu_us, more->cpu_us);
	row->bytes_in = store_sum(row->bytes_in, more->bytes_in);
	row->bytes_out = store_sum(row->bytes_out, more->bytes_out);
	row->cost_pico = store_sum(row->cost_pico, more->cost_pico);
}

static struct store_usage_row
sums_of(const struct record *record)
{
	struct store_usage_row sums = {.invocations = 1,
	    .errors = record->outcome != RECORD_OUTCOME_OK,
	    .cold = record->kind > RECORD_KIND_WARM,
	    .billed_ms = store_clamp(record->billed_ms),
	    .mb_ms = store_mb_ms(record),
	    .cpu_us = store_clamp(record->cpu_us),
	    .bytes_in = store_clamp(record->bytes_in),
	    .bytes_out = store_clamp(record->bytes_out),
	    .cost_pico = store_clamp(record->cost_pico)};

	(void)slice_copy(sums.key, sizeof(sums.key),
	    slice_of(record->function));
	return sums;
}

static void
count(const struct store_usage_query *query, struct store_rows *rows,
    const struct store_usage_row *sums, int64_t wall_ms)
{
	char key[RECORD_NAME_MAX];

	if (wall_ms < query->since_ms || wall_ms >= query->until_ms ||
	    (query->function != NULL &&
		strcmp(query->function, sums->key) != 0))
		return;
	make_key(key, sizeof(key), query->by, sums->key, wall_ms);
	add_sums(row_of(rows, key), sums);
}

static int
by_key(const void *a, const void *b)
{
	return strcmp(((const struct store_usage_row *)a)->key,
	    ((const struct store_usage_row *)b)->key);
}

static int
memory_usage(void *self, const struct store_usage_query *query,
    struct store_rows *rows, struct err *err)
{
	struct memory *memory = self;

	for (size_t i = 0; i < memory->records.n; i++) {
		const struct record *record =
		    AT(&memory->records, const struct record, i);
		struct store_usage_row sums = sums_of(record);

		count(query, rows, &sums, record->wall_ms);
	}
	for (size_t i = 0; i < memory->daily.n; i++) {
		const struct daily *daily =
		    AT(&memory->daily, const struct daily, i);

		count(query, rows, &daily->sums, daily->day_ms);
	}
	if (rows->n > 0)
		qsort(rows->rows.p, rows->n, sizeof(struct store_usage_row),
		    by_key);
	return 0;
}

static int
memory_compact(void *self, int64_t before_ms, bool *more_out, struct err *err)
{
	struct memory *memory = self;
	struct store_rows kept = {0};

	for (size_t i = 0; i < memory->records.n; i++) {
		const struct record *record =
		    AT(&memory->records, const struct record, i);
		struct daily *daily;

		if (record->wall_ms >= before_ms) {
			memcpy(store_rows_add(&kept, sizeof(*record)), record,
			    sizeof(*record));
			continue;
		}
		daily = store_rows_add(&memory->daily, sizeof(*daily));
		daily->day_ms = store_day_start(record->wall_ms);
		daily->sums = sums_of(record);
	}
	rows_free(&memory->records);
	memory->records = kept;
	*more_out = false;
	return 0;
}

static int
by_name_and_number(const void *a, const void *b)
{
	const struct store_version *left = a;
	const struct store_version *right = b;
	int order = strcmp(left->name, right->name);

	if (order != 0)
		return order;
	return (left->number > right->number) - (left->number < right->number);
}

static int
memory_versions(void *self, struct store_rows *rows, struct err *err)
{
	struct memory *memory = self;
	size_t n = memory->versions.n;

	if (n == 0)
		return 0;
	qsort(memory->versions.rows.p, n, sizeof(struct store_version),
	    by_name_and_number);
	buf_add_slice(&rows->rows, buf_slice(&memory->versions.rows));
	rows->n = n;
	return 0;
}

static int
memory_add_version(void *self, const struct store_version *version,
    struct err *err)
{
	struct memory *memory = self;
	struct store_version *row = NULL;

	for (size_t i = 0; i < memory->versions.n; i++) {
		row = AT(&memory->versions, struct store_version, i);
		if (by_name_and_number(row, version) == 0)
			break;
		row = NULL;
	}
	if (row == NULL)
		row = store_rows_add(&memory->versions, sizeof(*row));
	*row = *version;
	return 0;
}

static struct store_event *
find(struct memory *memory, struct slice key)
{
	for (size_t i = 0; i < memory->events.n; i++) {
		struct store_event *event =
		    AT(&memory->events, struct store_event, i);

		if (slice_eq(event->key, key))
			return event;
	}
	return NULL;
}

static void
copy_event(struct store_rows *rows, const struct store_event *event)
{
	struct store_event *row = store_rows_add(rows, sizeof(*row));

	*row = *event;
	row->key = store_text_copy(&rows->texts, event->key);
	row->function = store_text_copy(&rows->texts, event->function);
	row->source = store_text_copy(&rows->texts, event->source);
	row->event = store_text_copy(&rows->texts, event->event);
	row->note = store_text_copy(&rows->texts, event->note);
	row->error = store_text_copy(&rows->texts, event->error);
	row->blob = store_text_copy(&rows->texts, event->blob);
}

static int
memory_accept_event(void *self, const struct store_event *event,
    uint64_t *id_out, struct err *err)
{
	struct memory *memory = self;

	*id_out = 0;
	if (find(memory, event->key) != NULL)
		return 0;
	copy_event(&memory->events, event);
	*id_out = memory->events.n;
	AT(&memory->events, struct store_event, *id_out - 1)->id = *id_out;
	return 0;
}

static int
memory_update_event(void *self, const struct store_event *event,
    struct err *err)
{
	struct memory *memory = self;
	struct store_event *row;

	if (event->id == 0 || event->id > memory->events.n)
		return err_set(err, ERR_NOT_FOUND, "no event has the id %llu",
		    (unsigned long long)event->id);
	row = AT(&memory->events, struct store_event, event->id - 1);
	row->state = event->state;
	row->attempts = event->attempts;
	row->run_at_ms = event->run_at_ms;
	row->finished_ms = event->finished_ms;
	row->error = store_text_copy(&memory->events.texts, event->error);
	return 0;
}

static int
memory_find_event(void *self, struct slice key, struct store_rows *rows,
    struct err *err)
{
	const struct store_event *event = find(self, key);

	if (event != NULL)
		copy_event(rows, event);
	return 0;
}

static bool
is_wanted(const struct store_event_query *query,
    const struct store_event *event)
{
	if (query->source != NULL && !slice_is(event->source, query->source))
		return false;
	if (query->function != NULL &&
	    !slice_is(event->function, query->function))
		return false;
	if (query->unfinished && event->state > STORE_EVENT_RUNNING)
		return false;
	if (query->after_id == 0)
		return true;
	return query->unfinished ? event->id > query->after_id
				 : event->id < query->after_id;
}

static int
memory_events(void *self, const struct store_event_query *query,
    struct store_rows *rows, struct err *err)
{
	struct memory *memory = self;
	size_t n = memory->events.n;

	for (size_t i = 0; i < n && rows->n < query->limit; i++) {
		const struct store_event *event =
		    AT(&memory->events, const struct store_event,
			query->unfinished ? i : n - 1 - i);

		if (is_wanted(query, event))
			copy_event(rows, event);
	}
	return 0;
}

const struct store_ops store_memory = {
    .kind = "memory",
    .open = memory_open,
    .close = memory_close,
    .begin = memory_begin,
    .commit = memory_begin,
    .rollback = memory_rollback,
    .tidy = memory_begin,
    .add_records = memory_add_records,
    .last_seq = memory_last_seq,
    .usage = memory_usage,
    .compact = memory_compact,
    .versions = memory_versions,
    .add_version = memory_add_version,
    .accept_event = memory_accept_event,
    .update_event = memory_update_event,
    .find_event = memory_find_event,
    .events = memory_events,
};
