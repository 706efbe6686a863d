/*
 * store_job.h - one call on its way through the store.
 *
 * Runs in: gateway.
 * Owns:    the copied inputs and the results in it.
 *
 * store.c moves jobs; calls.c makes one per call and tells its caller.
 */
#pragma once

#include "runtime/store/store_priv.h"

struct store_job {
	struct store_job *next;
	/* On the writer thread; what it writes is undone with its group. */
	int (*run)(const struct store_ops *ops, void *self,
	    struct store_job *job, struct err *err);
	/* On the loop's thread; err NULL: done. */
	void (*finish)(struct store *store, struct store_job *job,
	    const struct err *err);
	bool waited_for; /* by store_last_seq: not to be completed */
	bool ready;	 /* then: its result is there */
	int result;
	struct err err;
	struct store_text *texts; /* copied inputs */
	struct store_rows rows;	  /* results */
	void *arg;
	union {
		struct {
			const struct record *records;
			size_t n;
		} add;
		struct store_usage_query usage;
		struct {
			int64_t before_ms;
			bool more;
		} compact;
		struct store_version version;
		struct {
			struct store_event event;
			uint64_t id;
		} event;
		struct slice key;
		struct store_event_query events;
		uint64_t last_seq;
	} u;
	union {
		store_done_fn plain;
		void (*usage)(const struct store_usage_row *rows, size_t n,
		    const struct err *err, void *arg);
		void (*versions)(const struct store_version *versions, size_t n,
		    const struct err *err, void *arg);
		void (*accepted)(uint64_t id, const struct err *err, void *arg);
		void (*found)(const struct store_event *found,
		    const struct err *err, void *arg);
		void (*events)(const struct store_event *events, size_t n,
		    const struct err *err, void *arg);
	} done;
};

struct store_job *store_job_new(int (*run)(const struct store_ops *ops,
				    void *self, struct store_job *job,
				    struct err *err),
    void (*finish)(struct store *store, struct store_job *job,
	const struct err *err),
    void *arg);
void store_job_free(struct store_job *job);

/* The store's from now on. */
void store_submit(struct store *store, struct store_job *job);

/* The caller's again when it returns, with its result. */
void store_submit_and_wait(struct store *store, struct store_job *job);
