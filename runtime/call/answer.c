/*
 * answer.c - the frames that the worker of a call sends.
 *
 * Runs in: gateway, cli.
 *
 * Every byte is hostile.  What cannot be right ends the worker, and with it the
 * call that it was running.
 */
#include "runtime/call/call_priv.h"
#include "runtime/http/http.h"
#include "sandbox/base/clock.h"

#include <stdio.h>

#define HEADERS_MAX  100   /* of a handler's response */
#define UNREAD_BYTES 65536 /* of ours, while it asks for more */

/* --- the answer --------------------------------------------------------- */

/*
 * The answers that came with one read share the time since the last one, and
 * the CPU: when each of them was done, only the worker knows.
 */
static void
share_time(struct tenure *tenure, struct call *call)
{
	struct worker *worker = tenure->worker;
	uint64_t begun_us = tenure_begun_us(tenure);
	unsigned int answers =
	    worker->answers < tenure->ncalls ? worker->answers : tenure->ncalls;
	uint64_t span_us =
	    worker->read_us > begun_us ? worker->read_us - begun_us : 0;

	if (answers == 0) /* it is counted with its read, but divides */
		answers = 1;
	if (tenure->cpu_read_us != worker->read_us) {
		uint64_t before_us = worker->cpu_us;
		uint64_t now_us = worker_cpu(worker);

		tenure->cpu_read_us = worker->read_us;
		tenure->cpu_us = 0;
		if (now_us > before_us) {
			worker->cpu_us = now_us;
			tenure->cpu_us = (now_us - before_us) / answers;
		}
	}
	call->begun_us = begun_us;
	if (call->announced && tenure->image_us != 0)
		call->begun_us = tenure->image_us;
	call->merged = call->started_us == worker->read_us;
	call->ended_us = begun_us + span_us / answers;
	call->cpu_us = tenure->cpu_us;
	tenure->mark_us = call->ended_us;
	if (worker->answers > 0)
		worker->answers--;
}

/* Take the call off its worker, which may then be given another. */
static bool
take_answer(struct tenure *tenure, struct call *call)
{
	bool ghost = call->state == CALL_OVER;

	share_time(tenure, call);
	tenure_pull(tenure, call);
	tenure_settle(tenure);
	if (ghost)
		call_free(call);
	return !ghost;
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
note_peak(struct call *call, struct worker *worker, uint64_t peak_bytes)
{
	if (peak_bytes > worker->memory_bytes)
		return false;
	call->record.peak_kb = (peak_bytes + 1023) / 1024;
	if (call->record.peak_kb > worker->peak_kb)
		worker->peak_kb = call->record.peak_kb;
	return true;
}

/* Reports the end; the function may be gone after it. */
static void
report_result(struct call *call, uint16_t status, struct call_result *result)
{
	const struct fn_manifest *manifest = &call->function->version->manifest;
	const char *bad = bad_headers(result->headers);

	if (result->body.n > manifest->max_response_bytes)
		bad = "more than max_response_bytes";
	if (bad != NULL) {
		bad_response(call, bad);
		return;
	}
	call->record.outcome = RECORD_OUTCOME_OK;
	call->record.status = status;
	call->record.bytes_out = result->body.n;
	call_finish(call, result);
}

static void
on_result(struct tenure *tenure, struct call *call, struct wire_reader *r)
{
	struct call_result result = {0};
	uint64_t peak = wire_get_u64(r);
	uint16_t status = wire_get_u16(r);

	if (call->announced && call->started_us == 0) {
		worker_breach(tenure->worker, "RESULT without STARTED");
		return;
	}
	result.headers = *r;
	skip_headers(r);
	result.body = wire_get_str(r);
	if (!wire_got_all(r) || status < 200 || status > 599 ||
	    !note_peak(call, tenure->worker, peak)) {
		worker_breach(tenure->worker, "RESULT that cannot be read");
		return;
	}
	if (take_answer(tenure, call))
		report_result(call, status, &result);
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
		call_fail_timeout(call, traceback);
		return;
	}
	record->outcome = (uint8_t)means[why].outcome;
	record->failed_by = (uint8_t)means[why].failed_by;
	record->status = means[why].status;
	(void)slice_copy(record->reason, sizeof(record->reason),
	    slice_of(means[why].reason));
	call_finish(call, &result);
}

static void
on_failed(struct tenure *tenure, struct call *call, struct wire_reader *r)
{
	struct worker *worker = tenure->worker;
	uint8_t why = wire_get_u8(r);
	uint64_t peak = wire_get_u64(r);
	struct slice message = wire_get_str(r);
	struct slice traceback = wire_get_str(r);
	bool spent = why == WIRE_FAIL_TIMEOUT || why == WIRE_FAIL_MEMORY;

	if (call->announced && call->started_us == 0) {
		worker_breach(worker, "FAILED without STARTED");
		return;
	}
	if (wire_got_all(r) && why == WIRE_FAIL_TIMEOUT &&
	    tenure->kill_us == 0 && tenure->interrupted) {
		tenure_misfire(tenure);
		return;
	}
	if (!wire_got_all(r) || why < WIRE_FAIL_ERROR || why > WIRE_FAIL_LOAD ||
	    !note_peak(call, worker, peak) ||
	    (why == WIRE_FAIL_TIMEOUT && tenure->kill_us == 0)) {
		worker_breach(worker, "FAILED that cannot be read");
		return;
	}
	if (spent) { /* it is ending itself */
		worker_kill(worker);
		worker->mourned = true;
		call->function->lost++;
		tenure_take_back(tenure, 1, false);
	}
	if (take_answer(tenure, call))
		fail_as_said(call, why, message, traceback);
}

