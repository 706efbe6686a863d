/*
 * deploy.c - one function's way from what was read to what serves.
 *
 * Runs in: gateway.
 *
 *	mark -> (scan.c reads) -> offer -> waiting -> building -> accept: serves
 *	                       -> broken  (error)          |----> reject: error
 *	                       -> removed (undeployed)
 *
 * Newer content while one is being built waits, and replaces what waited.
 * What is built and not on the disk any more is `outdated`: it is dropped when
 * the function was removed meanwhile, and does not clear a newer error.
 */
#include "runtime/fn/catalog_priv.h"
#include "runtime/loop/loop.h"
#include "runtime/store/store.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <stdio.h>
#include <stdlib.h>

bool
func_visible(const struct func *f)
{
	return f->entry.version != NULL || f->entry.error != NULL ||
	    f->waiting != NULL || f->building != NULL;
}

struct func *
func_get(struct catalog *catalog, const char *name)
{
	struct func *f = table_find(&catalog->funcs, slice_of(name));
	size_t n = strlen(name) + 1;

	if (f != NULL)
		return f;
	if (catalog->funcs.n >= FUNCTIONS_MAX) {
		if (!catalog->full)
			catalog_note(catalog, name,
			    "ignored: more than %d functions", FUNCTIONS_MAX);
		catalog->full = true;
		return NULL;
	}
	f = calloc(1, sizeof(*f) + n);
	if (f == NULL)
		abort();
	memcpy(f->name, name, n);
	f->entry.name = f->name;
	table_add(&catalog->funcs, f);
	return f;
}

static void
set_error(struct func *f, const char *why)
{
	free((char *)(uintptr_t)f->entry.error);
	f->entry.error = why == NULL ? NULL : slice_dup(slice_of(why));
}

void
func_free(struct func *f)
{
	fn_version_unref(f->entry.version);
	fn_version_unref(f->waiting);
	fn_version_unref(f->building);
	set_error(f, NULL);
	free(f);
}

void
func_collect(struct catalog *catalog, struct func *f)
{
	if (func_visible(f) || f->dirty || f->queued || f->reading)
		return;
	(void)table_remove(&catalog->funcs, slice_of(f->name));
	func_free(f);
}

/* --- marking ----------------------------------------------------------- */

void
func_mark(struct catalog *catalog, struct func *f, uint64_t after_us,
    bool closed)
{
	uint64_t now_us = clock_mono_us();

	if (!f->dirty) {
		f->dirty = true;
		f->first_us = now_us;
		TAILQ_INSERT_TAIL(&catalog->dirty, f, dirty_link);
	}
	if (f->first_us > now_us) /* it waited for a writer: no longer */
		f->first_us = now_us;
	f->closed = f->closed || closed;
	f->due_us = now_us + after_us;
	if (f->due_us > f->first_us + STORM_US)
		f->due_us = f->first_us + STORM_US;
}

void
func_mark_name(struct catalog *catalog, const char *name, uint64_t after_us,
    bool closed)
{
	struct func *f = func_get(catalog, name);

	if (f != NULL)
		func_mark(catalog, f, after_us, closed);
}

void
func_mark_lib(struct catalog *catalog, uint64_t after_us, bool closed)
{
	struct func *f;

	for (size_t i = 0; (f = table_next(&catalog->funcs, &i)) != NULL;)
		if (f->uses_lib && func_visible(f))
			func_mark(catalog, f, after_us, closed);
}

/* A route is free, or another one's: look again at those it was refused. */
static void
mark_conflicts(struct catalog *catalog)
{
	struct func *f;

	if (catalog->conflicts == 0)
		return;
	for (size_t i = 0; (f = table_next(&catalog->funcs, &i)) != NULL;)
		if (f->conflict)
			func_mark(catalog, f, 0, false);
	catalog_work(catalog);
}

static void
set_conflict(struct catalog *catalog, struct func *f, bool conflict)
{
	if (f->conflict == conflict)
		return;
	f->conflict = conflict;
	if (conflict)
		catalog->conflicts++;
	else
		catalog->conflicts--;
}

/* --- deciding ---------------------------------------------------------- */

void
catalog_check_settled(struct catalog *catalog)
{
	if (!catalog->scanned || catalog->unsettled > 0 || catalog->settled)
		return;
	catalog->settled = true;
	if (catalog->callbacks.on_settled != NULL)
		catalog->callbacks.on_settled(catalog->arg);
}

/* The first scan's functions are counted until the last one is decided. */
static void
settle(struct catalog *catalog, struct func *f)
{
	if (!f->unsettled)
		return;
	f->unsettled = false;
	catalog->unsettled--;
	catalog_check_settled(catalog);
}

