/*
 * catalog.c - the catalog as a whole: its life, its numbers, its look-ups.
 *
 * Runs in: gateway.
 * Owns:    see catalog.h.
 *
 * Jobs and the store call back after catalog_free too; the struct itself lives
 * until the last of them did (refs), and does nothing once it is closed.
 */
#include "runtime/fn/catalog_priv.h"
#include "runtime/fn/names.h"
#include "runtime/fn/paths.h"
#include "runtime/loop/loop.h"
#include "runtime/store/store.h"
#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#define ODD_MAX 100 /* refused names that are said */

static struct slice
func_key(const void *item)
{
	return slice_of(((const struct func *)item)->name);
}

static struct slice
odd_key(const void *item)
{
	return slice_of(item);
}

/* The gateway changes its current folder: keep where the directory really is
 * unless its name is absolute. */
static char *
absolute(int dirfd, const char *path)
{
	char link[64];
	char *real;
	ssize_t n;

	if (path[0] == '/')
		return slice_dup(slice_of(path));
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	real = malloc(PATH_MAX);
	if (real == NULL)
		abort();
	n = readlink(link, real, PATH_MAX - 1);
	if (n <= 0 || real[0] != '/') {
		free(real);
		return NULL;
	}
	real[n] = '\0';
	return real;
}

static void
on_due(void *arg)
{
	catalog_work(arg);
}

static void
on_scan_time(void *arg)
{
	struct catalog *catalog = arg;

	catalog->scan_wanted = true;
	catalog_work(catalog);
}

struct catalog *
catalog_new(struct loop *loop, struct store *store, int dirfd, const char *path,
    unsigned int parallel, const struct catalog_callbacks *callbacks, void *arg)
{
	struct catalog *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->refs = 1;
	c->loop = loop;
	c->store = store;
	c->callbacks = *callbacks;
	c->arg = arg;
	c->dirfd = dirfd;
	c->path = absolute(dirfd, path);
	c->parallel = parallel == 0 ? 1 : parallel;
	c->inotify = -1;
	c->funcs.key = func_key;
	c->odd.key = odd_key;
	TAILQ_INIT(&c->dirty);
	TAILQ_INIT(&c->queue);
	numbers_init(&c->numbers);
	c->routes = routes_new();
	c->due_timer = loop_timer_new(loop, on_due, c);
	c->scan_timer = loop_timer_new(loop, on_scan_time, c);
	return c;
}

void
catalog_unref(struct catalog *catalog)
{
	if (--catalog->refs > 0)
		return;
	if (catalog->inotify >= 0)
		(void)close(catalog->inotify);
	(void)close(catalog->dirfd);
	free(catalog->path);
	free(catalog);
}

