/*
 * wall.h - is the wall whole enough to serve behind it?
 *
 * Runs in: gateway, cli.
 *
 * Pure: a zygote's report and the operator's word in, a verdict and its words
 * out.
 */
#pragma once

#include "sandbox/base/bytes.h"
#include "sandbox/wire/layers.h"

#include <stdbool.h>

struct err;

/*
 * 0: serve; -1: refuse.  allowed: bits of the layers named by
 * --allow-weaker-sandbox; failed: self-tests that did not end as they must.
 * why_out gets what is missing, one clause each, also when it is allowed.
 */
int wall_judge(const struct jail_report *report, unsigned int failed,
    unsigned int allowed, struct buf *why_out);

/* Is any layer missing? */
bool wall_degraded(const struct jail_report *report);

/* The bit of a layer that may be allowed; ERR_BAD_INPUT for others. */
int wall_allow(const char *name, unsigned int *bits, struct err *err);
