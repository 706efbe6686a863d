/*
 * outputs.c - results on their way to disk: hidden, then whole under a name.
 *
 * Runs in: gateway.
 * Owns:    hidden files ".perilune-RANDOM.tmp" at the top of output folders.
 *
 * A hidden file is locked (flock(2)) as long as somebody writes it.  The
 * kernel drops the lock with the process, so files_clean() knows which ones
 * nobody will ever finish.
 *
 * All of it blocks, on helper threads.
 */
#include "runtime/hostcall/below.h"
#include "runtime/hostcall/files_priv.h"
#include "sandbox/base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define TEMP_PREFIX ".perilune-"
#define TEMP_SUFFIX ".tmp"

static void
say(char reason[REASON_MAX], const char *what)
{
	(void)snprintf(reason, REASON_MAX, "%s: %s", what, strerror(errno));
}

/* --- names -------------------------------------------------------------- */

static const char *
part_fault(struct slice part)
{
	if (part.n == 0)
		return "no part of the name may be empty";
	if (part.p[0] == '.')
		return "no part of the name may begin with \".\"";
	return NULL;
}

static const char *
name_fault(struct slice name)
{
	const char *fault = NULL;
	size_t from = 0;
	size_t depth = 0;

	if (name.n == 0)
		return "the name is empty";
	if (name.n > FILES_NAME_MAX)
		return "the name has more than 200 bytes";
	if (!below_printable(name))
		return "the name must be UTF-8 without control characters";
	for (size_t i = 0; i <= name.n && fault == NULL; i++) {
		if (i < name.n && name.p[i] != '/')
			continue;
		fault = part_fault(slice_from(name.p + from, i - from));
		from = i + 1;
		if (i < name.n && ++depth > FILES_DEPTH_MAX)
			return "the name has more than 4 folders";
	}
	return fault;
}

bool
outputs_name_valid(struct slice name, char reason[REASON_MAX])
{
	const char *fault = name_fault(name);

	if (fault != NULL)
		(void)snprintf(reason, REASON_MAX, "%s", fault);
	return fault == NULL;
}

/* --- folders ------------------------------------------------------------ */

/* The folder of an output, opened or made, and its name there. */
static int
open_parent(const struct outputs *outputs, const char *name,
    const char **base_out)
{
	const char *slash = strrchr(name, '/');
	char folder[FILES_NAME_MAX + 1] = "";

	*base_out = slash == NULL ? name : slash + 1;
	if (slash != NULL)
		(void)slice_copy(folder, sizeof(folder),
		    slice_from(name, (size_t)(slash - name)));
	return below_mkdirs(outputs->dirfd, folder);
}

