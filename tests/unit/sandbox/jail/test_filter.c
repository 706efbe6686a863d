/*
 * test_filter.c - the generated filters, instruction by instruction.
 *
 * Runs in: tests.
 *
 * The jail tests ask the kernel; these ask the program itself about arguments
 * and architectures that a system call cannot easily carry.
 */
#include "sandbox/jail/jail.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define X32	   0x40000000u
#define HIGH	   0x100000000u
#define SPAWN	   (CLONE_PIDFD | SIGCHLD)
#define CALLS	   1024
#define NO_VERDICT 0xffffffffu

/* Run classic BPF as the kernel does: accumulator, absolute loads, jumps. */
static uint32_t
run(const struct sock_filter *code, size_t n, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &code[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			ck_assert_uint_le(i->k, sizeof(*data) - 4);
			memcpy(&a, (const char *)data + i->k, 4);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > i->k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			ck_abort_msg("instruction 0x%x", i->code);
		}
	}
	return NO_VERDICT;
}

static uint32_t
worker(uint32_t arch, unsigned int nr, uint64_t arg0)
{
	struct seccomp_data data = {.nr = (int)nr,
	    .arch = arch,
	    .args = {arg0}};
	size_t n;
	const struct sock_filter *code = jail_filter(&n);

	return run(code, n, &data);
}

static uint32_t
zygote(unsigned int nr, const uint64_t args[6])
{
	struct seccomp_data data = {.nr = (int)nr, .arch = AUDIT_ARCH_X86_64};
	size_t n;
	const struct sock_filter *code = jail_zygote_filter(&n);

	memcpy(data.args, args, sizeof(data.args));
	return run(code, n, &data);
}

#ifndef PERILUNE_SANITIZED
START_TEST(a_worker_has_four_calls)
{
	unsigned int allowed = 0;

	for (unsigned int nr = 0; nr < CALLS; nr++)
		if (worker(AUDIT_ARCH_X86_64, nr, 3) == SECCOMP_RET_ALLOW)
			allowed++;
	ck_assert_uint_eq(allowed, 4);
	ck_assert_uint_eq(worker(AUDIT_ARCH_X86_64, SYS_read, 3),
	    SECCOMP_RET_ALLOW);
	ck_assert_uint_eq(worker(AUDIT_ARCH_X86_64, SYS_write, 3),
	    SECCOMP_RET_ALLOW);
	ck_assert_uint_eq(worker(AUDIT_ARCH_X86_64, SYS_exit_group, 9),
	    SECCOMP_RET_ALLOW);
	ck_assert_uint_eq(worker(AUDIT_ARCH_X86_64, SYS_rt_sigreturn, 9),
	    SECCOMP_RET_ALLOW);
}
END_TEST

START_TEST(the_worker_filter_is_fifteen_instructions)
{
	size_t n;

	(void)jail_filter(&n);
	ck_assert_uint_eq(n, 15);
}
END_TEST

static const uint64_t wrong_descriptors[] = {0, 1, 4, 5, 1023, 0xffffffff,
    HIGH | 3, HIGH, UINT64_MAX, (uint64_t)3 << 32, HIGH << 30 | 3};
#else
static const uint64_t wrong_descriptors[] = {0, 1, 4, 5, 1023, 0xffffffff,
    HIGH | 3, HIGH | 2, UINT64_MAX, (uint64_t)3 << 32, HIGH << 30 | 3};
#endif

START_TEST(read_and_write_look_at_both_halves_of_the_descriptor)
{
	uint64_t fd = wrong_descriptors[_i];

	ck_assert_uint_eq(worker(AUDIT_ARCH_X86_64, SYS_read, fd),
	    SECCOMP_RET_KILL_PROCESS);
	ck_assert_uint_eq(worker(AUDIT_ARCH_X86_64, SYS_write, fd),
	    SECCOMP_RET_KILL_PROCESS);
}
END_TEST

START_TEST(other_architectures_and_tables_are_killed)
{
	static const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64,
	    0, 0xffffffff};

	for (unsigned int nr = 0; nr < CALLS; nr++) {
		for (size_t i = 0; i < 4; i++)
			ck_assert_uint_eq(worker(others[i], nr, 3),
			    SECCOMP_RET_KILL_PROCESS);
		ck_assert_uint_eq(worker(AUDIT_ARCH_X86_64, X32 | nr, 3),
		    SECCOMP_RET_KILL_PROCESS);
		ck_assert_uint_eq(worker(AUDIT_ARCH_X86_64, 1u << 31 | nr, 3),
		    SECCOMP_RET_KILL_PROCESS);
	}
	ck_assert_uint_eq(worker(AUDIT_ARCH_X86_64, 0xffffffff, 3),
	    SECCOMP_RET_KILL_PROCESS);
}
END_TEST

