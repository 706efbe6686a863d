/*
 * call.c - one call: how it begins, is sent to a worker, ends, and its record.
 *
 * Runs in: gateway, cli.
 * Owns:    a struct call from call_start() until its done() returned, or, when
 *          its client went away, until its worker has answered.
 *
 * Durations are this process's clock around what was written and read; the
 * worker's word counts for nothing but the arena's high-water mark, which is
 * held against its limit.
 */
#include "runtime/call/call_priv.h"
#include "sandbox/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

void *
call_arg(const struct call *call)
{
	return call->request.arg;
}

/* --- the end of a call --------------------------------------------------- */

/*
 * A start whose STARTED came together with its answer: when the handler began
 * is not known.  The time is shared as such starts and this handler take it
 * when they are seen apart.
 */
static uint64_t
guess_load_us(const struct call *call, uint64_t span_us)
{
	uint64_t load_us = call->calls->load_us;
	uint64_t known_us = call->function->pace.handler_us;
	uint64_t handler_us = known_us > 0 ? known_us : load_us;
	uint64_t guess_us = span_us * load_us / (load_us + handler_us);

	return guess_us > 0 || span_us == 0 ? guess_us : 1;
}

static void
measure_start(struct call *call, uint64_t ended_us)
{
	struct record *record = &call->record;
	uint64_t load_us;

	if (call->started_us == 0) {
		load_us = ended_us - call->begun_us;
	} else if (call->merged) {
		load_us = guess_load_us(call, ended_us - call->begun_us);
		call->started_us = call->begun_us + load_us;
	} else {
		load_us = call->started_us - call->begun_us;
		call->calls->load_us =
		    (call->calls->load_us * 7 + load_us + 7) / 8;
	}
	record->load_us = record->first_us = load_us;
}

static void
measure(struct call *call)
{
	struct record *record = &call->record;
	uint64_t ended_us = call->ended_us;
	uint64_t waited_us;
	uint64_t start_us;

	if (ended_us == 0)
		ended_us = clock_mono_us();
	if (call->state == CALL_QUEUED) {
		record->queue_us = ended_us - call->request.accepted_us;
		return;
	}
	if (call->begun_us == 0 || call->begun_us > ended_us)
		call->begun_us = ended_us; /* it was never its turn */
	start_us = record->spawn_us + record->jail_us + record->init_us;
	waited_us = call->begun_us - call->request.accepted_us;
	record->queue_us = waited_us > start_us ? waited_us - start_us : 0;
	if (record->kind != RECORD_KIND_WARM)
		measure_start(call, ended_us);
	else
		call->started_us = call->begun_us;
	if (call->started_us != 0)
		record->handler_us = ended_us - call->started_us;
	record->cpu_us = call->cpu_us;
}

static void
note_dropped_logs(struct call *call)
{
	char text[96];

	if (call->logs_dropped == 0)
		return;
	(void)snprintf(text, sizeof(text),
	    "%llu log lines dropped: more than max_log_bytes",
	    (unsigned long long)call->logs_dropped);
	call->calls->callbacks.on_log(call->function->version, call->request_id,
	    WIRE_LOG_WARN, slice_of(text), (struct slice){0}, call->calls->arg);
}

void
call_free(struct call *call)
{
	struct fn_version *version = call->function->version;

	free(call);
	fn_version_unref(version);
}

void
call_finish(struct call *call, struct call_result *result)
{
	struct calls *calls = call->calls;
	struct function *function = call->function;
	struct record *record = &call->record;

	measure(call);
	if (call->state == CALL_QUEUED)
		function_unqueue(function, call);
	else
		calls->stats.in_flight--;
	call->state = CALL_OVER;
	if (call->over_out != NULL)
		*call->over_out = true;
	function_learn(function, call);
	function->invocations++;
	if (record->outcome != RECORD_OUTCOME_OK)
		function->errors++;
	if (record->kind > RECORD_KIND_WARM)
		function->cold_starts++;
	note_dropped_logs(call);
	calls->callbacks.on_record(record, calls->arg);
	result->record = record;
	call->request.done(call, result, call->request.arg);
	calls->callbacks.on_over(function->version, result, calls->arg);
	if (call->worker == NULL)
		call_free(call);
	calls_check_drained(calls);
}

void
call_fail(struct call *call, enum record_outcome outcome,
    enum record_failed_by failed_by, unsigned int status, const char *reason,
    const char *message)
{
	struct record *record = &call->record;
	struct call_result result = {.message = slice_of(message)};
	struct scale_facts facts;

	record->outcome = (uint8_t)outcome;
	record->failed_by = (uint8_t)failed_by;
	record->status = (uint16_t)status;
	(void)slice_copy(record->reason, sizeof(record->reason),
	    slice_of(reason));
	if (status == 429 || status == 503) {
		function_facts(call->function, &facts);
		result.retry_after_s = scale_retry_after_s(&facts);
	}
	call_finish(call, &result);
}

void
call_fail_timeout(struct call *call, struct slice traceback)
{
	struct call_result result = {.traceback = traceback};
	struct record *record = &call->record;
	char text[160];

	(void)snprintf(text, sizeof(text),
	    "the handler ran longer than %u ms%s",
	    call->function->version->manifest.timeout_ms,
	    traceback.n == 0 ? " and had to be killed" : "");
	result.message = slice_of(text);
	record->outcome = RECORD_OUTCOME_TIMEOUT;
	record->failed_by = RECORD_FAILED_LIMIT;
	record->status = 504;
	(void)slice_copy(record->reason, sizeof(record->reason),
	    SLICE("timeout"));
	call_finish(call, &result);
}

