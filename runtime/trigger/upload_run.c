/*
 * upload_run.c - an accepted event from its start to its end.
 *
 * Runs in: gateway.
 * Owns:    the events that are running.
 *
 *	waiting -> starting -> running -> finishing (done, failed)
 *	   ^          |           |
 *	   +----------+-----------+  (again: function's or platform's fault)
 *
 * An attempt is in the store before it begins, so that an event which takes
 * the gateway down with it cannot do so for ever.  But an attempt that died
 * with the gateway was not the function's failure: it is made again under its
 * number, at most UPLOAD_INTERRUPTED times; the count is kept in the event's
 * error.
 *
 * Descriptors are opened on a helper thread.
 */
#include "runtime/hostcall/below.h"
#include "runtime/hostcall/files.h"
#include "runtime/loop/loop.h"
#include "runtime/store/store.h"
#include "runtime/trigger/upload_priv.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AGAIN_MAX_MS 30000

static void
set_error(struct upload_event *event, const char *error)
{
	size_t n = strlen(error);
	char *copy =
	    slice_dup(slice_from(error, n > ERROR_MAX ? ERROR_MAX : n));

	free(event->error);
	event->error = copy;
}

/* --- the store ---------------------------------------------------------- */

/* One change of an event on its way into the store. */
struct update {
	struct uploads *uploads;
	struct upload_event *event; /* NULL: nobody waits for it */
};

static void on_started(struct upload_event *event, bool ok);
static void on_finished(struct upload_event *event, bool ok);

static void
on_updated(const struct err *err, void *arg)
{
	struct update *update = arg;
	struct uploads *uploads = update->uploads;
	struct upload_event *event = update->event;

	free(update);
	if (!upload_unref(uploads))
		return;
	if (err != NULL)
		upload_store_trouble(uploads, err);
	if (event == NULL)
		return;
	if (event->state == UPLOAD_EVENT_FINISHING)
		on_finished(event, err == NULL);
	else
		on_started(event, err == NULL);
}

static void
write_state(struct upload_event *event, enum store_event_state state,
    uint64_t wait_ms, bool awaited)
{
	struct update *update = upload_alloc(sizeof(*update));
	int64_t now_ms = clock_wall_ms();
	bool over = state == STORE_EVENT_DONE || state == STORE_EVENT_FAILED;

	update->uploads = upload_ref(event->uploads);
	update->event = awaited ? event : NULL;
	store_update_event(event->uploads->store,
	    &(struct store_event){.id = event->id,
		.state = state,
		.attempts = event->attempts,
		.run_at_ms = now_ms + (int64_t)wait_ms,
		.finished_ms = over ? now_ms : 0,
		.error = slice_of(event->error)},
	    on_updated, update);
}

uint32_t
upload_interrupted(struct slice error)
{
	char text[32];
	unsigned int n = 0;

	(void)slice_copy(text, sizeof(text), error);
	return sscanf(text, "interrupted %u times", &n) == 1 ? n : 0;
}

static void
say_interrupted(struct upload_event *event)
{
	char text[96];

	(void)snprintf(text, sizeof(text),
	    "interrupted %u times: the gateway ended while this ran",
	    event->interrupted);
	set_error(event, text);
}

/* --- the end of an attempt ---------------------------------------------- */

static void
release(struct upload_event *event)
{
	struct uploads *uploads = event->uploads;

	if (event->content_fd >= 0)
		(void)close(event->content_fd);
	if (event->output_fd >= 0)
		(void)close(event->output_fd);
	event->content_fd = -1;
	event->output_fd = -1;
	uploads->nrunning--;
	event->func->running--;
}

/* Out of `active`, to wait for so long. */
static void
put_back(struct upload_event *event, uint64_t wait_ms)
{
	TAILQ_REMOVE(&event->uploads->active, event, link);
	event->due_us = clock_mono_us() + wait_ms * MS_US;
	upload_queue_put(event);
}

