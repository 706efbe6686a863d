/*
 * upload_sweep.c - at start: make the spool, remove what no event needs.
 *
 * Runs in: gateway.
 * Owns:    the list of what is in the spool.
 *
 * A gateway that was killed leaves copies that nobody accepted, and contents
 * of events that were done.  The name of a content has the key of its event
 * in it, so the store is asked about each; nothing is copied before this is
 * over.
 *
 * Listing and removing are done on helper threads.
 */
#include "runtime/hostcall/below.h"
#include "runtime/loop/loop.h"
#include "runtime/store/store.h"
#include "runtime/trigger/upload_priv.h"
#include "sandbox/base/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct content {
	char blob[BLOB_MAX];
	uint64_t bytes;
	bool needed;
};

struct sweep {
	struct uploads *uploads;
	int statefd;
	int spoolfd;
	int error;
	struct content *contents;
	size_t n;
	size_t room;
	size_t asked;
};

/* --- the half that blocks ----------------------------------------------- */

static void
add_content(struct sweep *sweep, const char *name, uint64_t bytes)
{
	struct content *content;

	if (sweep->n == sweep->room) {
		sweep->room = sweep->room == 0 ? 64 : sweep->room * 2;
		sweep->contents = realloc(sweep->contents,
		    sweep->room * sizeof(*sweep->contents));
		if (sweep->contents == NULL)
			abort();
	}
	content = &sweep->contents[sweep->n++];
	*content = (struct content){.bytes = bytes};
	(void)slice_copy(content->blob, sizeof(content->blob), slice_of(name));
}

static void
list_one(struct sweep *sweep, const char *name)
{
	char sha[SHA_MAX];
	char key[KEY_MAX];
	int64_t ctime_ns;
	struct stat st;

	if (strncmp(name, ".copying-", 9) == 0)
		(void)unlinkat(sweep->spoolfd, name, 0);
	else if (upload_blob_parse(slice_of(name), sha, &ctime_ns, key) &&
	    fstatat(sweep->spoolfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		add_content(sweep, name, (uint64_t)st.st_size);
}

static void
list(void *arg)
{
	struct sweep *sweep = arg;
	const struct dirent *entry;
	int fd;
	DIR *dir;

	if (mkdirat(sweep->statefd, "spool", 0700) < 0 && errno != EEXIST) {
		sweep->error = errno;
		return;
	}
	sweep->spoolfd =
	    below_open(sweep->statefd, "spool", O_RDONLY | O_DIRECTORY, 0);
	fd = sweep->spoolfd < 0
	    ? -1
	    : below_open(sweep->spoolfd, "", O_RDONLY | O_DIRECTORY, 0);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		sweep->error = errno;
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		list_one(sweep, entry->d_name);
	(void)closedir(dir);
}

static void
remove_rest(void *arg)
{
	const struct sweep *sweep = arg;

	for (size_t i = 0; i < sweep->n; i++)
		if (!sweep->contents[i].needed)
			(void)unlinkat(sweep->spoolfd, sweep->contents[i].blob,
			    0);
}

/* --- the loop's half ---------------------------------------------------- */

static void
sweep_free(struct sweep *sweep)
{
	if (sweep->spoolfd >= 0)
		(void)close(sweep->spoolfd);
	free(sweep->contents);
	free(sweep);
}

static void
on_removed(void *arg)
{
	struct sweep *sweep = arg;
	struct uploads *uploads = sweep->uploads;

	if (upload_unref(uploads)) {
		uploads->spoolfd = sweep->spoolfd;
		sweep->spoolfd = -1;
		upload_swept(uploads);
	}
	sweep_free(sweep);
}

static void ask(struct sweep *sweep);

static void
on_found(const struct store_event *found, const struct err *err, void *arg)
{
	struct sweep *sweep = arg;
	struct content *content = &sweep->contents[sweep->asked++];

	content->needed = err != NULL ||
	    (found != NULL && found->state != STORE_EVENT_DONE &&
		slice_is(found->blob, content->blob));
	if (content->needed)
		sweep->uploads->spool_bytes += content->bytes;
	ask(sweep);
}

static void
ask(struct sweep *sweep)
{
	struct uploads *uploads = sweep->uploads;
	char sha[SHA_MAX];
	char key[KEY_MAX];
	int64_t ctime_ns;

	if (uploads->closed) {
		(void)upload_unref(uploads);
		sweep_free(sweep);
	} else if (sweep->asked == sweep->n) {
		loop_work(uploads->loop, remove_rest, on_removed, sweep);
	} else if (upload_blob_parse(slice_of(
					 sweep->contents[sweep->asked].blob),
		       sha, &ctime_ns, key)) {
		store_find_event(uploads->store, slice_of(key), on_found,
		    sweep);
	}
}

static void
on_listed(void *arg)
{
	struct sweep *sweep = arg;
	struct uploads *uploads = sweep->uploads;

	if (sweep->error == 0 || uploads->closed) {
		ask(sweep);
		return;
	}
	upload_trouble(uploads, "the spool of accepted uploads", sweep->error);
	if (!uploads->stopped)
		loop_timer_start(uploads->work_timer,
		    (uint64_t)uploads->config.trouble_ms * MS_US);
	(void)upload_unref(uploads);
	sweep_free(sweep);
}

void
upload_sweep(struct uploads *uploads)
{
	struct sweep *sweep = upload_alloc(sizeof(*sweep));

	sweep->uploads = upload_ref(uploads);
	sweep->statefd = uploads->statefd;
	sweep->spoolfd = -1;
	loop_work(uploads->loop, list, on_listed, sweep);
}
