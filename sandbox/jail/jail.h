/*
 * jail.h - the wall around zygote and workers.
 *
 * Runs in: zygote, worker.
 * Owns:    nothing that outlives a call.
 *
 * The zygote is jailed once, by jail_zygote(), and its workers inherit all of
 * that; what cannot be inherited or must be narrower is added in each worker
 * by jail_worker().  The starter has already made the process with
 * CLONE_NEWPID (and CLONE_NEWUSER when it is not root), so it is pid 1.
 *
 * Each layer is one line of jail.def: its name, whether the product refuses
 * to run without it, and how it was verified.  The report is sent to the
 * gateway, which refuses, warns, or shows it in `perilune doctor`.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

#define JAIL_SOCKET 3 /* a worker's one descriptor */

/* How much a missing layer matters. */
enum jail_need {
	JAIL_ALWAYS, /* no Perilune without it, whatever is allowed */
	JAIL_NAMED,  /* only with --allow-weaker-sandbox NAME */
	JAIL_WARN,   /* runs, with a warning */
};

enum jail_layer {
#define LAYER(id, name, need, how) JAIL_##id,
#include "sandbox/jail/jail.def"
#undef LAYER
	JAIL_LAYERS
};

struct jail_report {
	bool active[JAIL_LAYERS];
	char why[JAIL_LAYERS][96]; /* why not active; "" if it is */
};

const char *jail_layer_name(enum jail_layer layer);
enum jail_need jail_layer_need(enum jail_layer layer);
const char *jail_layer_how(enum jail_layer layer);

struct jail_zygote_config {
	/* Started as root: become this uid and gid after the mounts.
	 * Otherwise (user namespace): the uid and gid outside, to be mapped. */
	uid_t uid;
	gid_t gid;
	bool user_namespace;
	size_t address_space_bytes; /* RLIMIT_AS of zygote and workers */
};

/*
 * Jail the zygote.  Tries every layer and says in the report which are
 * active; -1 only when a JAIL_ALWAYS layer cannot be had.  Descriptors from
 * `keep_below` up are closed.
 */
int jail_zygote(const struct jail_zygote_config *config, int keep_below,
    struct jail_report *report, struct err *err);

/*
 * Jail a worker just forked: the socket becomes descriptor 3, everything else
 * is closed, the last rights go, the filter closes.  After it returned 0 the
 * process can read and write descriptor 3, exit, and return from a signal.
 * Any failure is -1 and the caller must _exit.  Does not allocate.
 */
int jail_worker(int socket);

/*
 * Fork children, each through jail_worker(), that try what must kill them.
 * tests_out: one line each, "case\texpected\tgot\n".  Returns how many did
 * not end as expected, or -1 when it could not be tried.  Called in the
 * jailed zygote, before the first worker.
 */
int jail_self_test(struct buf *tests_out);

/* The worker's filter, as loaded: struct sock_filter[], for dumping. */
const void *jail_filter(size_t *instructions_out);