static const struct zygote_case {
	unsigned int nr;
	uint64_t args[6];
	uint32_t verdict;
} zygote_cases[] = {
    {SYS_clone, {SPAWN}, SECCOMP_RET_ALLOW},
    {SYS_clone, {SIGCHLD}, SECCOMP_RET_KILL_PROCESS},
    {SYS_clone, {SPAWN | CLONE_NEWUSER}, SECCOMP_RET_KILL_PROCESS},
    {SYS_clone, {SPAWN | CLONE_VM}, SECCOMP_RET_KILL_PROCESS},
    {SYS_clone, {SPAWN | HIGH}, SECCOMP_RET_KILL_PROCESS},
    {SYS_clone3, {0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_fork, {0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_vfork, {0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE}, SECCOMP_RET_ALLOW},
    {SYS_mmap, {0, 4096, PROT_EXEC}, SECCOMP_RET_KILL_PROCESS},
    {SYS_mmap, {0, 4096, HIGH | PROT_EXEC}, SECCOMP_RET_KILL_PROCESS},
    {SYS_mprotect, {0, 4096, PROT_READ | PROT_WRITE}, SECCOMP_RET_ALLOW},
    {SYS_mprotect, {0, 4096, 7}, SECCOMP_RET_KILL_PROCESS},
    {SYS_pkey_mprotect, {0, 4096, 0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_prctl, {PR_SET_PDEATHSIG}, SECCOMP_RET_ALLOW},
    {SYS_prctl, {PR_SET_DUMPABLE, 1}, SECCOMP_RET_KILL_PROCESS},
    {SYS_prctl, {PR_SET_TSC, 1}, SECCOMP_RET_KILL_PROCESS},
    {SYS_prctl, {HIGH | PR_SET_PDEATHSIG}, SECCOMP_RET_KILL_PROCESS},
    {SYS_prlimit64, {0}, SECCOMP_RET_ALLOW},
    {SYS_prlimit64, {1}, SECCOMP_RET_KILL_PROCESS},
    {SYS_socketpair, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC}, SECCOMP_RET_ALLOW},
    {SYS_socketpair, {AF_UNIX, SOCK_DGRAM}, SECCOMP_RET_KILL_PROCESS},
    {SYS_sendto, {3, 0, 0, 0, 0}, SECCOMP_RET_ALLOW},
    {SYS_sendto, {3, 0, 0, 0, 0x1000}, SECCOMP_RET_KILL_PROCESS},
    {SYS_sendto, {3, 0, 0, 0, HIGH}, SECCOMP_RET_KILL_PROCESS},
    {SYS_seccomp, {SECCOMP_SET_MODE_FILTER}, SECCOMP_RET_ALLOW},
    {SYS_seccomp, {SECCOMP_SET_MODE_STRICT}, SECCOMP_RET_KILL_PROCESS},
    {SYS_openat, {0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_socket, {AF_UNIX, SOCK_STREAM}, SECCOMP_RET_KILL_PROCESS},
    {SYS_execve, {0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_kill, {0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_pidfd_send_signal, {0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_ptrace, {0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_unshare, {0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_setns, {0}, SECCOMP_RET_KILL_PROCESS},
    {SYS_mount, {0}, SECCOMP_RET_KILL_PROCESS},
    {X32 | SYS_read, {3}, SECCOMP_RET_KILL_PROCESS},
};

START_TEST(the_zygote_forks_and_jails_and_nothing_else)
{
	const struct zygote_case *c = &zygote_cases[_i];

	ck_assert_uint_eq(zygote(c->nr, c->args), c->verdict);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/jail/filter");
	TCase *tcase = tcase_create("filter");

#ifndef PERILUNE_SANITIZED
	tcase_add_test(tcase, a_worker_has_four_calls);
	tcase_add_test(tcase, the_worker_filter_is_fifteen_instructions);
#endif
	tcase_add_loop_test(tcase,
	    read_and_write_look_at_both_halves_of_the_descriptor, 0,
	    sizeof(wrong_descriptors) / sizeof(wrong_descriptors[0]));
	tcase_add_test(tcase, other_architectures_and_tables_are_killed);
	tcase_add_loop_test(tcase, the_zygote_forks_and_jails_and_nothing_else,
	    0, sizeof(zygote_cases) / sizeof(zygote_cases[0]));
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
