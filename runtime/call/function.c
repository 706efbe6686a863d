/*
 * function.c - one version of a function: its queue, its workers.
 *
 * Runs in: gateway, cli.
 * Owns:    a struct function per version, until the version is freed; the
 *          tenure of every worker that has a function.
 *
 * Whenever something changes (a request came, a worker is free or gone, a
 * start is overdue) function_serve() lets the queue and the workers meet:
 * idle workers take the first in the queue, newest idle first, so that the
 * others can time out; then scale_decide() says whether to start more.
 */
#include "runtime/call/call_priv.h"
#include "sandbox/base/clock.h"

#include <assert.h>
#include <stdlib.h>

#define TICK_US 100000 /* idle time-outs are looked at so often */

static void on_again(void *arg);
static void on_start_build(struct function *function, struct worker *worker,
    const char *error, bool platform, void *arg);

static void
forget_idle(struct function *function)
{
	struct function **at = &function->calls->with_idle;

	if (!function->in_idle_list)
		return;
	while (*at != function)
		at = &(*at)->next_idle;
	*at = function->next_idle;
}

static void
forget(struct function *function)
{
	struct function **at = &function->calls->functions;

	while (*at != function)
		at = &(*at)->next;
	*at = function->next;
}

static void
function_free(void *pool_data)
{
	struct function *function = pool_data;

	assert(function->queued == 0 && function->nbusy == 0);
	forget(function);
	forget_idle(function);
	image_drop(function);
	loop_timer_free(function->again);
	free(function);
}

struct function *
function_of(struct calls *calls, struct fn_version *version)
{
	struct function *function = version->pool_data;

	if (function != NULL)
		return function;
	function = calloc(1, sizeof(*function));
	if (function == NULL)
		abort();
	function->calls = calls;
	function->version = version;
	function->next = calls->functions;
	calls->functions = function;
	version->pool_data = function;
	version->free_pool_data = function_free;
	return function;
}

struct tenure *
tenure_of(const struct worker *worker)
{
	return worker->job;
}

/* The worker holds a reference to the version for as long as it lives. */
void
tenure_begin(struct function *function, struct worker *worker,
    enum record_kind kind, enum record_cause cause)
{
	struct tenure *tenure = calloc(1, sizeof(*tenure));

	if (tenure == NULL)
		abort();
	tenure->function = function;
	tenure->kind = kind;
	tenure->cause = cause;
	worker->job = tenure;
	worker->version = fn_version_ref(function->version);
}

void
function_facts(const struct function *function, struct scale_facts *facts)
{
	*facts = (struct scale_facts){
	    .queued = function->queued,
	    .idle = function->nidle,
	    .busy = function->nbusy,
	    .starting = function->nstarting,
	    .max_workers = function->version->manifest.max_workers,
	    .handler_us = function->handler_us,
	    .start_us = function->start_us,
	};
	if (function->first != NULL)
		facts->waited_us =
		    clock_mono_us() - function->first->request.accepted_us;
}

/* --- the queue ---------------------------------------------------------- */

void
function_enqueue(struct function *function, struct call *call)
{
	call->next = NULL;
	call->prev = function->last;
	if (function->last != NULL)
		function->last->next = call;
	else
		function->first = call;
	function->last = call;
	function->queued++;
	function->calls->stats.queued++;
	function->calls->stats.queued_bytes += call->request.bytes_in;
}

void
function_enqueue_first(struct function *function, struct call *call)
{
	call->prev = NULL;
	call->next = function->first;
	if (function->first != NULL)
		function->first->prev = call;
	else
		function->last = call;
	function->first = call;
	function->queued++;
	function->calls->stats.queued++;
	function->calls->stats.queued_bytes += call->request.bytes_in;
}

void
function_unqueue(struct function *function, struct call *call)
{
	if (call->prev != NULL)
		call->prev->next = call->next;
	else
		function->first = call->next;
	if (call->next != NULL)
		call->next->prev = call->prev;
	else
		function->last = call->prev;
	call->next = call->prev = NULL;
	function->queued--;
	function->calls->stats.queued--;
	function->calls->stats.queued_bytes -= call->request.bytes_in;
}

/* --- idle workers ------------------------------------------------------- */

static void
on_tick(void *arg)
{
	struct calls *calls = arg;
	uint64_t now_us = clock_mono_us();
	struct function **at = &calls->with_idle;

	while (*at != NULL) {
		struct function *function = *at;
		const struct fn_manifest *m = &function->version->manifest;
		uint64_t keep_us = (uint64_t)m->idle_timeout_s * 1000000;
		struct worker **w = &function->idle;
		uint32_t kept = 0;

		while (*w != NULL) {
			struct worker *worker = *w;

			if (now_us - worker->idle_since_us < keep_us ||
			    (function->active && kept < m->min_workers)) {
				kept++;
				w = &worker->idle_next;
				continue;
			}
			*w = worker->idle_next;
			function->nidle--;
			function->lost = 0; /* nobody is missed any more */
			worker_kill(worker);
		}
		if (function->idle != NULL) {
			at = &function->next_idle;
			continue;
		}
		*at = function->next_idle;
		function->in_idle_list = false;
	}
	calls->ticking = calls->with_idle != NULL;
	if (calls->ticking)
		loop_timer_start(calls->tick, TICK_US);
}

