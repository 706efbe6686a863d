/*
 * jail.c - the order in which the wall goes up.
 *
 * Runs in: zygote, worker.
 *
 * The order is the point: what needs /proc before the root is empty, what
 * needs a privilege before it is dropped, what a change of ids resets after
 * it, what a filter forbids before the filter.  README.md has the reasons.
 */
#include "sandbox/jail/jail_priv.h"

#include "sandbox/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef PERILUNE_SANITIZED
#define KEEP_STDERR 1 /* for the sanitizer's report */
#else
#define KEEP_STDERR 0
#endif

static pid_t zygote_pid; /* so that a worker sees that its zygote is gone */

void
jail_up(struct jail_report *report, enum jail_layer layer)
{
	report->active[layer] = true;
	report->why[layer][0] = '\0';
}

void
jail_down(struct jail_report *report, enum jail_layer layer, const char *what,
    int error)
{
	report->active[layer] = false;
	if (error == 0)
		(void)snprintf(report->why[layer], JAIL_WHY_MAX, "%s", what);
	else
		(void)snprintf(report->why[layer], JAIL_WHY_MAX, "%s: %s", what,
		    strerror(error));
}

void
jail_judge(struct jail_report *report, enum jail_layer layer, bool ok,
    const char *what)
{
	if (ok)
		jail_up(report, layer);
	else
		jail_down(report, layer, what, errno);
}

/* The worker's filter is tried on a child; the zygote's is loaded, for good. */
static void
filters(struct jail_report *report)
{
	if (jail_probe_worker())
		jail_up(report, JAIL_SECCOMP);
	else
		jail_down(report, JAIL_SECCOMP,
		    "a jailed child was not killed by its filter", 0);
#ifdef PERILUNE_SANITIZED
	jail_down(report, JAIL_ZYGOTE_SECCOMP, "built with sanitizers", 0);
#else
	if (jail_load_zygote_filter() < 0)
		jail_down(report, JAIL_ZYGOTE_SECCOMP, "seccomp", errno);
	else if (jail_probe_zygote())
		jail_up(report, JAIL_ZYGOTE_SECCOMP);
	else
		jail_down(report, JAIL_ZYGOTE_SECCOMP,
		    "a child of the zygote was not killed by its filter", 0);
#endif
}

static int
refuse_without(const struct jail_report *report, struct err *err)
{
	for (unsigned int i = 0; i < JAIL_LAYERS; i++) {
		enum jail_layer layer = (enum jail_layer)i;

		if (jail_layer_need(layer) == JAIL_ALWAYS && !report->active[i])
			return err_set(err, ERR_SYSTEM, "no %s: %s",
			    jail_layer_name(layer), report->why[i]);
	}
	return 0;
}

int
jail_zygote(const struct jail_zygote_config *config, int keep_below,
    struct jail_report *report, struct err *err)
{
	struct jail_ids ids = {0};

	memset(report, 0, sizeof(*report));
	zygote_pid = getpid();
	if (close_range((unsigned int)keep_below, ~0u, 0) < 0)
		return err_sys(err, "close_range");
	jail_plan_ids(config, &ids);
	jail_oom_score(report);
	jail_namespaces(report);
	jail_empty_root(report);
	jail_bounding_set(report);
	jail_drop_ids(&ids, report);
	jail_capabilities(report);
	jail_no_new_privs(report);
	jail_landlock(report);
	jail_process_flags(report);
	jail_warm_malloc();
	jail_rlimits(config, report);
	filters(report);
	return refuse_without(report, err);
}

pid_t
jail_fork(int *pidfd_out)
{
	return (
	    pid_t)syscall(SYS_clone, SIGCHLD | CLONE_PIDFD, 0, pidfd_out, 0, 0);
}

/* Only the socket, as descriptor 3. */
static int
keep_only(int socket)
{
	if (socket != JAIL_SOCKET && dup3(socket, JAIL_SOCKET, 0) < 0)
		return -1;
	if (close_range(0, JAIL_SOCKET - 1 - KEEP_STDERR, 0) < 0)
		return -1;
	return close_range(JAIL_SOCKET + 1, ~0u, 0);
}

int
jail_worker(int socket)
{
	const struct rlimit no_children = {0, 0};
	const struct rlimit four_files = {JAIL_SOCKET + 1, JAIL_SOCKET + 1};

	if (keep_only(socket) < 0)
		return -1;
	if (setrlimit(RLIMIT_NPROC, &no_children) < 0 ||
	    setrlimit(RLIMIT_NOFILE, &four_files) < 0)
		return -1;
	/* fork clears it; the parent may have died before it was set */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    getppid() != zygote_pid)
		return -1;
	return jail_load_worker_filter();
}
