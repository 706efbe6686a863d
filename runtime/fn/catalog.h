/*
 * catalog.h - the functions directory, watched: the directory is the
 * deployment.
 *
 * Runs in: gateway.
 * Owns:    the list of functions and a reference to each one's versions.
 *
 * A change is seen by inotify (closed after writing, renamed in, removed), or
 * by the rescan that follows an overflow and comes now and then anyway.  What
 * changed is read by a helper thread, hashed, and, when the content is new,
 * offered as a candidate: on_candidate() has it built (its init run in the
 * jail), then says catalog_accept() or catalog_reject().  Only then does it
 * replace the version that serves.
 *
 *	absent -> reading -> candidate -> serving
 *	            |            |           ^ |
 *	            +-> broken <-+           +-+ a new candidate comes
 */
#pragma once

#include "runtime/fn/fn.h"

struct loop;
struct store;
struct catalog;

enum catalog_state {
	CATALOG_READING, /* no version yet, nothing known to be wrong */
	CATALOG_SERVING,
	CATALOG_BROKEN, /* no version serves, and error says why */
};

/* What is known of one function; borrowed, valid until the next event. */
struct catalog_entry {
	const char *name;
	enum catalog_state state;
	struct fn_version *version; /* that serves; NULL unless SERVING */
	const char *error;	    /* of the newest candidate; NULL: none */
	int64_t changed_ms;	    /* when that was decided, wall clock */
};

struct catalog_callbacks {
	/* Build it, then catalog_accept or catalog_reject; keep a reference. */
	void (*on_candidate)(struct fn_version *candidate, void *arg);
	/* now serves; before: the version it replaces, or NULL. */
	void (*on_deployed)(struct fn_version *now, struct fn_version *before,
	    void *arg);
	void (*on_removed)(struct fn_version *before, void *arg);
	/* One line for the log: a refusal, an overflow, a broken manifest. */
	void (*on_note)(const char *name, const char *what, void *arg);
	/* Every function found by the first scan is serving or broken. */
	void (*on_settled)(void *arg);
};

/*
 * dirfd: the functions directory, the catalog's from now on.  path is what
 * people call it.  Candidates in building at once: at most `parallel`.
 * store NULL: numbers are counted in memory only (tests).
 */
struct catalog *catalog_new(struct loop *loop, struct store *store, int dirfd,
    const char *path, unsigned int parallel,
    const struct catalog_callbacks *callbacks, void *arg);

/* Load the version numbers from the store, scan, and begin to watch. */
void catalog_start(struct catalog *catalog);

/*
 * The builder's word on a candidate, from inside on_candidate or later; one
 * that was removed meanwhile is dropped, and a word on it does nothing.  The
 * route of a candidate that another function serves is an error here.  on_note
 * is called for what the catalog finds wrong, not for the `why` of a reject.
 */
void catalog_accept(struct catalog *catalog, struct fn_version *candidate);
void catalog_reject(struct catalog *catalog, struct fn_version *candidate,
    const char *why);

/* Build every serving version anew (a new zygote): on_candidate again for
 * each, at most `parallel` at once; traffic goes on meanwhile. */
void catalog_rescan(struct catalog *catalog);

/* The version that serves NAME, borrowed; NULL if none does. */
struct fn_version *catalog_find(const struct catalog *catalog,
    struct slice name);
const struct catalog_entry *catalog_entry(const struct catalog *catalog,
    struct slice name);

/* All functions in order of name. */
void catalog_each(const struct catalog *catalog,
    void (*each)(const struct catalog_entry *entry, void *arg), void *arg);

/*
 * Which version answers this path?  The most specific route wins: literal
 * segments before ":params", longer before shorter; a route answers for
 * itself and everything below it.  Fills up to max params (borrowed; value
 * points into path).  NULL: none does.
 */
struct catalog_param {
	struct slice name;
	struct slice value;
};
struct fn_version *catalog_route(const struct catalog *catalog,
    struct slice path, struct catalog_param *params_out, size_t max_params,
    size_t *nparams_out);

/* Not from inside a callback.  No callback comes afterwards; what helper
 * threads still hold goes with loop_free or store_close. */
void catalog_free(struct catalog *catalog);
