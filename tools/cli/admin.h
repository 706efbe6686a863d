/*
 * admin.h - the client of the admin interface (runtime/admin/API.md).
 *
 * Runs in: cli.
 * Owns:    its connection; a reply owns its body.
 *
 * The only door to libcurl.  The socket is reached through the open state
 * folder (/proc/self/fd/N/admin.sock), so that a path longer than sun_path's
 * 107 bytes works too.  What fails is said on stderr here, once, and comes
 * back as an exit code: these are the ends of commands.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <jansson.h>
#include <stdbool.h>

#define ADMIN_REPLY_MAX 268435456 /* bytes of an answer that is kept */

struct admin;

struct admin_request {
	const char *method; /* NULL: GET */
	const char *path;   /* "/v1/...", with its query */
	struct slice body;
	long timeout_s; /* 0: as long as it takes */
	/* Called with the pieces of a 200 answer instead of keeping them. */
	void (*on_bytes)(struct slice bytes, void *arg);
	void *arg;
};

struct admin_reply {
	long status;
	struct buf body;
};

/*
 * Find the server: state, or $PERILUNE_STATE, or ".perilune" when NULL.
 * Returns NULL after saying that there is none (exit code CLI_UNREACHABLE).
 */
struct admin *admin_open(const char *state);
void admin_close(struct admin *admin); /* NULL is fine */

/* Returns 0 when there was an answer, whatever it is; CLI_UNREACHABLE when
 * not.  The reply is to be given to admin_reply_fini() in both cases. */
int admin_call(struct admin *admin, const struct admin_request *request,
    struct admin_reply *reply_out);
void admin_reply_fini(struct admin_reply *reply);

/* Say on stderr what a problem document (status >= 400) says; CLI_FAILED. */
int admin_problem(const struct admin_reply *reply);

/*
 * As admin_call, but anything other than a 2xx answer is a failure that is
 * said.  json_out may be NULL: then the body is not parsed.
 */
int admin_fetch(struct admin *admin, const struct admin_request *request,
    struct admin_reply *reply_out, json_t **json_out);

/* admin_fetch of a GET, without keeping the text. */
int admin_get(struct admin *admin, const char *path, json_t **json_out);

/* Print the body on stdout as it is, with a newline at its end. */
void admin_print_reply(const struct admin_reply *reply);

/* GET, then admin_print_reply(): --json.  Returns an exit code. */
int admin_print(struct admin *admin, const char *path);

/* Append "?name=value" or "&name=value", escaped; NULL value: nothing. */
void admin_query(struct buf *path, const char *name, const char *value);
void admin_query_number(struct buf *path, const char *name, int64_t value);

/* Append name as one path segment, escaped. */
void admin_segment(struct buf *path, const char *name);

/* Fields of an object: "" or 0 when absent or of another type. */
const char *js_text(const json_t *object, const char *key);
int64_t js_int(const json_t *object, const char *key);
uint64_t js_count(const json_t *object, const char *key);
bool js_is_null(const json_t *object, const char *key);

/* A time: text (RFC 3339) or milliseconds; 0 when it is neither. */
int64_t js_time(const json_t *object, const char *key);
