/*
 * tenure.c - a worker of a function and the calls that it has.
 *
 * Runs in: gateway, cli.
 * Owns:    a struct tenure for as long as its worker serves a function.
 *
 * A worker of a quick function gets several calls at once and runs them in
 * order.  Nobody may wait behind a slow one: when the first takes longer than
 * RECALL_US, what has not begun is taken back and given to others.
 *
 * One timer watches over all busy workers.  It is armed for what comes first,
 * and looks at all of them: a call costs no timer of its own.
 */
#include "runtime/call/call_priv.h"
#include "sandbox/base/clock.h"

#include <stdlib.h>

#define RECALL_US    2000  /* the first of several calls may take so long */
#define WATCH_MIN_US 1000  /* the watch looks no more often */
#define ROOM_BYTES   65536 /* so much may wait in its socket for a worker */
#define RERUNS_MAX   3

static void on_watch(void *arg);

struct tenure *
tenure_of(const struct worker *worker)
{
	return worker->job;
}

/* The worker holds a reference to the version for as long as it lives. */
struct tenure *
tenure_begin(struct function *function, struct worker *worker,
    enum record_kind kind, enum record_cause cause)
{
	struct tenure *tenure = calloc(1, sizeof(*tenure));

	if (tenure == NULL)
		abort();
	tenure->function = function;
	tenure->worker = worker;
	tenure->kind = kind;
	tenure->cause = cause;
	TAILQ_INIT(&tenure->calls);
	worker->job = tenure;
	worker->version = fn_version_ref(function->version);
	return tenure;
}

/* --- its calls ---------------------------------------------------------- */

void
tenure_push(struct tenure *tenure, struct call *call, uint64_t now_us)
{
	struct function *function = tenure->function;
	struct worker *worker = tenure->worker;
	uint64_t due_us =
	    function->version->manifest.timeout_ms * UINT64_C(1000);

	if (tenure->ncalls++ == 0) {
		function->nbusy++;
		function->calls->nbusy++;
		LIST_INSERT_HEAD(&function->busy, tenure, in_function);
		LIST_INSERT_HEAD(&function->calls->busy, tenure, in_calls);
		worker->state = WIRE_RUNNING;
		worker->sent_us = 0;
		tenure->mark_us = 0;
		tenure->kill_us = 0;
	}
	TAILQ_INSERT_TAIL(&tenure->calls, call, link);
	call->worker = worker;
	worker->requests++;
	if (tenure->ncalls > 1)
		due_us = RECALL_US;
	tenure_watch(function->calls, now_us, now_us + due_us);
}

void
tenure_pull(struct tenure *tenure, struct call *call)
{
	if (call == TAILQ_FIRST(&tenure->calls)) {
		tenure->kill_us = 0;
		tenure->slow = false;
	}
	TAILQ_REMOVE(&tenure->calls, call, link);
	call->worker = NULL;
	if (--tenure->ncalls > 0)
		return;
	tenure->function->nbusy--;
	tenure->function->calls->nbusy--;
	LIST_REMOVE(tenure, in_function);
	LIST_REMOVE(tenure, in_calls);
	tenure->worker->state = WIRE_IDLE;
}

static void
requeue(struct call *call, bool alone)
{
	call->state = CALL_QUEUED;
	call->calls->stats.in_flight--;
	call->alone |= alone;
	call->begun_us = call->started_us = call->ended_us = 0;
	call->frames = 0;
	function_enqueue_first(call->function, call);
}

void
tenure_take_back(struct tenure *tenure, uint32_t keep, bool alone)
{
	while (tenure->ncalls > keep) {
		struct call *call = TAILQ_LAST(&tenure->calls, call_list);

		tenure_pull(tenure, call);
		if (call->state == CALL_OVER)
			call_free(call);
		else
			requeue(call, alone);
	}
}

