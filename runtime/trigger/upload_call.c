/*
 * upload_call.c - see upload_call.h.
 *
 * Runs in: gateway.
 * Owns:    see upload_call.h.
 *
 * When a call is over its files go, and with them the questions that are not
 * answered yet: files_free() sees to it that no answer comes afterwards.
 */
#include "runtime/trigger/upload_call.h"

#include "runtime/hostcall/files.h"
#include "runtime/stat/reqid.h"
#include "sandbox/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

struct upload_calls {
	struct loop *loop;
	struct catalog *catalog;
	struct calls *calls;
	struct uploads *uploads;
	struct reqid_source ids;
};

struct run {
	struct upload_calls *owner;
	struct call *call; /* NULL: not begun */
	struct files *files;
	uint64_t event_id;
	struct slice event;
	char id[RECORD_ID_MAX];
};

static void
run_free(struct run *run)
{
	files_free(run->files);
	free(run);
}

static void
encode(struct buf *out, void *arg)
{
	const struct run *run = arg;

	wire_add_str(out, run->event);
}

static bool
platform_failed(const struct record *record)
{
	return record->failed_by == RECORD_FAILED_GATEWAY ||
	    record->failed_by == RECORD_FAILED_POOL ||
	    record->outcome == RECORD_OUTCOME_REJECTED;
}

static void
done(struct call *call, const struct call_result *result, void *arg)
{
	struct run *run = arg;
	const struct record *record = result->record;
	struct buf error = {0};
	bool failed =
	    record->outcome != RECORD_OUTCOME_OK || record->status >= 500;

	if (failed) {
		buf_puts(&error,
		    record->reason[0] == '\0' ? "bad_status" : record->reason);
		if (result->message.n > 0) {
			buf_puts(&error, ": ");
			buf_add_slice(&error, result->message);
		}
		buf_putc(&error, '\0');
	}
	upload_finished(run->owner->uploads, run->event_id,
	    failed ? error.p : NULL, failed && platform_failed(record));
	buf_fini(&error);
	run_free(run);
}

/* --- questions of the handler ---------------------------------------------------- */

static void
on_data(struct slice data, const char *reason, void *arg)
{
	struct run *run = arg;

	call_answer_data(run->call, reason == NULL,
	    reason == NULL ? data : slice_of(reason));
}

static void
on_written(const char *reason, void *arg)
{
	struct run *run = arg;

	call_answer_done(run->call, reason == NULL, slice_of(reason));
}

static void
on_file(struct call *call, const struct wire_header *header, struct slice body,
    void *arg)
{
	struct run *run = arg;
	struct wire_reader r = {(const uint8_t *)body.p, body.n, false};

	run->call = call;
	if (header->type == WIRE_FILE_READ) {
		uint64_t offset = wire_get_u64(&r);

		files_read(run->files, offset, wire_get_u32(&r), on_data, run);
	} else if (header->type == WIRE_FILE_WRITE) {
		struct slice name = wire_get_str(&r);

		files_write(run->files, name, wire_get_str(&r), on_written,
		    run);
	} else {
		files_commit(run->files, wire_get_str(&r), on_written, run);
	}
}

void
upload_calls_run(const struct upload_run *upload, void *arg)
{
	struct upload_calls *owner = arg;
	struct fn_version *version =
	    catalog_find(owner->catalog, slice_of(upload->function));
	struct call *call;
	struct run *run;

	if (version == NULL) {
		upload_finished(owner->uploads, upload->event_id,
		    "no version of the function serves", true);
		return;
	}
	run = calloc(1, sizeof(*run));
	if (run == NULL)
		abort();
	run->owner = owner;
	run->event_id = upload->event_id;
	run->event = upload->event;
	run->files =
	    files_new(owner->loop, upload->content_fd, upload->output_fd, NULL);
	reqid_make(&owner->ids, clock_wall_ms(), run->id);
	call = call_start(owner->calls,
	    &(struct call_request){.version = version,
		.source = RECORD_SOURCE_UPLOAD,
		.request_id = run->id,
		.wall_ms = clock_wall_ms(),
		.accepted_us = clock_mono_us(),
		.bytes_in = 0,
		.attempt = upload->attempt,
		.kind = WIRE_EVENT_JSON,
		.encode = encode,
		.done = done,
		.on_file = on_file,
		.arg = run});
	if (call != NULL) /* else it is over, and run with it */
		run->call = call;
	/* cppcheck-suppress memleak ; the call has it, until done() */
}

struct upload_calls *
upload_calls_new(struct loop *loop, struct catalog *catalog,
    struct calls *calls)
{
	struct upload_calls *owner = calloc(1, sizeof(*owner));

	if (owner == NULL)
		abort();
	owner->loop = loop;
	owner->catalog = catalog;
	owner->calls = calls;
	reqid_init(&owner->ids);
	return owner;
}

void
upload_calls_report_to(struct upload_calls *owner, struct uploads *uploads)
{
	owner->uploads = uploads;
}

void
upload_calls_free(struct upload_calls *owner)
{
	free(owner);
}
