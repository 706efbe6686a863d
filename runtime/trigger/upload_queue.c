/*
 * upload_queue.c - accepted events that wait for their time.
 *
 * Runs in: gateway.
 * Owns:    the oldest waiting events of every function; the others stay in
 *          the store until these are fewer.
 *
 * Ids grow in the order of acceptance, and the store answers in the order of
 * asking.  So a function's events are complete in memory up to last_id, and
 * what is accepted meanwhile is either next or comes with a later load.
 */
#include "runtime/loop/loop.h"
#include "runtime/store/store.h"
#include "runtime/trigger/upload_priv.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <stdlib.h>
#include <unistd.h>

#define FAR_US 60000000u /* no event waits longer than this in memory */

void
upload_event_free(struct upload_event *event)
{
	if (event->content_fd >= 0)
		(void)close(event->content_fd);
	if (event->output_fd >= 0)
		(void)close(event->output_fd);
	free(event->path);
	free(event->json);
	free(event->error);
	free(event);
}

void
upload_queue_put(struct upload_event *event)
{
	struct upload_func *func = event->func;
	struct upload_event *before;

	event->state = UPLOAD_EVENT_WAITING;
	func->nwaiting++;
	TAILQ_FOREACH_REVERSE(before, &func->waiting, upload_events, link)
	if (before->id < event->id) {
		TAILQ_INSERT_AFTER(&func->waiting, before, event, link);
		return;
	}
	TAILQ_INSERT_HEAD(&func->waiting, event, link);
}

void
upload_queue_take(struct upload_event *event)
{
	TAILQ_REMOVE(&event->func->waiting, event, link);
	event->func->nwaiting--;
}

static struct upload_event *
make_event(struct uploads *uploads, struct upload_func *func, uint64_t id,
    struct slice json, struct slice path, struct slice blob)
{
	struct upload_event *event = upload_alloc(sizeof(*event));

	event->uploads = uploads;
	event->func = func;
	event->id = id;
	event->content_fd = -1;
	event->output_fd = -1;
	event->json = slice_dup(json);
	event->path = slice_dup(path);
	(void)slice_copy(event->blob, sizeof(event->blob), blob);
	func->last_id = id;
	return event;
}

void
upload_queue_accepted(struct uploads *uploads, struct upload_func *func,
    uint64_t id, const char *path, struct slice json, const char *blob,
    uint64_t bytes)
{
	struct upload_event *event;

	if (func->loading || func->more || func->nwaiting >= WINDOW) {
		func->more = true;
		return;
	}
	event =
	    make_event(uploads, func, id, json, slice_of(path), slice_of(blob));
	event->bytes = bytes;
	upload_queue_put(event);
	upload_queue_pump(uploads);
}

/* --- from the store ----------------------------------------------------- */

/* The wall clock may have been set meanwhile: not too long. */
static uint64_t
due_us(int64_t run_at_ms)
{
	int64_t wait_ms = run_at_ms - clock_wall_ms();
	uint64_t wait_us = wait_ms < 0 ? 0 : (uint64_t)wait_ms * MS_US;

	return clock_mono_us() + (wait_us > FAR_US ? FAR_US : wait_us);
}

static void
add_stored(struct uploads *uploads, struct upload_func *func,
    const struct store_event *stored)
{
	size_t top = sizeof("uploads/") - 1;
	struct slice path = stored->note.n < top
	    ? stored->note
	    : slice_from(stored->note.p + top, stored->note.n - top);
	struct upload_event *event = make_event(uploads, func, stored->id,
	    stored->event, path, stored->blob);

	event->bytes = stored->bytes;
	event->attempts = stored->attempts;
	event->error = stored->error.n == 0 ? NULL : slice_dup(stored->error);
	event->due_us = due_us(stored->run_at_ms);
	upload_queue_put(event);
	if (stored->state != STORE_EVENT_RUNNING)
		return;
	event->resume = true;
	event->interrupted = upload_interrupted(stored->error) + 1;
	if (event->interrupted > UPLOAD_INTERRUPTED)
		upload_event_give_up(event);
}