void
tenure_settle(struct tenure *tenure)
{
	struct worker *worker = tenure->worker;

	if (worker->dying || tenure->ncalls > 0 || tenure->recalling)
		return;
	if (tenure->retire)
		worker_kill(worker);
	else
		function_push_idle(tenure->function, worker);
}

uint64_t
tenure_begun_us(const struct tenure *tenure)
{
	uint64_t sent_us = tenure->worker->sent_us;

	return tenure->mark_us > sent_us ? tenure->mark_us : sent_us;
}

bool
tenure_has_room(const struct tenure *tenure, uint64_t now_us)
{
	const struct worker *worker = tenure->worker;
	uint64_t begun_us = tenure_begun_us(tenure);

	return !worker->dying && !tenure->retire && !tenure->recalling &&
	    !tenure->slow && (begun_us == 0 || now_us < begun_us + RECALL_US) &&
	    tenure->kill_us == 0 && worker->out.n < ROOM_BYTES &&
	    !TAILQ_FIRST(&tenure->calls)->alone &&
	    tenure->ncalls < pace_depth(&tenure->function->pace);
}

/* --- the watch ---------------------------------------------------------- */

void
tenure_watch(struct calls *calls, uint64_t now_us, uint64_t at_us)
{
	if (calls->watch_us != 0 && calls->watch_us <= at_us)
		return;
	if (calls->watch == NULL)
		calls->watch = loop_timer_new(calls->loop, on_watch, calls);
	if (at_us < now_us + WATCH_MIN_US)
		at_us = now_us + WATCH_MIN_US;
	calls->watch_us = at_us;
	loop_timer_start(calls->watch, at_us - now_us);
}

void
tenure_forsake(struct tenure *tenure)
{
	uint64_t now_us = clock_mono_us();

	tenure_watch(tenure->function->calls, now_us, now_us + RECALL_US);
}

static void
recall(struct tenure *tenure)
{
	struct buf *out = worker_out(tenure->worker);

	tenure->recalling = true;
	worker_recall(tenure->worker);
	wire_add_end(out, wire_add_begin(out, WIRE_RECALL, 0));
	worker_flush(tenure->worker);
}

/* The only call that is left; its worker is gone or going. */
static struct call *
take_last(struct tenure *tenure)
{
	struct call *call = TAILQ_FIRST(&tenure->calls);

	call->begun_us = tenure_begun_us(tenure);
	tenure_pull(tenure, call);
	if (call->state != CALL_OVER)
		return call;
	call_free(call);
	return NULL;
}

/*
 * Which call was the worker running?  The first, if it has said anything, as
 * answers of such calls are not kept back there; or if there is no other.
 */
static bool
first_is_running(const struct tenure *tenure)
{
	return tenure->ncalls == 1 || TAILQ_FIRST(&tenure->calls)->frames > 0;
}

/* It was interrupted and does not stop. */
static void
give_up(struct tenure *tenure)
{
	struct function *function = tenure->function;
	bool certain = first_is_running(tenure) || !tenure->recalling;
	struct call *call;

	worker_kill(tenure->worker);
	tenure->worker->mourned = true;
	function->lost++;
	tenure_take_back(tenure, certain ? 1 : 0, !certain);
	call = certain ? take_last(tenure) : NULL;
	if (call != NULL)
		call_fail_timeout(call, (struct slice){0});
	function_serve(function);
}

static void
give_up_overdue(struct calls *calls, uint64_t now_us)
{
	struct tenure *tenure = LIST_FIRST(&calls->busy);

	while (tenure != NULL) {
		if (tenure->kill_us == 0 || now_us < tenure->kill_us ||
		    tenure->worker->dying) {
			tenure = LIST_NEXT(tenure, in_calls);
			continue;
		}
		give_up(tenure);
		tenure = LIST_FIRST(&calls->busy); /* anything may be new */
	}
}

