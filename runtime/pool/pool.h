/*
 * pool.h - worker processes: forked by the zygote, ready before they are
 * needed, gone when they are not.
 *
 * Runs in: gateway, cli.
 * Owns:    the control socket to the zygote, all workers.
 *
 * A few *ready* workers (jailed, without a function) wait in each memory
 * class that is in use; taking one starts a refill.  A worker never changes
 * function.  When the zygote is gone its workers are gone too; what waits for
 * a worker waits for the next zygote.
 */
#pragma once

#include "runtime/pool/worker.h"
#include "sandbox/base/bytes.h"
#include "sandbox/wire/layers.h"

#include <stdint.h>

struct err;
struct loop;
struct pool;
struct pool_wait;

#define POOL_CLASSES 5 /* of memory: 64, 128, 256, 512, 1024 MiB */

/* What a new zygote says first; borrowed. */
struct pool_hello {
	struct jail_report report;
	unsigned int failed;	/* self-tests that did not end as they must */
	struct slice self_test; /* lines "case\texpected\tgot\n" */
	struct slice lua;	/* "Lua 5.4.4" */
};

struct pool_callbacks {
	/* A frame of a worker that was taken. */
	void (*on_frame)(struct worker *worker,
	    const struct wire_header *header, struct slice body, void *arg);
	/* A taken worker is gone; it is freed after this. */
	void (*on_gone)(struct worker *worker, const struct worker_death *death,
	    void *arg);
	/* The zygote's first words; -1 from here refuses it. */
	int (*on_hello)(const struct pool_hello *hello, void *arg);
	/* The zygote is gone. */
	void (*on_zygote_gone)(void *arg);
	/* max_workers is reached and somebody waits: retire an idle worker.
	 * Returns false when there is none. */
	bool (*on_full)(void *arg);
	void (*on_note)(const char *what, void *arg);
};

struct pool_stats {
	uint64_t forks;
	uint64_t fork_failures;
	uint64_t zygotes; /* attached since start */
	uint64_t deaths;
	uint64_t violations; /* deaths by SIGSYS */
	uint64_t breaches;   /* protocol */
	unsigned int workers;
	unsigned int ready;
	unsigned int starting;
	unsigned int waiting; /* for a fork */
};

struct pool *pool_new(struct loop *loop, unsigned int ready_workers,
    unsigned int max_workers, const struct pool_callbacks *callbacks,
    void *arg);

void pool_set_limits(struct pool *pool, unsigned int ready_workers,
    unsigned int max_workers);

/* A zygote's control socket, the pool's from now on. */
void pool_attach(struct pool *pool, int control_fd);

/* Is there a zygote that said hello?  Its number, 1, 2, ...; 0: none. */
uint64_t pool_generation(const struct pool *pool);

/* Keep workers of this memory class ready from now on (or not any more). */
void pool_use_class(struct pool *pool, uint32_t memory_mb, bool use);

/* A ready worker, the caller's now, in state IDLE; NULL: none, fork one. */
struct worker *pool_take(struct pool *pool, uint32_t memory_mb);

/*
 * Have one forked; on_worker gets it, in order of asking.  The wait is freed
 * by then; pool_forget() frees it before.
 */
struct pool_wait *pool_fork(struct pool *pool, uint32_t memory_mb,
    void (*on_worker)(struct worker *worker, void *arg), void *arg);
void pool_forget(struct pool *pool, struct pool_wait *wait);

/* Take every ready worker away (they are refilled): for measuring forks. */
void pool_empty(struct pool *pool);

void pool_each(const struct pool *pool,
    void (*each)(const struct worker *worker, void *arg), void *arg);
void pool_stats(const struct pool *pool, struct pool_stats *stats_out);

/* Kill everything and close the control socket; no callback is called. */
void pool_free(struct pool *pool);
