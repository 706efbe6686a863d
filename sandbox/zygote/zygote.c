/*
 * zygote.c - the loop of the zygote: spawn, reap, report.
 *
 * Runs in: zygote.
 * Owns:    the table of live workers.
 *
 * SIGCHLD is blocked except while ppoll waits, so that a death is never
 * missed and never interrupts a spawn.  The fork is the raw system call: the
 * child runs no handler of libc and its pidfd comes with it.
 */
#include "sandbox/zygote/zygote.h"

#include "sandbox/jail/jail.h"
#include "sandbox/wire/control.h"
#include "sandbox/wire/wire.h"
#include "sandbox/worker/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	pid_t pid; /* 0: free */
	uint64_t slot;
} workers[CONTROL_WORKERS];

static void
on_child(int signal)
{
}

/* Send one packet, with a descriptor if fd is not -1.  The gateway being away
 * is found by the next read. */
static void
say(const struct wire_writer *w, int fd)
{
	struct iovec iov = {.iov_base = w->p, .iov_len = w->n};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	while (
	    sendmsg(ZYGOTE_CONTROL, &msg, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

static void
say_hello(struct slice hello)
{
	static uint8_t memory[CONTROL_MAX_BYTES];
	struct wire_writer w = {memory, 0, sizeof(memory), false};

	wire_put_u8(&w, CONTROL_HELLO);
	wire_put_raw(&w, hello.p, hello.n);
	say(&w, -1);
}

static void
reap(void)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		uint8_t memory[64];
		struct wire_writer w = {memory, 0, sizeof(memory), false};
		size_t i = 0;

		while (i < CONTROL_WORKERS && workers[i].pid != pid)
			i++;
		if (i == CONTROL_WORKERS)
			continue;
		workers[i].pid = 0;
		wire_put_u8(&w, CONTROL_DIED);
		wire_put_u64(&w, workers[i].slot);
		wire_put_u32(&w, (uint32_t)status);
		wire_put_u64(&w,
		    (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) *
			    1000000 +
			(uint64_t)(usage.ru_utime.tv_usec +
			    usage.ru_stime.tv_usec));
		wire_put_u64(&w, (uint64_t)usage.ru_maxrss);
		say(&w, -1);
	}
}

static void
say_no_fork(uint64_t slot, int why)
{
	uint8_t memory[16];
	struct wire_writer w = {memory, 0, sizeof(memory), false};

	wire_put_u8(&w, CONTROL_NO_FORK);
	wire_put_u64(&w, slot);
	wire_put_u32(&w, (uint32_t)why);
	say(&w, -1);
}

/* The child leaves this function never. */
static void
spawn(uint64_t slot, size_t memory_bytes, int socket)
{
	uint8_t memory[16];
	struct wire_writer w = {memory, 0, sizeof(memory), false};
	int pidfd = -1;
	size_t i = 0;
	pid_t pid;

	while (i < CONTROL_WORKERS && workers[i].pid != 0)
		i++;
	if (i == CONTROL_WORKERS) {
		say_no_fork(slot, EAGAIN);
		return;
	}
	pid = jail_fork(&pidfd);
	if (pid == 0)
		worker_main(socket, memory_bytes);
	if (pid < 0) {
		say_no_fork(slot, errno);
		return;
	}
	workers[i].pid = pid;
	workers[i].slot = slot;
	wire_put_u8(&w, CONTROL_SPAWNED);
	wire_put_u64(&w, slot);
	say(&w, pidfd);
	(void)close(pidfd);
}

/* The descriptor that came with a message, or -1. */
static int
passed_fd(struct msghdr *msg)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(msg);
	int fd = -1;

	if (header != NULL && header->cmsg_level == SOL_SOCKET &&
	    header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* Returns false at the end of the stream. */
static bool
serve_one(void)
{
	uint8_t memory[64];
	struct iovec iov = {.iov_base = memory, .iov_len = sizeof(memory)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(ZYGOTE_CONTROL, &msg, MSG_CMSG_CLOEXEC);
	struct wire_reader r = {memory, n > 0 ? (size_t)n : 0, false};
	uint64_t slot;
	size_t memory_bytes;
	int fd;

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	fd = passed_fd(&msg);
	if (wire_get_u8(&r) != CONTROL_SPAWN || fd < 0)
		return false;
	slot = wire_get_u64(&r);
	memory_bytes = wire_get_u64(&r);
	if (!wire_got_all(&r))
		return false;
	spawn(slot, memory_bytes, fd);
	(void)close(fd);
	return true;
}

int
zygote_serve(struct slice hello)
{
	struct sigaction child = {.sa_handler = on_child};
	sigset_t blocked;
	sigset_t open;

	(void)sigemptyset(&blocked);
	(void)sigaddset(&blocked, SIGCHLD);
	if (sigaction(SIGCHLD, &child, NULL) < 0 ||
	    sigprocmask(SIG_BLOCK, &blocked, &open) < 0)
		return 1;
	(void)sigdelset(&open, SIGCHLD);
	say_hello(hello);
	for (;;) {
		struct pollfd poll_fd = {.fd = ZYGOTE_CONTROL,
		    .events = POLLIN};
		int ready = ppoll(&poll_fd, 1, NULL, &open);

		reap();
		if (ready > 0 && !serve_one())
			return 0;
	}
}