static void
decide(struct func *f, const char *error)
{
	set_error(f, error);
	f->entry.state = f->entry.version != NULL ? CATALOG_SERVING
	    : error != NULL			  ? CATALOG_BROKEN
						  : CATALOG_READING;
	f->entry.changed_ms = clock_wall_ms();
}

static void
enqueue(struct catalog *catalog, struct func *f)
{
	if (f->queued || f->building != NULL || f->waiting == NULL)
		return;
	f->queued = true;
	TAILQ_INSERT_TAIL(&catalog->queue, f, queue_link);
}

static void
dequeue(struct catalog *catalog, struct func *f)
{
	if (!f->queued)
		return;
	f->queued = false;
	TAILQ_REMOVE(&catalog->queue, f, queue_link);
}

static void
drop_waiting(struct catalog *catalog, struct func *f)
{
	fn_version_unref(f->waiting);
	f->waiting = NULL;
	dequeue(catalog, f);
}

static void
on_recorded(const struct err *err, void *arg)
{
	struct catalog *catalog = arg;

	if (err != NULL && !catalog->closed)
		catalog_note(catalog, NULL,
		    "a version's number could not be written down: %s",
		    err->msg);
	catalog_unref(catalog);
}

static void
give_number(struct catalog *catalog, struct fn_version *version)
{
	struct store_version record;
	bool is_new;

	version->number = numbers_of(&catalog->numbers, version->name,
	    version->hash, &is_new);
	if (!is_new || catalog->store == NULL)
		return;
	record = (struct store_version){.number = version->number};
	(void)slice_copy(record.name, sizeof(record.name),
	    slice_of(version->name));
	(void)slice_copy(record.hash, sizeof(record.hash),
	    slice_of(version->hash));
	catalog->refs++;
	store_add_version(catalog->store, &record, on_recorded, catalog);
}

void
catalog_pump(struct catalog *catalog)
{
	struct func *f;

	if (catalog->pumping)
		return; /* accept or reject from inside on_candidate */
	catalog->pumping = true;
	while (catalog->building < catalog->parallel &&
	    (f = TAILQ_FIRST(&catalog->queue)) != NULL) {
		dequeue(catalog, f);
		f->building = f->waiting;
		f->waiting = NULL;
		f->outdated = false;
		catalog->building++;
		catalog->callbacks.on_candidate(f->building, catalog->arg);
	}
	catalog->pumping = false;
}

static bool
same_content(const struct fn_version *a, const struct fn_version *b)
{
	return a != NULL && strcmp(a->hash, b->hash) == 0;
}

/* The disk has again what serves, after an error or a newer candidate. */
static void
back_to_serving(struct catalog *catalog, struct func *f,
    struct fn_version *version)
{
	fn_version_unref(version);
	drop_waiting(catalog, f);
	f->outdated = f->building != NULL && f->building != f->entry.version;
	set_conflict(catalog, f, false);
	if (f->entry.error != NULL)
		decide(f, NULL);
	settle(catalog, f);
}

void
func_offer(struct catalog *catalog, struct func *f, struct fn_version *version)
{
	f->retries = 0;
	if (same_content(f->building, version)) {
		fn_version_unref(version);
		drop_waiting(catalog, f);
		f->outdated = false;
		return;
	}
	if (same_content(f->entry.version, version)) {
		back_to_serving(catalog, f, version);
		return;
	}
	give_number(catalog, version);
	set_conflict(catalog, f, false);
	fn_version_unref(f->waiting);
	f->waiting = version;
	f->outdated = f->building != NULL;
	enqueue(catalog, f);
	catalog_pump(catalog);
}

void
func_broken(struct catalog *catalog, struct func *f, const char *why)
{
	bool said = f->entry.error != NULL && strcmp(f->entry.error, why) == 0;

	f->retries = 0;
	drop_waiting(catalog, f);
	set_conflict(catalog, f, false);
	f->outdated = f->building != NULL;
	if (!said) {
		decide(f, why);
		catalog_note(catalog, f->name, "%s", why);
	}
	settle(catalog, f);
}

static void
undeploy(struct catalog *catalog, struct func *f)
{
	struct fn_version *before = f->entry.version;

	f->entry.version = NULL;
	routes_set(catalog->routes, before->manifest.route, NULL);
	if (catalog->callbacks.on_removed != NULL)
		catalog->callbacks.on_removed(before, catalog->arg);
	fn_version_unref(before);
}

