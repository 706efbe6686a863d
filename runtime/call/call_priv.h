/*
 * call_priv.h - what the files of runtime/call share.
 *
 * Runs in: gateway, cli.
 *
 * call.c	one call: dispatch, frames, deadline, record
 * function.c	one version of a function: its queue and its workers
 * build.c	running an init and keeping the heap
 * image.c	the cache of those heaps
 * calls.c	what they all stand in; entry points from the pool
 */
#pragma once

#include "runtime/call/call.h"
#include "runtime/call/scale.h"
#include "runtime/loop/loop.h"
#include "sandbox/base/bytes.h"

#define CALL_FRAMES_MAX 4000000u /* of one worker in one call */

struct build;

/* A heap as its worker left it after init. */
struct image {
	char *bytes;
	size_t n;
	uint64_t generation;   /* of the zygote whose layout it has */
	struct function *next; /* in order of use, newest first */
	struct function *prev;
};

enum call_state { CALL_QUEUED, CALL_RUNNING, CALL_OVER };

struct call {
	struct calls *calls;
	struct function *function;
	struct call_request request;
	enum call_state state;
	struct call *next; /* in the function's queue, or among those running */
	struct call *prev;
	struct worker *worker;
	uint64_t id;
	uint64_t assigned_us; /* a worker was there */
	uint64_t sent_us;     /* INVOKE was written */
	uint64_t started_us;  /* first handler instruction; warm: sent_us */
	uint64_t deadline_us;
	uint64_t log_bytes;
	uint64_t logs_dropped;
	uint32_t frames;
	uint32_t reruns; /* workers that died before they read it */
	bool announced;	 /* STARTED is expected */
	bool out_of_time;
	bool asked;	/* a FILE_* question is not answered yet */
	bool *over_out; /* set when it is over, while call_start() runs */
	char request_id[RECORD_ID_MAX];
	struct record record;
};

/* What a worker is to the function that it serves: kept in worker->job. */
struct tenure {
	struct function *function;
	struct call *call;     /* RUNNING: this one */
	struct build *build;   /* BUILDING: this one */
	enum record_kind kind; /* of its start, for its first call */
	enum record_cause cause;
	uint64_t spawn_us; /* phases of its start, for its first call */
	uint64_t jail_us;
	uint64_t init_us;
	bool served; /* has had its first call */
	bool retire; /* goes when it is idle */
};

struct function {
	struct calls *calls;
	struct fn_version *version; /* borrowed: it owns us */
	struct call *first;	    /* queue */
	struct call *last;
	uint32_t queued;
	struct worker *idle; /* newest first, linked by idle_next */
	uint32_t nidle;
	uint32_t nbusy;
	uint32_t nstarting; /* forks waited for, and builds */
	uint32_t lost;	    /* crashed or timed out: the next start replaces */
	bool active;
	bool replaces; /* took over from an earlier version */
	uint64_t starts;
	uint64_t handler_us; /* smoothed */
	uint64_t start_us;   /* smoothed */
	uint64_t invocations;
	uint64_t errors;
	uint64_t cold_starts;
	struct image image;
	struct loop_timer *again;
	struct function *next_idle; /* in calls->with_idle */
	struct function *next;	    /* in calls->functions */
	bool in_idle_list;
	void (*on_zero)(void *arg);
	void *on_zero_arg;
	bool zero_forks; /* empty the pool too, right before on_zero */
};

struct calls {
	struct loop *loop;
	struct pool *pool;
	struct call_limits limits;
	struct calls_callbacks callbacks;
	void *arg;
	int (*on_hello)(const struct pool_hello *hello, void *arg);
	void (*on_zygote_gone)(void *arg);
	void *zygote_arg;
	struct call *running; /* all dispatched calls */
	uint64_t next_id;
	struct calls_stats stats;
	struct function *images_first; /* newest use first */
	struct function *images_last;
	struct function *with_idle;
	struct function *functions; /* all */
	struct loop_timer *tick;    /* idle time-outs */
	bool ticking;
	bool draining;
	struct loop_timer *drain_timer;
	void (*on_drained)(void *arg);
	void *on_drained_arg;
	unsigned char seeds[4096];
	size_t seeds_left;
};

/* calls.c */
const unsigned char *calls_seed(struct calls *calls);
void calls_check_drained(struct calls *calls);

/* function.c */
struct function *function_of(struct calls *calls, struct fn_version *version);
void function_enqueue(struct function *function, struct call *call);
void function_enqueue_first(struct function *function, struct call *call);
void function_unqueue(struct function *function, struct call *call);
void function_serve(struct function *function); /* queue and workers meet */
void function_worker_free(struct function *function, struct worker *worker);
void function_worker_gone(struct function *function, struct worker *worker);
void function_facts(const struct function *function,
    struct scale_facts *facts_out);
void function_retire_idle(struct function *function);
bool function_evict_one(struct calls *calls);
void function_zero_check(struct function *function);
struct tenure *tenure_of(const struct worker *worker);
void tenure_begin(struct function *function, struct worker *worker,
    enum record_kind kind, enum record_cause cause);

/* call.c */
void call_dispatch(struct call *call, struct worker *worker);
void call_on_frame(struct call *call, const struct wire_header *header,
    struct slice body);
void call_on_death(struct call *call, const struct worker_death *death);
void call_fail(struct call *call, enum record_outcome outcome,
    enum record_failed_by failed_by, unsigned int status, const char *reason,
    const char *message);

/* build.c */
/* error NULL: the image is there.  platform: it was not the function's doing,
 * so it is worth another try. */
typedef void (*build_done_fn)(struct function *function, struct worker *worker,
    const char *error, bool platform, void *arg);
void build_start(struct function *function, struct worker *worker,
    build_done_fn done, void *arg);
void build_on_frame(struct build *build, const struct wire_header *header,
    struct slice body);
void build_on_death(struct build *build, const struct worker_death *death);

/* image.c */
bool image_ready(const struct function *function);
void image_keep(struct function *function, char *bytes, size_t n);
void image_send(struct function *function, struct worker *worker);
void image_drop(struct function *function);
void image_evict(struct calls *calls);
