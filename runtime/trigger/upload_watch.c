/*
 * upload_watch.c - inotify: which file was touched.
 *
 * Runs in: gateway.
 * Owns:    the inotify descriptor, which folder each watch is about.
 *
 * Events say where to look; what is true is what is found then.  A folder is
 * watched by the helper that walks it, before it reads it; an event of a watch
 * that the loop has not heard of yet is remembered (early) until it has.  A
 * folder that is moved takes its watch along under a wrong name: then all
 * watches are made anew.
 *
 * upload_watch_add is called on helper threads too.
 */
#include "runtime/loop/loop.h"
#include "runtime/trigger/upload_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SEEN                                                        \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | \
	    IN_CREATE | IN_ATTRIB | IN_MOVE_SELF | IN_ONLYDIR)
#define READS_MAX    16 /* buffers read per wake-up */
#define BUFFER_BYTES 65536
#define PATH_BYTES   4096

static struct slice
wd_key(const int *wd)
{
	return slice_from(wd, sizeof(*wd));
}

static struct slice
folder_key(const void *item)
{
	return wd_key(&((const struct upload_folder *)item)->wd);
}

int
upload_watch_add(int inotify, int fd)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return inotify_add_watch(inotify, path, SEEN);
}

static bool
was_early(struct uploads *uploads, int wd)
{
	for (size_t i = 0; i < uploads->nearly; i++) {
		if (uploads->early[i] != wd)
			continue;
		uploads->early[i] = uploads->early[--uploads->nearly];
		return true;
	}
	return false;
}

void
upload_watch_register(struct uploads *uploads, int wd, const char *path)
{
	size_t n = strlen(path) + 1;
	struct upload_folder *folder = upload_alloc(sizeof(*folder) + n);

	free(table_remove(&uploads->folders, wd_key(&wd)));
	folder->wd = wd;
	memcpy(folder->path, path, n);
	table_add(&uploads->folders, folder);
	if (was_early(uploads, wd))
		upload_scan_folder(uploads, path);
}

static void
on_early(struct uploads *uploads, int wd)
{
	for (size_t i = 0; i < uploads->nearly; i++)
		if (uploads->early[i] == wd)
			return;
	if (uploads->nearly < EARLY_MAX)
		uploads->early[uploads->nearly++] = wd;
	else
		upload_scan_soon(uploads);
}

static void
on_file(struct uploads *uploads, uint32_t mask, const char *path)
{
	enum upload_evidence evidence = UPLOAD_MAYBE;

	if (upload_matched(uploads, path) == 0)
		return;
	if ((mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0)
		evidence = UPLOAD_CLOSED;
	else if ((mask & IN_CREATE) != 0)
		evidence = UPLOAD_CREATED;
	else if (upload_file_find(uploads, path) == NULL)
		return;
	upload_file_touch(uploads, path, evidence);
}

static void
on_entry(struct uploads *uploads, const struct upload_folder *folder,
    uint32_t mask, const char *name)
{
	char path[PATH_BYTES];
	int n = snprintf(path, sizeof(path), "%s/%s", folder->path, name);

	if (upload_name_ignored(name) || n >= (int)sizeof(path))
		return;
	if ((mask & IN_ISDIR) == 0)
		on_file(uploads, mask, path);
	else if ((mask & (IN_CREATE | IN_MOVED_TO)) != 0)
		upload_scan_folder(uploads, path);
}

/* Is it a trigger's folder?  Then it is made and watched again. */
static bool
is_trigger_folder(const struct uploads *uploads, const char *path)
{
	const struct upload_func *func;

	for (size_t i = 0; (func = table_next(&uploads->funcs, &i)) != NULL;)
		for (size_t j = 0; j < func->ntriggers; j++)
			if (strcmp(func->triggers[j].dir, path) == 0)
				return true;
	return false;
}

static void
on_removed(struct uploads *uploads, int wd)
{
	struct upload_folder *folder =
	    table_remove(&uploads->folders, wd_key(&wd));

	if (folder != NULL && is_trigger_folder(uploads, folder->path))
		upload_scan_soon(uploads);
	free(folder);
}

static void
on_event(struct uploads *uploads, const struct inotify_event *event)
{
	const struct upload_folder *folder =
	    table_find(&uploads->folders, wd_key(&event->wd));

	if ((event->mask & IN_Q_OVERFLOW) != 0) {
		upload_note(uploads, NULL,
		    "too many files at once: looking at everything again");
		upload_scan_soon(uploads);
	} else if ((event->mask & IN_IGNORED) != 0) {
		on_removed(uploads, event->wd);
	} else if (folder == NULL) {
		on_early(uploads, event->wd);
	} else if ((event->mask & IN_MOVE_SELF) != 0) {
		uploads->rewatch = true;
		upload_scan_soon(uploads);
	} else if (event->len > 0) {
		on_entry(uploads, folder, event->mask, event->name);
	}
}

/* True when a whole buffer of events was there: there may be more. */
static bool
read_events(struct uploads *uploads)
{
	char buffer[BUFFER_BYTES]
	    __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(uploads->inotify, buffer, sizeof(buffer));

	for (ssize_t i = 0; i < n;) {
		const struct inotify_event *event = (const void *)(buffer + i);

		on_event(uploads, event);
		i += (ssize_t)(sizeof(*event) + event->len);
	}
	return n > (ssize_t)(sizeof(buffer) / 2);
}

static void
on_readable(unsigned int ready, void *arg)
{
	struct uploads *uploads = arg;

	for (int i = 0; i < READS_MAX && read_events(uploads); i++)
		;
	uploads_work(uploads);
}

void
upload_watch_stop(struct uploads *uploads)
{
	struct upload_folder *folder;

	loop_watch_free(uploads->inotify_watch);
	uploads->inotify_watch = NULL;
	for (size_t i = 0;
	     (folder = table_next(&uploads->folders, &i)) != NULL;)
		free(folder);
	table_fini(&uploads->folders);
	uploads->nearly = 0;
}

/* No job may run: one uses the descriptor. */
int
upload_watch_start(struct uploads *uploads)
{
	upload_watch_stop(uploads);
	if (uploads->inotify >= 0)
		(void)close(uploads->inotify);
	uploads->rewatch = false;
	uploads->blind = false;
	uploads->folders.key = folder_key;
	uploads->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (uploads->inotify < 0) {
		upload_note(uploads, NULL,
		    "uploads cannot be watched (%s), only looked for",
		    strerror(errno));
		return -1;
	}
	uploads->inotify_watch = loop_watch_new(uploads->loop, uploads->inotify,
	    on_readable, uploads);
	loop_watch_want(uploads->inotify_watch, LOOP_READ);
	return 0;
}
