/*
 * metrics_priv.h - what metrics.c and views.c share.
 *
 * Runs in: gateway.
 */
#pragma once

#include "runtime/stat/metrics.h"
#include "sandbox/base/bytes.h"

#include <stdbool.h>
#include <sys/queue.h>

#define METRICS_OTHER	   "_other"
#define METRICS_HASH_START 2166136261u
#define VIEW_BUCKETS	   1024 /* of the table of functions; a power of 2 */

struct series {
	struct series *hash_next;
	TAILQ_ENTRY(series) entries; /* of its metric, oldest first */
	enum metric metric;
	uint32_t hash;
	char *labels; /* rendered: the key, and the text in the output */
	char function[RECORD_NAME_MAX]; /* the label of that name, or "" */
	uint64_t value;
	struct hist *hist; /* NULL: no histogram */
	uint64_t (*read)(void *arg);
	void *arg;
};

TAILQ_HEAD(series_list, series);

struct view;

struct metrics {
	size_t n;
	size_t max;
	struct series **buckets;
	size_t nbuckets; /* a power of 2 */
	struct series_list lists[METRICS_N];
	struct buf scratch; /* labels being looked up */
	struct view *views[VIEW_BUCKETS];
	size_t nviews;
};

void *metrics_must(void *p);
uint32_t metrics_hash(uint32_t hash, const char *p, size_t n);

void views_forget(struct metrics *metrics, const char *function);
void views_fini(struct metrics *metrics);
