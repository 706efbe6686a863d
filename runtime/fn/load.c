/*
 * load.c - a function from the disk: its files, opened and checked.
 *
 * Runs in: gateway (helper threads), cli.
 * Owns:    nothing after it returned.
 *
 * The directory belongs to people, programs and mistakes.  Nothing is opened
 * by a path that could lead outside (openat2: beneath, no links), nothing is
 * believed of a name that the open descriptor does not confirm, nothing waits
 * for a writer (O_NONBLOCK), and everything has a limit.
 *
 * Half-written files are never taken.  While a file is read it must stay as it
 * is.  Before that, a read lease asks the kernel whether anybody has it open
 * for writing (fcntl(2), F_SETLEASE: it is given only when nobody has).  Where
 * leases can't be had (the file is another user's and we lack CAP_LEASE, or
 * the file system has none) a file that somebody closed must have been left
 * alone for SETTLE_CLOSED_MS, one that a scan found for SETTLE_BLIND_MS.
 */
#include "runtime/fn/fn_priv.h"
#include "runtime/fn/names.h"
#include "runtime/fn/paths.h"
#include "sandbox/base/cleanup.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define SETTLE_CLOSED_MS 20
#define SETTLE_BLIND_MS	 5000
#define PATH_BYTES	 1024 /* name, folders of a module and ".lua" */

/* One load: what has been read so far. */
struct loading {
	const struct fn_look *look;
	struct fn_version *version;
	size_t room;	     /* modules there is memory for */
	size_t bundle_bytes; /* of all sources */
	size_t entries;	     /* of all folders */
	bool uses_lib;
	bool failed; /* err is set; the rest is skipped */
	struct err *err;
};

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

int
fn_open_beneath(int dirfd, const char *path, int flags)
{
	struct open_how how = {
	    .flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC | O_NONBLOCK |
		O_NOCTTY),
	    .resolve =
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}

/* --- one file ---------------------------------------------------------- */

static int
being_written(const char *path, struct err *err)
{
	errno = EAGAIN;
	return err_sys(err, "%s is being written", path);
}

static int
open_error(const char *path, struct err *err)
{
	if (errno == ENOENT || errno == ENOTDIR)
		return err_set(err, ERR_NOT_FOUND, "no file %s", path);
	if (errno == ELOOP || errno == EXDEV)
		return err_set(err, ERR_BAD_INPUT,
		    "%s is a symbolic link, which is refused: put the file "
		    "itself there",
		    path);
	if (errno == ENXIO)
		return err_set(err, ERR_BAD_INPUT, "%s is not a regular file",
		    path);
	return err_sys(err, "%s", path);
}

/*
 * Ask for a read lease and give it back at once.  0: nobody writes; EAGAIN:
 * somebody does; else the kernel can't say.  Who opens the file for writing
 * in between waits those microseconds, and we would get a signal: one that
 * nobody misses.
 */
