/*
 * worker.h - one worker process as the gateway sees it.
 *
 * Runs in: gateway, cli.
 * Owns:    our end of its socket, its pidfd, what waits to be written to it.
 *
 *	STARTING --READY--> READY --pool_take--> BOUND --...--> DYING -> freed
 *	                                 (IDLE, BUILDING, RUNNING in turns)
 *
 * Whoever took a worker from the pool drives its `state`; frames that are not
 * allowed in that state kill it.  A worker's bytes are hostile.
 */
#pragma once

#include "sandbox/base/bytes.h"
#include "sandbox/wire/wire.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fn_version;
struct loop_timer;
struct loop_watch;
struct pool;

struct worker {
	/* Set by the pool; others read. */
	struct pool *pool;
	struct worker *next; /* in the pool's list of all */
	struct worker *prev;
	uint64_t slot;
	uint64_t generation; /* of the zygote that forked it */
	uint64_t memory_bytes;
	pid_t pid; /* in our namespace; 0 until SPAWNED */
	int pidfd;
	int fd;
	uint64_t asked_us;   /* spawn asked for */
	uint64_t spawned_us; /* the process existed */
	uint64_t ready_us;   /* it said READY */
	uint64_t cpu_us;     /* at the last worker_cpu() */
	bool ready;	     /* said READY, nobody's yet */
	bool dying;	     /* killed or gone; no more frames */
	bool death_known;
	bool closed;	  /* the stream has ended */
	bool unread;	  /* ... before it had read all that we sent */
	bool flushing;	  /* in pool->flush */
	int status;	  /* as of wait(2), when death_known */
	bool status_lost; /* ... but nobody told it */
	char breach[96];  /* protocol breach, "" if none */
	struct loop_watch *watch;
	struct loop_timer *death_timer;
	struct buf in;
	struct buf out;
	struct worker *flush_next;
	uint64_t sent_us;     /* first flush since the taker set it to 0 */
	uint64_t read_us;     /* when the frames came that are served now */
	unsigned int answers; /* RESULT and FAILED among them, not served yet */

	/* The taker's. */
	enum wire_state state;
	struct fn_version *version;
	void *job;
	struct worker *idle_next;
	uint64_t idle_since_us;
	uint64_t requests;
	uint64_t peak_kb;
	bool killed_by_us;
	bool mourned; /* its end is counted as a loss already */
};

/* How it ended, in words for people and a stable word for records. */
struct worker_death {
	const char *reason; /* "sandbox_violation", "worker_crashed", ... */
	bool platform;	    /* not by anything that it did itself */
	char text[160];
};

/* Frames are added to the buf (wire_add_*), then flushed in one write: now, or
 * at the end of the loop's turn, with what is added until then. */
struct buf *worker_out(struct worker *worker);
void worker_flush(struct worker *worker);
void worker_flush_soon(struct worker *worker);

/* Whole frames that stand elsewhere: sent from there, now; only what the
 * socket does not take is copied. */
void worker_write(struct worker *worker, struct slice frames);

/* CPU of the process so far, read from outside; 0 when it is gone. */
uint64_t worker_cpu(struct worker *worker);

/* The signal that makes it report its line and exit. */
void worker_interrupt(struct worker *worker);

/* The signal that makes it give back what it has not begun. */
void worker_recall(struct worker *worker);

/* SIGKILL; on_gone follows. */
void worker_kill(struct worker *worker);

/* It broke the protocol, as `what` says: kill it, there is no second chance. */
void worker_breach(struct worker *worker, const char *what);

void worker_describe_death(const struct worker *worker,
    struct worker_death *death_out);
