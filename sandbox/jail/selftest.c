/*
 * selftest.c - children that try what must kill them.
 *
 * Runs in: zygote, worker.
 * Owns:    the children and their sockets, for the length of a call.
 *
 * Before the first worker the filter proves itself on this kernel: one child
 * per case enters the jail by the same door as a worker, says so with a byte
 * (so that a death before the door is not taken for a proof), and then makes
 * the call.  "idle" makes none and must be alive to exit: the control.
 *
 * Some cases (fork, getppid, recvmsg) pass the zygote's filter, so that it is
 * the worker's own that is tried.
 */
#include "sandbox/base/cleanup.h"
#include "sandbox/jail/jail_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SURVIVED   66 /* exit status: the call came back */
#define NOT_JAILED 67 /* jail_worker failed */

static void
try_idle(void)
{
}

static void
try_openat(void)
{
	(void)syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY);
}

static void
try_socket(void)
{
	(void)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void
try_fork(void)
{
	int pidfd;

	if (jail_fork(&pidfd) == 0)
		_exit(0);
}

static void
try_getppid(void)
{
	(void)syscall(SYS_getppid);
}

static void
try_recvmsg(void)
{
	struct msghdr message = {0};

	(void)syscall(SYS_recvmsg, JAIL_SOCKET, &message, MSG_DONTWAIT);
}

static void
try_read_4(void)
{
	char c;

	(void)syscall(SYS_read, 4L, &c, 1L);
}

/* 2^32 + 3: a filter that compares half of it takes it for 3. */
static void
try_write_high(void)
{
	(void)syscall(SYS_write, 0x100000003L, "", 1L);
}

static void
try_executable(void)
{
	static char page[8192];
	uintptr_t start = ((uintptr_t)page + 4095) & ~(uintptr_t)4095;

	(void)syscall(SYS_mprotect, start, 4096L,
	    PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void
try_x32_write(void)
{
	(void)syscall(0x40000000L | SYS_write, (long)JAIL_SOCKET, "", 1L);
}

/* getpid of the 32-bit table, number 20 (writev of ours). */
static void
try_int80(void)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(20L), "b"(0L), "c"(0L), "d"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
}

static const struct test {
	const char *name;
	void (*try)(void);
	int signal;    /* that ends it; 0: exits */
	int or_signal; /* also right */
	const char *expected;
} tests[] = {
    {"idle", try_idle, 0, 0, "exit"},
    {"openat", try_openat, SIGSYS, SIGSYS, "SIGSYS"},
    {"socket", try_socket, SIGSYS, SIGSYS, "SIGSYS"},
    {"fork", try_fork, SIGSYS, SIGSYS, "SIGSYS"},
    {"getppid", try_getppid, SIGSYS, SIGSYS, "SIGSYS"},
    {"recvmsg", try_recvmsg, SIGSYS, SIGSYS, "SIGSYS"},
    {"read descriptor 4", try_read_4, SIGSYS, SIGSYS, "SIGSYS"},
    {"write descriptor 2^32+3", try_write_high, SIGSYS, SIGSYS, "SIGSYS"},
    {"mprotect executable", try_executable, SIGSYS, SIGSYS, "SIGSYS"},
    {"x32 write", try_x32_write, SIGSYS, SIGSYS, "SIGSYS"},
    /* a kernel without 32-bit entry raises SIGSEGV itself */
    {"int 0x80", try_int80, SIGSYS, SIGSEGV, "SIGSYS"},
};

/* In the child; does not return. */
static void
child(int socket, bool as_worker, void (*try)(void))
{
	if (as_worker && jail_worker(socket) < 0)
		_exit(NOT_JAILED);
	if (as_worker)
		socket = JAIL_SOCKET;
	if (write(socket, "j", 1) != 1)
		_exit(NOT_JAILED);
	try();
	_exit(SURVIVED);
}

/* Fork a child that tries.  *status_out is its wait status, *jailed_out
 * whether it had passed the door.  -1 when it could not be done. */
static int
attempt(bool as_worker, void (*try)(void), int *status_out, bool *jailed_out)
{
	int pair[2], pidfd;
	char c;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	pid = jail_fork(&pidfd);
	if (pid == 0)
		child(pair[1], as_worker, try);
	(void)close(pair[1]);
	if (pid < 0) {
		(void)close(pair[0]);
		return -1;
	}
	*jailed_out = read(pair[0], &c, 1) == 1;
	while (waitpid(pid, status_out, 0) < 0)
		if (errno != EINTR)
			break;
	(void)close(pair[0]);
	(void)close(pidfd);
	return 0;
}

static bool
killed_by_filter(bool as_worker, void (*try)(void))
{
	bool jailed = false;
	int status = 0;

	return attempt(as_worker, try, &status, &jailed) == 0 && jailed &&
	    WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

bool
jail_probe_worker(void)
{
	return killed_by_filter(true, try_openat);
}

bool
jail_probe_zygote(void)
{
	return killed_by_filter(false, try_socket);
}

static bool
as_expected(const struct test *test, int status)
{
	if (test->signal == 0)
		return WIFEXITED(status) && WEXITSTATUS(status) == SURVIVED;
	return WIFSIGNALED(status) &&
	    (WTERMSIG(status) == test->signal ||
		WTERMSIG(status) == test->or_signal);
}

static void
say(struct buf *out, const struct test *test, int status, bool jailed)
{
	const char *name;

	buf_addf(out, "%s\t%s\t", test->name, test->expected);
	if (!jailed)
		buf_puts(out, "was not jailed\n");
	else if (!WIFSIGNALED(status))
		buf_addf(out, "%s\n", test->signal == 0 ? "exit" : "survived");
	else if ((name = sigabbrev_np(WTERMSIG(status))) != NULL)
		buf_addf(out, "SIG%s\n", name);
	else
		buf_addf(out, "signal %d\n", WTERMSIG(status));
}

int
jail_self_test(struct buf *tests_out)
{
	int wrong = 0;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		bool jailed = false;
		int status = 0;

		if (attempt(true, tests[i].try, &status, &jailed) < 0)
			return -1;
		if (!jailed || !as_expected(&tests[i], status))
			wrong++;
		say(tests_out, &tests[i], status, jailed);
	}
	return wrong;
}