static void
finish(struct upload_event *event, enum store_event_state state)
{
	event->state = UPLOAD_EVENT_FINISHING;
	if (state == STORE_EVENT_DONE)
		event->uploads->stats.done++;
	else
		event->uploads->stats.failed++;
	write_state(event, state, 0, true);
}

/* DONE is durable (or the store is broken): now the content may go. */
static void
on_finished(struct upload_event *event, bool ok)
{
	struct uploads *uploads = event->uploads;

	if (ok && event->error == NULL)
		upload_spool_remove(uploads, event->blob, event->bytes);
	TAILQ_REMOVE(&uploads->active, event, link);
	upload_event_free(event);
}

static uint64_t
with_jitter(uint64_t ms)
{
	return ms + upload_random() % (ms / 4 + 1);
}

/* The attempt has failed: another one, or the end.  In `active`. */
static void
failed(struct upload_event *event, const char *error)
{
	struct uploads *uploads = event->uploads;
	uint64_t wait_ms;

	set_error(event, error);
	event->resume = false;
	event->interrupted = 0;
	event->platform = 0;
	if (event->attempts >= UPLOAD_ATTEMPTS) {
		finish(event, STORE_EVENT_FAILED);
		return;
	}
	wait_ms = with_jitter(uploads->config.retry_ms[event->attempts - 1]);
	uploads->stats.retried++;
	write_state(event, STORE_EVENT_ACCEPTED, wait_ms, false);
	put_back(event, wait_ms);
}

/* Not the function's fault: the attempt does not count. */
static void
try_again(struct upload_event *event, const char *error)
{
	uint64_t wait_ms = event->uploads->config.again_ms;

	for (uint32_t i = 0; i < event->platform && wait_ms < AGAIN_MAX_MS; i++)
		wait_ms *= 2;
	if (wait_ms > AGAIN_MAX_MS)
		wait_ms = AGAIN_MAX_MS;
	event->platform++;
	if (event->attempts > 0)
		event->attempts--;
	event->resume = false;
	set_error(event, error);
	write_state(event, STORE_EVENT_ACCEPTED, wait_ms, false);
	put_back(event, wait_ms);
}

void
upload_finished(struct uploads *uploads, uint64_t event_id, const char *error,
    bool retry_now)
{
	struct upload_event *event;

	TAILQ_FOREACH (event, &uploads->active, link)
		if (event->id == event_id &&
		    event->state == UPLOAD_EVENT_RUNNING)
			break;
	if (event == NULL)
		return;
	release(event);
	if (error == NULL) {
		free(event->error);
		event->error = NULL;
		finish(event, STORE_EVENT_DONE);
	} else if (retry_now) {
		try_again(event, error);
	} else {
		failed(event, error);
	}
	upload_queue_pump(uploads);
}

void
upload_event_give_up(struct upload_event *event)
{
	char text[96];

	(void)snprintf(text, sizeof(text),
	    "the gateway ended %u times while this ran", event->interrupted);
	upload_queue_take(event);
	TAILQ_INSERT_TAIL(&event->uploads->active, event, link);
	failed(event, text);
}

/* --- the start ---------------------------------------------------------- */

/* What must be opened before an attempt. */
struct prepare {
	struct uploads *uploads;
	struct upload_event *event; /* the job does not look at it */
	int rootfd;
	int spoolfd;
	int content_fd;
	int output_fd;
	int content_error;
	int output_error;
	bool clean;
	char *output; /* NULL: none */
	char blob[BLOB_MAX];
};

static void
prepare_run(void *arg)
{
	struct prepare *prepare = arg;

	prepare->content_fd =
	    below_open(prepare->spoolfd, prepare->blob, O_RDONLY, 0);
	if (prepare->content_fd < 0)
		prepare->content_error = errno;
	if (prepare->output == NULL)
		return;
	prepare->output_fd = below_mkdirs(prepare->rootfd, prepare->output);
	if (prepare->output_fd < 0)
		prepare->output_error = errno;
	else if (prepare->clean)
		files_clean(prepare->output_fd);
}

