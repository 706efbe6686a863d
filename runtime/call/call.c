/*
 * call.c - one call: dispatch, the frames of its worker, its deadline, its
 * record.
 *
 * Runs in: gateway, cli.
 * Owns:    a struct call from call_start() until its done() returned.
 *
 * Durations are this process's clock around what was written and read; the
 * worker's word counts for nothing but the arena's high-water mark, which is
 * held against its limit.
 */
#include "runtime/call/call_priv.h"
#include "runtime/http/http.h"
#include "sandbox/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX	  100 /* of a handler's response */
#define HEADERS_MAX_BYTES 32768
#define RERUNS_MAX	  3
#define LOG_FLOOD_BYTES	  ((uint64_t)64 << 20) /* over the limit: killed */

static void on_deadline(void *arg);

void *
call_arg(const struct call *call)
{
	return call->request.arg;
}

static void
unlink_running(struct call *call)
{
	if (call->prev != NULL)
		call->prev->next = call->next;
	else
		call->calls->running = call->next;
	if (call->next != NULL)
		call->next->prev = call->prev;
}

/* --- the end of a call --------------------------------------------------- */

static void
measure(struct call *call, uint64_t now_us)
{
	struct record *record = &call->record;
	uint64_t waited_us;
	uint64_t start_us;

	if (call->state == CALL_QUEUED) {
		record->queue_us = now_us - call->request.accepted_us;
		return;
	}
	start_us = record->spawn_us + record->jail_us + record->init_us;
	waited_us = call->assigned_us - call->request.accepted_us;
	record->queue_us = waited_us > start_us ? waited_us - start_us : 0;
	if (call->started_us != 0)
		record->handler_us = now_us - call->started_us;
	if (record->kind != RECORD_KIND_WARM)
		record->load_us = record->first_us =
		    (call->started_us != 0 ? call->started_us : now_us) -
		    call->sent_us;
}

/* CPU that the worker used since the last look; what it uses after the result
 * to restore its heap is found at the next look. */
