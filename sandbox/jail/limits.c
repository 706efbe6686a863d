/*
 * limits.c - what a process may not do to itself, and how much it may have.
 *
 * Runs in: zygote.
 *
 * All of it is inherited by fork but for the death signal, which jail_worker()
 * sets again, as it does the limits that only a worker can live with.
 */
#include "sandbox/jail/jail_priv.h"

#include <errno.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* linux/prctl.h of 6.3. */
#define JAIL_SET_MDWE	      65
#define JAIL_GET_MDWE	      66
#define JAIL_MDWE_REFUSE_GAIN 1

#define ZYGOTE_FILES 64
#define WARM_BYTES   (1024 * 1024)

void
jail_no_new_privs(struct jail_report *report)
{
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	jail_judge(report, JAIL_NO_NEW_PRIVS,
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "prctl");
}

static bool
becomes_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (page == MAP_FAILED)
		return true;
	rc = mprotect(page, 4096, PROT_READ | PROT_EXEC);
	(void)munmap(page, 4096);
	return rc == 0;
}

static void
deny_write_execute(struct jail_report *report)
{
	if (prctl(JAIL_SET_MDWE, JAIL_MDWE_REFUSE_GAIN, 0, 0, 0) < 0)
		jail_down(report, JAIL_MDWE, "PR_SET_MDWE", errno);
	else if (prctl(JAIL_GET_MDWE, 0, 0, 0, 0) != JAIL_MDWE_REFUSE_GAIN ||
	    becomes_executable())
		jail_down(report, JAIL_MDWE, "memory can become executable", 0);
	else
		jail_up(report, JAIL_MDWE);
}

/* From here on the vDSO's clocks end the process, too. */
static void
no_time_stamp_counter(struct jail_report *report)
{
#ifdef PERILUNE_SANITIZED /* whose allocator reads a clock */
	jail_down(report, JAIL_NO_TSC, "built with sanitizers", 0);
#else
	int mode = 0;

	if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) < 0 ||
	    prctl(PR_GET_TSC, &mode, 0, 0, 0) < 0)
		jail_down(report, JAIL_NO_TSC, "PR_SET_TSC", errno);
	else
		jail_judge(report, JAIL_NO_TSC, mode == PR_TSC_SIGSEGV,
		    "PR_GET_TSC");
#endif
}

/* Off for good, or nothing to turn off.  Documentation/userspace-api/
 * spec_ctrl.rst; since 5.16 a seccomp filter does not imply it. */
static bool
stop_speculation(unsigned long which)
{
	int state = prctl(PR_GET_SPECULATION_CTRL, which, 0, 0, 0);

	if (state >= 0 && ((unsigned int)state & PR_SPEC_PRCTL) != 0) {
		(void)prctl(PR_SET_SPECULATION_CTRL, which,
		    PR_SPEC_FORCE_DISABLE, 0, 0);
		state = prctl(PR_GET_SPECULATION_CTRL, which, 0, 0, 0);
	}
	if (state < 0)
		return false;
	return state == PR_SPEC_NOT_AFFECTED ||
	    ((unsigned int)state & (PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE)) !=
	    0;
}

static void
speculation(struct jail_report *report)
{
	bool store = stop_speculation(PR_SPEC_STORE_BYPASS);
	bool branch = stop_speculation(PR_SPEC_INDIRECT_BRANCH);

	if (store && branch)
		jail_up(report, JAIL_SPECULATION);
	else
		jail_down(report, JAIL_SPECULATION,
		    store	 ? "kernel has no control of indirect branches"
			: branch ? "kernel has no control of store bypass"
				 : "kernel has no control of store bypass and "
				   "indirect branches",
		    0);
}

/* After the last change of ids, which resets the first two. */
void
jail_process_flags(struct jail_report *report)
{
	int signal = 0;

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	jail_judge(report, JAIL_NOT_DUMPABLE,
	    prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, "prctl");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	jail_judge(report, JAIL_DEATH_SIGNAL,
	    prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0) == 0 && signal == SIGKILL,
	    "prctl");
	deny_write_execute(report);
	no_time_stamp_counter(report);
	speculation(report);
	/* A page fault of 2 MiB would cost more than a worker's whole start */
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

#ifdef PERILUNE_SANITIZED
#define STACK_BYTES (8 * 1024 * 1024) /* red zones */
#else
#define STACK_BYTES (1024 * 1024)
#endif

static const struct limit {
	__rlimit_resource_t resource;
	rlim_t max;
} limits[] = {
    {RLIMIT_CORE, 0}, {RLIMIT_MEMLOCK, 0}, {RLIMIT_MSGQUEUE, 0},
    {RLIMIT_SIGPENDING, 0}, {RLIMIT_NICE, 0}, {RLIMIT_RTPRIO, 0},
    {RLIMIT_NOFILE, ZYGOTE_FILES}, {RLIMIT_STACK, STACK_BYTES},
#ifndef PERILUNE_SANITIZED
    {RLIMIT_FSIZE, 0}, /* a sanitizer may write its report to a file */
#endif
};

/* Never more than it was, soft and hard the same. */
static bool
set_limit(__rlimit_resource_t resource, rlim_t max)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return false;
	if (limit.rlim_max > max)
		limit.rlim_max = max;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(resource, &limit) == 0 &&
	    getrlimit(resource, &limit) == 0 && limit.rlim_cur <= max &&
	    limit.rlim_max <= max;
}

void
jail_rlimits(const struct jail_zygote_config *config,
    struct jail_report *report)
{
	bool ok = true;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		ok = set_limit(limits[i].resource, limits[i].max) && ok;
#ifndef PERILUNE_SANITIZED /* which reserves terabytes for its shadow */
	ok = set_limit(RLIMIT_AS, config->address_space_bytes) && ok;
#endif
	jail_judge(report, JAIL_RLIMITS, ok, "setrlimit");
}

/*
 * A worker may not ask for memory, so libc gets now what it will ever need
 * (printing a long number takes a little) and never gives it back.
 */
void
jail_warm_malloc(void)
{
	void *volatile memory;

	(void)mallopt(M_MMAP_MAX, 0);
	(void)mallopt(M_TRIM_THRESHOLD, -1);
	(void)mallopt(M_ARENA_MAX, 1);
	memory = malloc(WARM_BYTES);
	free(memory);
}
