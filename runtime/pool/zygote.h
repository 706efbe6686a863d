/*
 * zygote.h - start the sandbox program.
 *
 * Runs in: supervisor, cli.
 * Owns:    nothing; process and descriptor become the caller's.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct err;

struct zygote_config {
	const char *program; /* path of perilune-sandbox */
	uid_t uid;	     /* whom zygote and workers run as */
	gid_t gid;
};

/*
 * Start the program in a pid namespace of its own (and a user namespace when
 * we are not root), with an empty environment and one descriptor.  Where the
 * host does not allow the namespaces it is started without: the program then
 * reports those layers as missing, and the gateway decides.  Call it from a
 * process without threads.  *control_out: our end of the control socket,
 * close-on-exec, non-blocking.
 */
int zygote_start(const struct zygote_config *config, pid_t *pid_out,
    int *control_out, struct err *err);

/* The sandbox program that belongs to the running one: beside it, or in the
 * libexec folder.  path_out has room for `bytes`. */
int zygote_program(char *path_out, size_t bytes, struct err *err);

/* The uid and gid of `name`, when we are root; else our own.  Refuses root. */
int zygote_identity(const char *name, uid_t *uid_out, gid_t *gid_out,
    struct err *err);
