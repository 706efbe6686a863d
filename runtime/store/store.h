/*
 * store.h - everything that must outlive a process, behind one interface.
 *
 * Runs in: gateway.
 * Owns:    its connection and its writer thread.
 *
 * Two implementations: "sqlite" (the default: WAL, synchronous=FULL, one
 * writer thread, group commit: what arrives while a commit runs goes into the
 * next one) and "memory" (tests).  Callers see no SQL, never wait, and get
 * their completion on the loop's thread, in the order of submission.  Inputs
 * are copied before a call returns.  A write is durable when its completion
 * says 0; a failed fsync is fatal for the store: that completion and every
 * later one get the error (ERR_SYSTEM).  A full disk is not: the write is
 * undone and its completion gets the error (.sys is ENOSPC); reads go on, and
 * so do writes when there is space again.
 */
#pragma once

#include "runtime/stat/record.h"
#include "sandbox/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct loop;
struct store;

/* err is NULL on success and valid only during the call. */
typedef void (*store_done_fn)(const struct err *err, void *arg);

/*
 * Open or create; blocks.  dirfd: the state directory, which must be the
 * current directory of the process too (the database is opened by a relative
 * name, so that nobody needs to be able to reach the directory by its path).
 * A database that is corrupt, locked by another server or from a newer
 * Perilune is an error that says so.  kind: "sqlite" or "memory".
 */
struct store *store_open(const char *kind, struct loop *loop, int dirfd,
    struct err *err);

/* Finish what was submitted, then close.  Completions are called. */
void store_close(struct store *store);

/* --- the ledger ------------------------------------------------------- */

/* Append records; one whose seq is there already is left alone. */
void store_add_records(struct store *store, const struct record *records,
    size_t n, store_done_fn done, void *arg);

/* The highest seq in the ledger; 0 when empty.  Blocks: start-up only. */
int store_last_seq(struct store *store, uint64_t *seq_out, struct err *err);

enum store_usage_by { STORE_BY_FUNCTION, STORE_BY_DAY, STORE_BY_HOUR };

struct store_usage_query {
	const char *function; /* NULL: all */
	int64_t since_ms;     /* wall clock, inclusive */
	int64_t until_ms;     /* exclusive; 0: no end */
	enum store_usage_by by;
};

struct store_usage_row {
	char key
	    [RECORD_NAME_MAX]; /* name, "2026-11-23", "2026-11-23T14" (UTC) */
	uint64_t invocations;
	uint64_t errors; /* outcome other than ok */
	uint64_t cold;	 /* kind other than warm and none */
	uint64_t billed_ms;
	uint64_t mb_ms; /* billed ms times memory_mb */
	uint64_t cpu_us;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t cost_pico;
};

void store_usage(struct store *store, const struct store_usage_query *query,
    void (*done)(const struct store_usage_row *rows, size_t n,
	const struct err *err, void *arg),
    void *arg);

/*
 * Delete records from before the UTC day in which before_ms lies; keep their
 * sums per function and day.  store_usage counts those at the start of their
 * day, by hour as well.  Done in steps, so that other work gets its turn.
 */
void store_compact(struct store *store, int64_t before_ms, store_done_fn done,
    void *arg);

/* --- versions of functions -------------------------------------------- */

struct store_version {
	char name[RECORD_NAME_MAX];
	char hash[65];
	uint32_t number;
};

/* All of them, ordered by name, number. */
void store_versions(struct store *store,
    void (*done)(const struct store_version *versions, size_t n,
	const struct err *err, void *arg),
    void *arg);
void store_add_version(struct store *store, const struct store_version *version,
    store_done_fn done, void *arg);

/* --- accepted events (uploads now; queues and schedules later) --------- */

#define STORE_EVENT_STATES(X)                                        \
	X(ACCEPTED, "accepted") /* waits for its time (run_at_ms) */ \
	X(RUNNING, "running") X(DONE, "done") X(FAILED, "failed")
#define X(name, text) STORE_EVENT_##name,
enum store_event_state { STORE_EVENT_STATES(X) };
#undef X
const char *store_event_state_name(unsigned int state);

struct store_event {
	uint64_t id;	  /* given by store_accept_event */
	struct slice key; /* unique: the same key is accepted once, ever */
	struct slice function;
	struct slice source; /* "upload" */
	struct slice event;  /* JSON, the handler's event */
	struct slice note;   /* "uploads/in/a.csv"; for listings */
	struct slice error;  /* of the last attempt; empty: none */
	struct slice blob;   /* name of the spooled content; empty: none */
	enum store_event_state state;
	uint32_t attempts;
	int64_t accepted_ms;
	int64_t run_at_ms;   /* not before */
	int64_t finished_ms; /* 0 until DONE or FAILED */
	uint64_t bytes;	     /* of the content */
};

/* id_out is 0 when the key was accepted before (then nothing changed). */
void store_accept_event(struct store *store, const struct store_event *event,
    void (*done)(uint64_t id, const struct err *err, void *arg), void *arg);

/* Write state, attempts, run_at_ms, finished_ms, error of the event id. */
void store_update_event(struct store *store, const struct store_event *event,
    store_done_fn done, void *arg);

/* Is this key accepted already?  found: its event, borrowed, or NULL. */
void store_find_event(struct store *store, struct slice key,
    void (*done)(const struct store_event *found, const struct err *err,
	void *arg),
    void *arg);

struct store_event_query {
	const char *source;   /* NULL: all */
	const char *function; /* NULL: all */
	bool unfinished;      /* only ACCEPTED and RUNNING */
	uint64_t after_id;    /* paging */
	size_t limit;	      /* at most so many; newest first unless
				   * unfinished, then oldest first */
};
void store_events(struct store *store, const struct store_event_query *query,
    void (*done)(const struct store_event *events, size_t n,
	const struct err *err, void *arg),
    void *arg);
