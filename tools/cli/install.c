/*
 * install.c - see install.h.
 *
 * Runs in: cli.
 */
#include "tools/cli/install.h"

#include "sandbox/base/bytes.h"
#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#define TEMP_MAX   96 /* ".NAME.0123456789abcdef" with its NUL */
#define COPY_CHUNK 65536

/* How much of the limits is used, over a whole copy. */
struct budget {
	unsigned int files;
	unsigned long long bytes;
	unsigned int depth;
};

bool
install_name_valid(const char *name)
{
	size_t n = strspn(name,
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789_-");

	return n > 0 && n <= INSTALL_NAME_MAX && name[n] == '\0';
}

static int
take_name(struct install_source *source, struct slice base, struct err *err)
{
	auto_free char *name = slice_dup(base);

	if (!install_name_valid(name))
		return err_set(err, ERR_BAD_INPUT,
		    "\"%s\" cannot be a function's name: 1 to %d of "
		    "A-Z a-z 0-9 _ -",
		    name, INSTALL_NAME_MAX);
	(void)slice_copy(source->name, sizeof(source->name), base);
	return 0;
}

static int
look_folder(struct install_source *source, struct slice base, struct err *err)
{
	struct buf init = {0};
	struct stat st;
	int rc;

	buf_addf(&init, "%s/init.lua%c", source->path, '\0');
	rc = stat(init.p, &st);
	buf_fini(&init);
	if (rc < 0)
		return err_set(err, ERR_BAD_INPUT,
		    "%s is a folder without init.lua, so it is no function",
		    source->path);
	source->folder = true;
	return take_name(source, base, err);
}

static int
look_file(struct install_source *source, struct slice base, struct err *err)
{
	size_t stem = strlen(source->path) - 4;
	struct buf manifest = {0};
	struct stat st;

	if (base.n < 5 || memcmp(base.p + base.n - 4, ".lua", 4) != 0)
		return err_set(err, ERR_BAD_INPUT,
		    "%s: a function is a file NAME.lua or a folder with "
		    "init.lua",
		    source->path);
	if (slice_is(base, "init.lua"))
		return err_set(err, ERR_BAD_INPUT,
		    "%s belongs to a folder: deploy the folder", source->path);
	buf_add(&manifest, source->path, stem);
	buf_addf(&manifest, ".json%c", '\0');
	source->manifest_path = manifest.p;
	source->manifest = stat(manifest.p, &st) == 0;
	base.n -= 4;
	return take_name(source, base, err);
}

int
install_look(struct install_source *source_out, const char *path,
    struct err *err)
{
	auto_free char *real = realpath(path, NULL);
	const char *base;
	struct stat st;

	*source_out = (struct install_source){0};
	if (real == NULL || stat(real, &st) < 0)
		return err_sys(err, "cannot read %s", path);
	source_out->path = steal_ptr(&real);
	base = strrchr(source_out->path, '/') + 1;
	if (S_ISDIR(st.st_mode))
		return look_folder(source_out, slice_of(base), err);
	if (S_ISREG(st.st_mode))
		return look_file(source_out, slice_of(base), err);
	return err_set(err, ERR_BAD_INPUT, "%s is neither a file nor a folder",
	    path);
}

void
install_source_fini(struct install_source *source)
{
	free(source->path);
	free(source->manifest_path);
	*source = (struct install_source){0};
}

/* A hidden name that nobody else uses. */
static void
temp_name(char out[TEMP_MAX], const char *name)
{
	unsigned long long random = 0;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		abort();
	(void)snprintf(out, TEMP_MAX, ".%.64s.%016llx", name, random);
}

/* Open for reading what must be an ordinary file. */
static int
open_file(int dirfd, const char *name, struct stat *st_out, struct err *err)
{
	auto_close int fd =
	    openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && errno == ELOOP)
		return err_set(err, ERR_BAD_INPUT,
		    "%s is a symbolic link; only files are deployed", name);
	if (fd < 0 || fstat(fd, st_out) < 0)
		return err_sys(err, "cannot read %s", name);
	if (!S_ISREG(st_out->st_mode))
		return err_set(err, ERR_BAD_INPUT, "%s is not an ordinary file",
		    name);
	return steal_fd(&fd);
}

static int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

static int
copy_bytes(int from, int to, const char *name, struct budget *budget,
    struct err *err)
{
	char chunk[COPY_CHUNK];
	ssize_t n;

