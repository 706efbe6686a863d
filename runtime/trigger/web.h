/*
 * web.h - the HTTP trigger: requests become calls, results become responses.
 *
 * Runs in: gateway.
 * Owns:    the public HTTP server, the requests that wait for their call.
 *
 * Every response of an invocation carries its receipt (switchable): the
 * phases in Server-Timing, Perilune-Start, Perilune-Billed-Ms,
 * Perilune-Peak-Kb.  What the handler did not make is a problem document that
 * says who failed.
 */
#pragma once

#include "runtime/call/call.h"
#include "runtime/fn/catalog.h"
#include "runtime/http/http.h"

struct loop;
struct web;

struct web_config {
	struct http_limits limits;
	bool receipts;
	bool dev; /* tracebacks to the caller */
	/* A response was made that no invocation made: for counting. */
	void (
	    *on_refused)(const char *failed_by, const char *reason, void *arg);
	void *arg;
};

struct web *web_new(struct loop *loop, struct catalog *catalog,
    struct calls *calls, const struct web_config *config);
void web_set_config(struct web *web, const struct web_config *config);

/* Serve on this descriptor; until then, and while !ready, /readyz is 503. */
void web_listen(struct web *web, int fd);
void web_set_ready(struct web *web, bool ready);

struct http_server *web_server(struct web *web);

/* Put an HTTP event's fields (PROTOCOL.md); what `perilune invoke` sends
 * looks like this too. */
struct web_event {
	struct slice method;
	struct slice path;
	struct slice raw_query;
	struct slice remote_addr;
	const struct catalog_param *params;
	size_t nparams;
	const struct http_header *headers;
	size_t nheaders;
	struct slice body;
};
void web_put_event(struct buf *out, const struct web_event *event);

void web_free(struct web *web);