/* Nothing happens to the list here.  Returns when to look again. */
static uint64_t
look(struct tenure *tenure, uint64_t now_us)
{
	const struct call *first = TAILQ_FIRST(&tenure->calls);
	const struct calls *calls = tenure->function->calls;
	uint64_t begun_us = tenure_begun_us(tenure);
	uint64_t recall_us;
	uint64_t deadline_us;

	if (tenure->worker->dying)
		return UINT64_MAX;
	if (tenure->kill_us != 0)
		return tenure->kill_us;
	if (begun_us == 0)
		begun_us = now_us;
	recall_us = begun_us + RECALL_US;
	deadline_us = begun_us +
	    tenure->function->version->manifest.timeout_ms * UINT64_C(1000);
	if (now_us >= deadline_us) {
		tenure->kill_us = now_us + calls->limits.kill_grace_ms * 1000;
		tenure->interrupted = true;
		worker_interrupt(tenure->worker);
		return tenure->kill_us;
	}
	if (tenure->recalling ||
	    (tenure->ncalls == 1 && first->state != CALL_OVER))
		return deadline_us;
	if (now_us < recall_us)
		return recall_us < deadline_us ? recall_us : deadline_us;
	if (tenure->ncalls > 1)
		recall(tenure);
	else
		worker_kill(tenure->worker); /* it works for nobody */
	return deadline_us;
}

static void
on_watch(void *arg)
{
	struct calls *calls = arg;
	uint64_t now_us = clock_mono_us();
	uint64_t next_us = UINT64_MAX;
	struct tenure *tenure;

	calls->watch_us = 0;
	give_up_overdue(calls, now_us);
	LIST_FOREACH(tenure, &calls->busy, in_calls)
	{
		uint64_t at_us = look(tenure, now_us);

		if (at_us < next_us)
			next_us = at_us;
	}
	if (next_us != UINT64_MAX)
		tenure_watch(calls, now_us, next_us);
}

/* --- its end ------------------------------------------------------------ */

/*
 * The worker died with bytes of ours unread and without a word on this call, so
 * what it did not read is the call: it cannot have begun.
 */
static bool
unread(const struct tenure *tenure)
{
	const struct call *call = TAILQ_FIRST(&tenure->calls);

	return tenure->worker->unread && call->frames == 0 &&
	    tenure->kill_us == 0 && call->reruns < RERUNS_MAX;
}

void
tenure_misfire(struct tenure *tenure)
{
	struct call *call = TAILQ_FIRST(&tenure->calls);
	/* STARTED and FAILED were not its own words */
	bool spoke = call->frames > 1u + call->announced;

	worker_kill(tenure->worker);
	tenure_take_back(tenure, spoke ? 1 : 0, false);
	call = spoke ? take_last(tenure) : NULL;
	if (call != NULL)
		call_fail(call, RECORD_OUTCOME_CRASHED, RECORD_FAILED_POOL, 502,
		    "worker_killed",
		    "the worker ended with the call before this one");
}

/*
 * A call that has said nothing has done nothing that could be seen, so it can
 * be run again.  If it may be the one that ended the worker it is run alone,
 * and then it is known.
 */
void
tenure_mourn(struct tenure *tenure, const struct worker_death *death)
{
	bool timeout = tenure->kill_us != 0;
	struct call *call;

	if (!tenure->worker->mourned) {
		tenure->worker->mourned = true;
		tenure->function->lost++;
	}
	TAILQ_FOREACH (call, &tenure->calls, link)
		call->reruns++;
	if (!first_is_running(tenure) || unread(tenure)) {
		tenure_take_back(tenure, 0, tenure->ncalls > 1);
		return;
	}
	tenure_take_back(tenure, 1, false);
	call = take_last(tenure);
	if (call == NULL)
		return;
	if (timeout)
		call_fail_timeout(call, (struct slice){0});
	else
		call_fail(call, RECORD_OUTCOME_CRASHED,
		    death->platform ? RECORD_FAILED_POOL
				    : RECORD_FAILED_SANDBOX,
		    502, death->reason, death->text);
}
