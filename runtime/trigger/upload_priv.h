/*
 * upload_priv.h - what the files behind upload.h share.
 *
 * Runs in: gateway.
 *
 *	upload.c	 life, refusals, turns
 *	upload_funcs.c	 functions, triggers, matching
 *	upload_files.c	 the table of files; from an event to "settled"
 *	upload_watch.c	 inotify: something happened to a file or folder
 *	upload_scan.c	 job: walk folders, add watches
 *	upload_look.c	 job: is a file still what it was, is it being written?
 *	upload_version.c which functions have not accepted this version yet?
 *	upload_spool.c	 job: copy and hash into the spool
 *	upload_sweep.c	 at start: what the spool has and nobody needs
 *	upload_queue.c	 accepted events that wait, from the store
 *	upload_run.c	 an event's life from its start to its end
 *
 * At most one of the jobs scan, look and spool runs at a time (uploads_work
 * takes turns), so that uploads never take more than one helper thread for
 * long.  Everything a job touches is in its own struct or constant.
 */
#pragma once

#include "runtime/fn/table.h"
#include "runtime/trigger/upload.h"

#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/stat.h>

#define KEY_MAX	      80  /* "upload:" and 64 hex digits, with NUL */
#define BLOB_MAX      160 /* SHA256-CTIME-KEY in hex digits, with NUL */
#define SHA_MAX	      65
#define PIPELINE_MAX  65536  /* files between an event and their acceptance */
#define PIPELINE_HIGH 4096   /* scanning waits above this */
#define FILES_KNOWN   200000 /* finished files that are remembered */
#define FOLDERS_MAX   10000  /* watched */
#define WINDOW	      256    /* waiting events of a function in memory */
#define GENERATIONS   100    /* versions with the same inode, size, mtime */
#define ERROR_MAX     1000   /* bytes of an attempt's error that are kept */
#define MS_US	      1000u

/* --- files --------------------------------------------------------------- */

/* What stat(2) says of a version; equal: nothing happened to it. */
struct upload_sig {
	uint64_t dev;
	uint64_t ino;
	uint64_t size;
	int64_t mtime_ns;
	int64_t ctime_ns;
	uint32_t mode;
	uint32_t links;
};

#define UPLOAD_FILE_STATES(X)                                   \
	X(KNOWN)     /* all has been done about sig */          \
	X(WAITING)   /* its timer runs */                       \
	X(QUEUED)    /* to be looked at */                      \
	X(LOOKING)   /* a look job has it */                    \
	X(ASKING)    /* the store is asked whether it is new */ \
	X(SETTLED)   /* to be copied */                         \
	X(COPYING)   /* a spool job has it */                   \
	X(ACCEPTING) /* the store has its events */
#define X(name) UPLOAD_FILE_##name,
enum upload_file_state { UPLOAD_FILE_STATES(X) };
#undef X

/* What an event says about a file. */
enum upload_evidence {
	UPLOAD_MAYBE,	/* look at it */
	UPLOAD_CREATED, /* somebody has it open, or it is a link */
	UPLOAD_CLOSED,	/* closed after writing, or renamed in */
};

/* A function for which this version is to be accepted. */
struct upload_want {
	char function[FN_NAME_MAX + 1];
	char key[KEY_MAX];
	char before[SHA_MAX]; /* content with the same stat; "": none */
	char blob[BLOB_MAX];  /* set by the spool job; "": not new */
	uint32_t generation;
};

struct upload_file {
	TAILQ_ENTRY(upload_file) link;	/* in uploads->files */
	TAILQ_ENTRY(upload_file) queue; /* in to_look or to_spool */
	struct uploads *uploads;
	struct loop_timer *timer;
	enum upload_file_state state;
	struct upload_sig sig; /* ino 0: unknown */
	uint64_t since_us;     /* sig is what it was since then */
	uint64_t matched;      /* the functions that sig was done for */
	uint32_t scan;	       /* last full scan that saw it */
	uint32_t pending;      /* answers of the store that are awaited */
	bool closed;	       /* evidence since the last version */
	bool created;
	bool again; /* something happened while it was in a job */
	bool fault; /* of the store or the disk: not done */
	struct upload_want *wants;
	size_t nwants;
	size_t asked; /* wants[asked] is being asked for */
	char sha[SHA_MAX];
	char path[]; /* below the uploads directory */
};
TAILQ_HEAD(upload_files, upload_file);

/* --- functions and events --------------------------------------------------- */

enum upload_event_state {
	UPLOAD_EVENT_WAITING,
	UPLOAD_EVENT_STARTING,	/* descriptors are opened, RUNNING is written */
	UPLOAD_EVENT_RUNNING,	/* callbacks.run was called */
	UPLOAD_EVENT_FINISHING, /* DONE or FAILED is written */
};

