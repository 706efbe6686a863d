/*
 * coldstart.h - series of measured starts, and how they are shown.
 *
 * Runs in: cli.
 * Owns:    a series owns its values until samples_fini().
 */
#pragma once

#include "tools/cli/stats.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The record's phases; total is queue + spawn + jail + load + init: what the
 * caller waits for before the handler runs. */
#define PHASES(X)         \
	X(QUEUE, "queue") \
	X(SPAWN, "spawn") \
	X(JAIL, "jail")   \
	X(LOAD, "load")   \
	X(INIT, "init")   \
	X(FIRST, "first") X(HANDLER, "handler") X(TOTAL, "total")

enum phase {
#define X(id, name) PHASE_##id,
	PHASES(X)
#undef X
	    PHASE_COUNT
};

struct samples {
	const char *kind; /* of start, as asked for; borrowed */
	uint64_t *values[PHASE_COUNT];
	size_t n, cap;
	size_t other; /* starts that were of another kind: not in values */
	char other_kind[16]; /* the last such kind */
	size_t failed;	     /* handler errors: in values all the same */
};

void samples_init(struct samples *series, const char *kind);
void samples_fini(struct samples *series);

/* Take the record of one call. */
void samples_add(struct samples *series, const json_t *record);

/* To be called once, when all are there and before anything is shown. */
void samples_sort(struct samples *series);

struct stats samples_stats(const struct samples *series, enum phase phase);

/* A table of all phases: cold, with warm (or NULL) at its side. */
void samples_print(const struct samples *cold, const struct samples *warm,
    FILE *f);

/* The totals as bars. */
void samples_histogram(const struct samples *series, FILE *f);

/* {"kind", "count", "other_kind_count", "failed_count", "phases":{...}},
 * phases as in the API. */
json_t *samples_json(const struct samples *series);
