/*
 * store_priv.h - what stands between the queue and an implementation.
 *
 * Runs in: gateway.
 * Owns:    see struct store_text.
 *
 * store.c has everything that is the same for all implementations: the queue,
 * the writer thread, groups, completions.  An implementation is a table of
 * functions that are called on the writer thread, one at a time, and may
 * block.
 */
#pragma once

#include "runtime/store/store.h"
#include "sandbox/base/err.h"

/* Bytes that live as long as a job: copied inputs, texts of results. */
struct store_text {
	struct store_text *next;
	char bytes[];
};
struct slice store_text_copy(struct store_text **texts, struct slice s);

/* Rows of a result; a buf used as an array. */
struct store_rows {
	struct buf rows;
	size_t n;
	struct store_text *texts;
};

/* Room for one more row of this size, zeroed. */
void *store_rows_add(struct store_rows *rows, size_t row_bytes);

/*
 * Each returns 0, or -1 with err.  ERR_BAD_INPUT, ERR_NOT_FOUND and ERR_LIMIT
 * concern that call alone (and nothing of it was done); ERR_SYSTEM undoes the
 * group that it stood in.
 */
struct store_ops {
	const char *kind;
	void *(*open)(int dirfd, struct err *err);
	void (*close)(void *self);

	/* A group of calls that become durable together. */
	int (*begin)(void *self, struct err *err);
	int (*commit)(void *self, struct err *err);
	void (*rollback)(void *self);

	/*
	 * Between groups; a failure here is fatal.  Also says whether the
	 * implementation may be used again after the failure before it.
	 */
	int (*tidy)(void *self, struct err *err);

	int (*add_records)(void *self, const struct record *records, size_t n,
	    struct err *err);
	int (*last_seq)(void *self, uint64_t *seq_out, struct err *err);
	int (*usage)(void *self, const struct store_usage_query *query,
	    struct store_rows *rows, struct err *err);
	/* At most a few thousand records per call; *more_out: call again. */
	int (*compact)(void *self, int64_t before_ms, bool *more_out,
	    struct err *err);
	int (*versions)(void *self, struct store_rows *rows, struct err *err);
	int (*add_version)(void *self, const struct store_version *version,
	    struct err *err);
	int (*accept_event)(void *self, const struct store_event *event,
	    uint64_t *id_out, struct err *err);
	int (*update_event)(void *self, const struct store_event *event,
	    struct err *err);
	int (*find_event)(void *self, struct slice key, struct store_rows *rows,
	    struct err *err);
	int (*events)(void *self, const struct store_event_query *query,
	    struct store_rows *rows, struct err *err);
};

extern const struct store_ops store_sqlite;
extern const struct store_ops store_memory;

#define STORE_DAY_MS  86400000 /* UTC days, as the sums are kept */
#define STORE_HOUR_MS 3600000

static inline int64_t
store_day_start(int64_t wall_ms)
{
	int64_t into = wall_ms % STORE_DAY_MS;

	return wall_ms - (into < 0 ? into + STORE_DAY_MS : into);
}

/* What the ledger can hold: SQLite's integers are signed. */
static inline uint64_t
store_clamp(uint64_t n)
{
	return n > INT64_MAX ? INT64_MAX : n;
}

static inline uint64_t
store_sum(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline uint64_t
store_mb_ms(const struct record *record)
{
	uint64_t product;

	if (__builtin_mul_overflow(record->billed_ms,
		(uint64_t)record->memory_mb, &product))
		return INT64_MAX;
	return store_clamp(product);
}
