/*
 * watch.c - inotify: which function was touched.
 *
 * Runs in: gateway; watch_add on helper threads too.
 * Owns:    the inotify descriptor and what each watch is about.
 *
 * One watch on the directory, one on each folder below it.  Folders are
 * watched by the helper that is about to read them, before it does, so that
 * nothing falls between; an event of a watch that the loop has not heard of
 * yet is remembered (early) until it has.  Events only say where to look; what
 * is true is what is read then.
 */
#include "runtime/fn/catalog_priv.h"
#include "runtime/fn/names.h"
#include "runtime/loop/loop.h"
#include "sandbox/base/err.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SEEN                                                        \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | \
	    IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define READS_MAX    16 /* buffers read per wake-up */
#define BUFFER_BYTES 65536

static struct slice
wd_key(const int *wd)
{
	return slice_from(wd, sizeof(*wd));
}

static struct slice
watched_key(const void *item)
{
	return wd_key(&((const struct watched *)item)->wd);
}

int
watch_add(int inotify, int fd)
{
	char path[64];

	if (inotify < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return inotify_add_watch(inotify, path, SEEN);
}

static void
forget(struct catalog *catalog, int wd)
{
	free(table_remove(&catalog->watched, wd_key(&wd)));
}

static bool
was_early(struct catalog *catalog, int wd)
{
	for (size_t i = 0; i < catalog->nearly; i++) {
		if (catalog->early[i] != wd)
			continue;
		catalog->early[i] = catalog->early[--catalog->nearly];
		return true;
	}
	return false;
}

void
watch_register(struct catalog *catalog, int wd, const char *name)
{
	size_t n = strlen(name) + 1;
	struct watched *watched;

	if (wd <= 0) /* no inotify: watch_add did nothing */
		return;
	forget(catalog, wd);
	watched = malloc(sizeof(*watched) + n);
	if (watched == NULL)
		abort();
	watched->wd = wd;
	memcpy(watched->name, name, n);
	table_add(&catalog->watched, watched);
	if (!was_early(catalog, wd))
		return;
	if (strcmp(name, "_lib") == 0)
		func_mark_lib(catalog, CHANGED_US, false);
	else if (name[0] != '\0')
		func_mark_name(catalog, name, CHANGED_US, false);
}

void
watch_failed(struct catalog *catalog, int error)
{
	if (catalog->watch_failed)
		return;
	catalog->watch_failed = true;
	catalog_note(catalog, NULL,
	    "not every folder can be watched (%s; see "
	    "fs.inotify.max_user_watches): changes there are seen by "
	    "rescanning, every %d s",
	    strerror(error), SCAN_US / 1000000);
}

static uint64_t
delay(uint32_t mask)
{
	return (mask & (IN_DELETE | IN_MOVED_FROM)) != 0 ? REMOVED_US
							 : CHANGED_US;
}

static bool
complete(uint32_t mask)
{
	return (mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0;
}

/* A link to a folder comes without IN_ISDIR, as a file of no interest does;
 * the scan, which looks, refuses it. */
static bool
may_be_link(uint32_t mask, const char *file)
{
	return (mask & (IN_CREATE | IN_MOVED_TO)) != 0 &&
	    fn_name_valid(slice_of(file));
}

/* Something happened to an entry of the functions directory itself. */
static void
on_top(struct catalog *catalog, uint32_t mask, const char *file)
{
	char name[FN_NAME_MAX + 1];

	switch (fn_entry_kind(file, (mask & IN_ISDIR) != 0, name)) {
	case FN_ENTRY_IGNORED:
		if (may_be_link(mask, file))
			catalog_scan_soon(catalog);
		break;
	case FN_ENTRY_ODD:
		if (complete(mask) || (mask & IN_ISDIR) != 0)
			catalog_note_odd(catalog, file);
		break;
	case FN_ENTRY_LIB:
		catalog_scan_soon(catalog);
		func_mark_lib(catalog, delay(mask), complete(mask));
		break;
	case FN_ENTRY_FUNCTION:
		func_mark_name(catalog, name, delay(mask), complete(mask));
		break;
	}
}

static bool
matters(const char *file, uint32_t mask)
{
	char name[FN_NAME_MAX + 1];

	return fn_entry_kind(file, (mask & IN_ISDIR) != 0, name) !=
	    FN_ENTRY_IGNORED;
}

/* Something happened to an entry of a folder of function NAME, or of _lib. */
static void
on_below(struct catalog *catalog, const char *name, uint32_t mask,
    const char *file)
{
	if (!matters(file, mask))
		return;
	if (strcmp(name, "_lib") != 0) {
		func_mark_name(catalog, name, delay(mask), complete(mask));
		return;
	}
	if ((mask & IN_ISDIR) != 0)
		catalog_scan_soon(catalog); /* which watches new folders */
	func_mark_lib(catalog, delay(mask), complete(mask));
}

static void
on_overflow(struct catalog *catalog)
{
	struct func *f;

	catalog_note(catalog, NULL,
	    "too many changes at once: reading everything again");
	for (size_t i = 0; (f = table_next(&catalog->funcs, &i)) != NULL;)
		f->signature = 0;
	catalog->lib_signature = 0;
	catalog_scan_soon(catalog);
}

/* The watched folder itself was moved or removed. */
static void
on_self(struct catalog *catalog, const struct watched *watched, uint32_t mask)
{
	if (watched->name[0] == '\0') {
		catalog->moved = true;
		catalog_scan_soon(catalog);
	} else if ((mask & IN_MOVE_SELF) != 0) {
		/* Where it is now, reading it will watch it again. */
		(void)inotify_rm_watch(catalog->inotify, watched->wd);
	}
}

static void
on_early(struct catalog *catalog, int wd)
{
	if (catalog->nearly < EARLY_MAX)
		catalog->early[catalog->nearly++] = wd;
	else
		catalog_scan_soon(catalog);
}

static void
on_event(struct catalog *catalog, const struct inotify_event *event)
{
	struct watched *watched =
	    table_find(&catalog->watched, wd_key(&event->wd));
	char name[FN_NAME_MAX + 1];

	if ((event->mask & IN_Q_OVERFLOW) != 0) {
		on_overflow(catalog);
	} else if ((event->mask & IN_IGNORED) != 0) {
		forget(catalog, event->wd);
	} else if (watched == NULL) {
		on_early(catalog, event->wd);
	} else if ((event->mask &
		       (IN_MOVE_SELF | IN_DELETE_SELF | IN_UNMOUNT)) != 0) {
		on_self(catalog, watched, event->mask);
	} else if (event->len > 0 && watched->name[0] == '\0') {
		on_top(catalog, event->mask, event->name);
	} else if (event->len > 0) {
		(void)slice_copy(name, sizeof(name), slice_of(watched->name));
		on_below(catalog, name, event->mask, event->name);
	}
}

/* True when a whole buffer of events was there: there may be more. */
static bool
read_events(struct catalog *catalog)
{
	char buffer[BUFFER_BYTES]
	    __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(catalog->inotify, buffer, sizeof(buffer));

	for (ssize_t i = 0; i < n;) {
		const struct inotify_event *event = (const void *)(buffer + i);

		on_event(catalog, event);
		i += (ssize_t)(sizeof(*event) + event->len);
	}
	return n > (ssize_t)(sizeof(buffer) / 2);
}

static void
on_readable(unsigned int ready, void *arg)
{
	struct catalog *catalog = arg;

	for (int i = 0; i < READS_MAX && read_events(catalog); i++)
		;
	catalog_work(catalog);
}

static void
forget_all(struct catalog *catalog)
{
	struct watched *watched;

	for (size_t i = 0;
	     (watched = table_next(&catalog->watched, &i)) != NULL;)
		free(watched);
	table_fini(&catalog->watched);
	catalog->nearly = 0;
}

void
watch_stop(struct catalog *catalog)
{
	loop_watch_free(catalog->inotify_watch);
	catalog->inotify_watch = NULL;
	forget_all(catalog);
}

int
watch_start(struct catalog *catalog, struct err *err)
{
	int wd;

	watch_stop(catalog);
	if (catalog->inotify >= 0)
		(void)close(catalog->inotify);
	catalog->watched.key = watched_key;
	catalog->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (catalog->inotify < 0)
		return err_sys(err, "inotify");
	catalog->inotify_watch = loop_watch_new(catalog->loop, catalog->inotify,
	    on_readable, catalog);
	loop_watch_want(catalog->inotify_watch, LOOP_READ);
	wd = watch_add(catalog->inotify, catalog->dirfd);
	if (wd < 0)
		return err_sys(err, "watching the functions directory");
	watch_register(catalog, wd, "");
	return 0;
}
