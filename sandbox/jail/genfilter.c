/*
 * genfilter.c - writes the two seccomp filters as a C header, when building.
 *
 * Runs in: build.
 * Owns:    its filter contexts.
 *
 *	genfilter strict|sanitized > filter_code.h
 *
 * libseccomp is needed here and nowhere else: the sandbox program carries the
 * finished instructions and loads them with one system call.
 *
 * "worker" is the policy for strangers' code: read and write on descriptor 3,
 * exit, return from a signal.  "zygote" is what forking, handing out pidfds
 * and jailing a child take, and nothing that names a file, makes a connection
 * or touches another process.  Everything else, another architecture and the
 * x32 numbers end the process: a violation is an attack or our own bug.
 *
 * "sanitized" widens the worker's filter by what the AddressSanitizer and
 * UndefinedBehaviorSanitizer runtimes do on their own (memory, their report on
 * descriptor 2).  It is chosen by the build (b_sanitize), is in no build that
 * is meant to run a stranger's code, and nothing can choose it at run time.
 * There is no zygote filter in such a build.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#ifndef __x86_64__
#error "the wall is written and tested for x86-64 only"
#endif

#define INSTRUCTIONS_MAX 4096 /* BPF_MAXINSNS */

/* All conditions of a rule must hold; they compare all 64 bits. */
struct rule {
	int nr;
	unsigned int conditions;
	struct scmp_arg_cmp when[2];
};

#define ANY(name)                  \
	{                          \
		SCMP_SYS(name), 0, \
		{                  \
			{          \
				0  \
			}          \
		}                  \
	}
#define IF(name, a)                \
	{                          \
		SCMP_SYS(name), 1, \
		{                  \
			a          \
		}                  \
	}
#define IF2(name, a, b)            \
	{                          \
		SCMP_SYS(name), 2, \
		{                  \
			a, b       \
		}                  \
	}
#define EQ(arg, value)                         \
	{                                      \
		(arg), SCMP_CMP_EQ, (value), 0 \
	}
#define WITHOUT(arg, bit)                           \
	{                                           \
		(arg), SCMP_CMP_MASKED_EQ, (bit), 0 \
	}

static const struct rule worker_rules[] = {
    IF(read, EQ(0, 3)),
    IF(write, EQ(0, 3)),
    ANY(exit_group),
    ANY(rt_sigreturn),
};

static const struct rule sanitizer_rules[] = {
    IF(write, EQ(0, 2)),
    IF2(ioctl, EQ(0, 2), EQ(1, TCGETS)), /* colour for its report? */
    IF(mmap, WITHOUT(2, PROT_EXEC)),
    IF(mprotect, WITHOUT(2, PROT_EXEC)),
    ANY(munmap),
    ANY(madvise),
    ANY(brk),
    ANY(futex),
    ANY(sigaltstack),
    ANY(rt_sigprocmask),
    ANY(getpid),
    ANY(gettid),
    ANY(clock_gettime),
    ANY(sched_yield),
};

/* Refused with EACCES, not death: they look for the names of functions when
 * they report, and say less without. */
static const struct rule sanitizer_refused[] = {
    ANY(open),
    ANY(readlink),
    ANY(stat),
    ANY(pipe2),
};

static const struct rule zygote_rules[] = {
    ANY(read),
    ANY(write),
    ANY(writev), /* glibc's last words */
    ANY(recvmsg),
    ANY(sendmsg),
    IF(recvfrom, EQ(4, 0)), /* recv and send: no addresses */
    IF(sendto, EQ(4, 0)),
    ANY(poll),
    ANY(ppoll),
    ANY(restart_syscall),
    IF(clone, EQ(0, CLONE_PIDFD | SIGCHLD)), /* jail_fork */
    ANY(wait4),
    ANY(waitid),
    ANY(close),
    ANY(close_range),
    ANY(dup3),
    /* the self-test's pair; a datagram one could be sent elsewhere */
    IF2(socketpair, EQ(0, AF_UNIX), EQ(1, SOCK_STREAM | SOCK_CLOEXEC)),
    ANY(brk),
    ANY(munmap),
    ANY(madvise),
    IF(mmap, WITHOUT(2, PROT_EXEC)),
    IF(mprotect, WITHOUT(2, PROT_EXEC)),
    ANY(futex),
    ANY(set_robust_list),
    ANY(rseq),
    ANY(rt_sigaction),
    ANY(rt_sigprocmask),
    ANY(rt_sigreturn),
    ANY(sigaltstack),
    ANY(getpid),
    ANY(getppid),
    ANY(gettid),
    IF(prctl, EQ(0, PR_SET_PDEATHSIG)),
    IF(prctl, EQ(0, PR_GET_PDEATHSIG)),
    IF(prctl, EQ(0, PR_SET_NAME)),
    IF(prctl, EQ(0, PR_GET_DUMPABLE)),
    IF(prctl, EQ(0, PR_GET_NO_NEW_PRIVS)),
    IF(prlimit64, EQ(0, 0)),
    IF(seccomp, EQ(0, SECCOMP_SET_MODE_FILTER)),
    ANY(exit_group),
};