/*
 * The client went away.  A call that is alone on its worker is ended with it,
 * unless it will be done sooner than a new worker is started; others become
 * ghosts, whose answers nobody hears.
 */
void
call_cancel(struct call *call)
{
	struct tenure *tenure =
	    call->worker == NULL ? NULL : tenure_of(call->worker);

	if (tenure != NULL && tenure->ncalls == 1 &&
	    pace_depth(&call->function->pace) == 1) {
		tenure_pull(tenure, call);
		worker_kill(tenure->worker);
		tenure->worker->mourned = true;
		call->function->lost++;
	} else if (tenure != NULL) {
		tenure_forsake(tenure);
	}
	call_fail(call, RECORD_OUTCOME_CANCELLED, RECORD_FAILED_CLIENT, 499,
	    "client_gone", "the client went away");
}

/* --- beginning ----------------------------------------------------------- */

static struct call *
call_new(struct calls *calls, const struct call_request *request)
{
	struct fn_version *version = request->version;
	struct call *call = calloc(1, sizeof(*call));
	struct record *record;

	if (call == NULL)
		abort();
	(void)fn_version_ref(version);
	call->calls = calls;
	call->function = function_of(calls, version);
	call->request = *request;
	call->id = ++calls->next_id;
	(void)slice_copy(call->request_id, sizeof(call->request_id),
	    slice_of(request->request_id));
	record = &call->record;
	record->wall_ms = request->wall_ms;
	record->bytes_in = request->bytes_in;
	record->version = version->number;
	record->memory_mb = version->manifest.memory_mb;
	record->attempt = request->attempt;
	record->source = (uint8_t)request->source;
	(void)slice_copy(record->function, sizeof(record->function),
	    slice_of(version->name));
	(void)slice_copy(record->request_id, sizeof(record->request_id),
	    slice_of(request->request_id));
	return call;
}

struct call *
call_start(struct calls *calls, const struct call_request *request)
{
	struct call *call = call_new(calls, request);
	struct function *function = call->function;
	bool over = false;
	bool full = function->queued >= calls->limits.max_queue ||
	    calls->stats.queued_bytes + request->bytes_in >
		calls->limits.max_queue_bytes;

	function_enqueue(function, call);
	if (calls->draining) {
		call_fail(call, RECORD_OUTCOME_REJECTED, RECORD_FAILED_GATEWAY,
		    503, "draining", "the server is shutting down");
		return NULL;
	}
	if (calls->callbacks.may_record != NULL &&
	    !calls->callbacks.may_record(calls->arg)) {
		call_fail(call, RECORD_OUTCOME_REJECTED, RECORD_FAILED_GATEWAY,
		    503, "ledger_behind",
		    "the ledger's disk is slower than the requests");
		return NULL;
	}
	if (full && function->idle == NULL) {
		call_fail(call, RECORD_OUTCOME_REJECTED, RECORD_FAILED_LIMIT,
		    429, "queue_full",
		    "too many requests are waiting for this function");
		return NULL;
	}
	call->over_out = &over;
	function_serve(function);
	if (over) /* its start failed at once */
		return NULL;
	call->over_out = NULL;
	return call;
}

static void
add_event(struct call *call, struct worker *worker, uint64_t now_us)
{
	const struct fn_manifest *manifest = &call->function->version->manifest;
	struct buf *out = worker_out(worker);
	size_t begin = wire_add_begin(out, WIRE_INVOKE, call->id);

	buf_add(out, calls_seed(call->calls), WIRE_SEED_BYTES);
	wire_add_u64(out, (uint64_t)clock_wall_ms());
	wire_add_u64(out, now_us);
	wire_add_u64(out, now_us + (uint64_t)manifest->timeout_ms * 1000);
	wire_add_u64(out, manifest->max_response_bytes + HEADERS_MAX_BYTES);
	wire_add_u8(out, call->announced);
	wire_add_u8(out, call->announced); /* ctx.cold */
	wire_add_str(out, slice_of(record_kind_name(call->record.kind)));
	wire_add_str(out, slice_of(call->request_id));
	wire_add_u8(out, (uint8_t)call->request.kind);
	call->request.encode(out, call->request.arg);
	wire_add_end(out, begin);
}

static void
take_start(struct call *call, struct tenure *tenure)
{
	struct record *record = &call->record;

	if (tenure->served) {
		record->kind = RECORD_KIND_WARM;
		record->cause = RECORD_CAUSE_NONE;
		record->spawn_us = record->jail_us = record->init_us = 0;
		return;
	}
	tenure->served = true;
	record->kind = (uint8_t)tenure->kind;
	record->cause = (uint8_t)tenure->cause;
	record->spawn_us = tenure->spawn_us;
	record->jail_us = tenure->jail_us;
	record->init_us = tenure->init_us;
}

/* Give it to a worker that is idle or has room. */
void
call_send(struct call *call, struct tenure *tenure)
{
	struct worker *worker = tenure->worker;
	uint64_t now_us = clock_mono_us();

	function_unqueue(call->function, call);
	call->calls->stats.in_flight++;
	call->state = CALL_SENT;
	take_start(call, tenure);
	call->announced = call->record.kind != RECORD_KIND_WARM;
	tenure_push(tenure, call, now_us);
	add_event(call, worker, now_us);
	worker_flush_soon(worker);
}
