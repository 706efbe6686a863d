/*
 * filter.c - the two seccomp filters, loaded with one system call each.
 *
 * Runs in: zygote, worker.
 *
 * The instructions were made by genfilter.c when this was built.
 */
#include "sandbox/jail/jail_priv.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filter_code.h> /* made by genfilter */

static int
load(const struct sock_filter *filter, size_t instructions)
{
	const struct sock_fprog program = {
	    .len = (unsigned short)instructions,
	    /* the kernel's struct lacks a const; it only reads */
	    .filter = (struct sock_filter *)(uintptr_t)filter,
	};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

int
jail_load_worker_filter(void)
{
	return load(worker_filter,
	    sizeof(worker_filter) / sizeof(worker_filter[0]));
}

int
jail_load_zygote_filter(void)
{
	return load(zygote_filter,
	    sizeof(zygote_filter) / sizeof(zygote_filter[0]));
}

const void *
jail_filter(size_t *instructions_out)
{
	*instructions_out = sizeof(worker_filter) / sizeof(worker_filter[0]);
	return worker_filter;
}

const void *
jail_zygote_filter(size_t *instructions_out)
{
	*instructions_out = sizeof(zygote_filter) / sizeof(zygote_filter[0]);
	return zygote_filter;
}