/* What a query is about. */
struct load {
	struct uploads *uploads;
	struct upload_func *func;
	size_t limit;
};

static void
on_events(const struct store_event *events, size_t n, const struct err *err,
    void *arg)
{
	struct load *load = arg;
	struct uploads *uploads = load->uploads;
	struct upload_func *func = load->func;
	size_t limit = load->limit;

	free(load);
	if (!upload_unref(uploads))
		return;
	func->loading = false;
	if (err != NULL) {
		upload_store_trouble(uploads, err);
		func->more = true;
		loop_timer_start(uploads->run_timer,
		    (uint64_t)uploads->config.trouble_ms * MS_US);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (events[i].id > func->last_id)
			add_stored(uploads, func, &events[i]);
	if (n == limit)
		func->more = true;
	upload_queue_pump(uploads);
}

void
upload_queue_load(struct upload_func *func, struct uploads *uploads)
{
	struct load *load;

	if (func->loading || !func->more || func->nwaiting > WINDOW / 2 ||
	    uploads->stopped)
		return;
	load = upload_alloc(sizeof(*load));
	load->uploads = upload_ref(uploads);
	load->func = func;
	load->limit = WINDOW - func->nwaiting;
	func->loading = true;
	func->more = false; /* set again by what is accepted meanwhile */
	store_events(uploads->store,
	    &(struct store_event_query){.source = "upload",
		.function = func->name,
		.unfinished = true,
		.after_id = func->last_id,
		.limit = load->limit},
	    on_events, load);
}

/* --- starting ----------------------------------------------------------- */

/* The first event of func that may run now; else when one will. */
static struct upload_event *
first_due(const struct upload_func *func, uint64_t now_us,
    uint64_t *next_us_out)
{
	struct upload_event *event;

	TAILQ_FOREACH (event, &func->waiting, link) {
		if (event->due_us <= now_us)
			return event;
		if (event->due_us < *next_us_out)
			*next_us_out = event->due_us;
	}
	return NULL;
}

/* The oldest of all functions' events that may run now. */
static struct upload_event *
oldest_due(const struct uploads *uploads, uint64_t now_us,
    uint64_t *next_us_out)
{
	struct upload_event *oldest = NULL;
	const struct upload_func *func;

	for (size_t i = 0; (func = table_next(&uploads->funcs, &i)) != NULL;) {
		struct upload_event *event;

		if (func->ntriggers == 0 ||
		    func->running >= uploads->config.parallel_per_function)
			continue;
		event = first_due(func, now_us, next_us_out);
		if (event != NULL && (oldest == NULL || event->id < oldest->id))
			oldest = event;
	}
	return oldest;
}

static void
load_more(struct uploads *uploads)
{
	struct upload_func *func;

	for (size_t i = 0; (func = table_next(&uploads->funcs, &i)) != NULL;)
		if (func->ntriggers > 0)
			upload_queue_load(func, uploads);
}

void
upload_queue_pump(struct uploads *uploads)
{
	uint64_t now_us = clock_mono_us();
	uint64_t next_us = now_us + FAR_US;
	struct upload_event *event;

	if (uploads->stopped || uploads->closed || !uploads->swept ||
	    uploads->pumping)
		return;
	uploads->pumping = true;
	while (uploads->nrunning < uploads->config.parallel &&
	    (event = oldest_due(uploads, now_us, &next_us)) != NULL)
		upload_event_start(event);
	load_more(uploads);
	loop_timer_start(uploads->run_timer, next_us - now_us);
	uploads->pumping = false;
}

static void
free_list(struct upload_events *events)
{
	struct upload_event *event;

	while ((event = TAILQ_FIRST(events)) != NULL) {
		TAILQ_REMOVE(events, event, link);
		upload_event_free(event);
	}
}

void
upload_queue_stop(struct uploads *uploads)
{
	struct upload_func *func;

	free_list(&uploads->active);
	for (size_t i = 0; (func = table_next(&uploads->funcs, &i)) != NULL;)
		free_list(&func->waiting);
}
