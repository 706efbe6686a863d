/*
 * admin.h - the admin interface: JSON over HTTP on a Unix socket.
 *
 * Runs in: gateway.
 * Owns:    its HTTP server and the requests that wait for an answer.
 *
 * API.md beside this file is the contract; the `perilune` client commands are
 * its first user.  Whoever can open the socket (mode 0600) may do everything.
 */
#pragma once

#include "runtime/call/call.h"
#include "runtime/fn/catalog.h"
#include "runtime/meter/meter.h"
#include "runtime/stat/logbook.h"
#include "runtime/stat/metrics.h"
#include "runtime/stat/recent.h"
#include "runtime/store/store.h"
#include "runtime/trigger/upload.h"
#include "runtime/trigger/web.h"

struct admin;

/* What it shows and acts on; all borrowed, for the life of the admin. */
struct admin_world {
	struct loop *loop;
	struct catalog *catalog;
	struct calls *calls;
	struct meter *meter;
	struct store *store;
	struct uploads *uploads;
	struct logbook *logbook;
	struct metrics *metrics;
	struct recent *recent;
	struct web *web;
	const struct jail_report *report; /* of the newest zygote */
	const struct buf *self_test;	  /* its lines */
	const unsigned int *allowed; /* layers allowed to be missing, bits */
	const bool *ready;
	const char *state_path;
	const char *functions_path;
	const char *uploads_path;
	const char *listen; /* JSON array */
	int64_t started_ms;
	bool dev;
	/* Metrics that are kept elsewhere: bring them up to date. */
	void (*before_metrics)(void *arg);
	void *arg;
};

struct admin *admin_new(const struct admin_world *world,
    const struct http_limits *limits);
void admin_listen(struct admin *admin, int fd);

/* Serve only /metrics on this descriptor (a loopback port). */
void admin_listen_metrics(struct admin *admin, int fd);
void admin_free(struct admin *admin);
