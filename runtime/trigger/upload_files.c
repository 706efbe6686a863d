/*
 * upload_files.c - the files that are known, and what is done about each.
 *
 * Runs in: gateway.
 * Owns:    one struct per file that was seen and matches a function.
 *
 *	KNOWN -> WAITING -> QUEUED -> LOOKING -> ASKING -> SETTLED -> COPYING
 *	  ^         ^                    |         |                     |
 *	  |         +--------------------+         |                 ACCEPTING
 *	  +----------------------------------------+---------------------+
 *
 * An event while a job or the store has the file only sets `again`: then it
 * is looked at once more afterwards.  The tree is a balanced one and not a
 * hash table, because whoever uploads chooses the names.
 */
#include "runtime/loop/loop.h"
#include "runtime/trigger/upload_priv.h"
#include "sandbox/base/clock.h"

#include <search.h>
#include <stddef.h>
#include <stdlib.h>

static int
compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

struct upload_file *
upload_file_find(struct uploads *uploads, const char *path)
{
	void *node = tfind(path, &uploads->tree, compare);
	char *found;

	if (node == NULL)
		return NULL;
	found = *(char **)node;
	return (struct upload_file *)(void *)(found -
	    offsetof(struct upload_file, path));
}

static struct upload_file *
make(struct uploads *uploads, const char *path)
{
	size_t n = strlen(path) + 1;
	struct upload_file *file = upload_alloc(sizeof(*file) + n);

	file->uploads = uploads;
	file->scan = uploads->scan_number;
	memcpy(file->path, path, n);
	if (tsearch(file->path, &uploads->tree, compare) == NULL)
		abort();
	TAILQ_INSERT_TAIL(&uploads->files, file, link);
	uploads->nfiles++;
	return file;
}

static void
forget(struct upload_file *file)
{
	struct uploads *uploads = file->uploads;

	(void)tdelete(file->path, &uploads->tree, compare);
	TAILQ_REMOVE(&uploads->files, file, link);
	uploads->nfiles--;
	loop_timer_free(file->timer);
	free(file->wants);
	free(file);
}

static void
change(struct upload_file *file, enum upload_file_state state)
{
	struct uploads *uploads = file->uploads;

	if (file->state == UPLOAD_FILE_QUEUED)
		TAILQ_REMOVE(&uploads->to_look, file, queue);
	uploads->pipeline += state != UPLOAD_FILE_KNOWN;
	uploads->pipeline -= file->state != UPLOAD_FILE_KNOWN;
	file->state = state;
	if (state == UPLOAD_FILE_QUEUED)
		TAILQ_INSERT_TAIL(&uploads->to_look, file, queue);
}

static void
on_time(void *arg)
{
	struct upload_file *file = arg;

	change(file, UPLOAD_FILE_QUEUED);
	uploads_work(file->uploads);
}

void
upload_file_again(struct upload_file *file, uint32_t after_ms)
{
	free(file->wants);
	file->wants = NULL;
	file->nwants = 0;
	file->again = false;
	change(file, UPLOAD_FILE_WAITING);
	if (file->timer == NULL)
		file->timer =
		    loop_timer_new(file->uploads->loop, on_time, file);
	loop_timer_start(file->timer, (uint64_t)after_ms * MS_US);
}

void
upload_file_known(struct upload_file *file)
{
	struct uploads *uploads = file->uploads;

	if (file->again) {
		upload_file_again(file, uploads->config.settle_ms);
		return;
	}
	free(file->wants);
	file->wants = NULL;
	file->nwants = 0;
	loop_timer_free(file->timer);
	file->timer = NULL;
	change(file, UPLOAD_FILE_KNOWN);
	if (uploads->nfiles > FILES_KNOWN)
		forget(file);
}

void
upload_file_gone(struct upload_file *file)
{
	file->sig.ino = 0;
	upload_file_known(file);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	if (file->state == UPLOAD_FILE_KNOWN)
		forget(file);
}

static bool
in_a_job(const struct upload_file *file)
{
	return file->state != UPLOAD_FILE_KNOWN &&
	    file->state != UPLOAD_FILE_WAITING &&
	    file->state != UPLOAD_FILE_QUEUED;
}

void
upload_file_touch(struct uploads *uploads, const char *path,
    enum upload_evidence evidence)
{
	struct upload_file *file = upload_file_find(uploads, path);

	if (uploads->pipeline >= PIPELINE_MAX &&
	    (file == NULL || file->state == UPLOAD_FILE_KNOWN)) {
		upload_scan_soon(uploads); /* when some of them are done */
		return;
	}
	if (file == NULL)
		file = make(uploads, path);
	if (evidence != UPLOAD_MAYBE) {
		file->closed = evidence == UPLOAD_CLOSED;
		file->created = evidence == UPLOAD_CREATED;
	}
	if (in_a_job(file))
		file->again = true;
	else
		upload_file_again(file, uploads->config.settle_ms);
}

void
upload_file_seen(struct uploads *uploads, const char *path,
    const struct upload_sig *sig, bool full)
{
	struct upload_file *file = upload_file_find(uploads, path);
	uint64_t matched = upload_matched(uploads, path);

	if (matched == 0)
		return; /* the sweep after the scan forgets it */
	if (file == NULL)
		file = make(uploads, path);
	if (full)
		file->scan = uploads->scan_number;
	if (file->state != UPLOAD_FILE_KNOWN)
		return;
	if (upload_sig_same(&file->sig, sig) && file->matched == matched)
		return;
	change(file, UPLOAD_FILE_QUEUED);
}

void
upload_files_sweep(struct uploads *uploads, uint32_t scan)
{
	struct upload_file *file;
	struct upload_file *next;

	for (file = TAILQ_FIRST(&uploads->files); file != NULL; file = next) {
		next = TAILQ_NEXT(file, link);
		if (file->state == UPLOAD_FILE_KNOWN && file->scan != scan)
			forget(file);
	}
}

static void
keep(void *node)
{
}

/* The timers are gone already. */
void
upload_files_fini(struct uploads *uploads)
{
	struct upload_file *file;

	tdestroy(uploads->tree, keep);
	uploads->tree = NULL;
	while ((file = TAILQ_FIRST(&uploads->files)) != NULL) {
		TAILQ_REMOVE(&uploads->files, file, link);
		free(file->wants);
		free(file);
	}
}
