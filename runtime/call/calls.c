/*
 * calls.c - what all calls stand in, and the way in from the pool.
 *
 * Runs in: gateway, cli.
 * Owns:    the pool; a reserve of random bytes, so that a request's seed does
 *          not cost a system call.
 */
#include "runtime/call/call_priv.h"
#include "sandbox/base/clock.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/random.h>

#define LOAD_US 100 /* of an image start, until one was measured */

static void
on_frame(struct worker *worker, const struct wire_header *header,
    struct slice body, void *arg)
{
	struct tenure *tenure = tenure_of(worker);

	if (tenure->build != NULL)
		build_on_frame(tenure->build, header, body);
	else
		call_on_frame(tenure, header, body);
}

static void
note_death(struct calls *calls, const struct worker *worker,
    const struct worker_death *death)
{
	if (!worker->killed_by_us || worker->breach[0] != '\0')
		calls->callbacks.on_note(worker->version, death->text,
		    calls->arg);
}

static void
on_gone(struct worker *worker, const struct worker_death *death, void *arg)
{
	struct calls *calls = arg;
	struct tenure *tenure = tenure_of(worker);
	struct function *function = tenure->function;
	bool surprising = tenure->build != NULL || tenure->ncalls > 0;

	if (surprising)
		note_death(calls, worker, death);
	if (tenure->build != NULL)
		build_on_death(tenure->build, death);
	if (tenure->ncalls > 0)
		tenure_mourn(tenure, death);
	function_worker_gone(function, worker);
	calls_check_drained(calls);
}

static int
on_hello(const struct pool_hello *hello, void *arg)
{
	struct calls *calls = arg;

	if (calls->on_hello == NULL)
		return hello->failed == 0 ? 0 : -1;
	return calls->on_hello(hello, calls->zygote_arg);
}

static void
on_zygote_gone(void *arg)
{
	struct calls *calls = arg;

	while (calls->images_first != NULL) /* its layout is gone with it */
		image_drop(calls->images_first);
	if (calls->on_zygote_gone != NULL)
		calls->on_zygote_gone(calls->zygote_arg);
}

static bool
on_full(void *arg)
{
	return function_evict_one(arg);
}

static void
on_note(const char *what, void *arg)
{
	struct calls *calls = arg;

	calls->callbacks.on_note(NULL, what, calls->arg);
}

/* Those we may run on, but for the one that this process keeps busy. */
static uint32_t
processors(void)
{
	cpu_set_t set;
	int n =
	    sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);

	return n > 1 ? (uint32_t)n - 1 : 1;
}

struct calls *
calls_new(struct loop *loop, const struct call_limits *limits,
    unsigned int ready_workers, unsigned int max_workers,
    const struct calls_callbacks *callbacks, void *arg)
{
	const struct pool_callbacks from_pool = {
	    .on_frame = on_frame,
	    .on_gone = on_gone,
	    .on_hello = on_hello,
	    .on_zygote_gone = on_zygote_gone,
	    .on_full = on_full,
	    .on_note = on_note,
	};
	struct calls *calls = calloc(1, sizeof(*calls));

	if (calls == NULL)
		abort();
	calls->loop = loop;
	calls->limits = *limits;
	calls->callbacks = *callbacks;
	calls->load_us = LOAD_US;
	calls->processors = processors();
	calls->arg = arg;
	calls->pool =
	    pool_new(loop, ready_workers, max_workers, &from_pool, calls);
	return calls;
}

void
calls_set_limits(struct calls *calls, const struct call_limits *limits,
    unsigned int ready_workers, unsigned int max_workers)
{
	calls->limits = *limits;
	pool_set_limits(calls->pool, ready_workers, max_workers);
	image_evict(calls);
}

struct pool *
calls_pool(struct calls *calls)
{
	return calls->pool;
}

void
calls_on_zygote(struct calls *calls,
    int (*hello)(const struct pool_hello *hello, void *arg),
    void (*gone)(void *arg), void *arg)
{
	calls->on_hello = hello;
	calls->on_zygote_gone = gone;
	calls->zygote_arg = arg;
}

const unsigned char *
calls_seed(struct calls *calls)
{
	if (calls->seeds_left < WIRE_SEED_BYTES) {
		if (getrandom(calls->seeds, sizeof(calls->seeds), 0) !=
		    (ssize_t)sizeof(calls->seeds))
			abort();
		calls->seeds_left = sizeof(calls->seeds);
	}
	calls->seeds_left -= WIRE_SEED_BYTES;
	return calls->seeds + calls->seeds_left;
}

/* --- building at deploy --------------------------------------------------- */

#define ORDER_TRIES 5 /* when builds are killed from outside */

struct order {
	struct calls *calls;
	unsigned int tries;
	struct fn_version *version;
	void (*done)(struct fn_version *version, const char *error, void *arg);
	void *arg;
};

static void on_order_worker(struct worker *worker, void *arg);

static void
on_order_built(struct function *function, struct worker *worker,
    const char *error, bool platform, void *arg)
{
	struct order *order = arg;

	worker_kill(worker); /* its heap is here, it is of no more use */
	if (platform && ++order->tries < ORDER_TRIES) {
		(void)pool_fork(order->calls->pool,
		    order->version->manifest.memory_mb, on_order_worker, order);
		return;
	}
	order->done(order->version, error, order->arg);
	fn_version_unref(order->version);
	free(order);
}

static void
on_order_worker(struct worker *worker, void *arg)
{
	struct order *order = arg;
	struct function *function = function_of(order->calls, order->version);

	tenure_begin(function, worker, RECORD_KIND_BUILD, RECORD_CAUSE_DEPLOY);
	build_start(function, worker, on_order_built, order);
}

