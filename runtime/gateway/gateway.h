/*
 * gateway.h - the one that knows everybody: clients, functions, workers,
 * state.
 *
 * Runs in: gateway.
 * Owns:    everything that it makes; the descriptors in its configuration.
 */
#pragma once

#include "runtime/policy/settings.h"
#include "runtime/supervisor/supervisor.h"

#include <stdbool.h>
#include <stddef.h>

struct gateway_config {
	struct settings settings;
	const char *config_path; /* NULL: none; reread at SIGHUP */
	const char *start_path;	 /* from where paths in it are read */
	int listen_fds[SUPERVISOR_LISTEN_MAX];
	const char *listen_names[SUPERVISOR_LISTEN_MAX]; /* "127.0.0.1:8080" */
	size_t nlisten;
	int admin_fd;
	int metrics_fd; /* -1: none */
	int functions_fd;
	int state_fd;
	int uploads_fd;
	const char *functions_path; /* what people call them */
	const char *state_path;
	const char *uploads_path;
	unsigned int allowed; /* bits: layers of the jail that may be missing */
	bool dev;
};

/* The gateway's life; supervisor_fd as in supervisor.h.  Returns the exit
 * status.  Called after root is given up. */
int gateway_run(const struct gateway_config *config, int supervisor_fd);