void
catalog_note(struct catalog *catalog, const char *name, const char *fmt, ...)
{
	char what[ERR_MSG_MAX + 128];
	va_list ap;

	if (catalog->callbacks.on_note == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	catalog->callbacks.on_note(name, what, catalog->arg);
}

void
catalog_note_odd(struct catalog *catalog, const char *file)
{
	char shown[FN_SHOWN_MAX];

	if (catalog->odd.n >= ODD_MAX ||
	    table_find(&catalog->odd, slice_of(file)) != NULL)
		return;
	table_add(&catalog->odd, slice_dup(slice_of(file)));
	catalog_note(catalog, fn_shown(slice_of(file), shown),
	    "refused: a function's name is letters, digits, \"_\" and \"-\", "
	    "at most %d, and its folder is no link%s",
	    FN_NAME_MAX,
	    catalog->odd.n == ODD_MAX ? "; no more such names will be said"
				      : "");
}

/* --- start ------------------------------------------------------------- */

static void
begin(struct catalog *catalog)
{
	catalog->numbered = true;
	catalog->scan_wanted = true;
	catalog_work(catalog);
}

static void
on_versions(const struct store_version *versions, size_t n,
    const struct err *err, void *arg)
{
	struct catalog *catalog = arg;

	if (!catalog->closed) {
		if (err != NULL)
			catalog_note(catalog, NULL,
			    "the versions' numbers can't be read, so they "
			    "begin at 1: %s",
			    err->msg);
		for (size_t i = 0; err == NULL && i < n; i++)
			numbers_know(&catalog->numbers, versions[i].name,
			    versions[i].hash, versions[i].number);
		begin(catalog);
	}
	catalog_unref(catalog);
}

void
catalog_start(struct catalog *catalog)
{
	struct err err;

	if (watch_start(catalog, &err) < 0)
		catalog_note(catalog, NULL,
		    "changes are seen by rescanning only: %s", err.msg);
	if (catalog->store == NULL) {
		begin(catalog);
		return;
	}
	catalog->refs++;
	store_versions(catalog->store, on_versions, catalog);
}

/* --- end --------------------------------------------------------------- */

static void
free_funcs(struct catalog *catalog)
{
	struct func *f;

	for (size_t i = 0; (f = table_next(&catalog->funcs, &i)) != NULL;)
		func_free(f);
	table_fini(&catalog->funcs);
}

static void
free_odd(struct catalog *catalog)
{
	char *name;

	for (size_t i = 0; (name = table_next(&catalog->odd, &i)) != NULL;)
		free(name);
	table_fini(&catalog->odd);
}

void
catalog_free(struct catalog *catalog)
{
	if (catalog == NULL)
		return;
	catalog->closed = true;
	watch_stop(catalog);
	loop_timer_free(catalog->due_timer);
	loop_timer_free(catalog->scan_timer);
	free_funcs(catalog);
	free_odd(catalog);
	numbers_fini(&catalog->numbers);
	routes_free(catalog->routes);
	catalog_unref(catalog);
}

/* --- look-ups ---------------------------------------------------------- */

const struct catalog_entry *
catalog_entry(const struct catalog *catalog, struct slice name)
{
	const struct func *f = table_find(&catalog->funcs, name);

	return f == NULL || !func_visible(f) ? NULL : &f->entry;
}

struct fn_version *
catalog_find(const struct catalog *catalog, struct slice name)
{
	const struct func *f = table_find(&catalog->funcs, name);

	return f == NULL ? NULL : f->entry.version;
}

static int
by_name(const void *a, const void *b)
{
	const struct func *const *one = a;
	const struct func *const *other = b;

	return strcmp((*one)->name, (*other)->name);
}

void
catalog_each(const struct catalog *catalog,
    void (*each)(const struct catalog_entry *entry, void *arg), void *arg)
{
	auto_free struct func **all =
	    calloc(catalog->funcs.n + 1, sizeof(*all));
	struct func *f;
	size_t n = 0;

	if (all == NULL)
		abort();
	for (size_t i = 0; (f = table_next(&catalog->funcs, &i)) != NULL;)
		if (func_visible(f))
			all[n++] = f;
	qsort(all, n, sizeof(struct func *), by_name);
	for (size_t i = 0; i < n; i++)
		each(&all[i]->entry, arg);
}

/* The route matched the path: what its parameters stand for. */
static size_t
fill_params(struct slice route, struct slice path,
    struct catalog_param *params_out, size_t max)
{
	struct slice name;
	struct slice value;
	size_t n = 0;

	while (n < max && fn_segment_next(&route, &name) &&
	    fn_segment_next(&path, &value))
		if (fn_segment_is_param(name))
			params_out[n++] =
			    (struct catalog_param){slice_from(name.p + 1,
						       name.n - 1),
				value};
	return n;
}

struct fn_version *
catalog_route(const struct catalog *catalog, struct slice path,
    struct catalog_param *params_out, size_t max_params, size_t *nparams_out)
{
	const struct func *f = routes_match(catalog->routes, path);

	*nparams_out = 0;
	if (f == NULL)
		return NULL;
	*nparams_out = fill_params(slice_of(f->entry.version->manifest.route),
	    path, params_out, max_params);
	return f->entry.version;
}
