/*
 * call_priv.h - what the files of runtime/call share.
 *
 * Runs in: gateway, cli.
 *
 * call.c	one call: its beginning, its end, its record
 * answer.c	the frames that its worker sends
 * tenure.c	a worker of a function: the calls it has, deadlines, take-backs
 * pace.c	pure: how many calls may a worker have at once?
 * function.c	one version of a function: its queue and its workers
 * build.c	running an init and keeping the heap
 * image.c	the cache of those heaps
 * calls.c	what they all stand in; entry points from the pool
 */
#pragma once

#include "runtime/call/call.h"
#include "runtime/call/pace.h"
#include "runtime/call/scale.h"
#include "runtime/loop/loop.h"
#include "sandbox/base/bytes.h"

#include <sys/queue.h>

#define CALL_FRAMES_MAX	  4000000u /* of one worker in one call */
#define HEADERS_MAX_BYTES 32768	   /* of a response, beside its body */
#define CALL_LOG_FLOOD	  (UINT64_C(64) << 20) /* bytes over the limit: killed */

struct build;

/* A heap as its worker left it after init. */
struct image {
	struct buf frames; /* IMAGE, IMAGE_DATA ...; empty: there is none */
	size_t heap_bytes;
	uint64_t generation;   /* of the zygote whose layout it has */
	struct function *next; /* in order of use, newest first */
	struct function *prev;
};

/*
 *	QUEUED --> SENT --> OVER
 *	   ^---------'         (taken back, or its worker died before it began)
 *
 * A call that is over but whose answer is still to come (the client went away)
 * stays with its worker as a ghost: nobody hears of it any more.
 */
enum call_state { CALL_QUEUED, CALL_SENT, CALL_OVER };

struct call {
	struct calls *calls;
	struct function *function;
	struct call_request request;
	enum call_state state;
	TAILQ_ENTRY(call) link; /* in the function's queue or on the worker */
	struct worker *worker;
	uint64_t id;
	uint64_t begun_us;   /* it was the worker's turn to run it */
	uint64_t started_us; /* STARTED was read; 0: not, or not asked for */
	uint64_t ended_us;   /* its answer is counted from here; 0: none yet */
	uint64_t cpu_us;
	uint64_t log_bytes;
	uint64_t logs_dropped;
	uint32_t frames;
	uint32_t reruns; /* workers that died while they had it */
	bool announced;	 /* STARTED is expected */
	bool merged;	 /* STARTED came in one read with the answer */
	bool alone;	 /* its worker gets no other call beside it */
	bool asked;	 /* a FILE_* question is not answered yet */
	bool *over_out;	 /* set when it is over, while call_start() runs */
	char request_id[RECORD_ID_MAX];
	struct record record;
};

TAILQ_HEAD(call_list, call);

/* What a worker is to the function that it serves: kept in worker->job. */
struct tenure {
	struct function *function;
	struct worker *worker;
	struct build *build;	/* BUILDING: this one */
	struct call_list calls; /* RUNNING: the first runs, others wait */
	uint32_t ncalls;
	LIST_ENTRY(tenure) in_function; /* busy ones */
	LIST_ENTRY(tenure) in_calls;
	uint64_t mark_us;      /* when its last answer was counted */
	uint64_t cpu_us;       /* of each call answered by this read */
	uint64_t cpu_read_us;  /* the read that cpu_us is of */
	uint64_t kill_us;      /* interrupted; 0: not */
	bool interrupted;      /* ever */
	bool slow;	       /* its first call made us take back others */
	bool recalling;	       /* RECALL was sent and is not answered */
	enum record_kind kind; /* of its start, for its first call */
	enum record_cause cause;
	uint64_t image_us; /* its image was sent; 0: it built it */
	uint64_t spawn_us; /* phases of its start, for its first call */
	uint64_t jail_us;
	uint64_t init_us;
	bool served; /* has had its first call */
	bool retire; /* goes when it is idle */
};

