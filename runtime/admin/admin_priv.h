/*
 * admin_priv.h - what the files of runtime/admin share.
 *
 * Runs in: gateway.
 *
 * admin.c   the server, the table of requests, small answers
 * list.c    functions, workers, invocations, the sandbox
 * invoke.c  POST /v1/invoke
 * ledger.c  usage, uploads, logs: what other threads answer
 */
#pragma once

#include "runtime/admin/admin.h"

struct admin {
	struct admin_world world;
	struct http_server *server;
	struct http_server *metrics_server;
};

/* A request that is answered later: kept as the exchange's context, so that a
 * client that leaves is noticed. */
struct pending {
	struct admin *admin;
	struct http_exchange *x; /* NULL: the client has left */
	void (*on_gone)(struct pending *pending); /* may be NULL */
};

/*
 * A query parameter.  1: it is there; 0: it is not, and the value stays as it
 * was; -1: it is wrong, and the exchange is answered with 400 and what to
 * change.  A filter that is not understood must never become no filter.
 */
int admin_param(struct http_exchange *x, const char *name, char *text,
    size_t bytes);
int admin_param_u64(struct http_exchange *x, const char *name, uint64_t max,
    uint64_t *value); /* more than max is max */
int admin_param_word(struct http_exchange *x, const char *name,
    const char *const *words, size_t *index);

/* Answer 200 with this JSON and empty the buf. */
void admin_reply_json(struct http_exchange *x, struct buf *json);
void admin_reply_error(struct http_exchange *x, unsigned int status,
    const char *reason, const char *detail);

/* "key": in front of a value. */
void admin_key(struct buf *out, const char *key);
void admin_put_string(struct buf *out, const char *key, const char *value);

/* One per line of the table in admin.c; rest: the path after the prefix. */
void admin_functions(struct admin *admin, struct http_exchange *x,
    struct slice rest);
void admin_workers(struct admin *admin, struct http_exchange *x,
    struct slice rest);
void admin_invocations(struct admin *admin, struct http_exchange *x,
    struct slice rest);
void admin_sandbox(struct admin *admin, struct http_exchange *x,
    struct slice rest);
void admin_invoke(struct admin *admin, struct http_exchange *x,
    struct slice rest);
void admin_usage(struct admin *admin, struct http_exchange *x,
    struct slice rest);
void admin_uploads(struct admin *admin, struct http_exchange *x,
    struct slice rest);
void admin_logs(struct admin *admin, struct http_exchange *x,
    struct slice rest);