static void
note_idle(struct function *function)
{
	struct calls *calls = function->calls;

	if (!function->in_idle_list) {
		function->in_idle_list = true;
		function->next_idle = calls->with_idle;
		calls->with_idle = function;
	}
	if (calls->tick == NULL)
		calls->tick = loop_timer_new(calls->loop, on_tick, calls);
	if (!calls->ticking) {
		calls->ticking = true;
		loop_timer_start(calls->tick, TICK_US);
	}
}

static void
push_idle(struct function *function, struct worker *worker)
{
	worker->idle_since_us = clock_mono_us();
	worker->idle_next = function->idle;
	function->idle = worker;
	function->nidle++;
	note_idle(function);
}

/* The newest that is alive: one whose stream has ended is on its way out. */
static struct worker *
pop_idle(struct function *function)
{
	struct worker *worker;

	while ((worker = function->idle) != NULL) {
		function->idle = worker->idle_next;
		worker->idle_next = NULL;
		function->nidle--;
		if (!worker->dying)
			return worker;
	}
	return NULL;
}

static bool
unlink_idle(struct function *function, const struct worker *worker)
{
	for (struct worker **at = &function->idle; *at != NULL;
	     at = &(*at)->idle_next)
		if (*at == worker) {
			*at = worker->idle_next;
			function->nidle--;
			return true;
		}
	return false;
}

void
function_retire_idle(struct function *function)
{
	struct worker *worker;

	while ((worker = pop_idle(function)) != NULL)
		worker_kill(worker);
}

/* The pool is full: the worker that was idle longest goes, whosever it is. */
bool
function_evict_one(struct calls *calls)
{
	struct worker *oldest = NULL;

	for (struct function *f = calls->with_idle; f != NULL; f = f->next_idle)
		for (struct worker *w = f->idle; w != NULL; w = w->idle_next)
			if (oldest == NULL ||
			    w->idle_since_us < oldest->idle_since_us)
				oldest = w;
	if (oldest == NULL)
		return false;
	(void)unlink_idle(tenure_of(oldest)->function, oldest);
	worker_kill(oldest);
	return true;
}

/* --- starting workers --------------------------------------------------- */

static enum record_cause
cause_of_start(struct function *function)
{
	uint32_t there =
	    function->nidle + function->nbusy + function->nstarting;

	if (function->starts++ == 0)
		return function->replaces ? RECORD_CAUSE_DEPLOY
					  : RECORD_CAUSE_FIRST;
	if (function->lost > 0) {
		function->lost--;
		return RECORD_CAUSE_REPLACE;
	}
	return there == 0 ? RECORD_CAUSE_FROM_ZERO : RECORD_CAUSE_SCALE_OUT;
}

/* The worker has no function yet: give it the image, or have it build one. */
static void
furnish(struct function *function, struct worker *worker)
{
	if (image_ready(function)) {
		image_send(function, worker);
		function_worker_free(function, worker);
		return;
	}
	if (tenure_of(worker)->kind == RECORD_KIND_IMAGE)
		tenure_of(worker)->kind = RECORD_KIND_BUILD;
	function->nstarting++;
	build_start(function, worker, on_start_build, NULL);
}

static void
on_start_build(struct function *function, struct worker *worker,
    const char *error, bool platform, void *arg)
{
	struct call *call = function->first;

	function->nstarting--;
	if (error == NULL) {
		function_worker_free(function, worker);
		return;
	}
	worker_kill(worker);
	if (call != NULL && !platform) {
		call->record.init_us = tenure_of(worker)->init_us;
		call_fail(call, RECORD_OUTCOME_ERROR, RECORD_FAILED_HANDLER,
		    500, "init_failed", error);
	}
	function_serve(function);
}

/* A worker forked for this function is there. */
struct ticket {
	struct function *function;
	struct fn_version *version; /* keeps the function alive */
	enum record_cause cause;
	bool early;
};

static void
on_forked(struct worker *worker, void *arg)
{
	struct ticket *ticket = arg;
	struct function *function = ticket->function;
	struct tenure *tenure;

	function->nstarting--;
	tenure_begin(function, worker, RECORD_KIND_FORK, ticket->cause);
	tenure = tenure_of(worker);
	tenure->served = ticket->early;
	tenure->spawn_us = worker->spawned_us - worker->asked_us;
	tenure->jail_us = worker->ready_us - worker->spawned_us;
	furnish(function, worker);
	fn_version_unref(ticket->version);
	free(ticket);
}

