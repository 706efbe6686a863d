/*
 * starts.h - how each function's requests got their workers, and how long
 * each phase of that took.
 *
 * Runs in: gateway.
 * Owns:    a histogram per function, kind, cause and phase that has occurred.
 */
#pragma once

#include "runtime/stat/record.h"
#include "sandbox/base/bytes.h"

struct starts;

struct starts *starts_new(void);

/* Count a finished record. */
void starts_add(struct starts *starts, const struct record *record);

/* [{"kind","cause","count","phases":{"queue_us":{"count","p50","p90","p99",
 * "max"},...}},...] for one function. */
void starts_write(const struct starts *starts, const char *function,
    struct buf *out);

/* perilune_start_phase_seconds and perilune_starts_total, Prometheus text. */
void starts_write_metrics(const struct starts *starts, struct buf *out);

/* The function is gone. */
void starts_forget(struct starts *starts, const char *function);
void starts_free(struct starts *starts);