static uint64_t
spent_cpu_us(struct worker *worker)
{
	uint64_t before_us = worker->cpu_us;
	uint64_t now_us = worker_cpu(worker);

	if (now_us < before_us)
		return 0;
	worker->cpu_us = now_us;
	return now_us - before_us;
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

static void
learn(struct call *call)
{
	struct function *function = call->function;
	const struct record *record = &call->record;
	uint64_t start_us = record->spawn_us + record->jail_us +
	    record->init_us + record->load_us;

	if (record->outcome != RECORD_OUTCOME_OK &&
	    record->outcome != RECORD_OUTCOME_ERROR)
		return;
	function->handler_us = function->handler_us == 0
	    ? record->handler_us + 1
	    : (function->handler_us * 7 + record->handler_us) / 8 + 1;
	if (record->kind != RECORD_KIND_WARM)
		function->start_us = function->start_us == 0
		    ? start_us
		    : (function->start_us * 7 + start_us) / 8;
}

/* Did the worker end with the call?  Then its next start is a replacement. */
static bool
costs_worker(unsigned int outcome)
{
	return outcome == RECORD_OUTCOME_TIMEOUT ||
	    outcome == RECORD_OUTCOME_MEMORY ||
	    outcome == RECORD_OUTCOME_CRASHED ||
	    outcome == RECORD_OUTCOME_CANCELLED;
}

/* Leave the queue or the worker, write the record, tell the caller. */
static void
finish(struct call *call, struct call_result *result)
{
	struct calls *calls = call->calls;
	struct function *function = call->function;
	struct fn_version *version = function->version;
	struct record *record = &call->record;

	measure(call, clock_mono_us());
	if (call->state == CALL_QUEUED) {
		function_unqueue(function, call);
	} else {
		unlink_running(call);
		record->cpu_us = spent_cpu_us(call->worker);
		call->worker->state = WIRE_IDLE;
		tenure_of(call->worker)->call = NULL;
		loop_timer_stop(call->worker->timer);
		function->nbusy--;
		calls->stats.in_flight--;
		if (costs_worker(record->outcome)) {
			function->lost++;
			call->worker->mourned = true;
		}
	}
	call->state = CALL_OVER;
	if (call->over_out != NULL)
		*call->over_out = true;
	learn(call);
	function->invocations++;
	if (record->outcome != RECORD_OUTCOME_OK)
		function->errors++;
	if (record->kind > RECORD_KIND_WARM)
		function->cold_starts++;
	note_dropped_logs(call);
	calls->callbacks.on_record(record, calls->arg);
	result->record = record;
	call->request.done(call, result, call->request.arg);
	calls->callbacks.on_over(version, result, calls->arg);
	free(call);
	fn_version_unref(version);
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
	finish(call, &result);
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
add_event(struct call *call, struct worker *worker, bool cold)
{
	const struct fn_manifest *manifest = &call->function->version->manifest;
	struct buf *out = worker_out(worker);
	size_t begin = wire_add_begin(out, WIRE_INVOKE, call->id);

	buf_add(out, calls_seed(call->calls), WIRE_SEED_BYTES);
	wire_add_u64(out, (uint64_t)clock_wall_ms());
	wire_add_u64(out, call->assigned_us);
	wire_add_u64(out, call->deadline_us);
	wire_add_u64(out, manifest->max_response_bytes + HEADERS_MAX_BYTES);
	wire_add_u8(out, cold);
	wire_add_u8(out, cold);
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

void
call_dispatch(struct call *call, struct worker *worker)
{
	struct function *function = call->function;
	struct calls *calls = call->calls;
	struct tenure *tenure = tenure_of(worker);

	function_unqueue(function, call);
	function->nbusy++;
	calls->stats.in_flight++;
	call->state = CALL_RUNNING;
	call->worker = worker;
	call->prev = NULL;
	call->next = calls->running;
	if (call->next != NULL)
		call->next->prev = call;
	calls->running = call;
	tenure->call = call;
	worker->requests++;
	worker->state = WIRE_RUNNING;
	take_start(call, tenure);
	call->announced = call->record.kind != RECORD_KIND_WARM;
	call->assigned_us = clock_mono_us();
	call->deadline_us = call->assigned_us +
	    (uint64_t)function->version->manifest.timeout_ms * 1000;
	add_event(call, worker, call->announced);
	if (worker->timer == NULL)
		worker->timer =
		    loop_timer_new(calls->loop, on_deadline, worker);
	loop_timer_start(worker->timer, call->deadline_us - call->assigned_us);
	call->sent_us = call->assigned_us;
	if (!call->announced)
		call->started_us = call->sent_us;
	worker_flush(worker);
}

/* --- deadline, cancel ----------------------------------------------------- */

static void
fail_timeout(struct call *call, struct slice traceback)
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
	finish(call, &result);
}

static void
on_deadline(void *arg)
{
	struct worker *worker = arg;
	struct call *call = tenure_of(worker)->call;

	if (call == NULL)
		return;
	if (!call->out_of_time) {
		call->out_of_time = true;
		worker_interrupt(worker);
		loop_timer_start(worker->timer,
		    call->calls->limits.kill_grace_ms * 1000);
		return;
	}
	worker_kill(worker);
	fail_timeout(call, (struct slice){0});
}

void
call_cancel(struct call *call)
{
	if (call->state == CALL_RUNNING)
		worker_kill(call->worker);
	call_fail(call, RECORD_OUTCOME_CANCELLED, RECORD_FAILED_CLIENT, 499,
	    "client_gone", "the client went away");
}

/* --- frames ---------------------------------------------------------------- */

static void
breach(struct call *call, const char *what)
{
	(void)snprintf(call->worker->breach, sizeof(call->worker->breach), "%s",
	    what);
	worker_kill(call->worker);
}

/* Every header of a handler is checked as one from the network would be. */
static const char *
bad_headers(struct wire_reader r)
{
	uint32_t n = wire_get_u32(&r);
	size_t bytes = 0;

	if (n > HEADERS_MAX)
		return "more than 100 headers";
	for (; n > 0; n--) {
		struct slice name = wire_get_str(&r);
		struct slice value = wire_get_str(&r);

		bytes += name.n + value.n;
		if (!r.bad && !http_header_valid(name, value))
			return "a header that may not be sent";
	}
	return bytes > HEADERS_MAX_BYTES ? "more than 32 KiB of headers" : NULL;
}

static void
skip_headers(struct wire_reader *r)
{
	for (uint32_t n = wire_get_u32(r); n > 0 && !r->bad; n--) {
		(void)wire_get_str(r);
		(void)wire_get_str(r);
	}
}

static void
bad_response(struct call *call, const char *why)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "the handler's response has %s",
	    why);
	call_fail(call, RECORD_OUTCOME_ERROR, RECORD_FAILED_HANDLER, 502,
	    "bad_response", text);
}