static void
must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	(void)fprintf(stderr, "genfilter: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static void
add_rules(scmp_filter_ctx ctx, uint32_t action, const struct rule *rules,
    size_t n)
{
	for (size_t i = 0; i < n; i++)
		must(seccomp_rule_add_exact_array(ctx, action, rules[i].nr,
			 rules[i].conditions, rules[i].when),
		    "seccomp_rule_add");
}

static scmp_filter_ctx
new_filter(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (ctx == NULL) {
		(void)fprintf(stderr, "genfilter: seccomp_init failed\n");
		exit(1);
	}
	must(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
		 SCMP_ACT_KILL_PROCESS),
	    "bad architecture");
	/* asked for on each request, and never in the kernel's cache of
	 * numbers allowed whatever their arguments */
	must(seccomp_syscall_priority(ctx, SCMP_SYS(read), 255), "priority");
	must(seccomp_syscall_priority(ctx, SCMP_SYS(write), 254), "priority");
	return ctx;
}

static void
print_filter(scmp_filter_ctx ctx, const char *name)
{
	static struct sock_filter code[INSTRUCTIONS_MAX];
	FILE *file = tmpfile();
	size_t n;

	if (file == NULL) {
		perror("genfilter: tmpfile");
		exit(1);
	}
	must(seccomp_export_bpf(ctx, fileno(file)), "seccomp_export_bpf");
	rewind(file);
	n = fread(code, sizeof(code[0]), INSTRUCTIONS_MAX, file);
	(void)fclose(file);
	seccomp_release(ctx);
	printf("\nstatic const struct sock_filter %s_filter[] = {\n", name);
	for (size_t i = 0; i < n; i++)
		printf("    {0x%02x, %u, %u, 0x%08x},\n", code[i].code,
		    code[i].jt, code[i].jf, code[i].k);
	printf("};\n");
	if (n == 0 || n == INSTRUCTIONS_MAX) {
		(void)fprintf(stderr, "genfilter: %s: %zu instructions\n", name,
		    n);
		exit(1);
	}
}

#define COUNT(rules) (sizeof(rules) / sizeof((rules)[0]))

static scmp_filter_ctx
worker_filter(bool sanitized)
{
	scmp_filter_ctx ctx = new_filter();

	add_rules(ctx, SCMP_ACT_ALLOW, worker_rules, COUNT(worker_rules));
	if (!sanitized)
		return ctx;
	add_rules(ctx, SCMP_ACT_ALLOW, sanitizer_rules, COUNT(sanitizer_rules));
	add_rules(ctx, SCMP_ACT_ERRNO(EACCES), sanitizer_refused,
	    COUNT(sanitizer_refused));
	return ctx;
}

static scmp_filter_ctx
zygote_filter(void)
{
	scmp_filter_ctx ctx = new_filter();

	add_rules(ctx, SCMP_ACT_ALLOW, zygote_rules, COUNT(zygote_rules));
	return ctx;
}

int
main(int argc, char **argv)
{
	bool sanitized = argc == 2 && strcmp(argv[1], "sanitized") == 0;

	if (argc != 2 || (!sanitized && strcmp(argv[1], "strict") != 0)) {
		(void)fprintf(stderr, "usage: genfilter strict|sanitized\n");
		return 2;
	}
	printf("/* %s filters, made by genfilter.c; not edited */\n", argv[1]);
	print_filter(worker_filter(sanitized), "worker");
	print_filter(zygote_filter(), "zygote");
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("genfilter: stdout");
		return 1;
	}
	return 0;
}
