/*
 * layers.h - the layers of the wall, and the report on which are up.
 *
 * Runs in: gateway, zygote, worker, cli.
 * Owns:    nothing.
 *
 * Each layer is one line of layers.def: its name, whether the product runs
 * without it, and how it was verified.  The zygote fills a report while it
 * jails itself (sandbox/jail) and sends it; the gateway refuses, warns, or
 * shows it in `perilune doctor`.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <stdbool.h>

struct err;
struct wire_reader;

/* How much a missing layer matters. */
enum jail_need {
	JAIL_ALWAYS, /* no Perilune without it, whatever is allowed */
	JAIL_NAMED,  /* only with --allow-weaker-sandbox NAME */
	JAIL_WARN,   /* runs, with a warning */
#ifdef PERILUNE_SANITIZED
	JAIL_UNLESS_SANITIZED = JAIL_WARN,
#else
	JAIL_UNLESS_SANITIZED = JAIL_ALWAYS,
#endif
};

enum jail_layer {
#define LAYER(id, name, need, how) JAIL_##id,
#include "sandbox/wire/layers.def"
#undef LAYER
	JAIL_LAYERS
};

#define JAIL_WHY_MAX 96 /* bytes, with the NUL */

struct jail_report {
	bool active[JAIL_LAYERS];
	char why[JAIL_LAYERS][JAIL_WHY_MAX]; /* why not active; "" if it is */
};

const char *jail_layer_name(enum jail_layer layer);
enum jail_need jail_layer_need(enum jail_layer layer);
const char *jail_layer_how(enum jail_layer layer);

/* The layer of that name, or JAIL_LAYERS. */
enum jail_layer jail_layer_find(struct slice name);

/* Add the report to b: u32 n, n x (str name, u8 active, str why). */
void jail_report_put(const struct jail_report *report, struct buf *b);

/*
 * Take a report from r, which stands at its first field; what follows is the
 * caller's.  The sender is not trusted: each layer must be there once, an
 * active one without and a missing one with a reason, in printable ASCII.
 * Returns 0, or -1 with *report_out untouched.
 */
int jail_report_get(struct wire_reader *r, struct jail_report *report_out,
    struct err *err);