LIST_HEAD(tenure_list, tenure);

struct function {
	struct calls *calls;
	struct fn_version *version; /* borrowed: it owns us */
	struct call_list queue;
	uint32_t queued;
	LIST_ENTRY(function) waiting; /* with a queue */
	struct worker *idle;	      /* newest first, linked by idle_next */
	uint32_t nidle;
	struct tenure_list busy;
	uint32_t nbusy;
	uint32_t nstarting; /* forks waited for, and builds */
	uint32_t lost;	    /* crashed or timed out: the next start replaces */
	bool active;
	bool replaces; /* took over from an earlier version */
	uint64_t starts;
	struct pace pace;
	uint64_t start_us; /* smoothed */
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
	LIST_HEAD(, function) waiting; /* with a queue */
	struct tenure_list busy;       /* workers with calls */
	uint32_t nbusy;
	uint32_t processors;	  /* for workers: all but the gateway's own */
	struct loop_timer *watch; /* over their deadlines */
	uint64_t watch_us;	  /* when it comes; 0: not started */
	uint64_t load_us; /* of image starts whose STARTED came by itself */
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
void function_push_idle(struct function *function, struct worker *worker);
void function_worker_free(struct function *function, struct worker *worker);
void function_worker_gone(struct function *function, struct worker *worker);
void function_facts(const struct function *function,
    struct scale_facts *facts_out);
void function_retire_idle(struct function *function);
bool function_evict_one(struct calls *calls);
void function_zero_check(struct function *function);
/* What calls like this one took: learnt from the call's record. */
void function_learn(struct function *function, const struct call *call);

/* tenure.c */
struct tenure *tenure_of(const struct worker *worker);
struct tenure *tenure_begin(struct function *function, struct worker *worker,
    enum record_kind kind, enum record_cause cause);
void tenure_push(struct tenure *tenure, struct call *call, uint64_t now_us);
void tenure_pull(struct tenure *tenure, struct call *call);
/* Back to the queue with all but the first `keep`, which may be 0 or 1. */
void tenure_take_back(struct tenure *tenure, uint32_t keep, bool alone);
/* The worker has less to do, or may have more: idle, retired, or neither. */
void tenure_settle(struct tenure *tenure);
/* For one call more: what it has now has not been long at work. */
bool tenure_has_room(const struct tenure *tenure, uint64_t now_us);
/* Nobody waits for a call of it any more: see that it ends soon. */
void tenure_forsake(struct tenure *tenure);
/* Look at all busy workers at this time, or a little later. */
void tenure_watch(struct calls *calls, uint64_t now_us, uint64_t at_us);
/* When the first of its calls was begun, as far as we know. */
uint64_t tenure_begun_us(const struct tenure *tenure);
/* The interrupt for the call before hit the one that runs now, which is not to
 * blame; its worker ends. */
void tenure_misfire(struct tenure *tenure);
/* Its worker died with these calls. */
void tenure_mourn(struct tenure *tenure, const struct worker_death *death);

/* call.c */
void call_send(struct call *call, struct tenure *tenure);
/* Report the end; not for ghosts.  The call is freed unless a worker has it. */
void call_finish(struct call *call, struct call_result *result);
void call_fail(struct call *call, enum record_outcome outcome,
    enum record_failed_by failed_by, unsigned int status, const char *reason,
    const char *message);
void call_fail_timeout(struct call *call, struct slice traceback);
void call_free(struct call *call);

/* answer.c */
void call_on_frame(struct tenure *tenure, const struct wire_header *header,
    struct slice body);

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
/* Its worker goes without a word, at the end of everything. */
void build_free(struct build *build);

/* image.c */
bool image_ready(const struct function *function);
void image_keep(struct function *function, const char *heap, size_t heap_bytes);
void image_send(struct function *function, struct worker *worker);
void image_drop(struct function *function);
void image_evict(struct calls *calls);