void
calls_build(struct calls *calls, struct fn_version *version,
    void (*done)(struct fn_version *version, const char *error, void *arg),
    void *arg)
{
	uint32_t memory_mb = version->manifest.memory_mb;
	struct worker *worker = pool_take(calls->pool, memory_mb);
	struct order *order = calloc(1, sizeof(*order));

	if (order == NULL)
		abort();
	order->calls = calls;
	order->version = fn_version_ref(version);
	order->done = done;
	order->arg = arg;
	if (worker != NULL)
		on_order_worker(worker, order);
	else
		(void)pool_fork(calls->pool, memory_mb, on_order_worker, order);
}

void
calls_activate(struct calls *calls, struct fn_version *version,
    struct fn_version *before)
{
	struct function *function = function_of(calls, version);

	if (function->active)
		return;
	function->active = true;
	function->lost = 0;
	function->replaces = before != NULL && before != version &&
	    function_of(calls, before)->starts > 0;
	pool_use_class(calls->pool, version->manifest.memory_mb, true);
	if (before != NULL && before != version)
		calls_deactivate(calls, before);
	function_serve(function);
}

static void
retire_busy(const struct worker *worker, void *arg)
{
	struct tenure *tenure = tenure_of(worker);

	if (tenure != NULL && tenure->function == arg)
		tenure->retire = true;
}

void
calls_deactivate(struct calls *calls, struct fn_version *version)
{
	struct function *function = function_of(calls, version);

	if (!function->active)
		return;
	function->active = false;
	pool_use_class(calls->pool, version->manifest.memory_mb, false);
	image_drop(function);
	if (function->queued == 0) {
		pool_each(calls->pool, retire_busy, function);
		function_retire_idle(function);
	}
}

bool
calls_prepare(struct calls *calls, struct fn_version *version,
    enum record_kind kind, void (*done)(void *arg), void *arg)
{
	struct function *function = function_of(calls, version);

	if (kind == RECORD_KIND_WARM) {
		done(arg);
		return true;
	}
	if (function->on_zero != NULL || function->nbusy > 0 ||
	    function->queued > 0)
		return false;
	if (kind == RECORD_KIND_BUILD)
		image_drop(function);
	function->zero_forks = kind == RECORD_KIND_FORK;
	function_retire_idle(function);
	function->on_zero = done;
	function->on_zero_arg = arg;
	function_zero_check(function);
	return true;
}

void
calls_function_stats(const struct fn_version *version,
    struct call_function_stats *stats)
{
	const struct function *function = version->pool_data;

	*stats = (struct call_function_stats){0};
	if (function == NULL)
		return;
	stats->idle = function->nidle;
	stats->busy = function->nbusy;
	stats->starting = function->nstarting;
	stats->queued = function->queued;
	stats->invocations = function->invocations;
	stats->errors = function->errors;
	stats->cold_starts = function->cold_starts;
	stats->image_bytes = function->image.heap_bytes;
}

void
calls_stats(const struct calls *calls, struct calls_stats *stats_out)
{
	*stats_out = calls->stats;
}

/* --- the end --------------------------------------------------------------- */

void
calls_check_drained(struct calls *calls)
{
	void (*done)(void *arg) = calls->on_drained;

	if (done == NULL || calls->stats.in_flight + calls->stats.queued > 0)
		return;
	calls->on_drained = NULL;
	loop_timer_stop(calls->drain_timer);
	done(calls->on_drained_arg);
}

static void
fail_draining(struct call *call)
{
	call_fail(call, RECORD_OUTCOME_REJECTED, RECORD_FAILED_GATEWAY, 503,
	    "draining",
	    call->state == CALL_QUEUED
		? "the server shut down before a worker was free"
		: "the server shut down before the handler was done");
}

/* What is queued would wait in vain: answer all, and kill what runs. */
static void
on_drain_timeout(void *arg)
{
	struct calls *calls = arg;
	struct function *function;
	struct tenure *tenure;

	while ((function = LIST_FIRST(&calls->waiting)) != NULL)
		fail_draining(TAILQ_FIRST(&function->queue));
	while ((tenure = LIST_FIRST(&calls->busy)) != NULL) {
		struct call *call = TAILQ_FIRST(&tenure->calls);
		bool ghost = call->state == CALL_OVER;

		worker_kill(tenure->worker);
		tenure_pull(tenure, call);
		if (ghost)
			call_free(call);
		else
			fail_draining(call);
	}
}

void
calls_drain(struct calls *calls, uint64_t timeout_ms, void (*done)(void *arg),
    void *arg)
{
	calls->draining = true;
	calls->on_drained = done;
	calls->on_drained_arg = arg;
	if (calls->drain_timer == NULL)
		calls->drain_timer =
		    loop_timer_new(calls->loop, on_drain_timeout, calls);
	loop_timer_start(calls->drain_timer, timeout_ms * 1000);
	calls_check_drained(calls);
}

static void
forget_tenure(const struct worker *worker, void *arg)
{
	struct tenure *tenure = tenure_of(worker);
	struct call *call;

	if (tenure == NULL)
		return;
	build_free(tenure->build);
	while ((call = TAILQ_FIRST(&tenure->calls)) != NULL) {
		tenure_pull(tenure, call);
		call_free(call);
	}
	free(tenure);
	fn_version_unref(worker->version);
}

void
calls_free(struct calls *calls)
{
	if (calls == NULL)
		return;
	pool_each(calls->pool, forget_tenure, NULL);
	pool_free(calls->pool);
	loop_timer_free(calls->tick);
	loop_timer_free(calls->watch);
	loop_timer_free(calls->drain_timer);
	free(calls);
}