static bool
note_peak(struct call *call, uint64_t peak_bytes)
{
	if (peak_bytes > call->worker->memory_bytes)
		return false;
	call->record.peak_kb = (peak_bytes + 1023) / 1024;
	if (call->record.peak_kb > call->worker->peak_kb)
		call->worker->peak_kb = call->record.peak_kb;
	return true;
}

/* After the caller has been told, the worker can take the next request. */
static void
release(struct function *function, struct worker *worker)
{
	if (worker->dying)
		return;
	if (tenure_of(worker)->retire)
		worker_kill(worker);
	else
		function_worker_free(function, worker);
}

static void
on_result(struct call *call, struct wire_reader *r)
{
	const struct fn_manifest *manifest = &call->function->version->manifest;
	struct function *function = call->function;
	struct worker *worker = call->worker;
	struct record *record = &call->record;
	struct call_result result = {0};
	uint64_t peak = wire_get_u64(r);
	uint16_t status = wire_get_u16(r);
	const char *bad;

	if (call->announced && call->started_us == 0) {
		breach(call, "RESULT without STARTED");
		return;
	}
	result.headers = *r;
	skip_headers(r);
	result.body = wire_get_str(r);
	if (!wire_got_all(r) || status < 200 || status > 599 ||
	    !note_peak(call, peak)) {
		breach(call, "RESULT that cannot be read");
		return;
	}
	bad = bad_headers(result.headers);
	if (result.body.n > manifest->max_response_bytes)
		bad = "more than max_response_bytes";
	if (bad != NULL) {
		bad_response(call, bad);
	} else {
		record->outcome = RECORD_OUTCOME_OK;
		record->status = status;
		record->bytes_out = result.body.n;
		finish(call, &result);
	}
	release(function, worker);
}

static void
fail_as_said(struct call *call, uint8_t why, struct slice message,
    struct slice traceback)
{
	static const struct {
		enum record_outcome outcome;
		enum record_failed_by failed_by;
		uint16_t status;
		const char *reason;
	} means[] = {
	    [WIRE_FAIL_ERROR] = {RECORD_OUTCOME_ERROR, RECORD_FAILED_HANDLER,
		500, "handler_error"},
	    [WIRE_FAIL_MEMORY] = {RECORD_OUTCOME_MEMORY, RECORD_FAILED_LIMIT,
		502, "out_of_memory"},
	    [WIRE_FAIL_RESULT] = {RECORD_OUTCOME_ERROR, RECORD_FAILED_HANDLER,
		502, "bad_response"},
	    [WIRE_FAIL_LOAD] = {RECORD_OUTCOME_ERROR, RECORD_FAILED_HANDLER,
		500, "handler_error"},
	};
	struct call_result result = {.message = message,
	    .traceback = traceback};
	struct record *record = &call->record;

	if (why == WIRE_FAIL_TIMEOUT) {
		fail_timeout(call, traceback);
		return;
	}
	record->outcome = (uint8_t)means[why].outcome;
	record->failed_by = (uint8_t)means[why].failed_by;
	record->status = means[why].status;
	(void)slice_copy(record->reason, sizeof(record->reason),
	    slice_of(means[why].reason));
	finish(call, &result);
}

static void
on_failed(struct call *call, struct wire_reader *r)
{
	struct function *function = call->function;
	struct worker *worker = call->worker;
	uint8_t why = wire_get_u8(r);
	uint64_t peak = wire_get_u64(r);
	struct slice message = wire_get_str(r);
	struct slice traceback = wire_get_str(r);
	bool spent = why == WIRE_FAIL_TIMEOUT || why == WIRE_FAIL_MEMORY;

	if (!wire_got_all(r) || why < WIRE_FAIL_ERROR || why > WIRE_FAIL_LOAD ||
	    !note_peak(call, peak) ||
	    (why == WIRE_FAIL_TIMEOUT && !call->out_of_time)) {
		breach(call, "FAILED that cannot be read");
		return;
	}
	fail_as_said(call, why, message, traceback);
	if (spent) /* it is ending itself */
		worker_kill(worker);
	release(function, worker);
}