/* early: it is started before a request needs it, whose start is then warm. */
static void
start_one(struct function *function, bool early)
{
	struct calls *calls = function->calls;
	uint32_t memory_mb = function->version->manifest.memory_mb;
	enum record_cause cause = cause_of_start(function);
	struct worker *worker = pool_take(calls->pool, memory_mb);
	struct ticket *ticket;

	if (worker != NULL) {
		tenure_begin(function, worker, RECORD_KIND_IMAGE, cause);
		tenure_of(worker)->served = early;
		furnish(function, worker);
		return;
	}
	ticket = calloc(1, sizeof(*ticket));
	if (ticket == NULL)
		abort();
	ticket->function = function;
	ticket->version = fn_version_ref(function->version);
	ticket->cause = cause;
	ticket->early = early;
	function->nstarting++;
	(void)pool_fork(calls->pool, memory_mb, on_forked, ticket);
}

/* Those on their way too. */
static uint32_t
all_workers(const struct function *function)
{
	return function->nidle + function->nbusy + function->nstarting;
}

static uint32_t
min_missing(const struct function *function)
{
	uint32_t there = all_workers(function);
	uint32_t want = function->version->manifest.min_workers;

	if (!function->active || function->calls->draining || there >= want ||
	    !image_ready(function))
		return 0;
	return want - there;
}

/* --- the meeting -------------------------------------------------------- */

static void
on_again(void *arg)
{
	function_serve(arg);
}

/* Who waited too long is told so.  Returns when to look again. */
static uint64_t
expire(struct function *function)
{
	uint64_t limit_us = function->calls->limits.max_queue_wait_ms * 1000;
	uint64_t now_us = clock_mono_us();

	while (function->first != NULL) {
		uint64_t waited_us =
		    now_us - function->first->request.accepted_us;

		if (waited_us < limit_us)
			return limit_us - waited_us;
		call_fail(function->first, RECORD_OUTCOME_EXPIRED,
		    RECORD_FAILED_POOL, 503, "no_worker_in_time",
		    "no worker was free in time");
	}
	return 0;
}

static void
ask_again(struct function *function, uint64_t after_us)
{
	if (after_us == 0)
		return;
	if (function->again == NULL)
		function->again =
		    loop_timer_new(function->calls->loop, on_again, function);
	loop_timer_start(function->again, after_us);
}

void
function_zero_check(struct function *function)
{
	void (*on_zero)(void *arg) = function->on_zero;

	if (on_zero == NULL ||
	    function->nidle + function->nbusy + function->nstarting > 0)
		return;
	function->on_zero = NULL;
	if (function->zero_forks)
		pool_empty(function->calls->pool);
	on_zero(function->on_zero_arg);
}

void
function_serve(struct function *function)
{
	struct fn_version *version = fn_version_ref(function->version);
	struct worker *worker;
	struct scale_facts facts;
	uint64_t expires_us;
	uint32_t more;
	uint32_t target;

	while (function->first != NULL && (worker = pop_idle(function)) != NULL)
		call_dispatch(function->first, worker);
	expires_us = expire(function);
	function_facts(function, &facts);
	more = scale_decide(&facts);
	/* A start that succeeds at once has come through here by itself. */
	target = all_workers(function) + more;
	for (; more > 0 && all_workers(function) < target; more--)
		start_one(function, false);
	for (more = min_missing(function); more > 0; more--)
		start_one(function, true);
	if (function->first != NULL) {
		uint64_t again_us;

		function_facts(function, &facts);
		again_us = scale_again_us(&facts);
		ask_again(function,
		    again_us == 0 || again_us > expires_us ? expires_us
							   : again_us);
	} else if (!function->active || function->on_zero != NULL) {
		function_retire_idle(function);
		function_zero_check(function);
	}
	fn_version_unref(version);
}

/* A worker that can take a request: the first in the queue, or idle. */
void
function_worker_free(struct function *function, struct worker *worker)
{
	worker->state = WIRE_IDLE;
	if (worker->dying)
		return;
	push_idle(function, worker);
	if (function->first == NULL)
		worker_flush(worker); /* an image may wait in its buffer */
	function_serve(function);
}

void
function_worker_gone(struct function *function, struct worker *worker)
{
	struct fn_version *version = worker->version;

	(void)unlink_idle(function, worker);
	if (!worker->killed_by_us && !worker->mourned)
		function->lost++;
	free(worker->job);
	worker->job = NULL;
	worker->version = NULL;
	function_serve(function);
	function_zero_check(function);
	fn_version_unref(version);
}