static void
prepare_free(struct prepare *prepare)
{
	if (prepare->content_fd >= 0)
		(void)close(prepare->content_fd);
	if (prepare->output_fd >= 0)
		(void)close(prepare->output_fd);
	free(prepare->output);
	free(prepare);
}

/* Its RUNNING is on the disk: begin. */
static void
on_started(struct upload_event *event, bool ok)
{
	struct uploads *uploads = event->uploads;

	if (!ok || uploads->stopped || event->func->ntriggers == 0) {
		release(event);
		try_again(event,
		    !ok			   ? "the store failed"
			: uploads->stopped ? "the gateway is stopping"
					   : "the function went away");
		upload_queue_pump(uploads);
		return;
	}
	event->state = UPLOAD_EVENT_RUNNING;
	uploads->callbacks.run(&(struct upload_run){.event_id = event->id,
				   .function = event->func->name,
				   .event = slice_of(event->json),
				   .content_fd = event->content_fd,
				   .output_fd = event->output_fd,
				   .attempt = event->attempts},
	    uploads->arg);
}

static void
record_start(struct upload_event *event)
{
	if (!event->resume)
		event->attempts++;
	if (event->interrupted > 0)
		say_interrupted(event);
	write_state(event, STORE_EVENT_RUNNING, 0, true);
}

/* The content is gone for good, or the output cannot be had: as if the
 * function had failed.  True: there was no such fault. */
static bool
check_prepared(struct upload_event *event, const struct prepare *prepare)
{
	char text[256];

	if (prepare->content_error == 0 && prepare->output_error == 0)
		return true;
	release(event);
	if (prepare->content_error == ENOENT) {
		event->attempts = UPLOAD_ATTEMPTS;
		(void)snprintf(text, sizeof(text),
		    "its content is not in the spool any more");
	} else if (prepare->content_error != 0) {
		(void)snprintf(text, sizeof(text), "its content: %s",
		    strerror(prepare->content_error));
		try_again(event, text);
		return false;
	} else {
		if (!event->resume)
			event->attempts++;
		(void)snprintf(text, sizeof(text),
		    "the output folder uploads/%.120s: %s", prepare->output,
		    strerror(prepare->output_error));
	}
	failed(event, text);
	return false;
}

static void
on_prepared(void *arg)
{
	struct prepare *prepare = arg;
	struct uploads *uploads = prepare->uploads;
	struct upload_event *event = prepare->event;

	if (!upload_unref(uploads)) {
		prepare_free(prepare);
		return;
	}
	if (uploads->stopped || event->func->ntriggers == 0) {
		release(event);
		put_back(event, 0);
	} else if (check_prepared(event, prepare)) {
		event->content_fd = prepare->content_fd;
		event->output_fd = prepare->output_fd;
		prepare->content_fd = -1;
		prepare->output_fd = -1;
		record_start(event);
	}
	prepare_free(prepare);
	upload_queue_pump(uploads);
}

void
upload_event_start(struct upload_event *event)
{
	struct uploads *uploads = event->uploads;
	struct upload_trigger *trigger = upload_match(event->func, event->path);
	struct prepare *prepare = upload_alloc(sizeof(*prepare));

	upload_queue_take(event);
	TAILQ_INSERT_TAIL(&uploads->active, event, link);
	event->state = UPLOAD_EVENT_STARTING;
	uploads->nrunning++;
	event->func->running++;
	prepare->uploads = upload_ref(uploads);
	prepare->event = event;
	prepare->rootfd = uploads->rootfd;
	prepare->spoolfd = uploads->spoolfd;
	prepare->content_fd = -1;
	prepare->output_fd = -1;
	/* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.strcpy) */
	(void)strcpy(prepare->blob, event->blob);
	if (trigger != NULL && trigger->output != NULL) {
		prepare->output = slice_dup(slice_of(trigger->output));
		prepare->clean = !trigger->cleaned;
		trigger->cleaned = true;
	}
	loop_work(uploads->loop, prepare_run, on_prepared, prepare);
}
