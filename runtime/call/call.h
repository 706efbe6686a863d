/*
 * call.h - invocations: one event, one worker, one record.
 *
 * Runs in: gateway, cli.
 * Owns:    the queue of every function, images, workers that have a function.
 *
 *	queued --> sent to a worker --> done (RESULT, FAILED, death, deadline)
 *	   |  \--> (a worker starts: image, build, fork)
 *	   +--> refused (queue full, waited too long, draining, cancelled,
 *	                 no room for its record)
 *
 * Every call that call_start() took ends in exactly one done() and one
 * record.  All on the loop's thread.
 */
#pragma once

#include "runtime/fn/fn.h"
#include "runtime/pool/pool.h"
#include "runtime/stat/record.h"

struct call;
struct calls;
struct loop;

struct call_limits {
	uint32_t max_queue;
	uint64_t max_queue_bytes;
	uint64_t max_queue_wait_ms;
	uint64_t init_timeout_ms;
	uint64_t kill_grace_ms;
	uint64_t max_log_bytes;
	uint64_t image_cache_bytes;
};

/* What came of a call; everything borrowed, valid during done(). */
struct call_result {
	const struct record *record; /* complete: status, times, cost */
	/* The handler's answer, when outcome is OK. */
	struct wire_reader headers; /* u32 n, n times (name, value) */
	struct slice body;
	/* What went wrong, otherwise. */
	struct slice message;	/* for the log, and for callers with --dev */
	struct slice traceback; /* likewise */
	uint32_t retry_after_s; /* 0: no such hint */
};

struct call_request {
	struct fn_version *version; /* the call takes its own reference */
	enum record_source source;
	const char *request_id; /* copied */
	int64_t wall_ms;
	uint64_t accepted_us;
	uint64_t bytes_in;
	uint32_t attempt;
	enum wire_event kind;
	/* Put the event's fields (PROTOCOL.md); called when a worker is there,
	 * so what it needs must live until done(). */
	void (*encode)(struct buf *out, void *arg);
	void (*done)(struct call *call, const struct call_result *result,
	    void *arg);
	/* A FILE_* question.  Answer with call_answer_*, now or later.  NULL:
	 * this request has no files. */
	void (*on_file)(struct call *call, const struct wire_header *header,
	    struct slice body, void *arg);
	void *arg;
};

struct calls_callbacks {
	/* Can the record of one more call be kept?  NULL: always. */
	bool (*may_record)(void *arg);
	/* Number and bill the record; comes before done(). */
	void (*on_record)(struct record *record, void *arg);
	/* The call is over: for logs and metrics; comes after done(). */
	void (*on_over)(const struct fn_version *version,
	    const struct call_result *result, void *arg);
	/* A line that a function wrote. */
	void (*on_log)(const struct fn_version *version, const char *request_id,
	    enum wire_log level, struct slice text, struct slice fields,
	    void *arg);
	/* A violation, a breach, a build that failed: the platform's log. */
	void (*on_note)(const struct fn_version *version, const char *what,
	    void *arg);
};

struct calls *calls_new(struct loop *loop, const struct call_limits *limits,
    unsigned int ready_workers, unsigned int max_workers,
    const struct calls_callbacks *callbacks, void *arg);
void calls_set_limits(struct calls *calls, const struct call_limits *limits,
    unsigned int ready_workers, unsigned int max_workers);

/* The pool, for pool_attach, pool_stats and listings. */
struct pool *calls_pool(struct calls *calls);

/* What the pool's on_hello and on_zygote_gone are passed on to. */
void calls_on_zygote(struct calls *calls,
    int (*on_hello)(const struct pool_hello *hello, void *arg),
    void (*on_gone)(void *arg), void *arg);

/*
 * Begin.  Returns the call, or NULL when it was refused at once; done() has
 * been called in that case.
 */
struct call *call_start(struct calls *calls,
    const struct call_request *request);

/* The caller went away: done() comes with outcome CANCELLED, at once. */
void call_cancel(struct call *call);

void *call_arg(const struct call *call);

void call_answer_data(struct call *call, bool ok, struct slice data);
void call_answer_done(struct call *call, bool ok, struct slice reason);

/*
 * Build the image of a version: run its init in a jailed worker.  error is
 * NULL on success; otherwise what its author must know.
 */
void calls_build(struct calls *calls, struct fn_version *version,
    void (*done)(struct fn_version *version, const char *error, void *arg),
    void *arg);

/* The version serves from now on (it replaces `before`, if not NULL): keep
 * its min_workers warm.  The other: no more requests will come. */
void calls_activate(struct calls *calls, struct fn_version *version,
    struct fn_version *before);
void calls_deactivate(struct calls *calls, struct fn_version *version);

/*
 * Bring a function into the state from which the next start is of this kind:
 * WARM leaves it as it is, IMAGE retires its workers, BUILD drops its image
 * too, FORK also empties the pool.  False: it is busy.  done comes when there
 * is no worker left.
 */
bool calls_prepare(struct calls *calls, struct fn_version *version,
    enum record_kind kind, void (*done)(void *arg), void *arg);

struct call_function_stats {
	uint32_t idle, busy, starting, queued;
	uint64_t invocations, errors, cold_starts;
	size_t image_bytes; /* 0: none in the cache */
};
void calls_function_stats(const struct fn_version *version,
    struct call_function_stats *stats_out);

struct calls_stats {
	uint64_t image_bytes, images, images_evicted, builds, build_failures;
	uint32_t in_flight, queued;
	uint64_t queued_bytes;
};
void calls_stats(const struct calls *calls, struct calls_stats *stats_out);

/*
 * Take nothing more; done comes when nothing runs, at the latest after
 * timeout_ms, when what still runs has been killed (and answered).
 */
void calls_drain(struct calls *calls, uint64_t timeout_ms,
    void (*done)(void *arg), void *arg);

void calls_free(struct calls *calls);