struct upload_event {
	TAILQ_ENTRY(upload_event) link;
	struct uploads *uploads;
	struct upload_func *func;
	enum upload_event_state state;
	uint64_t id;
	uint64_t due_us;
	uint64_t bytes;
	uint32_t attempts;    /* begun, as the store has it */
	uint32_t interrupted; /* gateways that died during this attempt */
	uint32_t platform;    /* faults of the platform in a row */
	bool resume;	      /* the attempt was begun by another gateway */
	int content_fd;
	int output_fd;
	char *path; /* below the uploads directory */
	char *json;
	char *error; /* of the last attempt, or NULL */
	char blob[BLOB_MAX];
};
TAILQ_HEAD(upload_events, upload_event);

struct upload_trigger {
	char *dir;
	char *pattern;
	char *output; /* NULL: none */
	bool cleaned; /* of what a killed gateway left in output */
};

struct upload_func {
	char name[FN_NAME_MAX + 1];
	uint64_t id; /* random: sums of them name sets of functions */
	struct upload_trigger *triggers; /* none: it is gone */
	size_t ntriggers;
	struct upload_events waiting; /* ordered by id */
	size_t nwaiting;
	uint32_t running;
	uint64_t last_id; /* of the events that were loaded */
	bool loading;
	bool more; /* there may be some in the store after last_id */
};

/* --- folders ------------------------------------------------------------------ */

/* A folder that is watched. */
struct upload_folder {
	int wd;
	char path[];
};

/* A folder to be walked. */
struct upload_walk {
	STAILQ_ENTRY(upload_walk) link;
	bool make;	     /* a trigger's folder: make it if missing */
	bool full;	     /* part of a full scan */
	unsigned int levels; /* of subfolders to go down */
	char path[];
};

struct upload_refusal {
	int64_t wall_ms;
	char *file;
	char why[96];
};

#define EARLY_MAX 64

struct upload_scan;

struct uploads {
	unsigned int refs;  /* uploads_free, each job, each store request */
	bool closed;	    /* uploads_free was called: touch nothing */
	atomic_bool cancel; /* tells jobs */
	bool started;
	bool swept; /* the spool holds only what is needed */
	bool stopped;
	struct loop *loop;
	struct store *store;
	struct upload_callbacks callbacks;
	void *arg;
	struct upload_config config;
	int rootfd;
	int statefd;
	int spoolfd; /* -1 until swept */
	struct upload_stats stats;
	uint64_t spool_bytes; /* there, or about to be copied there */

	struct table funcs;
	struct upload_events active; /* STARTING to FINISHING */
	uint32_t nrunning;	     /* slots taken */
	struct loop_timer *run_timer;
	bool pumping;

	void *tree; /* tsearch(3): files by path */
	struct upload_files files;
	size_t nfiles;
	size_t pipeline; /* of them not KNOWN */
	struct upload_files to_look;
	struct upload_files to_spool;
	bool busy; /* a job runs */
	unsigned int turn;
	struct loop_timer *work_timer; /* after spool_full or trouble */
	bool waiting;		       /* for work_timer */

	int inotify;
	struct loop_watch *inotify_watch;
	struct table folders; /* by wd */
	int early[EARLY_MAX]; /* events of watches that a job is adding */
	size_t nearly;
	STAILQ_HEAD(, upload_walk) walks;
	struct upload_scan *scan; /* the walk that goes on */
	uint32_t scan_number;	  /* of the last full scan */
	bool scanning_all;
	bool scan_failed; /* not everything was seen */
	bool scan_wanted;
	bool said_deep; /* folders too far down */
	uint64_t full_ended_us;
	bool rewatch; /* begin with a new inotify descriptor */
	bool blind;   /* not every folder is watched */
	struct loop_timer *scan_timer;

	struct upload_refusal refused[UPLOAD_REFUSED]; /* a ring */
	uint64_t nrefused;
	uint64_t notes_until_us; /* refusals that are logged, per period */
	unsigned int notes;
	int trouble; /* errno that was noted, 0: none, -1: the store */
};

