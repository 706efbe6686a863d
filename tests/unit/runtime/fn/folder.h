/*
 * folder.h - a functions directory of a test's own.
 *
 * Runs in: tests.
 */
#pragma once

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];	   /* its path */
static int folder_fd = -1; /* and itself */

static inline void
folder_setup(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/functions.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(folder_fd, 0);
}

static inline int
folder_remove_one(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
	return remove(path);
}

static inline void
folder_teardown(void)
{
	(void)nftw(folder, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	(void)close(folder_fd);
}

/* Write a file below the folder, as most programs do: open, write, close. */
static inline void
folder_write(const char *file, const char *text, size_t n)
{
	int fd = openat(folder_fd, file, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_msg(fd >= 0, "%s", file);
	ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
	ck_assert_int_eq(close(fd), 0);
}

static inline void
folder_put(const char *file, const char *text)
{
	folder_write(file, text, strlen(text));
}

static inline void
folder_mkdir(const char *name)
{
	ck_assert_int_eq(mkdirat(folder_fd, name, 0755), 0);
}

static inline void
folder_rm(const char *file)
{
	ck_assert_int_eq(unlinkat(folder_fd, file, 0), 0);
}

static inline void
folder_mv(const char *from, const char *to)
{
	ck_assert_int_eq(renameat(folder_fd, from, folder_fd, to), 0);
}
