/*
 * spawn.c - fork, a byte from the child, exit, wait: what a process per start
 * costs at least.  Linked statically, as the sandbox program is.
 *
 * Runs in: tests.
 *
 * usage: spawn ROUNDS.  The time is until the child's byte has arrived.
 */
#include "tests/bench/floor/floor.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static double
once(int fd[2])
{
	char byte = 'x';
	double begin = floor_us(), end;
	pid_t child = fork();

	if (child < 0)
		floor_die("fork");
	if (child == 0)
		_exit(write(fd[1], &byte, 1) == 1 ? 0 : 1);
	if (read(fd[0], &byte, 1) != 1)
		floor_die("read");
	end = floor_us();
	(void)waitpid(child, NULL, 0);
	return end - begin;
}

int
main(int argc, char **argv)
{
	size_t rounds = floor_count(argc, argv, 1, 1000);
	double *us = floor_samples(rounds);
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0)
		floor_die("socketpair");
	for (size_t i = 0; i < rounds; i++)
		us[i] = once(fd);
	floor_show(us, rounds);
	free(us);
	return 0;
}