/* --- upload.c ------------------------------------------------------------------ */
void *upload_alloc(size_t bytes); /* zeroed; never NULL */
uint64_t upload_random(void);
struct uploads *upload_ref(struct uploads *uploads);
/* May free it; false: closed, so the caller touches nothing more. */
bool upload_unref(struct uploads *uploads);
void upload_note(struct uploads *uploads, const char *function, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
/* Say once that the disk or the store fails, until upload_well(). */
void upload_trouble(struct uploads *uploads, const char *what, int error);
void upload_store_trouble(struct uploads *uploads, const struct err *err);
void upload_well(struct uploads *uploads);
void upload_refuse(struct uploads *uploads, const char *path, const char *why);
/* Begin the next job, if there is one and none runs. */
void uploads_work(struct uploads *uploads);
/* A job is over; false: closed. */
bool uploads_worked(struct uploads *uploads);

/* --- upload_funcs.c ------------------------------------------------------------ */
struct slice upload_func_key(const void *item);
void upload_func_drop(struct upload_func *func); /* its triggers */
/* The trigger of func that the file matches, or NULL. */
struct upload_trigger *upload_match(const struct upload_func *func,
    const char *path);
/* Which functions the file matches; 0: none. */
uint64_t upload_matched(const struct uploads *uploads, const char *path);
bool upload_name_ignored(const char *name);

/* --- upload_files.c ------------------------------------------------------------ */
struct upload_file *upload_file_find(struct uploads *uploads, const char *path);
/* Something happened to the file, which matches a function. */
void upload_file_touch(struct uploads *uploads, const char *path,
    enum upload_evidence evidence);
/* A scan saw it. */
void upload_file_seen(struct uploads *uploads, const char *path,
    const struct upload_sig *sig, bool full);
/* Its state ends: all is done, or look again after a while. */
void upload_file_known(struct upload_file *file);
void upload_file_again(struct upload_file *file, uint32_t after_ms);
void upload_file_gone(struct upload_file *file);
void upload_files_sweep(struct uploads *uploads, uint32_t scan);
void upload_files_fini(struct uploads *uploads);

/* --- upload_watch.c ------------------------------------------------------------ */
int upload_watch_start(struct uploads *uploads);
void upload_watch_stop(struct uploads *uploads);
/* Add a watch on an open folder; on any thread.  -1: errno. */
int upload_watch_add(int inotify, int fd);
void upload_watch_register(struct uploads *uploads, int wd, const char *path);

/* --- upload_scan.c ------------------------------------------------------------- */
void upload_scan_soon(struct uploads *uploads); /* everything */
void upload_scan_folder(struct uploads *uploads, const char *path);
void upload_scan_triggers(struct uploads *uploads,
    const struct upload_func *func);
bool upload_scan_begin(struct uploads *uploads);
void upload_scan_fini(struct uploads *uploads);

/* --- upload_look.c ------------------------------------------------------------- */
bool upload_look_begin(struct uploads *uploads);
void upload_sig_of(struct upload_sig *sig, const struct stat *st);
bool upload_sig_same(const struct upload_sig *a, const struct upload_sig *b);

/* --- upload_version.c ----------------------------------------------------------- */
void upload_version_ask(struct upload_file *file);
void upload_version_accept(struct upload_file *file);

/* --- upload_spool.c ------------------------------------------------------------- */
void upload_blob_name(char blob[BLOB_MAX], const char *sha, int64_t ctime_ns,
    const char *key);
bool upload_blob_parse(struct slice blob, char sha[SHA_MAX],
    int64_t *ctime_ns_out, char key[KEY_MAX]);
bool upload_spool_begin(struct uploads *uploads);
/* So many bytes that were counted are not in the spool. */
void upload_spool_release(struct uploads *uploads, uint64_t bytes);
/* The content of an event is not needed any more. */
void upload_spool_remove(struct uploads *uploads, const char *blob,
    uint64_t bytes);

/* --- upload_sweep.c ------------------------------------------------------------- */
/* Make the spool, remove what no event needs, then upload_swept(). */
void upload_sweep(struct uploads *uploads);
void upload_swept(struct uploads *uploads);

/* --- upload_queue.c ------------------------------------------------------------- */
void upload_queue_load(struct upload_func *func, struct uploads *uploads);
/* The store accepted an event of the function. */
void upload_queue_accepted(struct uploads *uploads, struct upload_func *func,
    uint64_t id, const char *path, struct slice json, const char *blob,
    uint64_t bytes);
/* Put it where its id belongs. */
void upload_queue_put(struct upload_event *event);
void upload_queue_take(struct upload_event *event);
/* Start what may start. */
void upload_queue_pump(struct uploads *uploads);
void upload_queue_stop(struct uploads *uploads);
void upload_event_free(struct upload_event *event);

/* --- upload_run.c --------------------------------------------------------------- */
void upload_event_start(struct upload_event *event);
/* How often a gateway died during the attempt, from what the store has. */
uint32_t upload_interrupted(struct slice error);
/* It was interrupted too often: the attempt has failed. */
void upload_event_give_up(struct upload_event *event);
