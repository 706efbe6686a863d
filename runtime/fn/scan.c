/*
 * scan.c - the jobs that touch the disk, and what becomes of their findings.
 *
 * Runs in: gateway; *_run on helper threads.
 * Owns:    its jobs.
 *
 * Two kinds of job.  A scan lists the directory with a signature for each
 * function; what has another signature than when it was read is read again,
 * what is not there any more too (reading then says so).  A read loads up to
 * BATCH functions.  Scans follow an overflow, a new directory, and come every
 * SCAN_US: events are how we know soon, scans are how we know for sure.
 */
#include "runtime/fn/catalog_priv.h"
#include "runtime/fn/names.h"
#include "runtime/loop/loop.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH	  64
#define ODD_BYTES 32768 /* refused names that one scan remembers */

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* --- reading functions ------------------------------------------------- */

struct found_folder {
	int wd;
	size_t one; /* whose it is */
};

struct one {
	char name[FN_NAME_MAX + 1];
	bool closed;
	struct fn_version *version; /* NULL: err */
	struct fn_seen seen;
	struct err err;
};

struct read_job {
	struct catalog *catalog;
	int dirfd;
	int inotify;
	int watch_error;
	bool gone;	    /* the directory was removed: nothing was read */
	struct buf folders; /* of struct found_folder */
	size_t n;
	size_t current;
	struct one ones[BATCH];
};

static void
on_folder_read(int fd, void *arg)
{
	struct read_job *job = arg;
	struct found_folder found = {.one = job->current};

	found.wd = watch_add(job->inotify, fd);
	if (found.wd < 0)
		job->watch_error = errno;
	else
		buf_add(&job->folders, &found, sizeof(found));
}

static void
read_one(struct read_job *job)
{
	struct one *one = &job->ones[job->current];
	struct fn_look look = {.dirfd = job->dirfd,
	    .trust = one->closed ? FN_TRUST_CLOSED : FN_TRUST_NONE,
	    .on_folder = on_folder_read,
	    .arg = job};

	one->version = fn_load_look(&look, one->name, &one->seen, &one->err);
}

/* A removed directory is empty, which does not mean "undeploy it all". */
static bool
removed(int dirfd)
{
	struct stat st;

	return fstat(dirfd, &st) < 0 || st.st_nlink == 0;
}

static void
read_run(void *arg)
{
	struct read_job *job = arg;

	for (job->current = 0; job->current < job->n; job->current++)
		read_one(job);
	job->gone = removed(job->dirfd);
}

static void
apply_one(struct catalog *catalog, struct func *f, struct one *one)
{
	f->signature = one->seen.signature;
	f->uses_lib = one->seen.uses_lib;
	if (one->version != NULL)
		func_offer(catalog, f, one->version);
	else if (one->err.sys == EAGAIN)
		func_retry(catalog, f, one->closed);
	else if (one->err.code == ERR_NOT_FOUND && !f->dirty)
		func_removed(catalog, f);
	else if (one->err.code != ERR_NOT_FOUND)
		func_broken(catalog, f, one->err.msg);
}

static void
apply_read(struct catalog *catalog, struct read_job *job)
{
	for (size_t i = 0; i < job->n; i++) {
		struct one *one = &job->ones[i];
		struct func *f =
		    table_find(&catalog->funcs, slice_of(one->name));

		if (job->gone)
			fn_version_unref(one->version);
		else
			apply_one(catalog, f, one);
		f->reading = false;
		func_collect(catalog, f);
	}
}

static void
register_folders(struct catalog *catalog, const struct read_job *job)
{
	size_t n = job->folders.n / sizeof(struct found_folder);

	for (size_t i = 0; i < n; i++) {
		struct found_folder found;

		memcpy(&found, job->folders.p + i * sizeof(found),
		    sizeof(found));
		watch_register(catalog, found.wd, job->ones[found.one].name);
	}
	if (job->watch_error != 0)
		watch_failed(catalog, job->watch_error);
}

static void
drop_read(struct read_job *job)
{
	for (size_t i = 0; i < job->n; i++)
		fn_version_unref(job->ones[i].version);
}

