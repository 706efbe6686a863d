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

#define TICK_US	    100000 /* idle time-outs are looked at so often */
#define LARGE_BYTES 65536  /* such a request gets a worker of its own */

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
function_free(void *pool_data)
{
	struct function *function = pool_data;

	assert(function->queued == 0 && function->nbusy == 0);
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
	TAILQ_INIT(&function->queue);
	version->pool_data = function;
	version->free_pool_data = function_free;
	return function;
}

void
function_facts(const struct function *function, struct scale_facts *facts)
{
	const struct call *first = TAILQ_FIRST(&function->queue);

	*facts = (struct scale_facts){
	    .queued = function->queued,
	    .idle = function->nidle,
	    .busy = function->nbusy,
	    .starting = function->nstarting,
	    .max_workers = function->version->manifest.max_workers,
	    .handler_us =
		pace_known(&function->pace) ? function->pace.handler_us : 0,
	    .start_us = function->start_us,
	};
	if (first != NULL)
		facts->waited_us = clock_mono_us() - first->request.accepted_us;
}

void
function_learn(struct function *function, const struct call *call)
{
	const struct record *record = &call->record;
	uint64_t start_us = record->spawn_us + record->jail_us +
	    record->init_us + record->load_us;

	if (record->outcome != RECORD_OUTCOME_OK &&
	    record->outcome != RECORD_OUTCOME_ERROR)
		return;
	if (record->kind != RECORD_KIND_WARM)
		function->start_us = function->start_us == 0
		    ? start_us
		    : (function->start_us * 7 + start_us) / 8;
	pace_learn(&function->pace, record->handler_us, record->cpu_us);
}

/* --- the queue ---------------------------------------------------------- */

static void
count_queued(struct function *function, const struct call *call)
{
	if (function->queued++ == 0)
		LIST_INSERT_HEAD(&function->calls->waiting, function, waiting);
	function->calls->stats.queued++;
	function->calls->stats.queued_bytes += call->request.bytes_in;
}

void
function_enqueue(struct function *function, struct call *call)
{
	TAILQ_INSERT_TAIL(&function->queue, call, link);
	count_queued(function, call);
}

void
function_enqueue_first(struct function *function, struct call *call)
{
	TAILQ_INSERT_HEAD(&function->queue, call, link);
	count_queued(function, call);
}

void
function_unqueue(struct function *function, struct call *call)
{
	TAILQ_REMOVE(&function->queue, call, link);
	if (--function->queued == 0)
		LIST_REMOVE(function, waiting);
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

void
function_push_idle(struct function *function, struct worker *worker)
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
			if (!w->dying &&
			    (oldest == NULL ||
				w->idle_since_us < oldest->idle_since_us))
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
		tenure_of(worker)->image_us = clock_mono_us();
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
	struct call *call = TAILQ_FIRST(&function->queue);
	const struct tenure *tenure = tenure_of(worker);

	function->nstarting--;
	if (error == NULL) {
		function_worker_free(function, worker);
		return;
	}
	worker_kill(worker);
	if (call != NULL && !platform) {
		call->record.kind = (uint8_t)tenure->kind;
		call->record.cause = (uint8_t)tenure->cause;
		call->record.init_us = tenure->init_us;
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
	tenure =
	    tenure_begin(function, worker, RECORD_KIND_FORK, ticket->cause);
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
		tenure_begin(function, worker, RECORD_KIND_IMAGE, cause)
		    ->served = early;
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
	struct call *first;

	while ((first = TAILQ_FIRST(&function->queue)) != NULL) {
		uint64_t waited_us = now_us - first->request.accepted_us;

		if (waited_us < limit_us)
			return limit_us - waited_us;
		call_fail(first, RECORD_OUTCOME_EXPIRED, RECORD_FAILED_POOL,
		    503, "no_worker_in_time", "no worker was free in time");
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

/* The busy worker with the fewest calls that has room for one more. */
static struct tenure *
least_busy(const struct function *function)
{
	uint64_t now_us = clock_mono_us();
	struct tenure *best = NULL;
	struct tenure *tenure;

	LIST_FOREACH(tenure, &function->busy, in_function)
	if ((best == NULL || tenure->ncalls < best->ncalls) &&
	    tenure_has_room(tenure, now_us))
		best = tenure;
	return best;
}

/*
 * A short wait for a worker that is awake is better than waking another, and
 * more workers awake than there are processors would only take turns.
 */
static struct tenure *
choose(struct function *function, const struct call *call)
{
	struct tenure *busy = NULL;
	struct worker *idle;

	if (!call->alone && call->request.bytes_in < LARGE_BYTES &&
	    function->nbusy > 0)
		busy = least_busy(function);
	if (busy != NULL &&
	    (pace_short_wait(&function->pace, busy->ncalls) ||
		function->calls->nbusy >= function->calls->processors))
		return busy;
	idle = pop_idle(function);
	return idle == NULL ? busy : tenure_of(idle);
}

static void
send_queued(struct function *function)
{
	struct call *call;
	struct tenure *tenure;

	while ((call = TAILQ_FIRST(&function->queue)) != NULL &&
	    (tenure = choose(function, call)) != NULL)
		call_send(call, tenure);
}

static void
start_missing(struct function *function)
{
	struct scale_facts facts;
	uint32_t more;
	uint32_t target;

	if (function->queued > 0) {
		function_facts(function, &facts);
		more = scale_decide(&facts);
		/* One that starts at once has come through here by itself. */
		target = all_workers(function) + more;
		for (; more > 0 && all_workers(function) < target; more--)
			start_one(function, false);
	}
	for (more = min_missing(function); more > 0; more--)
		start_one(function, true);
}

void
function_serve(struct function *function)
{
	struct fn_version *version = fn_version_ref(function->version);
	struct scale_facts facts;
	uint64_t expires_us;
	uint64_t again_us;

	send_queued(function);
	expires_us = function->queued > 0 ? expire(function) : 0;
	start_missing(function);
	if (function->queued > 0) {
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
	function_push_idle(function, worker);
	worker_flush_soon(worker); /* an image may wait in its buffer */
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
