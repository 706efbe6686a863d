/*
 * supervisor.h - the first process: holds the sockets, restarts the others.
 *
 * Runs in: supervisor.
 * Owns:    the listening sockets, the directories, the gateway and the zygote.
 *
 *	supervisor --fork--> gateway (drops root; everything else happens there)
 *	           --clone-> zygote  (its control socket is passed to the gateway)
 *
 * It parses nothing that comes from outside.  SIGTERM or SIGINT: the gateway
 * drains, then all end, exit 0; a second one ends all at once.  SIGHUP: the
 * gateway rereads its configuration.  A process that dies is started again, at
 * once the first time, then with back-off.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;

#define SUPERVISOR_LISTEN_MAX	8
/* Exit status of a gateway that will not do better next time. */
#define SUPERVISOR_EXIT_GIVE_UP 78

/* What the supervisor tells the gateway: one byte, 'Z' with the control
 * socket of a new zygote.  The gateway says 'R' when it is ready. */
#define SUPERVISOR_ZYGOTE 'Z'
#define SUPERVISOR_READY  'R'

struct supervisor_config {
	const char *sandbox_program;
	uid_t uid; /* whom gateway and sandbox run as */
	gid_t gid;
	/* The gateway's life, in its own process, root given up; fd: the
	 * socket to the supervisor.  Returns its exit status. */
	int (*gateway)(int fd, void *arg);
	void *arg;
};

/* Returns the exit status of the program. */
int supervisor_run(const struct supervisor_config *config);

/*
 * Show as `text` in ps.  The bytes of argv and of the environment are used for
 * it; prepare, called first thing in main(), moves the environment elsewhere.
 */
void supervisor_prepare_title(int argc, char **argv);
void supervisor_set_title(const char *text);
