/*
 * jail.h - the wall around zygote and workers.
 *
 * Runs in: zygote, worker.
 * Owns:    nothing that outlives a call.
 *
 * The zygote is jailed once, by jail_zygote(), and its workers inherit all of
 * that; what cannot be inherited or must be narrower is added in each worker
 * by jail_worker().  README.md has the order of operations and the reasons.
 *
 * Each layer is one line of sandbox/wire/layers.def: its name, whether the
 * product refuses to run without it, and how it was verified.  The report is
 * sent to the gateway, which refuses, warns, or shows it in `perilune doctor`.
 */
#pragma once

#include "sandbox/base/bytes.h"
#include "sandbox/wire/layers.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;

#define JAIL_SOCKET 3 /* a worker's one descriptor */

struct jail_zygote_config {
	/* Started as root: become this uid and gid after the mounts.  Not 0.
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
 *
 * The starter has made the process with CLONE_NEWPID, so that it is pid 1.
 * When it is not root it has added CLONE_NEWUSER.  An execve() between the
 * two costs all capabilities of a process whose uid is not 0 inside, so a
 * starter that execs writes setgroups, uid_map "0 UID 1" and gid_map "0 GID 1"
 * before that; otherwise the maps are written here.
 *
 * Afterwards the zygote may do what the zygote filter in genfilter.c allows
 * and is killed for anything else.  It may not read a clock (the vDSO reads
 * the time stamp counter: SIGSEGV), opens nothing, and forks by jail_fork().
 * Its stderr must not be a regular file (RLIMIT_FSIZE is 0).
 */
int jail_zygote(const struct jail_zygote_config *config, int keep_below,
    struct jail_report *report, struct err *err);

/*
 * fork() as the zygote's filter allows it: clone(SIGCHLD | CLONE_PIDFD).
 * Returns as fork() does; in the parent *pidfd_out is the caller's to close.
 * No handlers registered with pthread_atfork() run.
 */
pid_t jail_fork(int *pidfd_out);

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

/* The filters, as loaded: struct sock_filter[], for dumping. */
const void *jail_filter(size_t *instructions_out);
const void *jail_zygote_filter(size_t *instructions_out);
