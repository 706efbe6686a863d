/*
 * upload.h - files that arrive in a directory become events.
 *
 * Runs in: gateway.
 * Owns:    the watches, the spool of accepted content, running events.
 *
 * Every stable version of a matching file becomes exactly one accepted event,
 * however it came: written in place, copied slowly, renamed or linked in, put
 * into a new subfolder, while the gateway was down, after an inotify overflow.
 * Stable: closed or renamed in, and unchanged for settle_ms; a file nobody
 * closes counts when it did not change for longer.  The content is copied to
 * the spool (state/spool/) while it is hashed, and the event is in the store,
 * before anything runs; its key makes it once (README.md: what a version is).
 * A failing function is retried twice with back-off, then the event is kept
 * as failed, and its content too.
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

#define UPLOAD_ATTEMPTS	   3   /* of an event, then it has failed */
#define UPLOAD_INTERRUPTED 5   /* gateways that may die during one attempt */
#define UPLOAD_DEPTH	   16  /* subfolders below a trigger's folder */
#define UPLOAD_REFUSED	   100 /* refusals that are remembered */

/* How long, how much; upload_config_init() fills in the defaults. */
struct upload_config {
	uint32_t settle_ms;   /* 50: unchanged so long after it was closed */
	uint32_t unclosed_ms; /* 2000: ... when nobody saw it being closed */
	uint32_t held_ms;     /* 60000: ... while somebody has it open */
	uint32_t rescan_ms;   /* 60000: look at everything so often */
	uint32_t blind_ms;    /* 5000: ... when not all can be watched */
	uint32_t trouble_ms;  /* 5000: try again after a full or broken disk */
	uint32_t retry_ms[UPLOAD_ATTEMPTS - 1]; /* 1000, 5000; jitter comes on
						 * top: a quarter of it */
	uint32_t again_ms; /* 200: after a fault of the platform; doubled
			       * each time, up to 30 s */
	uint32_t parallel; /* 16: events at once */
	uint32_t parallel_per_function; /* 4 */
	uint64_t max_file_bytes;	/* 1 GiB; larger ones are refused */
	uint64_t max_spool_bytes;	/* 16 GiB; then accepting waits */
};
void upload_config_init(struct upload_config *config);

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
	/* For the log; function may be NULL. */
	void (*on_note)(const char *function, const char *what, void *arg);
};

/* rootfd: the uploads directory (trigger dirs are below it), as statefd is
 * duplicated. */
struct uploads *uploads_new(struct loop *loop, struct store *store, int rootfd,
    int statefd, const struct upload_callbacks *callbacks, void *arg);

/* Other limits than the defaults; before uploads_start(). */
void uploads_configure(struct uploads *uploads,
    const struct upload_config *config);

/* The triggers of this version from now on; none: it is gone.  Events that
 * were accepted stay, and run when the function is back. */
void uploads_set(struct uploads *uploads, const char *function,
    const struct fn_version *version);

/* Load unfinished events from the store, scan what arrived meanwhile. */
void uploads_start(struct uploads *uploads);

/* Look at everything again, as after an overflow of the inotify queue. */
void uploads_rescan(struct uploads *uploads);

/* error NULL: done.  Otherwise a retry or the end; retry_now: it was not the
 * function's fault (no worker, draining), so do not count the attempt. */
void upload_finished(struct uploads *uploads, uint64_t event_id,
    const char *error, bool retry_now);

struct upload_stats {
	uint64_t accepted, running, done, failed, retried, refused, rescans;
};
void uploads_stats(const struct uploads *uploads, struct upload_stats *out);

/* The last UPLOAD_REFUSED files that were refused, newest first.  file is
 * printable UTF-8. */
void uploads_refused_each(const struct uploads *uploads,
    void (*each)(const char *file, const char *why, int64_t wall_ms, void *arg),
    void *arg);

/* Begin nothing more; what runs may finish. */
void uploads_stop(struct uploads *uploads);

/* What runs is run again when the next gateway starts.  NULL is fine. */
void uploads_free(struct uploads *uploads);
