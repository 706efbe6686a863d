/*
 * jail_priv.h - what the files of the jail share.
 *
 * Runs in: zygote, worker.
 * Owns:    nothing.
 *
 * Each function puts up one layer, or a few that belong together, asks the
 * kernel whether it stands, and says so in the report.  None of them gives
 * up: jail_zygote() decides at the end what is missing.
 */
#pragma once

#include "sandbox/jail/jail.h"

#include <sys/types.h>

/* The layer stands. */
void jail_up(struct jail_report *report, enum jail_layer layer);

/* It does not: "what: strerror(error)", or "what" alone when error is 0. */
void jail_down(struct jail_report *report, enum jail_layer layer,
    const char *what, int error);

/* jail_up() if ok, else jail_down() with errno. */
void jail_judge(struct jail_report *report, enum jail_layer layer, bool ok,
    const char *what);

/* Who the zygote is to be. */
struct jail_ids {
	bool change; /* started as root: become uid and gid */
	uid_t uid;
	gid_t gid;
	bool known;		/* the two below are */
	unsigned int outer_uid; /* in the starter's user namespace */
	unsigned int outer_gid;
};

/* space.c: namespaces and mounts; the first two need /proc */
void jail_plan_ids(const struct jail_zygote_config *config,
    struct jail_ids *ids);
void jail_oom_score(struct jail_report *report);
void jail_namespaces(struct jail_report *report);
void jail_empty_root(struct jail_report *report);

/* rights.c: Landlock, ids, capabilities */
void jail_landlock(struct jail_report *report);
void jail_bounding_set(struct jail_report *report);
void jail_drop_ids(const struct jail_ids *ids, struct jail_report *report);
void jail_capabilities(struct jail_report *report);

/* limits.c: prctl and rlimits */
void jail_no_new_privs(struct jail_report *report);
void jail_process_flags(struct jail_report *report);
void jail_rlimits(const struct jail_zygote_config *config,
    struct jail_report *report);
void jail_warm_malloc(void);

/* filter.c: the two filters; 0, or -1 and errno */
int jail_load_worker_filter(void);
int jail_load_zygote_filter(void);

/* selftest.c: fork a child that makes the forbidden call, jailed as a worker
 * or only as the zygote is; true when it died by SIGSYS. */
bool jail_probe_worker(void);
bool jail_probe_zygote(void);