static int
writer_check(int fd)
{
	if (fcntl(fd, F_SETSIG, SIGURG) < 0 ||
	    fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return 0;
}

static bool
settled(const struct stat *st, int settle_ms)
{
	int64_t changed_ms =
	    (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
	int64_t age_ms = clock_wall_ms() - changed_ms;

	return age_ms < 0 || age_ms >= settle_ms;
}

static bool
half_written(const struct fn_look *look, int fd, const struct stat *st)
{
	int writer;

	if (look->trust == FN_TRUST_ALL)
		return false;
	writer = writer_check(fd);
	if (writer == 0 || writer == EAGAIN)
		return writer == EAGAIN;
	return !settled(st,
	    look->trust == FN_TRUST_CLOSED ? SETTLE_CLOSED_MS
					   : SETTLE_BLIND_MS);
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Up to n bytes; fewer only at the end of the file. */
static ssize_t
read_up_to(int fd, char *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = read(fd, p + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static int
check_file(const struct fn_look *look, int fd, const char *path,
    const struct stat *st, size_t max, struct err *err)
{
	if (!S_ISREG(st->st_mode))
		return err_set(err, ERR_BAD_INPUT, "%s is not a regular file",
		    path);
	if ((uint64_t)st->st_size > max)
		return err_set(err, ERR_LIMIT, "%s has %lld bytes, at most %zu",
		    path, (long long)st->st_size, max);
	if (half_written(look, fd, st))
		return being_written(path, err);
	return 0;
}

/*
 * The whole of a regular file of at most max bytes, the caller's, and exactly
 * as large as it is (no spare room: there may be ten thousand).
 */
static char *
read_file(const struct fn_look *look, int dirfd, const char *file,
    const char *path, size_t max, size_t *n_out, struct err *err)
{
	auto_close int fd = fn_open_beneath(dirfd, file, O_RDONLY);
	auto_free char *text = NULL;
	struct stat before;
	struct stat after;
	ssize_t n;

	if (fd < 0) {
		(void)open_error(path, err);
		return NULL;
	}
	if (fstat(fd, &before) < 0) {
		(void)err_sys(err, "%s", path);
		return NULL;
	}
	if (check_file(look, fd, path, &before, max, err) < 0)
		return NULL;
	text = must(malloc((size_t)before.st_size + 1));
	n = read_up_to(fd, text, (size_t)before.st_size + 1);
	if (n < 0 || fstat(fd, &after) < 0) {
		(void)err_sys(err, "%s", path);
		return NULL;
	}
	if ((off_t)n != before.st_size || !same_file(&before, &after)) {
		(void)being_written(path, err);
		return NULL;
	}
	text[n] = '\0';
	*n_out = (size_t)n;
	return steal_ptr(&text);
}

/* --- modules ----------------------------------------------------------- */

static int
fail(struct loading *l)
{
	l->failed = true;
	return -1;
}

static bool
has_module(const struct loading *l, struct slice name)
{
	for (size_t i = 0; i < l->version->nmodules; i++)
		if (slice_is(name, l->version->modules[i].name))
			return true;
	return false;
}

static void
keep_module(struct loading *l, struct slice name, char *source, size_t n)
{
	struct fn_version *v = l->version;

	if (v->nmodules == l->room) {
		l->room = l->room == 0 ? 1 : l->room * 2;
		v->modules =
		    must(realloc(v->modules, l->room * sizeof(*v->modules)));
	}
	v->modules[v->nmodules++] = (struct fn_module){.name = slice_dup(name),
	    .source = source,
	    .source_bytes = n};
	l->bundle_bytes += n;
}

static int
check_source(struct loading *l, const char *path, const char *source, size_t n)
{
	if (n > 0 && source[0] == '\x1b')
		return err_set(l->err, ERR_BAD_INPUT,
		    "%s is Lua bytecode, which is refused: put the source "
		    "there",
		    path);
	if (l->version->nmodules >= FN_MODULES_MAX)
		return err_set(l->err, ERR_LIMIT, "%s: more than %d modules",
		    path, FN_MODULES_MAX);
	if (n > FN_BUNDLE_MAX - l->bundle_bytes)
		return err_set(l->err, ERR_LIMIT,
		    "%s: all sources together have more than %d bytes", path,
		    FN_BUNDLE_MAX);
	return 0;
}

/* file: below dirfd; path: what people call it. */
static int
add_module(struct loading *l, int dirfd, const char *file, const char *path,
    struct slice module)
{
	auto_free char *source = NULL;
	size_t n = 0;

	source =
	    read_file(l->look, dirfd, file, path, FN_SOURCE_MAX, &n, l->err);
	if (source == NULL || check_source(l, path, source, n) < 0)
		return fail(l);
	keep_module(l, module, steal_ptr(&source), n);
	return 0;
}

/* A folder of modules that is being listed. */
struct folder {
	char path[PATH_BYTES];		     /* "hello/a", for people */
	char module[FN_MODULE_NAME_MAX + 8]; /* "a.", before its modules */
	int depth;
};

static int add_folder(struct loading *l, int fd, const struct folder *folder);

static int
bad_name(struct loading *l, const struct folder *folder, const char *name)
{
	char shown[FN_SHOWN_MAX];

	(void)err_set(l->err, ERR_BAD_INPUT,
	    "%.120s: \"%s\" is not a module's name: letters, digits, \"_\", "
	    "\"-\", at most %d folders deep",
	    folder->path, fn_shown(slice_of(name), shown), FN_DEPTH_MAX);
	return fail(l);
}

static int
add_subfolder(struct loading *l, int dirfd, const struct folder *folder,
    const char *name)
{
	struct folder below = {.depth = folder->depth + 1};
	auto_close int fd = -1;
	int n = snprintf(below.path, sizeof(below.path), "%s/%s", folder->path,
	    name);
	int m = snprintf(below.module, sizeof(below.module), "%s%s.",
	    folder->module, name);

	if (n >= (int)sizeof(below.path) || m >= (int)sizeof(below.module) ||
	    below.depth > FN_DEPTH_MAX || !fn_word_valid(slice_of(name)) ||
	    strcmp(name, "_lib") == 0)
		return bad_name(l, folder, name);
	fd = fn_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0) {
		(void)open_error(below.path, l->err);
		return fail(l);
	}
	return add_folder(l, fd, &below);
}

static bool
ends_in_lua(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && strcmp(name + n - 4, ".lua") == 0;
}

static int
add_file(struct loading *l, int dirfd, const struct folder *folder,
    const char *name)
{
	char module[FN_MODULE_NAME_MAX + 8 + NAME_MAX + 1];
	char path[PATH_BYTES + NAME_MAX + 2];
	int n = snprintf(module, sizeof(module), "%s%.*s", folder->module,
	    (int)strlen(name) - 4, name);

	if (memchr(name, '.', strlen(name) - 4) != NULL ||
	    !fn_module_name_valid(slice_from(module, (size_t)n)))
		return bad_name(l, folder, name);
	if (folder->depth == 0 && strcmp(name, "init.lua") == 0)
		return 0; /* is there already, as the first */
	(void)snprintf(path, sizeof(path), "%s/%s", folder->path, name);
	return add_module(l, dirfd, name, path, slice_from(module, (size_t)n));
}

static bool
is_folder(int dirfd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode);
}

static int
add_entry(struct loading *l, int dirfd, const struct folder *folder,
    const struct dirent *entry)
{
	if (fn_name_temporary(entry->d_name))
		return 0;
	if (++l->entries > FN_ENTRIES_MAX) {
		(void)err_set(l->err, ERR_LIMIT, "%.120s: more than %d files",
		    folder->path, FN_ENTRIES_MAX);
		return fail(l);
	}
	if (is_folder(dirfd, entry))
		return add_subfolder(l, dirfd, folder, entry->d_name);
	if (ends_in_lua(entry->d_name))
		return add_file(l, dirfd, folder, entry->d_name);
	return 0;
}

/* A second descriptor for readdir, which wants one of its own. */
static DIR *
list_folder(int fd)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);

	if (dir == NULL && own >= 0)
		(void)close(own);
	return dir;
}

static int
add_folder(struct loading *l, int fd, const struct folder *folder)
{
	struct dirent *entry;
	DIR *dir;

	if (l->look->on_folder != NULL && folder->depth > 0)
		l->look->on_folder(fd, l->look->arg);
	dir = list_folder(fd);
	if (dir == NULL) {
		(void)err_sys(l->err, "%.120s", folder->path);
		return fail(l);
	}
	while (!l->failed && (entry = readdir(dir)) != NULL)
		(void)add_entry(l, fd, folder, entry);
	(void)closedir(dir);
	return l->failed ? -1 : 0;
}

/* "_lib.a.b" is the file _lib/a/b.lua; one that is not there is left to
 * require(), which can say who wants it. */
static void
add_shared(struct slice module, void *arg)
{
	struct loading *l = arg;
	char path[FN_MODULE_NAME_MAX + 8];
	struct stat st;

	l->uses_lib = true;
	if (l->failed || has_module(l, module))
		return;
	(void)snprintf(path, sizeof(path), "%.*s.lua", (int)module.n, module.p);
	for (size_t i = 0; i < module.n; i++)
		if (path[i] == '.')
			path[i] = '/';
	if (fstatat(l->look->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	(void)add_module(l, l->look->dirfd, path, path, module);
}

/* What is added on the way is scanned too: shared modules use each other. */
static int
add_all_shared(struct loading *l)
{
	for (size_t i = 0; i < l->version->nmodules && !l->failed; i++) {
		const struct fn_module *module = &l->version->modules[i];

		fn_requires(slice_from(module->source, module->source_bytes),
		    add_shared, l);
	}
	return l->failed ? -1 : 0;
}

/* --- a function -------------------------------------------------------- */

static int
by_name(const void *a, const void *b)
{
	const struct fn_module *one = a;
	const struct fn_module *other = b;

	return strcmp(one->name, other->name);
}

static int
parse_manifest(struct loading *l, const char *path, struct slice json)
{
	struct fn_version *v = l->version;
	struct err why;

	if (json.p != NULL &&
	    fn_manifest_parse(&v->manifest, v->name, json.p, json.n, l->err) <
		0)
		(void)err_wrap(l->err, "%s", path);
	else if (fn_route_check(slice_of(v->manifest.route), &why) < 0)
		(void)err_set(l->err, ERR_BAD_INPUT,
		    "the default route %s can't be had (%s): give another one "
		    "in the manifest",
		    v->manifest.route, why.msg);
	else
		return 0;
	return fail(l);
}

/* The manifest, if there is one; then the hash over everything. */
static int
add_manifest(struct loading *l, int dirfd, const char *file, const char *path)
{
	auto_free char *json = NULL;
	struct err why;
	size_t n = 0;

	json = read_file(l->look, dirfd, file, path, FN_MANIFEST_MAX, &n, &why);
	if (json == NULL && why.code != ERR_NOT_FOUND) {
		*l->err = why;
		return fail(l);
	}
	if (parse_manifest(l, path, slice_from(json, n)) < 0)
		return -1;
	qsort(l->version->modules + 1, l->version->nmodules - 1,
	    sizeof(*l->version->modules), by_name);
	fn_version_hash(l->version, slice_from(json, n));
	return 0;
}

static int
load_file(struct loading *l, const char *name)
{
	char source[FN_NAME_MAX + 8];
	char manifest[FN_NAME_MAX + 8];

	(void)snprintf(source, sizeof(source), "%s.lua", name);
	(void)snprintf(manifest, sizeof(manifest), "%s.json", name);
	if (add_module(l, l->look->dirfd, source, source, SLICE("init")) < 0 ||
	    add_all_shared(l) < 0)
		return -1;
	return add_manifest(l, l->look->dirfd, manifest, manifest);
}

static int
load_folder(struct loading *l, const char *name)
{
	auto_close int fd =
	    fn_open_beneath(l->look->dirfd, name, O_RDONLY | O_DIRECTORY);
	char init[FN_NAME_MAX + 16];
	char manifest[FN_NAME_MAX + 16];
	struct folder folder = {.depth = 0};

	if (fd < 0) {
		(void)open_error(name, l->err);
		return fail(l);
	}
	if (l->look->on_folder != NULL)
		l->look->on_folder(fd, l->look->arg);
	(void)snprintf(folder.path, sizeof(folder.path), "%s", name);
	(void)snprintf(init, sizeof(init), "%s/init.lua", name);
	(void)snprintf(manifest, sizeof(manifest), "%s/function.json", name);
	if (add_module(l, fd, "init.lua", init, SLICE("init")) < 0 ||
	    add_folder(l, fd, &folder) < 0 || add_all_shared(l) < 0)
		return -1;
	return add_manifest(l, fd, "function.json", manifest);
}

static bool
there(int dirfd, const char *name, const char *end, struct stat *st)
{
	char file[FN_NAME_MAX + 8];

	(void)snprintf(file, sizeof(file), "%s%s", name, end);
	return fstatat(dirfd, file, st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* NAME.lua or NAME/, but not both. */
static int
load_either(struct loading *l, const char *name)
{
	struct stat st;
	bool file = there(l->look->dirfd, name, ".lua", &st);
	bool folder = there(l->look->dirfd, name, "", &st) &&
	    (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));

	if (file && folder)
		return err_set(l->err, ERR_BAD_INPUT,
		    "there are both %s.lua and %s/: keep one", name, name);
	if (file)
		return load_file(l, name);
	if (!folder)
		return err_set(l->err, ERR_NOT_FOUND, "no function %s", name);
	if (there(l->look->dirfd, name, ".json", &st))
		return err_set(l->err, ERR_BAD_INPUT,
		    "%s.json beside the folder %s/: put it into the folder "
		    "as function.json",
		    name, name);
	return load_folder(l, name);
}

struct fn_version *
fn_load_look(const struct fn_look *look, const char *name,
    struct fn_seen *seen_out, struct err *err)
{
	struct loading l = {.look = look, .err = err};

	*seen_out = (struct fn_seen){.uses_lib = true};
	if (!fn_name_valid(slice_of(name))) {
		(void)err_set(err, ERR_BAD_INPUT,
		    "a function's name is letters, digits, \"_\" and \"-\", "
		    "at most %d",
		    FN_NAME_MAX);
		return NULL;
	}
	seen_out->signature = fn_signature(look, name);
	l.version = fn_version_new(name);
	if (load_either(&l, name) < 0) {
		fn_version_unref(l.version);
		return NULL;
	}
	seen_out->uses_lib = l.uses_lib;
	return l.version;
}

struct fn_version *
fn_load(int dirfd, const char *name, struct err *err)
{
	struct fn_look look = {.dirfd = dirfd, .trust = FN_TRUST_ALL};
	struct fn_seen seen;

	return fn_load_look(&look, name, &seen, err);
}