	while ((n = read(from, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "cannot read %s", name);
		budget->bytes += (unsigned long long)n;
		if (budget->bytes > INSTALL_BYTES_MAX)
			return err_set(err, ERR_LIMIT,
			    "more than %d MiB in all, at %s",
			    INSTALL_BYTES_MAX / 1048576, name);
		if (write_all(to, chunk, (size_t)n) < 0)
			return err_sys(err, "cannot write %s", name);
	}
	return fsync(to) < 0 ? err_sys(err, "cannot write %s", name) : 0;
}

/* The copy has the source's permissions, and its owner can always read it. */
static int
copy_file(int fromdir, const char *from, int todir, const char *to,
    struct budget *budget, struct err *err)
{
	struct stat st;
	auto_close int in = open_file(fromdir, from, &st, err);
	auto_close int out = -1;

	if (in < 0)
		return -1;
	if (++budget->files > INSTALL_FILES_MAX)
		return err_set(err, ERR_LIMIT, "more than %d files",
		    INSTALL_FILES_MAX);
	out = openat(todir, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return err_sys(err, "cannot write to the functions folder");
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	if (fchmod(out, (st.st_mode & 0777) | 0400) < 0)
		return err_sys(err, "cannot write %s", to);
	return copy_bytes(in, out, from, budget, err);
}

static int copy_folder(int from, int to, struct budget *budget,
    struct err *err);

static int
copy_subfolder(int from, const char *name, int to, struct budget *budget,
    struct err *err)
{
	auto_close int in =
	    openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_close int out = -1;

	if (in < 0)
		return err_sys(err, "cannot read %s", name);
	if (mkdirat(to, name, 0755) < 0)
		return err_sys(err, "cannot make %s", name);
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out < 0)
		return err_sys(err, "cannot open %s", name);
	return copy_folder(in, out, budget, err);
}

static int
copy_entry(int from, const char *name, int to, struct budget *budget,
    struct err *err)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "cannot read %s", name);
	if (!S_ISDIR(st.st_mode))
		return copy_file(from, name, to, name, budget, err);
	if (copy_subfolder(from, name, to, budget, err) < 0)
		return err_wrap(err, "%s", name);
	return 0;
}

static DIR *
open_listing(int fd)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);

	if (dir == NULL && again >= 0)
		(void)close(again);
	return dir;
}

static int
copy_folder(int from, int to, struct budget *budget, struct err *err)
{
	DIR *dir = open_listing(from);
	const struct dirent *entry;
	struct stat st;
	int rc = 0;

	if (dir == NULL)
		return err_sys(err, "cannot list the folder");
	if (++budget->depth > INSTALL_DEPTH_MAX)
		rc = err_set(err, ERR_LIMIT, "more than %d folders deep",
		    INSTALL_DEPTH_MAX);
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			rc = copy_entry(from, entry->d_name, to, budget, err);
	(void)closedir(dir);
	budget->depth--;
	if (rc == 0 && fstat(from, &st) == 0)
		(void)fchmod(to, (st.st_mode & 0777) | 0700);
	return rc;
}

