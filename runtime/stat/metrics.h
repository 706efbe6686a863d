/*
 * metrics.h - numbers for machines: counters, gauges, histograms, by label.
 *
 * Runs in: gateway.
 * Owns:    every series and its histogram.
 *
 * The metrics are one table (metrics.def); a series is one metric with one set
 * of label values, made at first use.  The number of series is limited: beyond
 * it everything counts in one series per metric whose labels say "_other", so
 * that nothing a client or function author does makes memory grow for ever.
 */
#pragma once

#include "runtime/stat/hist.h"
#include "runtime/stat/record.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct metrics;
struct series;

#define METRICS_LABELS_MAX     4
#define METRICS_SERIES_DEFAULT 20000 /* series; about 1 KB for a histogram */

enum metric {
#define COUNTER(id, name, help, labels)	  METRIC_##id,
#define SECONDS(id, name, help, labels)	  METRIC_##id,
#define GAUGE(id, name, help, labels)	  METRIC_##id,
#define HISTOGRAM(id, name, help, labels) METRIC_##id,
#include "runtime/stat/metrics.def"
#undef COUNTER
#undef SECONDS
#undef GAUGE
#undef HISTOGRAM
	METRICS_N
};

/* The phases of a record, as METRIC_PHASE and metrics_starts know them. */
/* clang-format off */
#define METRICS_PHASES(X)           \
	X(QUEUE, "queue", queue_us) \
	X(SPAWN, "spawn", spawn_us) \
	X(JAIL, "jail", jail_us)    \
	X(LOAD, "load", load_us)    \
	X(INIT, "init", init_us)    \
	X(HANDLER, "handler", handler_us) X(FIRST, "first", first_us)
/* clang-format on */

enum metrics_phase {
#define X(name, text, field) METRICS_PHASE_##name,
	METRICS_PHASES(X)
#undef X
	    METRICS_PHASES_N
};
const char *metrics_phase_name(unsigned int phase);

/* max_series 0: METRICS_SERIES_DEFAULT. */
struct metrics *metrics_new(size_t max_series);
void metrics_free(struct metrics *metrics);

/*
 * The series of this metric with these label values, one for each label of
 * the table (none: NULL).  Never NULL; valid until metrics_forget of the
 * function that it names.
 */
struct series *metrics_series(struct metrics *metrics, enum metric metric,
    const char *const *values);

void series_add(struct series *series, uint64_t n);	 /* counters, gauges */
void series_set(struct series *series, uint64_t value);	 /* gauges */
void series_observe(struct series *series, uint64_t us); /* histograms */

/* From now on the value is what read(arg) says when it is asked for. */
void series_read(struct series *series, uint64_t (*read)(void *arg), void *arg);

/* Everything that one record says.  After the first record of its kind for
 * this function nothing is allocated. */
void metrics_record(struct metrics *metrics, const struct record *record);

/* The function is gone: so are all series that name it. */
void metrics_forget(struct metrics *metrics, const char *function);

/* The sums of metrics_record for one function; zeros for an unknown one. */
struct metrics_totals {
	uint64_t invocations;
	uint64_t errors; /* outcome other than ok */
	uint64_t cold;	 /* kind other than warm and none */
};
void metrics_totals(const struct metrics *metrics, const char *function,
    struct metrics_totals *totals_out);

/*
 * One call for each kind and cause of start that this function had.  phases:
 * METRICS_PHASES_N histograms, NULL where nothing was measured.
 */
void metrics_starts(const struct metrics *metrics, const char *function,
    void (*each)(enum record_kind kind, enum record_cause cause, uint64_t count,
	const struct hist *const *phases, void *arg),
    void *arg);

/* Prometheus text format 0.0.4, all metrics that have a series. */
void metrics_write(const struct metrics *metrics, struct buf *out);
