/*
 * upload_scan.c - walk folders, watch them, see what is there.
 *
 * Runs in: gateway.
 * Owns:    the list of folders to walk, the walk that goes on.
 *
 * A walk goes on in pieces of some hundred entries, so that neither the
 * helper thread nor memory is taken for long, and waits while too many files
 * are on their way.  A full scan walks the folders of all triggers; what it
 * did not see any more is forgotten.
 *
 * Walking is done on a helper thread.
 */
#include "runtime/hostcall/below.h"
#include "runtime/loop/loop.h"
#include "runtime/trigger/upload_priv.h"
#include "sandbox/base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENTRIES	    512
#define WALKS_MAX   64	     /* folders that wait; above: everything */
#define FULL_GAP_US 1000000u /* between two full scans */

struct entry {
	char *path;
	struct upload_sig sig;
	int wd; /* a folder: its watch, or -1 */
	bool folder;
};

/* One walk; the job's while it runs. */
struct upload_scan {
	struct uploads *uploads;
	struct upload_walk *walk;
	const atomic_bool *cancel;
	int rootfd;
	int inotify;
	size_t may_watch; /* so many folders more */
	DIR *dirs[UPLOAD_DEPTH + 1];
	size_t lengths[UPLOAD_DEPTH + 1]; /* of path, per folder */
	size_t depth;			  /* dirs in use */
	bool begun;
	bool over;
	bool too_deep;
	int error;	 /* what could not be read */
	int watch_error; /* a folder is not watched */
	size_t n;
	struct entry entries[ENTRIES];
	char path[PATH_MAX];
};

/* --- the half that blocks ----------------------------------------------- */

static struct entry *
add_entry(struct upload_scan *scan, const char *path)
{
	struct entry *entry = &scan->entries[scan->n++];

	*entry = (struct entry){.path = slice_dup(slice_of(path)), .wd = -1};
	return entry;
}

static void
watch_folder(struct upload_scan *scan, int fd)
{
	struct entry *entry = add_entry(scan, scan->path);

	entry->folder = true;
	if (scan->inotify < 0)
		return;
	if (scan->may_watch == 0) {
		scan->watch_error = ENOSPC;
		return;
	}
	scan->may_watch--;
	entry->wd = upload_watch_add(scan->inotify, fd);
	if (entry->wd < 0)
		scan->watch_error = errno;
}

/* Go down into the folder at scan->path, opened as fd. */
static void
enter(struct upload_scan *scan, int fd)
{
	DIR *dir;

	watch_folder(scan, fd);
	dir = fdopendir(fd);
	if (dir == NULL) {
		scan->error = errno;
		(void)close(fd);
		return;
	}
	scan->lengths[scan->depth] = strlen(scan->path);
	scan->dirs[scan->depth++] = dir;
}

static void
begin_walk(struct upload_scan *scan)
{
	const struct upload_walk *walk = scan->walk;
	int fd = walk->make
	    ? below_mkdirs(scan->rootfd, walk->path)
	    : below_open(scan->rootfd, walk->path, O_RDONLY | O_DIRECTORY, 0);

	scan->begun = true;
	(void)slice_copy(scan->path, sizeof(scan->path), slice_of(walk->path));
	if (fd >= 0)
		enter(scan, fd);
	else if (walk->make || (errno != ENOENT && errno != ENOTDIR))
		scan->error = errno;
}

static void
go_down(struct upload_scan *scan, int dirfd, const char *name)
{
	int fd;

	if (scan->depth > scan->walk->levels) {
		scan->too_deep = true;
		return;
	}
	fd = below_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd >= 0)
		enter(scan, fd);
	else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		scan->error = errno;
}

