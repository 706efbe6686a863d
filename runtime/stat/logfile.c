/*
 * logfile.c - the log file: append, and rename when it is full.
 *
 * Runs in: gateway
 *          (a helper thread of the loop; at close the loop's own).
 * Owns:    the descriptors in struct logfile.
 *
 * The file always ends in a whole line: a write that was cut short (disk full)
 * is taken back, and so is what an earlier crash left half.
 */
#include "runtime/stat/logbook_priv.h"

#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME	   "perilune.log"
#define OLD	   "perilune.log.1"
#define TAIL_BYTES 262144 /* longer than any line can be */

/* Cut off what follows the last newline. */
static int
mend(int fd, off_t *bytes, struct err *err)
{
	size_t n = *bytes < TAIL_BYTES ? (size_t)*bytes : TAIL_BYTES;
	auto_free char *tail = malloc(n + 1);
	ssize_t got;

	if (n == 0 || tail == NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		return 0;
	got = pread(fd, tail, n, *bytes - (off_t)n);
	if (got != (ssize_t)n)
		return err_sys(err, "log file " NAME ": read");
	while (n > 0 && tail[n - 1] != '\n')
		n--;
	*bytes -= got - (ssize_t)n;
	if (ftruncate(fd, *bytes) < 0)
		return err_sys(err, "log file " NAME ": truncate");
	return 0;
}

/* O_NONBLOCK: so that a FIFO of that name is refused, not waited for. */
static int
open_file(struct logfile *file, struct err *err)
{
	auto_close int fd = openat(file->dirfd, NAME,
	    O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
	    0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "log file " NAME);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_BAD_INPUT,
		    "log file " NAME " is not a regular file: remove it");
	file->bytes = st.st_size;
	if (mend(fd, &file->bytes, err) < 0)
		return -1;
	file->fd = steal_fd(&fd);
	return 0;
}

int
logfile_open(struct logfile *file, int dirfd, const char *dir,
    uint64_t file_bytes, struct err *err)
{
	*file =
	    (struct logfile){.dirfd = -1, .fd = -1, .file_bytes = file_bytes};
	if (mkdirat(dirfd, dir, 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make the log folder %s", dir);
	file->dirfd =
	    openat(dirfd, dir, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (file->dirfd < 0)
		return err_sys(err, "cannot open the log folder %s", dir);
	if (open_file(file, err) < 0) {
		logfile_close(file);
		return -1;
	}
	return 0;
}

/* Has somebody moved or removed the file?  Then the lines would go nowhere. */
static bool
is_ours(const struct logfile *file)
{
	struct stat here;
	struct stat there;

	return fstat(file->fd, &here) == 0 &&
	    fstatat(file->dirfd, NAME, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	    here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

static void
close_file(struct logfile *file)
{
	if (file->fd >= 0)
		(void)close(file->fd);
	file->fd = -1;
}

static int
prepare(struct logfile *file, size_t n, struct err *err)
{
	if (file->fd >= 0 && !is_ours(file))
		close_file(file);
	if (file->fd < 0 && open_file(file, err) < 0)
		return -1;
	if (file->bytes == 0 || (uint64_t)file->bytes + n <= file->file_bytes)
		return 0;
	if (renameat(file->dirfd, NAME, file->dirfd, OLD) < 0)
		return err_sys(err, "log file " NAME ": rename");
	close_file(file);
	return open_file(file, err);
}

static int
write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		s = slice_from(s.p + n, s.n - (size_t)n);
	}
	return 0;
}

/* As many whole lines as the file still takes; at least one. */
static struct slice
fitting(const struct logfile *file, struct slice lines)
{
	uint64_t room = file->file_bytes;
	const char *end;

	if (lines.n <= room)
		return lines;
	end = memrchr(lines.p, '\n', room);
	if (end == NULL)
		end = memchr(lines.p, '\n', lines.n);
	return end == NULL ? lines
			   : slice_from(lines.p, (size_t)(end + 1 - lines.p));
}

int
logfile_append(struct logfile *file, struct slice lines, struct err *err)
{
	while (lines.n > 0) {
		struct slice part = fitting(file, lines);

		if (prepare(file, part.n, err) < 0)
			return -1;
		if (write_all(file->fd, part) < 0) {
			(void)err_sys(err, "log file " NAME ": write");
			if (ftruncate(file->fd, file->bytes) < 0)
				close_file(file);
			return -1;
		}
		file->bytes += (off_t)part.n;
		lines = slice_from(lines.p + part.n, lines.n - part.n);
	}
	return 0;
}

void
logfile_close(struct logfile *file)
{
	close_file(file);
	if (file->dirfd >= 0)
		(void)close(file->dirfd);
	file->dirfd = -1;
}