void
func_removed(struct catalog *catalog, struct func *f)
{
	f->retries = 0;
	f->signature = 0;
	f->outdated = f->building != NULL;
	f->rebuild = false;
	drop_waiting(catalog, f);
	set_conflict(catalog, f, false);
	if (f->entry.version != NULL) {
		undeploy(catalog, f);
		mark_conflicts(catalog);
	}
	decide(f, NULL);
	settle(catalog, f);
}

/* A file is being written.  Look again later and later; its writer's close
 * is an event that comes before.  closed: that event came, and is not
 * forgotten because we looked too soon after it. */
void
func_retry(struct catalog *catalog, struct func *f, bool closed)
{
	uint64_t after_us = (uint64_t)RETRY_US << f->retries;

	f->signature = 0;
	if (f->retries < RETRY_MAX)
		f->retries++;
	else
		settle(catalog, f);
	if (f->dirty)
		return;
	func_mark(catalog, f, 0, closed);
	f->first_us = f->due_us + after_us;
	f->due_us = f->first_us;
}

/* --- the builder's word ------------------------------------------------ */

/* Whose candidate this is; NULL when it is nobody's (any more). */
static struct func *
decided(struct catalog *catalog, const struct fn_version *candidate)
{
	struct func *f = table_find(&catalog->funcs, slice_of(candidate->name));

	if (f == NULL || f->building != candidate)
		return NULL;
	f->building = NULL;
	catalog->building--;
	return f;
}

static void
go_on(struct catalog *catalog, struct func *f)
{
	if (f->rebuild && f->waiting == NULL && f->entry.version != NULL)
		f->waiting = fn_version_ref(f->entry.version);
	f->rebuild = false;
	f->outdated = false;
	enqueue(catalog, f);
	func_collect(catalog, f);
	catalog_pump(catalog);
}

/* While it was built, it was removed, or what serves came back. */
static bool
unwanted(const struct func *f)
{
	return f->outdated && f->waiting == NULL && f->entry.error == NULL;
}

static void
replace(struct catalog *catalog, struct func *f, struct fn_version *candidate)
{
	struct fn_version *before = f->entry.version;

	if (before != NULL)
		routes_set(catalog->routes, before->manifest.route, NULL);
	routes_set(catalog->routes, candidate->manifest.route, f);
	f->entry.version = candidate;
	set_conflict(catalog, f, false);
	/* An error of something newer than the candidate stays. */
	if (!f->outdated || f->waiting != NULL)
		set_error(f, NULL);
	f->entry.state = CATALOG_SERVING;
	f->entry.changed_ms = clock_wall_ms();
	if (catalog->callbacks.on_deployed != NULL)
		catalog->callbacks.on_deployed(candidate, before, catalog->arg);
	if (before != NULL &&
	    strcmp(before->manifest.route, candidate->manifest.route) != 0)
		mark_conflicts(catalog);
	fn_version_unref(before);
}

static void
refuse_route(struct catalog *catalog, struct func *f,
    const struct fn_version *candidate, const struct func *other)
{
	char why[ERR_MSG_MAX + 128];

	(void)snprintf(why, sizeof(why), "route %s is served by %s already",
	    candidate->manifest.route, other->name);
	set_conflict(catalog, f, true);
	decide(f, why);
	catalog_note(catalog, f->name, "%s", why);
}

void
catalog_accept(struct catalog *catalog, struct fn_version *candidate)
{
	struct func *f = decided(catalog, candidate);
	const struct func *other;

	if (f == NULL)
		return;
	other = routes_owner(catalog->routes, candidate->manifest.route);
	if (candidate == f->entry.version || unwanted(f)) {
		fn_version_unref(candidate);
	} else if (other != NULL && other != f) {
		refuse_route(catalog, f, candidate, other);
		fn_version_unref(candidate);
	} else {
		replace(catalog, f, candidate);
	}
	settle(catalog, f);
	go_on(catalog, f);
}

void
catalog_reject(struct catalog *catalog, struct fn_version *candidate,
    const char *why)
{
	struct func *f = decided(catalog, candidate);

	if (f == NULL)
		return;
	if (!f->outdated)
		decide(f, why);
	fn_version_unref(candidate);
	settle(catalog, f);
	go_on(catalog, f);
}

void
catalog_rescan(struct catalog *catalog)
{
	struct func *f;

	for (size_t i = 0; (f = table_next(&catalog->funcs, &i)) != NULL;) {
		f->rebuild = f->building != NULL;
		if (f->entry.version == NULL || f->building != NULL ||
		    f->waiting != NULL)
			continue;
		f->waiting = fn_version_ref(f->entry.version);
		enqueue(catalog, f);
	}
	catalog_pump(catalog);
}