/* --- what it says meanwhile --------------------------------------------- */

static void
on_log(struct call *call, struct wire_reader *r)
{
	struct calls *calls = call->calls;
	uint8_t level = wire_get_u8(r);
	struct slice text = wire_get_str(r);
	struct slice fields = wire_get_str(r);

	if (!wire_got_all(r) || level > WIRE_LOG_ERROR) {
		worker_breach(call->worker, "LOG that cannot be read");
		return;
	}
	call->log_bytes += text.n + fields.n;
	if (call->log_bytes > calls->limits.max_log_bytes) {
		call->logs_dropped++;
		if (call->log_bytes >
		    calls->limits.max_log_bytes + CALL_LOG_FLOOD)
			worker_breach(call->worker, "a flood of log lines");
		return;
	}
	calls->callbacks.on_log(call->function->version, call->request_id,
	    (enum wire_log)level, text, fields, calls->arg);
}

/* A worker that asks must have read what it was told, and its answer comes
 * behind what it was sent: that is dropped there, so it is taken back here. */
static bool
may_ask(struct tenure *tenure)
{
	struct function *function = tenure->function;

	if (worker_out(tenure->worker)->n > UNREAD_BYTES) {
		worker_breach(tenure->worker,
		    "questions without reading the answers");
		return false;
	}
	pace_asked(&function->pace);
	if (tenure->ncalls > 1)
		tenure_take_back(tenure, 1, false);
	return true;
}

static void
on_time(struct call *call)
{
	struct buf *out = worker_out(call->worker);
	size_t begin = wire_add_begin(out, WIRE_TIME_IS, call->id);

	wire_add_u64(out, (uint64_t)clock_wall_ms());
	wire_add_u64(out, clock_mono_us());
	wire_add_end(out, begin);
	worker_flush_soon(call->worker);
}

static void
on_file(struct call *call, const struct wire_header *header, struct slice body)
{
	if (call->asked) {
		worker_breach(call->worker,
		    "a second question before the answer");
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
		worker_breach(call->worker, "STARTED that was not asked for");
	else
		call->started_us = call->worker->read_us;
}

/* Nobody listens to a ghost, and nobody answers it. */
static void
on_frame_of_ghost(struct tenure *tenure, const struct wire_header *header)
{
	if (header->type != WIRE_STARTED && header->type != WIRE_LOG)
		worker_kill(tenure->worker);
}

static void
on_returned(struct tenure *tenure, uint64_t id)
{
	const struct call *first = TAILQ_FIRST(&tenure->calls);

	if (!tenure->recalling ||
	    (id != 0 && (first == NULL || id != first->id))) {
		worker_breach(tenure->worker,
		    "RETURNED that was not asked for");
		return;
	}
	tenure->recalling = false;
	tenure->slow = id != 0;
	tenure_take_back(tenure, id == 0 ? 0 : 1, false);
	tenure_settle(tenure);
	function_serve(tenure->function);
}

static void
on_frame_of_call(struct tenure *tenure, struct call *call,
    const struct wire_header *header, struct slice body)
{
	struct wire_reader r = {(const uint8_t *)body.p, body.n, false};

	if (header->type == WIRE_RESULT)
		on_result(tenure, call, &r);
	else if (header->type == WIRE_FAILED)
		on_failed(tenure, call, &r);
	else if (call->state == CALL_OVER)
		on_frame_of_ghost(tenure, header);
	else if (header->type == WIRE_STARTED)
		on_started(call);
	else if (header->type == WIRE_LOG)
		on_log(call, &r);
	else if (header->type == WIRE_TIME && may_ask(tenure))
		on_time(call);
	else if (header->type != WIRE_TIME && may_ask(tenure))
		on_file(call, header, body);
}

void
call_on_frame(struct tenure *tenure, const struct wire_header *header,
    struct slice body)
{
	struct function *function = tenure->function;
	struct call *first = TAILQ_FIRST(&tenure->calls);

	if (header->type == WIRE_RETURNED) {
		on_returned(tenure, header->call_id);
		return;
	}
	if (first == NULL || header->call_id != first->id ||
	    ++first->frames > CALL_FRAMES_MAX) {
		worker_breach(tenure->worker,
		    first == NULL || header->call_id != first->id
			? "the id of another call"
			: "too many frames");
		return;
	}
	on_frame_of_call(tenure, first, header, body);
	if (function->queued > 0 || !function->active)
		function_serve(function);
}

/* --- answers to its questions ------------------------------------------- */

void
call_answer_data(struct call *call, bool ok, struct slice data)
{
	struct buf *out = worker_out(call->worker);
	size_t begin = wire_add_begin(out, WIRE_FILE_DATA, call->id);

	call->asked = false;
	wire_add_u8(out, ok);
	wire_add_str(out, data);
	wire_add_end(out, begin);
	worker_flush_soon(call->worker);
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
	worker_flush_soon(call->worker);
}