static void
on_log(struct call *call, struct wire_reader *r)
{
	struct calls *calls = call->calls;
	uint8_t level = wire_get_u8(r);
	struct slice text = wire_get_str(r);
	struct slice fields = wire_get_str(r);

	if (!wire_got_all(r) || level > WIRE_LOG_ERROR) {
		breach(call, "LOG that cannot be read");
		return;
	}
	call->log_bytes += text.n + fields.n;
	if (call->log_bytes > calls->limits.max_log_bytes) {
		call->logs_dropped++;
		if (call->log_bytes >
		    calls->limits.max_log_bytes + LOG_FLOOD_BYTES)
			breach(call, "a flood of log lines");
		return;
	}
	calls->callbacks.on_log(call->function->version, call->request_id,
	    (enum wire_log)level, text, fields, calls->arg);
}

static void
on_time(const struct call *call)
{
	struct buf *out = worker_out(call->worker);
	size_t begin = wire_add_begin(out, WIRE_TIME_IS, call->id);

	wire_add_u64(out, (uint64_t)clock_wall_ms());
	wire_add_u64(out, clock_mono_us());
	wire_add_end(out, begin);
	worker_flush(call->worker);
}

static void
on_file(struct call *call, const struct wire_header *header, struct slice body)
{
	if (call->asked) {
		breach(call, "a second question before the answer");
		return;
	}
	call->asked = true;
	if (call->request.on_file != NULL)
		call->request.on_file(call, header, body, call->request.arg);
	else if (header->type == WIRE_FILE_READ)
		call_answer_data(call, false,
		    SLICE("this request has no files: only upload events do"));
	else
		call_answer_done(call, false,
		    SLICE("this request has no files: only upload events do"));
}

static void
on_started(struct call *call)
{
	if (!call->announced || call->started_us != 0)
		breach(call, "STARTED that was not asked for");
	else
		call->started_us = clock_mono_us();
}

void
call_on_frame(struct call *call, const struct wire_header *header,
    struct slice body)
{
	struct wire_reader r = {(const uint8_t *)body.p, body.n, false};

	if (header->call_id != call->id || ++call->frames > CALL_FRAMES_MAX) {
		breach(call,
		    header->call_id != call->id ? "the id of another call"
						: "too many frames");
		return;
	}
	if (header->type == WIRE_RESULT)
		on_result(call, &r);
	else if (header->type == WIRE_FAILED)
		on_failed(call, &r);
	else if (header->type == WIRE_STARTED)
		on_started(call);
	else if (header->type == WIRE_LOG)
		on_log(call, &r);
	else if (header->type == WIRE_TIME)
		on_time(call);
	else
		on_file(call, header, body);
}

void
call_answer_data(struct call *call, bool ok, struct slice data)
{
	struct buf *out = worker_out(call->worker);
	size_t begin = wire_add_begin(out, WIRE_FILE_DATA, call->id);

	call->asked = false;
	wire_add_u8(out, ok);
	wire_add_str(out, data);
	wire_add_end(out, begin);
	worker_flush(call->worker);
}

void
call_answer_done(struct call *call, bool ok, struct slice reason)
{
	struct buf *out = worker_out(call->worker);
	size_t begin = wire_add_begin(out, WIRE_FILE_DONE, call->id);

	call->asked = false;
	wire_add_u8(out, ok);
	wire_add_str(out, reason);
	wire_add_end(out, begin);
	worker_flush(call->worker);
}

/*
 * The worker died with bytes of ours unread and without a word on this call, so
 * what it did not read is the call: it cannot have begun.  It goes back to the
 * head of the queue, and nobody notices.
 */
static bool
rerun(struct call *call)
{
	struct function *function = call->function;

	if (!call->worker->unread || call->frames > 0 || call->out_of_time ||
	    call->reruns == RERUNS_MAX)
		return false;
	call->reruns++;
	unlink_running(call);
	tenure_of(call->worker)->call = NULL;
	loop_timer_stop(call->worker->timer);
	function->nbusy--;
	call->calls->stats.in_flight--;
	call->state = CALL_QUEUED;
	call->worker = NULL;
	call->next = call->prev = NULL;
	call->started_us = 0;
	call->frames = 0;
	function_enqueue_first(function, call);
	return true;
}

/* The worker is gone; this call is the one that it was running. */
void
call_on_death(struct call *call, const struct worker_death *death)
{
	if (rerun(call))
		return;
	if (call->out_of_time) {
		fail_timeout(call, (struct slice){0});
		return;
	}
	call_fail(call, RECORD_OUTCOME_CRASHED,
	    death->platform ? RECORD_FAILED_POOL : RECORD_FAILED_SANDBOX, 502,
	    death->reason, death->text);
}
