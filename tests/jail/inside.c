/*
 * inside.c - the zygote of the jail tests, and its workers.
 *
 * Runs in: tests.
 *
 * From jail_zygote() on it lives under the zygote's filter: it reads and
 * writes descriptor 3, makes pairs, forks and waits, as the product's does.
 */
#include "tests/jail/attacks.h"

#include "sandbox/base/err.h"
#include "sandbox/wire/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct attack_world attack_world;

/* One case: run(arg), in a worker. */
struct job {
	void (*run)(unsigned int arg);
	unsigned int arg;
};

static void
say(const void *p, size_t n)
{
	if (write(JAIL_SOCKET, p, n) != (ssize_t)n)
		_exit(1);
}

static void
record(enum attack_kind kind, unsigned int index, int status, bool jailed)
{
	const struct attack_record r = {kind, index, status, jailed};

	say(&r, sizeof(r));
}

static long
argument(long value)
{
	switch (value) {
	case ARG_SIBLING:
		return attack_world.sibling;
	case ARG_ZYGOTE:
		return attack_world.zygote;
	case ARG_FILE:
		return (long)attack_world.file;
	default:
		return value;
	}
}

static void
run_call(unsigned int index)
{
	const struct call *c = &attack_calls[index];
	long a[6];

	for (int i = 0; i < 6; i++)
		a[i] = argument(c->args[i]);
	(void)syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void
run_native(unsigned int index)
{
	attack_natives[index].run();
}

static void
run_number(unsigned int nr)
{
	if (syscall((long)nr, 3L, 0L, 0L, 0L, 0L, 0L) < 0 && errno == ENXIO)
		_exit(ATTACK_ENXIO);
}

/* The other worker: answers bytes until there are no more. */
static void
run_echo(unsigned int unused)
{
	char c;

	while (read(JAIL_SOCKET, &c, 1) == 1)
		if (write(JAIL_SOCKET, &c, 1) != 1)
			_exit(1);
	_exit(0);
}

static void
make_pair(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		_exit(1);
}

/* Fork a worker for the job; returns its pid and our end of its socket. */
static pid_t
start(const struct job *job, int *socket_out)
{
	int pair[2], pidfd;
	pid_t pid;

	make_pair(pair);
	pid = jail_fork(&pidfd);
	if (pid < 0)
		_exit(1);
	if (pid == 0) {
		if (jail_worker(pair[1]) < 0)
			_exit(ATTACK_NOT_JAILED);
		if (write(JAIL_SOCKET, "j", 1) != 1)
			_exit(ATTACK_NOT_JAILED);
		job->run(job->arg);
		_exit(ATTACK_RETURNED);
	}
	(void)close(pidfd);
	(void)close(pair[1]);
	*socket_out = pair[0];
	return pid;
}

static void
attempt(enum attack_kind kind, void (*run)(unsigned int), unsigned int index)
{
	const struct job job = {run, index};
	int socket, status = 0;
	pid_t pid = start(&job, &socket);
	char c = 0;
	bool jailed = read(socket, &c, 1) == 1 && c == 'j';

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			_exit(1);
	(void)close(socket);
	record(kind, index, status, jailed);
}

/* jail_zygote, jail_self_test, and what they said. */
static void
enter(const struct jail_zygote_config *config)
{
	struct jail_report report;
	struct buf b = {0}, lines = {0};
	struct err err = {0};
	int rc = jail_zygote(config, JAIL_SOCKET + 1, &report, &err);
	int wrong = rc < 0 ? -1 : jail_self_test(&lines);
	uint32_t n;

	wire_add_u32(&b, (uint32_t)rc);
	wire_add_str(&b, slice_of(err.msg));
	jail_report_put(&report, &b);
	wire_add_u32(&b, (uint32_t)wrong);
	wire_add_str(&b, buf_slice(&lines));
	n = (uint32_t)b.n;
	say(&n, sizeof(n));
	say(b.p, b.n);
	buf_fini(&lines);
	buf_fini(&b);
	if (rc < 0)
		_exit(1);
}

/* The other worker, and whether it let go of a socket that it inherited. */
static void
start_sibling(int *socket_out)
{
	const struct job job = {run_echo, 0};
	struct pollfd hangup;
	int inherited[2];
	char c;

	make_pair(inherited);
	attack_world.sibling = start(&job, socket_out);
	if (read(*socket_out, &c, 1) != 1)
		_exit(1);
	(void)close(inherited[1]);
	hangup = (struct pollfd){inherited[0], POLLIN, 0};
	(void)poll(&hangup, 1, 1000);
	record(ATTACK_CLOSED, 0, 0, (hangup.revents & POLLHUP) != 0);
	(void)close(inherited[0]);
}

/* waitpid(), for a child that should end at once; -1 if it does not. */
static int
wait_a_while(pid_t pid)
{
	int status;

	for (int i = 0; i < 500; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		(void)poll(NULL, 0, 10);
	}
	return -1;
}

/* After everything: is it unharmed, and does it end when we hang up? */
static void
end_sibling(int socket)
{
	char c = 0;
	bool answers =
	    write(socket, "?", 1) == 1 && read(socket, &c, 1) == 1 && c == '?';

	(void)close(socket);
	record(ATTACK_SIBLING, 0, wait_a_while((pid_t)attack_world.sibling),
	    answers);
}

static void
sweep(unsigned int encoding)
{
	for (unsigned int nr = 0; nr < SWEEP_NUMBERS; nr++)
		attempt(ATTACK_SWEEP, run_number, encoding | nr);
}

static unsigned int
reap_the_rest(void)
{
	unsigned int n = 0;

	while (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD)
		if (++n == 1000)
			break;
	return n;
}

_Noreturn void
attack_zygote(const struct jail_zygote_config *config, const char *file)
{
	int sibling;
	char c;

	(void)snprintf(attack_world.file, sizeof(attack_world.file), "%s",
	    file);
	attack_world.zygote = getpid();
	attack_world.heap_bytes = malloc(16);
	enter(config);
	start_sibling(&sibling);
	record(ATTACK_READY, 0, 0, true);
	if (read(JAIL_SOCKET, &c, 1) != 1)
		_exit(1);
	for (unsigned int i = 0; i < attack_calls_n; i++)
		attempt(ATTACK_CALL, run_call, i);
	for (unsigned int i = 0; i < attack_natives_n; i++)
		attempt(ATTACK_NATIVE, run_native, i);
	sweep(0);
	sweep(SWEEP_X32);
	sweep(SWEEP_BIT_31);
	end_sibling(sibling);
	record(ATTACK_LEFT, reap_the_rest(), 0, true);
	_exit(0);
}
