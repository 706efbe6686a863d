/*
 * pool_priv.h - what worker.c and pool.c share.
 *
 * Runs in: gateway, cli.
 */
#pragma once

#include "runtime/loop/loop.h"
#include "runtime/pool/pool.h"

#define POOL_READ_BYTES (256 * 1024)

struct pool_wait {
	struct pool_wait *next;
	unsigned int class;
	void (*on_worker)(struct worker *worker, void *arg);
	void *arg;
};

struct pool {
	struct loop *loop;
	unsigned int ready_workers;
	unsigned int max_workers;
	struct pool_callbacks callbacks;
	void *arg;
	int control;
	struct loop_watch *control_watch;
	uint64_t generation; /* of the newest zygote */
	bool greeted;	     /* it said hello and was not refused */
	uint64_t next_slot;
	unsigned int users[POOL_CLASSES]; /* functions of this class */
	unsigned int ready[POOL_CLASSES];
	unsigned int starting[POOL_CLASSES];
	struct pool_wait *waits;
	struct pool_wait **waits_last;
	struct worker *workers; /* all */
	struct worker *flush;	/* with frames to send in this turn */
	bool flushing;		/* ... and that is deferred */
	bool filling;		/* a fill is deferred */
	bool resting;		/* a fork failed: none until retry */
	struct loop_timer *retry;
	struct pool_stats stats;
	char *read_buffer; /* POOL_READ_BYTES */
};

/* worker.c */
struct worker *worker_new(struct pool *pool, uint64_t slot,
    uint64_t memory_bytes, int fd);
void worker_free(struct worker *worker);
void worker_spawned(struct worker *worker, int pidfd);
void worker_died(struct worker *worker, int status);
void worker_stream_over(struct worker *worker); /* the zygote is gone too */

/* pool.c */
unsigned int pool_class_of(uint64_t memory_bytes);
void pool_on_ready(struct pool *pool, struct worker *worker);
void pool_on_gone(struct pool *pool, struct worker *worker);