static void
visit(struct upload_scan *scan, int dirfd, const char *name)
{
	size_t n = scan->lengths[scan->depth - 1];
	size_t name_bytes = strlen(name) + 1;
	struct stat st;

	if (upload_name_ignored(name) ||
	    n + 1 + name_bytes > sizeof(scan->path) ||
	    fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	scan->path[n] = '/';
	memcpy(scan->path + n + 1, name, name_bytes);
	if (S_ISDIR(st.st_mode))
		go_down(scan, dirfd, name);
	else
		upload_sig_of(&add_entry(scan, scan->path)->sig, &st);
}

static void
run(void *arg)
{
	struct upload_scan *scan = arg;

	if (!scan->begun)
		begin_walk(scan);
	while (scan->depth > 0 && scan->n < ENTRIES &&
	    !atomic_load(scan->cancel)) {
		DIR *dir = scan->dirs[scan->depth - 1];
		const struct dirent *entry = readdir(dir);

		if (entry != NULL) {
			visit(scan, dirfd(dir), entry->d_name);
		} else {
			(void)closedir(dir);
			scan->depth--;
		}
	}
	scan->over = scan->depth == 0;
}

/* --- what to walk ------------------------------------------------------- */

static void
add_walk(struct uploads *uploads, const char *path, unsigned int levels,
    bool make, bool full)
{
	size_t n = strlen(path) + 1;
	struct upload_walk *walk;
	size_t waiting = 0;

	STAILQ_FOREACH(walk, &uploads->walks, link)
	{
		waiting++;
		if (strcmp(walk->path, path) == 0 && walk->levels >= levels &&
		    walk->full >= full)
			return;
	}
	if (!full && waiting > WALKS_MAX) {
		upload_scan_soon(uploads);
		return;
	}
	walk = upload_alloc(sizeof(*walk) + n);
	walk->levels = levels;
	walk->make = make;
	walk->full = full;
	memcpy(walk->path, path, n);
	STAILQ_INSERT_TAIL(&uploads->walks, walk, link);
}

void
upload_scan_soon(struct uploads *uploads)
{
	uploads->scan_wanted = true;
}

static void
walk_triggers(struct uploads *uploads, const struct upload_func *func,
    bool full)
{
	for (size_t i = 0; i < func->ntriggers; i++)
		add_walk(uploads, func->triggers[i].dir, UPLOAD_DEPTH, true,
		    full);
}

void
upload_scan_triggers(struct uploads *uploads, const struct upload_func *func)
{
	walk_triggers(uploads, func, false);
}

static int
parts(const char *path)
{
	int n = 1;

	for (; *path != '\0'; path++)
		n += *path == '/';
	return n;
}

/* How many levels a walk from path may go down; -1: none looks there. */
static int
levels_at(const struct uploads *uploads, const char *path)
{
	const struct upload_func *func;
	int most = -1;

	for (size_t i = 0; (func = table_next(&uploads->funcs, &i)) != NULL;)
		for (size_t j = 0; j < func->ntriggers; j++) {
			const char *dir = func->triggers[j].dir;
			size_t n = strlen(dir);
			int levels = UPLOAD_DEPTH + parts(dir) - parts(path);

			if (strncmp(path, dir, n) == 0 &&
			    (path[n] == '/' || path[n] == '\0') &&
			    levels > most)
				most = levels;
		}
	return most;
}

void
upload_scan_folder(struct uploads *uploads, const char *path)
{
	int levels = levels_at(uploads, path);

	if (levels >= 0)
		add_walk(uploads, path, (unsigned int)levels, false, false);
}

/* --- the job ------------------------------------------------------------ */

static void
scan_free(struct upload_scan *scan)
{
	for (size_t i = 0; i < scan->n; i++)
		free(scan->entries[i].path);
	while (scan->depth > 0)
		(void)closedir(scan->dirs[--scan->depth]);
	free(scan->walk);
	free(scan);
}

static void
take_entries(struct uploads *uploads, struct upload_scan *scan)
{
	for (size_t i = 0; i < scan->n; i++) {
		struct entry *entry = &scan->entries[i];

		if (!entry->folder)
			upload_file_seen(uploads, entry->path, &entry->sig,
			    scan->walk->full);
		else if (entry->wd >= 0)
			upload_watch_register(uploads, entry->wd, entry->path);
		free(entry->path);
	}
	scan->n = 0;
}

/* What went wrong, said once. */
static void
take_errors(struct uploads *uploads, const struct upload_scan *scan)
{
	char what[128];

	if (scan->watch_error != 0 && !uploads->blind) {
		uploads->blind = true;
		upload_note(uploads, NULL,
		    "not every folder can be watched (%s; see "
		    "fs.inotify.max_user_watches): looking every %u ms",
		    strerror(scan->watch_error), uploads->config.blind_ms);
	}
	if (scan->too_deep && !uploads->said_deep)
		upload_refuse(uploads, scan->walk->path,
		    "it has folders more than 16 levels down");
	uploads->said_deep |= scan->too_deep;
	if (scan->error == 0)
		return;
	uploads->scan_failed = true;
	(void)snprintf(what, sizeof(what), "reading uploads/%.80s",
	    scan->walk->path);
	upload_trouble(uploads, what, scan->error);
}

static void
end_full(struct uploads *uploads)
{
	const struct upload_config *config = &uploads->config;
	uint32_t ms = uploads->blind ? config->blind_ms : config->rescan_ms;

	uploads->scanning_all = false;
	if (uploads->scan_failed && config->trouble_ms < ms)
		ms = config->trouble_ms;
	if (!uploads->scan_failed)
		upload_files_sweep(uploads, uploads->scan_number);
	uploads->full_ended_us = clock_mono_us();
	loop_timer_start(uploads->scan_timer, (uint64_t)ms * MS_US);
}

static void
end_walk(struct uploads *uploads, struct upload_scan *scan)
{
	const struct upload_walk *walk;

	take_errors(uploads, scan);
	uploads->scan = NULL;
	scan_free(scan);
	if (!uploads->scanning_all)
		return;
	STAILQ_FOREACH(walk, &uploads->walks, link)
	if (walk->full)
		return;
	end_full(uploads);
}

static void
done(void *arg)
{
	struct upload_scan *scan = arg;
	struct uploads *uploads = scan->uploads;

	if (!uploads_worked(uploads))
		return; /* uploads has freed it, or will */
	if (!uploads->stopped)
		take_entries(uploads, scan);
	if (scan->over)
		end_walk(uploads, scan);
	uploads_work(uploads);
}

static void
begin_full(struct uploads *uploads)
{
	const struct upload_func *func;

	uploads->scan_wanted = false;
	uploads->scanning_all = true;
	uploads->scan_failed = false;
	if (uploads->scan_number++ > 0)
		uploads->stats.rescans++;
	if (uploads->rewatch)
		(void)upload_watch_start(uploads);
	for (size_t i = 0; (func = table_next(&uploads->funcs, &i)) != NULL;)
		walk_triggers(uploads, func, true);
	if (STAILQ_EMPTY(&uploads->walks))
		end_full(uploads);
}

/* Full scans keep a distance: files that come and go must not make it the
 * only thing that is done. */
static bool
full_is_due(struct uploads *uploads)
{
	uint64_t now_us = clock_mono_us();
	uint64_t due_us = uploads->full_ended_us + FULL_GAP_US;

	if (!uploads->scan_wanted || uploads->scanning_all)
		return false;
	if (uploads->scan_number == 0 || now_us >= due_us)
		return true;
	loop_timer_start(uploads->scan_timer, due_us - now_us);
	return false;
}

static struct upload_scan *
make_scan(struct uploads *uploads, struct upload_walk *walk)
{
	struct upload_scan *scan = upload_alloc(sizeof(*scan));

	scan->uploads = uploads;
	scan->walk = walk;
	scan->cancel = &uploads->cancel;
	scan->rootfd = uploads->rootfd;
	scan->inotify = uploads->inotify;
	scan->may_watch = uploads->folders.n < FOLDERS_MAX
	    ? FOLDERS_MAX - uploads->folders.n
	    : 0;
	return scan;
}

bool
upload_scan_begin(struct uploads *uploads)
{
	struct upload_walk *walk;

	if (uploads->pipeline >= PIPELINE_HIGH)
		return false;
	if (uploads->scan == NULL) {
		if (full_is_due(uploads))
			begin_full(uploads);
		walk = STAILQ_FIRST(&uploads->walks);
		if (walk == NULL)
			return false;
		STAILQ_REMOVE_HEAD(&uploads->walks, link);
		uploads->scan = make_scan(uploads, walk);
	}
	loop_work(uploads->loop, run, done, uploads->scan);
	return true;
}

void
upload_scan_fini(struct uploads *uploads)
{
	struct upload_walk *walk;

	while ((walk = STAILQ_FIRST(&uploads->walks)) != NULL) {
		STAILQ_REMOVE_HEAD(&uploads->walks, link);
		free(walk);
	}
	if (uploads->scan != NULL)
		scan_free(uploads->scan);
}