static void
read_done(void *arg)
{
	struct read_job *job = arg;
	struct catalog *catalog = job->catalog;

	catalog->busy = false;
	if (catalog->closed) {
		drop_read(job);
	} else {
		register_folders(catalog, job);
		apply_read(catalog, job);
		if (job->gone)
			catalog->scan_wanted = true;
		catalog_work(catalog);
	}
	buf_fini(&job->folders);
	free(job);
	catalog_unref(catalog);
}

static void
take_dirty(struct catalog *catalog, struct read_job *job, struct func *f)
{
	struct one *one = &job->ones[job->n++];

	TAILQ_REMOVE(&catalog->dirty, f, dirty_link);
	f->dirty = false;
	f->reading = true;
	one->closed = f->closed;
	f->closed = false;
	one->version = NULL;
	(void)slice_copy(one->name, sizeof(one->name), slice_of(f->name));
}

static void
read_begin(struct catalog *catalog)
{
	struct read_job *job = must(malloc(sizeof(*job)));
	uint64_t now_us = clock_mono_us();
	uint64_t next_us = UINT64_MAX;
	struct func *f = TAILQ_FIRST(&catalog->dirty);

	job->n = 0;
	while (f != NULL && job->n < BATCH) {
		struct func *after = TAILQ_NEXT(f, dirty_link);

		if (f->due_us <= now_us)
			take_dirty(catalog, job, f);
		else if (f->due_us < next_us)
			next_us = f->due_us;
		f = after;
	}
	if (job->n == 0) {
		free(job);
		if (next_us != UINT64_MAX)
			loop_timer_start(catalog->due_timer, next_us - now_us);
		return;
	}
	job->catalog = catalog;
	job->dirfd = catalog->dirfd;
	job->inotify = catalog->inotify;
	job->watch_error = 0;
	job->gone = false;
	job->folders = (struct buf){0};
	catalog->busy = true;
	catalog->refs++;
	loop_work(catalog->loop, read_run, read_done, job);
}

/* --- scanning ---------------------------------------------------------- */

struct scanned {
	uint64_t signature;
	char name[FN_NAME_MAX + 1];
};

struct scan_job {
	struct catalog *catalog;
	int dirfd;
	int inotify;
	bool moved;    /* an event said that path is another one now */
	int new_dirfd; /* what is at path instead; -1: nothing else */
	bool lost;     /* nothing is */
	int watch_error;
	struct scanned *names;
	size_t n;
	size_t room;
	struct buf odd; /* names, each with its NUL */
	struct buf wds; /* int, of _lib and its folders */
	uint64_t lib_signature;
	bool failed;
	struct err err;
};

static bool
same_folder(int a, int b)
{
	struct stat one;
	struct stat other;

	return fstat(a, &one) == 0 && fstat(b, &other) == 0 &&
	    one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/*
 * Is the directory still what its path says?  When the path can't be followed
 * (we dropped privileges, say), the open one is, unless it was removed or an
 * event said that it went.
 */
static void
check_root(struct scan_job *job)
{
	const char *path = job->catalog->path; /* never changes */
	int fd =
	    path == NULL ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		job->lost = removed(job->dirfd) ||
		    (job->moved && (errno == ENOENT || errno == ENOTDIR));
		return;
	}
	if (same_folder(fd, job->dirfd))
		(void)close(fd);
	else
		job->new_dirfd = fd;
}

static bool
entry_is_folder(int dirfd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode);
}

static void
add_name(struct scan_job *job, const char *name)
{
	if (job->n > FUNCTIONS_MAX)
		return;
	if (job->n == job->room) {
		job->room = job->room == 0 ? 64 : job->room * 2;
		job->names =
		    must(realloc(job->names, job->room * sizeof(*job->names)));
	}
	(void)slice_copy(job->names[job->n].name, FN_NAME_MAX + 1,
	    slice_of(name));
	job->n++;
}

static void
note_odd(struct scan_job *job, const char *name)
{
	if (job->odd.n < ODD_BYTES)
		buf_add(&job->odd, name, strlen(name) + 1);
}

static bool
entry_is_link(int dirfd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_LNK;
	return fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode);
}