/* Remove a file or a folder with all that is in it; best effort. */
static void
remove_all(int dirfd, const char *name)
{
	const struct dirent *entry;
	DIR *dir;
	int fd;

	if (unlinkat(dirfd, name, 0) == 0)
		return;
	fd = openat(dirfd, name,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	dir = open_listing(fd);
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			remove_all(fd, entry->d_name);
	if (dir != NULL)
		(void)closedir(dir);
	(void)close(fd);
	(void)unlinkat(dirfd, name, AT_REMOVEDIR);
}

static bool
same_bytes(int a, int b)
{
	char left[COPY_CHUNK / 2], right[COPY_CHUNK / 2];
	ssize_t n, m;

	do {
		n = read(a, left, sizeof(left));
		m = read(b, right, sizeof(right));
		if (n < 0 || n != m || memcmp(left, right, (size_t)n) != 0)
			return false;
	} while (n > 0);
	return true;
}

static bool
same_file(int adir, const char *a, int bdir, const char *b)
{
	struct err ignored;
	struct stat sa, sb;
	auto_close int fa = open_file(adir, a, &sa, &ignored);
	auto_close int fb = open_file(bdir, b, &sb, &ignored);

	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	return fa >= 0 && fb >= 0 && sa.st_size == sb.st_size &&
	    same_bytes(fa, fb);
}

static bool same_folder(int a, int b);

static bool
same_entry(int a, int b, const char *name)
{
	struct stat st;
	auto_close int fa = -1;
	auto_close int fb = -1;

	if (fstatat(a, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (!S_ISDIR(st.st_mode))
		return same_file(a, name, b, name);
	fa = openat(a, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	fb = openat(b, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fa >= 0 && fb >= 0 && same_folder(fa, fb);
}

/* Is everything visible in a in b too, and the same?  *n_out: how much. */
static bool
contained(int a, int b, size_t *n_out)
{
	DIR *dir = open_listing(a);
	const struct dirent *entry;
	bool same = dir != NULL;

	*n_out = 0;
	while (same && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(*n_out)++;
		same = same_entry(a, b, entry->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return same;
}

static bool
same_folder(int a, int b)
{
	size_t na, nb = 0;
	DIR *dir;

	if (!contained(a, b, &na))
		return false;
	dir = open_listing(b);
	if (dir == NULL)
		return false;
	for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
		nb += e->d_name[0] != '.';
	(void)closedir(dir);
	return na == nb;
}

/*
 * Put the finished temp where name is.  What stood there ends up as temp, to
 * be removed.  A file system without RENAME_EXCHANGE gets two renames, with
 * a moment in between in which there is neither.
 */
static int
swap_in(int dirfd, const char *temp, const char *name, struct err *err)
{
	char aside[TEMP_MAX];

	if (renameat2(dirfd, temp, dirfd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (renameat2(dirfd, temp, dirfd, name, RENAME_EXCHANGE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return err_sys(err, "cannot put %s in place", name);
	temp_name(aside, name);
	if (renameat(dirfd, name, dirfd, aside) < 0 && errno != ENOENT)
		return err_sys(err, "cannot move the old %s aside", name);
	if (renameat(dirfd, temp, dirfd, name) < 0) {
		(void)err_sys(err, "cannot put %s in place", name);
		(void)renameat(dirfd, aside, dirfd, name);
		return -1;
	}
	remove_all(dirfd, aside);
	return 0;
}

static int
put_folder(int dirfd, const struct install_source *source, bool *changed_out,
    struct err *err)
{
	auto_close int from =
	    open(source->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int old = openat(dirfd, source->name,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct budget budget = {0};
	auto_close int to = -1;
	char temp[TEMP_MAX];
	int rc;

	if (from < 0)
		return err_sys(err, "cannot read %s", source->path);
	*changed_out = old < 0 || !same_folder(from, old);
	if (!*changed_out)
		return 0;
	temp_name(temp, source->name);
	if (mkdirat(dirfd, temp, 0700) < 0)
		return err_sys(err, "cannot write to the functions folder");
	to = openat(dirfd, temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = to < 0 ? err_sys(err, "cannot open %s", temp)
		    : copy_folder(from, to, &budget, err);
	if (rc == 0)
		rc = swap_in(dirfd, temp, source->name, err);
	remove_all(dirfd, temp);
	return rc;
}

/* The manifest goes first: new code never runs under an old manifest. */
static int
put_files(int dirfd, const struct install_source *source, bool *changed_out,
    struct err *err)
{
	char lua[INSTALL_NAME_MAX + 8], json[INSTALL_NAME_MAX + 8];
	char temp_lua[TEMP_MAX], temp_json[TEMP_MAX];
	struct budget budget = {0};
	int rc;

	(void)snprintf(lua, sizeof(lua), "%s.lua", source->name);
	(void)snprintf(json, sizeof(json), "%s.json", source->name);
	temp_name(temp_lua, source->name);
	temp_name(temp_json, source->name);
	*changed_out = !same_file(AT_FDCWD, source->path, dirfd, lua) ||
	    (source->manifest &&
		!same_file(AT_FDCWD, source->manifest_path, dirfd, json));
	if (!*changed_out)
		return 0;
	rc = copy_file(AT_FDCWD, source->path, dirfd, temp_lua, &budget, err);
	if (rc == 0 && source->manifest)
		rc = copy_file(AT_FDCWD, source->manifest_path, dirfd,
		    temp_json, &budget, err);
	if (rc == 0 && source->manifest &&
	    renameat(dirfd, temp_json, dirfd, json) < 0)
		rc = err_sys(err, "cannot put %s in place", json);
	if (rc == 0 && renameat(dirfd, temp_lua, dirfd, lua) < 0)
		rc = err_sys(err, "cannot put %s in place", lua);
	remove_all(dirfd, temp_lua);
	remove_all(dirfd, temp_json);
	return rc;
}

/* One name, one form: hello.lua beside hello/ would be two functions. */
static int
check_form(int dirfd, const struct install_source *source, struct err *err)
{
	char other[INSTALL_NAME_MAX + 8];
	struct stat st;

	(void)snprintf(other, sizeof(other), "%s%s", source->name,
	    source->folder ? ".lua" : "");
	if (fstatat(dirfd, other, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return err_set(err, ERR_BAD_INPUT,
	    "the functions folder has %s as a %s; remove that first",
	    source->name, source->folder ? "file (NAME.lua)" : "folder");
}

int
install_put(int dirfd, const struct install_source *source, bool *changed_out,
    struct err *err)
{
	*changed_out = false;
	if (check_form(dirfd, source, err) < 0)
		return -1;
	if ((source->folder ? put_folder : put_files)(dirfd, source,
		changed_out, err) < 0)
		return -1;
	if (*changed_out && fsync(dirfd) < 0)
		return err_sys(err, "cannot write the functions folder");
	return 0;
}
