/*
 * coldstart.h - series of measured starts, and how they are shown.
 *
 * Runs in: cli.
 * Owns:    a series owns its values until series_fini().
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

struct series {
	const char *kind; /* of start, as asked for; borrowed */
	uint64_t *values[PHASE_COUNT];
	size_t n, cap;
	size_t other; /* starts that were of another kind: not in values */
	char other_kind[16]; /* the last such kind */
	size_t failed;	     /* handler errors: in values all the same */
};

void series_init(struct series *series, const char *kind);
void series_fini(struct series *series);

/* Take the record of one call. */
void series_add(struct series *series, const json_t *record);

/* To be called once, when all are there and before anything is shown. */
void series_sort(struct series *series);

struct stats series_stats(const struct series *series, enum phase phase);

/* A table of all phases: cold, with warm (or NULL) at its side. */
void series_print(const struct series *cold, const struct series *warm,
    FILE *f);

/* The totals as bars. */
void series_histogram(const struct series *series, FILE *f);

/* {"kind", "count", "other_kind_count", "failed_count", "phases":{...}},
 * phases as in the API. */
json_t *series_json(const struct series *series);