static void
scan_entry(struct scan_job *job, const struct dirent *entry)
{
	bool is_folder = entry_is_folder(job->dirfd, entry);
	size_t n = strlen(entry->d_name);
	char name[FN_NAME_MAX + 1];

	if (fn_name_valid(slice_of(entry->d_name)) &&
	    entry_is_link(job->dirfd, entry)) {
		note_odd(job, entry->d_name); /* a folder must be here itself */
		return;
	}
	switch (fn_entry_kind(entry->d_name, is_folder, name)) {
	case FN_ENTRY_FUNCTION:
		/* A manifest alone is no function. */
		if (is_folder || strcmp(entry->d_name + n - 4, ".lua") == 0)
			add_name(job, name);
		break;
	case FN_ENTRY_ODD:
		note_odd(job, entry->d_name);
		break;
	case FN_ENTRY_LIB:
	case FN_ENTRY_IGNORED:
		break;
	}
}

static int
scanned_cmp(const void *a, const void *b)
{
	return strcmp(((const struct scanned *)a)->name,
	    ((const struct scanned *)b)->name);
}

static void
on_lib_folder(int fd, void *arg)
{
	struct scan_job *job = arg;
	int wd = watch_add(job->inotify, fd);

	if (wd < 0)
		job->watch_error = errno;
	else
		buf_add(&job->wds, &wd, sizeof(wd));
}

/* In order, each once (NAME.lua and NAME/ are one), with signatures. */
static void
sign_names(struct scan_job *job)
{
	struct fn_look look = {.dirfd = job->dirfd,
	    .on_folder = on_lib_folder,
	    .arg = job};
	size_t kept = 0;

	if (job->n > 0)
		qsort(job->names, job->n, sizeof(*job->names), scanned_cmp);
	for (size_t i = 0; i < job->n; i++) {
		struct scanned *one = &job->names[i];

		if (kept > 0 &&
		    strcmp(job->names[kept - 1].name, one->name) == 0)
			continue;
		one->signature = fn_signature(&look, one->name);
		job->names[kept++] = *one;
	}
	job->n = kept;
	job->lib_signature = fn_signature(&look, "_lib");
}

