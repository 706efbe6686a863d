/*
 * catalog_priv.h - what the files behind catalog.h share.
 *
 * Runs in: gateway.
 *
 *	watch.c	   inotify: something happened to NAME
 *	scan.c	   jobs on helper threads: list the directory, read functions
 *	deploy.c   a function's states: what was read, built, decided
 *	catalog.c  the catalog as a whole: life, look-ups, versions' numbers
 *
 * At most one job runs at a time, and only a finished one lets the next begin
 * (catalog_work); so the directory's descriptor may be changed between jobs.
 */
#pragma once

#include "runtime/fn/catalog.h"
#include "runtime/fn/fn_priv.h"
#include "runtime/fn/numbers.h"
#include "runtime/fn/routes.h"
#include "runtime/fn/table.h"

#include <sys/queue.h>

/* Microseconds from an event until the function is read.  Each new event
 * moves it, but never by more than STORM_US after the first. */
#define CHANGED_US    10000
#define REMOVED_US    50000 /* editors take a file away and put a new one */
#define STORM_US      60000
#define RETRY_US      20000    /* a file was being written; doubled each time */
#define RETRY_MAX     6	       /* ... so often */
#define SCAN_US	      10000000 /* rescan the directory so often */
#define LOST_US	      1000000  /* look for a directory that went away */
#define FUNCTIONS_MAX 100000

/* One function, from its first sight until nothing is left of it. */
struct func {
	struct catalog_entry entry;  /* version and error are ours */
	struct fn_version *waiting;  /* newest content, not offered yet */
	struct fn_version *building; /* offered by on_candidate */
	uint64_t signature;	     /* of what was read last; 0: unknown */
	uint64_t due_us;	     /* when to read it, while dirty */
	uint64_t first_us;	     /* of the events that made it dirty */
	uint32_t scan;		     /* the last scan that saw it */
	uint8_t retries;
	bool dirty;   /* in catalog->dirty */
	bool queued;  /* in catalog->queue */
	bool reading; /* in the job that runs */
	bool closed;  /* an event said that it is complete */
	bool uses_lib;
	bool conflict;	/* refused: another one has its route */
	bool unsettled; /* of the first scan, not decided */
	bool outdated;	/* building is not what the disk has any more */
	bool rebuild;	/* build the serving version again */
	TAILQ_ENTRY(func) dirty_link;
	TAILQ_ENTRY(func) queue_link;
	char name[];
};
TAILQ_HEAD(func_list, func);

/* Which folder an inotify watch is on: a function's name, "_lib", "". */
struct watched {
	int wd;
	char name[];
};

#define EARLY_MAX 64

struct catalog {
	unsigned int refs; /* catalog_free, each job, each store request */
	bool closed;	   /* catalog_free was called: touch nothing */
	struct loop *loop;
	struct store *store;
	struct catalog_callbacks callbacks;
	void *arg;
	char *path; /* absolute, or NULL: the directory can't be found again */
	int dirfd;

	struct table funcs;
	struct func_list dirty;
	struct func_list queue; /* with something waiting, nothing building */
	unsigned int parallel;
	unsigned int building;
	bool pumping;
	struct numbers numbers;
	struct routes *routes;
	size_t conflicts; /* funcs with conflict set */

	bool numbered; /* the store's numbers are here */
	bool busy;     /* a job runs */
	bool scan_wanted;
	bool scanned; /* the first scan is done */
	bool settled;
	bool lost;     /* the directory is gone */
	bool holding;  /* it came back empty: serve what there was */
	bool replaced; /* another directory is at path; not scanned yet */
	bool scan_failed;
	bool full; /* FUNCTIONS_MAX was said */
	size_t unsettled;
	uint32_t scan;
	uint64_t lib_signature;
	struct loop_timer *due_timer;
	struct loop_timer *scan_timer;

	int inotify;
	struct loop_watch *inotify_watch;
	struct table watched;
	bool moved; /* the directory itself was moved or unmounted */
	bool watch_failed;
	int early[EARLY_MAX]; /* events of watches that a job is adding */
	size_t nearly;
	struct table odd; /* names that were refused, said once */
};

/* --- catalog.c --------------------------------------------------------- */
void catalog_unref(struct catalog *catalog);
void catalog_note(struct catalog *catalog, const char *name, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
void catalog_note_odd(struct catalog *catalog, const char *file);

/* --- scan.c ------------------------------------------------------------ */
/* Begin the next job, if there is one and none runs. */
void catalog_work(struct catalog *catalog);
void catalog_scan_soon(struct catalog *catalog);

/* --- watch.c ----------------------------------------------------------- */
/* Watch the directory that dirfd is now; forgets all earlier watches. */
int watch_start(struct catalog *catalog, struct err *err);
void watch_stop(struct catalog *catalog);
/* Add a watch on an open folder; on any thread.  -1: errno. */
int watch_add(int inotify, int fd);
/* Its events are about NAME from now on. */
void watch_register(struct catalog *catalog, int wd, const char *name);
void watch_failed(struct catalog *catalog, int error);

/* --- deploy.c ---------------------------------------------------------- */
/* Find or make; NULL when there are too many. */
struct func *func_get(struct catalog *catalog, const char *name);
/* Read it after a while; closed: an event says that it is complete. */
void func_mark(struct catalog *catalog, struct func *f, uint64_t after_us,
    bool closed);
void func_mark_name(struct catalog *catalog, const char *name,
    uint64_t after_us, bool closed);
void func_mark_lib(struct catalog *catalog, uint64_t after_us, bool closed);
/* What reading brought: exactly one of these. */
void func_offer(struct catalog *catalog, struct func *f,
    struct fn_version *version); /* takes the reference */
void func_broken(struct catalog *catalog, struct func *f, const char *why);
void func_removed(struct catalog *catalog, struct func *f);
void func_retry(struct catalog *catalog, struct func *f, bool closed);
/* Free it if nothing holds it; f may be gone afterwards. */
void func_collect(struct catalog *catalog, struct func *f);
void func_free(struct func *f);
/* Offer candidates while fewer than `parallel` are being built. */
void catalog_pump(struct catalog *catalog);
/* on_settled, once, when nothing of the first scan is undecided. */
void catalog_check_settled(struct catalog *catalog);
/* Is there anything to be listed about it? */
bool func_visible(const struct func *f);