/* May the name be taken: is there nothing, or a regular file? */
static bool
may_replace(int dirfd, const char *base, char reason[REASON_MAX])
{
	struct stat st;

	if (fstatat(dirfd, base, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return true;
		say(reason, "the name cannot be used");
		return false;
	}
	if (S_ISREG(st.st_mode))
		return true;
	(void)snprintf(reason, REASON_MAX,
	    "the name is taken by a folder, a link or a special file");
	return false;
}

static bool
name_free(const struct outputs *outputs, const char *name,
    char reason[REASON_MAX])
{
	const char *base;
	auto_close int parent = open_parent(outputs, name, &base);

	if (parent < 0) {
		say(reason, "its folder cannot be opened");
		return false;
	}
	return may_replace(parent, base, reason);
}

/* --- hidden files ------------------------------------------------------- */

static struct output *
find(struct outputs *outputs, const char *name)
{
	struct output *output;

	TAILQ_FOREACH (output, &outputs->list, link)
		if (strcmp(output->name, name) == 0)
			return output;
	return NULL;
}

/* A new hidden file that is ours: files_clean() may have found it before it
 * was locked, then it is gone and we take another. */
static int
make_temp(int dirfd, char temp[TEMP_MAX])
{
	for (int i = 0; i < 8; i++) {
		auto_close int fd = -1;
		uint64_t random;
		struct stat st;

		if (getrandom(&random, sizeof(random), 0) < 0)
			return -1;
		(void)snprintf(temp, TEMP_MAX,
		    TEMP_PREFIX "%016llx" TEMP_SUFFIX,
		    (unsigned long long)random);
		fd = openat(dirfd, temp,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (fd < 0 && errno != EEXIST)
			return -1;
		if (fd >= 0 && flock(fd, LOCK_EX) == 0 && fstat(fd, &st) == 0 &&
		    st.st_nlink > 0)
			return steal_fd(&fd);
	}
	errno = EBUSY;
	return -1;
}

static struct output *
begin(struct outputs *outputs, const char *name, char reason[REASON_MAX])
{
	struct output *output;

	if (outputs->n >= outputs->max) {
		(void)snprintf(reason, REASON_MAX,
		    "more than %u outputs are open: commit some", outputs->max);
		return NULL;
	}
	if (!name_free(outputs, name, reason))
		return NULL;
	output = calloc(1, sizeof(*output));
	if (output == NULL)
		abort();
	output->fd = make_temp(outputs->dirfd, output->temp);
	if (output->fd < 0) {
		say(reason, "the output folder cannot be written to");
		free(output);
		return NULL;
	}
	(void)slice_copy(output->name, sizeof(output->name), slice_of(name));
	TAILQ_INSERT_TAIL(&outputs->list, output, link);
	outputs->n++;
	return output;
}

/* Forget it; its hidden file goes too, unless it got a name. */
static void
end(struct outputs *outputs, struct output *output, bool named)
{
	if (!named)
		(void)unlinkat(outputs->dirfd, output->temp, 0);
	(void)close(output->fd);
	TAILQ_REMOVE(&outputs->list, output, link);
	outputs->n--;
	free(output);
}

static int
write_all(int fd, struct slice bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes.p += n;
		bytes.n -= (size_t)n;
	}
	return 0;
}

void
outputs_write(struct outputs *outputs, const char *name, struct slice bytes,
    char reason[REASON_MAX])
{
	struct output *output = find(outputs, name);

	if (output == NULL)
		output = begin(outputs, name, reason);
	if (output == NULL)
		return;
	if (output->broken) {
		(void)snprintf(reason, REASON_MAX, "an earlier write failed");
	} else if (write_all(output->fd, bytes) < 0) {
		say(reason, "writing failed");
		output->broken = true;
	}
}

static void
give_name(const struct outputs *outputs, const struct output *output,
    char reason[REASON_MAX])
{
	const char *base;
	auto_close int parent = open_parent(outputs, output->name, &base);

	if (parent < 0)
		say(reason, "its folder cannot be opened");
	else if (!may_replace(parent, base, reason))
		return;
	else if (fsync(output->fd) < 0)
		say(reason, "writing failed");
	else if (renameat(outputs->dirfd, output->temp, parent, base) < 0)
		say(reason, "it cannot get its name");
	else if (fsync(parent) < 0)
		say(reason, "its folder cannot be written to");
}

void
outputs_commit(struct outputs *outputs, const char *name,
    char reason[REASON_MAX])
{
	struct output *output = find(outputs, name);

	if (output == NULL) {
		(void)snprintf(reason, REASON_MAX,
		    "nothing was written to it before");
		return;
	}
	if (output->broken)
		(void)snprintf(reason, REASON_MAX, "an earlier write failed");
	else
		give_name(outputs, output, reason);
	end(outputs, output, reason[0] == '\0');
}

void
outputs_drop(struct outputs *outputs)
{
	struct output *output;

	while ((output = TAILQ_FIRST(&outputs->list)) != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		end(outputs, output, false);
}

/* --- what was left ------------------------------------------------------ */

static bool
is_temp(const char *name)
{
	size_t n = strlen(name);
	size_t prefix = sizeof(TEMP_PREFIX) - 1;
	size_t suffix = sizeof(TEMP_SUFFIX) - 1;

	return n > prefix + suffix && strncmp(name, TEMP_PREFIX, prefix) == 0 &&
	    strcmp(name + n - suffix, TEMP_SUFFIX) == 0;
}

static void
clean_one(int dirfd, const char *name)
{
	auto_close int fd = below_open(dirfd, name, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)unlinkat(dirfd, name, 0);
}

void
files_clean(int output_fd)
{
	int own = below_open(output_fd, "", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	const struct dirent *entry;

	if (dir == NULL) {
		if (own >= 0)
			(void)close(own);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (is_temp(entry->d_name))
			clean_one(output_fd, entry->d_name);
	(void)closedir(dir);
}
