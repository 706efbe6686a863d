/*
 * ping.c - one byte there and back between two processes over a socket pair.
 *
 * Runs in: tests.
 *
 * usage: ping ROUNDS CORE CORE; a core of -1 is not pinned.  Prints the median
 * and the 99th percentile in microseconds.  No design with a process per
 * function answers a lone request faster than this.
 */
#include "tests/bench/floor/floor.h"

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void
pin(int core)
{
	cpu_set_t set;

	if (core < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		floor_die("sched_setaffinity");
}

static void
echo(int fd)
{
	char byte;

	while (read(fd, &byte, 1) == 1)
		if (write(fd, &byte, 1) != 1)
			break;
}

static void
measure(int fd, double *us, size_t rounds)
{
	char byte = 'x';

	for (size_t i = 0; i < rounds; i++) {
		double begin = floor_us();

		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			floor_die("ping");
		us[i] = floor_us() - begin;
	}
}

int
main(int argc, char **argv)
{
	size_t rounds = floor_count(argc, argv, 1, 20000);
	double *us = floor_samples(rounds);
	int fd[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0)
		floor_die("socketpair");
	child = fork();
	if (child < 0)
		floor_die("fork");
	if (child == 0) {
		(void)close(fd[0]);
		pin(argc > 3 ? atoi(argv[3]) : -1);
		echo(fd[1]);
		_exit(0);
	}
	(void)close(fd[1]);
	pin(argc > 2 ? atoi(argv[2]) : -1);
	measure(fd[0], us, rounds);
	(void)close(fd[0]);
	(void)waitpid(child, NULL, 0);
	floor_show(us, rounds);
	free(us);
	return 0;
}
