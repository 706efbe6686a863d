/*
 * upload.h - files that arrive in a directory become events.
 *
 * Runs in: gateway.
 * Owns:    the watches, the spool of accepted content, running events.
 *
 * Every stable version of a matching file becomes exactly one accepted event,
 * however it came: written in place, copied slowly, renamed or linked in, put
 * into a new subfolder, while the gateway was down, after an inotify overflow.
 * Stable: closed or renamed in, and unchanged for `settle`; a file nobody
 * closes counts when it did not change for longer.  The content is copied to
 * the spool (state/spool/SHA256) while it is hashed, and the event is in the
 * store, before anything runs; the key (function, path, sha256, and mtime and
 * inode of the version) makes it once.  A failing function is retried twice
 * with back-off, then the event is kept as failed.
 *
 *	seen -> settling -> hashing -> accepted -> running -> done
 *	            ^ changed again       ^           |
 *	            +                     +- retry ---+-> failed
 */
#pragma once

#include "runtime/fn/fn.h"
#include "sandbox/base/bytes.h"

struct err;
struct loop;
struct store;
struct uploads;

/* An accepted event that should run now. */
struct upload_run {
	uint64_t event_id;
	const char *function;
	struct slice event; /* JSON, borrowed until upload_finished */
	int content_fd;	    /* the spooled content, read only; the uploads' */
	int output_fd;	    /* directory for results; -1: none; the uploads' */
	uint32_t attempt;   /* 1, 2, 3 */
};

struct upload_callbacks {
	/* Invoke the function; then upload_finished() with the event_id, now
	 * or later.  May not call back into the uploads before returning
	 * other than by upload_finished. */
	void (*run)(const struct upload_run *run, void *arg);
	void (*on_note)(const char *function, const char *what, void *arg);
};

/* rootfd: the uploads directory (trigger dirs are below it), borrowed, as is
 * statefd. */
struct uploads *uploads_new(struct loop *loop, struct store *store, int rootfd,
    int statefd, const struct upload_callbacks *callbacks, void *arg);

/* The triggers of this version from now on; none: it is gone.  Events that
 * were accepted stay, and run when the function is back. */
void uploads_set(struct uploads *uploads, const char *function,
    const struct fn_version *version);

/* Load unfinished events from the store, scan what arrived meanwhile. */
void uploads_start(struct uploads *uploads);

/* error NULL: done.  Otherwise a retry or the end; retry_now: it was not the
 * function's fault (no worker, draining), so do not count the attempt. */
void upload_finished(struct uploads *uploads, uint64_t event_id,
    const char *error, bool retry_now);

struct upload_stats {
	uint64_t accepted, running, done, failed, retried, refused, rescans;
};
void uploads_stats(const struct uploads *uploads, struct upload_stats *out);

/* Begin nothing more; what runs may finish. */
void uploads_stop(struct uploads *uploads);
void uploads_free(struct uploads *uploads);