static void
list_names(struct scan_job *job)
{
	int own = openat(job->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;

	if (dir == NULL) {
		(void)err_sys(&job->err, "the functions directory");
		job->failed = true;
		if (own >= 0)
			(void)close(own);
		return;
	}
	errno = 0;
	while ((entry = readdir(dir)) != NULL)
		scan_entry(job, entry);
	if (errno != 0) {
		(void)err_sys(&job->err, "the functions directory");
		job->failed = true;
	}
	(void)closedir(dir);
}

static void
scan_run(void *arg)
{
	struct scan_job *job = arg;

	check_root(job);
	if (job->lost || job->new_dirfd >= 0)
		return;
	list_names(job);
	if (!job->failed)
		sign_names(job);
}

/* --- what a scan means ------------------------------------------------- */

static void
directory_lost(struct catalog *catalog)
{
	if (!catalog->lost)
		catalog_note(catalog, NULL,
		    "the functions directory is gone; what is deployed goes "
		    "on serving");
	catalog->lost = true;
}

/* Another directory is at the path: look at that one from now on. */
static void
directory_replaced(struct catalog *catalog, int *dirfd)
{
	struct func *f;
	struct err err;

	catalog_note(catalog, NULL,
	    "the functions directory was replaced; reading the new one");
	(void)close(catalog->dirfd);
	catalog->dirfd = *dirfd;
	*dirfd = -1;
	catalog->moved = false;
	catalog->lost = false;
	catalog->replaced = true;
	for (size_t i = 0; (f = table_next(&catalog->funcs, &i)) != NULL;)
		f->signature = 0;
	catalog->lib_signature = 0;
	if (watch_start(catalog, &err) < 0)
		catalog_note(catalog, NULL,
		    "changes are seen by rescanning only: %s", err.msg);
	catalog->scan_wanted = true;
}

static void
mark_scanned(struct catalog *catalog, const struct scanned *one)
{
	struct func *f = func_get(catalog, one->name);

	if (f == NULL)
		return;
	f->scan = catalog->scan;
	if (!catalog->scanned && !f->unsettled) {
		f->unsettled = true;
		catalog->unsettled++;
	}
	if (f->signature != one->signature && !f->dirty)
		func_mark(catalog, f, 0, false);
}

static void
mark_missing(struct catalog *catalog)
{
	struct func *f;

	for (size_t i = 0; (f = table_next(&catalog->funcs, &i)) != NULL;)
		if (f->scan != catalog->scan && !f->dirty)
			func_mark(catalog, f, 0, false);
}

/*
 * A directory that took another one's place and is empty is more likely an
 * unmounted disk than the wish to undeploy everything.
 */
static bool
hold(struct catalog *catalog, const struct scan_job *job)
{
	if (job->n == 0 && catalog->replaced && catalog->funcs.n > 0) {
		if (!catalog->holding)
			catalog_note(catalog, NULL,
			    "the new functions directory is empty; what is "
			    "deployed goes on serving until it is not");
		catalog->holding = true;
	} else {
		catalog->holding = false;
		catalog->replaced = false;
	}
	return catalog->holding;
}

static void
apply_lib(struct catalog *catalog, const struct scan_job *job)
{
	for (size_t i = 0; i + sizeof(int) <= job->wds.n; i += sizeof(int)) {
		int wd;

		memcpy(&wd, job->wds.p + i, sizeof(wd));
		watch_register(catalog, wd, "_lib");
	}
	if (job->watch_error != 0)
		watch_failed(catalog, job->watch_error);
	if (job->lib_signature != catalog->lib_signature && catalog->scanned)
		func_mark_lib(catalog, 0, false);
	catalog->lib_signature = job->lib_signature;
}

static void
apply_names(struct catalog *catalog, const struct scan_job *job)
{
	catalog->scan++;
	for (size_t i = 0; i < job->odd.n; i += strlen(job->odd.p + i) + 1)
		catalog_note_odd(catalog, job->odd.p + i);
	if (hold(catalog, job))
		return;
	for (size_t i = 0; i < job->n; i++)
		mark_scanned(catalog, &job->names[i]);
	mark_missing(catalog);
}

static void
apply_listing(struct catalog *catalog, const struct scan_job *job)
{
	if (catalog->lost)
		catalog_note(catalog, NULL, "the functions directory is back");
	catalog->lost = false;
	catalog->moved = false;
	if (job->failed) {
		if (!catalog->scan_failed)
			catalog_note(catalog, NULL,
			    "can't be read, what is deployed goes on serving: "
			    "%s",
			    job->err.msg);
	} else {
		apply_lib(catalog, job);
		apply_names(catalog, job);
	}
	catalog->scan_failed = job->failed;
	catalog->scanned = true;
	catalog_check_settled(catalog);
}

static void
apply_scan(struct catalog *catalog, struct scan_job *job)
{
	if (job->new_dirfd >= 0)
		directory_replaced(catalog, &job->new_dirfd);
	else if (job->lost)
		directory_lost(catalog);
	else
		apply_listing(catalog, job);
	loop_timer_start(catalog->scan_timer,
	    catalog->lost || catalog->holding ? LOST_US : SCAN_US);
}

static void
scan_done(void *arg)
{
	struct scan_job *job = arg;
	struct catalog *catalog = job->catalog;

	catalog->busy = false;
	if (!catalog->closed) {
		apply_scan(catalog, job);
		catalog_work(catalog);
	}
	if (job->new_dirfd >= 0)
		(void)close(job->new_dirfd);
	free(job->names);
	buf_fini(&job->odd);
	buf_fini(&job->wds);
	free(job);
	catalog_unref(catalog);
}

static void
scan_begin(struct catalog *catalog)
{
	struct scan_job *job = must(calloc(1, sizeof(*job)));

	job->catalog = catalog;
	job->dirfd = catalog->dirfd;
	job->inotify = catalog->inotify;
	job->moved = catalog->moved;
	job->new_dirfd = -1;
	catalog->scan_wanted = false;
	catalog->busy = true;
	catalog->refs++;
	loop_work(catalog->loop, scan_run, scan_done, job);
}

void
catalog_scan_soon(struct catalog *catalog)
{
	catalog->scan_wanted = true;
}

void
catalog_work(struct catalog *catalog)
{
	if (catalog->busy || !catalog->numbered || catalog->closed)
		return;
	if (catalog->scan_wanted)
		scan_begin(catalog);
	else if (!catalog->lost)
		read_begin(catalog);
}
