/*
 * signature.c - was anything touched?  Without reading a byte of it.
 *
 * Runs in: gateway (helper threads), cli.
 *
 * The signatures of the entries are added up, so that the order in which a
 * file system lists them does not matter.
 */
#include "runtime/fn/fn_priv.h"
#include "runtime/fn/names.h"
#include "sandbox/base/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* splitmix64's finish: every bit of x reaches every bit of the result. */
static uint64_t
mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t
of_stat(const char *name, const struct stat *st)
{
	const uint64_t facts[] = {st->st_dev, st->st_ino, (uint64_t)st->st_size,
	    (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
	    (uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec,
	    st->st_mode};
	uint64_t h = 0x9e3779b97f4a7c15u;

	for (; *name != '\0'; name++)
		h = mix(h + (unsigned char)*name);
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		h = mix(h + facts[i]);
	return h;
}

static uint64_t of_folder(const struct fn_look *look, int fd, int depth,
    size_t *entries);

static uint64_t
of_entry(const struct fn_look *look, int dirfd, const char *name, int depth,
    size_t *entries)
{
	auto_close int fd = -1;
	struct stat st;
	uint64_t h;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	/* A folder's own times change with files that do not matter. */
	if (!S_ISDIR(st.st_mode))
		return of_stat(name, &st);
	h = mix(st.st_ino ^ st.st_dev);
	fd = fn_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || depth > FN_DEPTH_MAX)
		return h;
	return mix(h + of_folder(look, fd, depth, entries));
}

static uint64_t
of_folder(const struct fn_look *look, int fd, int depth, size_t *entries)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;
	uint64_t sum = 0;

	if (dir == NULL) {
		if (own >= 0)
			(void)close(own);
		return 0;
	}
	if (look->on_folder != NULL)
		look->on_folder(fd, look->arg);
	while ((entry = readdir(dir)) != NULL && *entries < FN_ENTRIES_MAX) {
		if (fn_name_temporary(entry->d_name))
			continue;
		(*entries)++;
		sum += of_entry(look, fd, entry->d_name, depth + 1, entries);
	}
	(void)closedir(dir);
	return sum;
}

uint64_t
fn_signature(const struct fn_look *look, const char *name)
{
	static const char *const ends[] = {".lua", ".json", ""};
	struct fn_look quiet = *look;
	char file[FN_NAME_MAX + 8];
	size_t entries = 0;
	uint64_t sum = 0;

	if (strcmp(name, "_lib") != 0)
		quiet.on_folder = NULL; /* fn_load_look tells of those */
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		(void)snprintf(file, sizeof(file), "%s%s", name, ends[i]);
		sum += of_entry(&quiet, look->dirfd, file, 0, &entries);
	}
	return sum;
}
