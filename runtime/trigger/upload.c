/*
 * upload.c - see upload.h.
 *
 * Runs in: gateway.
 * Owns:    the list of refusals, the turns that jobs take.
 */
#include "runtime/hostcall/below.h"
#include "runtime/loop/loop.h"
#include "runtime/trigger/upload_priv.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define NOTES_MAX 20 /* refusals logged in NOTES_US */
#define NOTES_US  10000000u

void *
upload_alloc(size_t bytes)
{
	void *p = calloc(1, bytes);

	if (p == NULL)
		abort();
	return p;
}

uint64_t
upload_random(void)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		abort();
	return random;
}

/* --- saying ------------------------------------------------------------- */

void
upload_note(struct uploads *uploads, const char *function, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (uploads->callbacks.on_note == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	uploads->callbacks.on_note(function, text, uploads->arg);
}

void
upload_trouble(struct uploads *uploads, const char *what, int error)
{
	if (uploads->trouble == error)
		return;
	uploads->trouble = error;
	upload_note(uploads, NULL, "%s: %s; trying again", what,
	    strerror(error));
}

void
upload_store_trouble(struct uploads *uploads, const struct err *err)
{
	if (uploads->trouble == -1)
		return;
	uploads->trouble = -1;
	upload_note(uploads, NULL, "the store: %s; trying again", err->msg);
}

void
upload_well(struct uploads *uploads)
{
	uploads->trouble = 0;
}

/* "uploads/" and the path, with "?" for what a terminal could take amiss. */
static char *
shown(const char *path)
{
	size_t n = strlen(path);
	char *file = upload_alloc(n + sizeof("uploads/"));
	bool printable = below_printable(slice_of(path));

	memcpy(file, "uploads/", sizeof("uploads/") - 1);
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
	memcpy(file + sizeof("uploads/") - 1, path, n);
	for (char *p = file; !printable && *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
	return file;
}

void
upload_refuse(struct uploads *uploads, const char *path, const char *why)
{
	struct upload_refusal *refusal =
	    &uploads->refused[uploads->nrefused++ % UPLOAD_REFUSED];
	uint64_t now_us = clock_mono_us();

	free(refusal->file);
	refusal->file = shown(path);
	refusal->wall_ms = clock_wall_ms();
	(void)snprintf(refusal->why, sizeof(refusal->why), "%s", why);
	uploads->stats.refused++;
	if (now_us > uploads->notes_until_us) {
		uploads->notes_until_us = now_us + NOTES_US;
		uploads->notes = 0;
	}
	if (uploads->notes++ < NOTES_MAX)
		upload_note(uploads, NULL, "%s: refused: %s", refusal->file,
		    why);
	else if (uploads->notes == NOTES_MAX + 1)
		upload_note(uploads, NULL,
		    "more files are refused, not all are logged");
}

void
uploads_refused_each(const struct uploads *uploads,
    void (*each)(const char *file, const char *why, int64_t wall_ms, void *arg),
    void *arg)
{
	uint64_t n = uploads->nrefused < UPLOAD_REFUSED ? uploads->nrefused
							: UPLOAD_REFUSED;

	for (uint64_t i = 1; i <= n; i++) {
		const struct upload_refusal *refusal =
		    &uploads->refused[(uploads->nrefused - i) % UPLOAD_REFUSED];

		each(refusal->file, refusal->why, refusal->wall_ms, arg);
	}
}

void
uploads_stats(const struct uploads *uploads, struct upload_stats *out)
{
	*out = uploads->stats;
	out->running = uploads->nrunning;
}

/* --- work --------------------------------------------------------------- */

void
uploads_work(struct uploads *uploads)
{
	static bool (*const begin[])(
	    struct uploads * uploads) = {upload_look_begin, upload_spool_begin,
	    upload_scan_begin};

	if (uploads->busy || uploads->stopped || uploads->closed ||
	    !uploads->swept)
		return;
	for (unsigned int i = 0; i < 3 && !uploads->busy; i++) {
		uploads->turn = (uploads->turn + 1) % 3;
		uploads->busy = begin[uploads->turn](uploads);
	}
	if (uploads->busy)
		(void)upload_ref(uploads);
}

bool
uploads_worked(struct uploads *uploads)
{
	uploads->busy = false;
	return upload_unref(uploads);
}

/* --- life --------------------------------------------------------------- */

void
upload_config_init(struct upload_config *config)
{
	*config = (struct upload_config){
	    .settle_ms = 50,
	    .unclosed_ms = 2000,
	    .held_ms = 60000,
	    .rescan_ms = 60000,
	    .blind_ms = 5000,
	    .trouble_ms = 5000,
	    .retry_ms = {1000, 5000},
	    .again_ms = 200,
	    .parallel = 16,
	    .parallel_per_function = 4,
	    .max_file_bytes = 1073741824u,
	    .max_spool_bytes = 17179869184u,
	};
}

void
uploads_configure(struct uploads *uploads, const struct upload_config *config)
{
	uploads->config = *config;
}

static void
on_scan_time(void *arg)
{
	upload_scan_soon(arg);
	uploads_work(arg);
}

static void
on_work_time(void *arg)
{
	struct uploads *uploads = arg;

	uploads->waiting = false;
	if (uploads->swept)
		uploads_work(uploads);
	else
		upload_sweep(uploads);
}

static void
on_run_time(void *arg)
{
	upload_queue_pump(arg);
}

struct uploads *
uploads_new(struct loop *loop, struct store *store, int rootfd, int statefd,
    const struct upload_callbacks *callbacks, void *arg)
{
	struct uploads *uploads = upload_alloc(sizeof(*uploads));

	uploads->refs = 1;
	uploads->loop = loop;
	uploads->store = store;
	uploads->callbacks = *callbacks;
	uploads->arg = arg;
	uploads->rootfd = fcntl(rootfd, F_DUPFD_CLOEXEC, 3);
	uploads->statefd = fcntl(statefd, F_DUPFD_CLOEXEC, 3);
	uploads->spoolfd = -1;
	uploads->inotify = -1;
	uploads->funcs.key = upload_func_key;
	upload_config_init(&uploads->config);
	TAILQ_INIT(&uploads->active);
	TAILQ_INIT(&uploads->files);
	TAILQ_INIT(&uploads->to_look);
	TAILQ_INIT(&uploads->to_spool);
	STAILQ_INIT(&uploads->walks);
	uploads->scan_timer = loop_timer_new(loop, on_scan_time, uploads);
	uploads->work_timer = loop_timer_new(loop, on_work_time, uploads);
	uploads->run_timer = loop_timer_new(loop, on_run_time, uploads);
	return uploads;
}

void
uploads_start(struct uploads *uploads)
{
	if (uploads->started || uploads->stopped)
		return;
	uploads->started = true;
	upload_sweep(uploads);
}

void
upload_swept(struct uploads *uploads)
{
	struct upload_func *func;

	if (uploads->stopped)
		return;
	uploads->swept = true;
	if (upload_watch_start(uploads) < 0)
		uploads->blind = true;
	for (size_t i = 0; (func = table_next(&uploads->funcs, &i)) != NULL;)
		if (func->ntriggers > 0)
			upload_queue_load(func, uploads);
	upload_scan_soon(uploads);
	uploads_work(uploads);
}

void
uploads_rescan(struct uploads *uploads)
{
	upload_scan_soon(uploads);
	uploads_work(uploads);
}

void
uploads_stop(struct uploads *uploads)
{
	uploads->stopped = true;
	atomic_store(&uploads->cancel, true);
	loop_timer_stop(uploads->scan_timer);
	loop_timer_stop(uploads->work_timer);
	loop_timer_stop(uploads->run_timer);
	upload_watch_stop(uploads);
}

static void
free_all(struct uploads *uploads)
{
	struct upload_func *func;

	upload_files_fini(uploads);
	upload_scan_fini(uploads);
	upload_queue_stop(uploads);
	for (size_t i = 0; (func = table_next(&uploads->funcs, &i)) != NULL;) {
		upload_func_drop(func);
		free(func);
	}
	table_fini(&uploads->funcs);
	for (size_t i = 0; i < UPLOAD_REFUSED; i++)
		free(uploads->refused[i].file);
	if (uploads->inotify >= 0)
		(void)close(uploads->inotify);
	if (uploads->spoolfd >= 0)
		(void)close(uploads->spoolfd);
	(void)close(uploads->rootfd);
	(void)close(uploads->statefd);
	free(uploads);
}

struct uploads *
upload_ref(struct uploads *uploads)
{
	uploads->refs++;
	return uploads;
}

bool
upload_unref(struct uploads *uploads)
{
	bool closed = uploads->closed;

	if (--uploads->refs == 0)
		free_all(uploads);
	return !closed;
}

/* Timers go now: the loop may be gone before the last reference. */
static void
stop_timers(struct uploads *uploads)
{
	struct upload_file *file;

	loop_timer_free(uploads->scan_timer);
	loop_timer_free(uploads->work_timer);
	loop_timer_free(uploads->run_timer);
	TAILQ_FOREACH (file, &uploads->files, link) {
		loop_timer_free(file->timer);
		file->timer = NULL;
	}
}

void
uploads_free(struct uploads *uploads)
{
	if (uploads == NULL)
		return;
	uploads_stop(uploads);
	stop_timers(uploads);
	uploads->closed = true;
	(void)upload_unref(uploads);
}
