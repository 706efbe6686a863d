/*
 * invoke.h - POST /v1/invoke, for the commands that call functions.
 *
 * Runs in: cli.
 * Owns:    nothing.
 */
#pragma once

#include "sandbox/base/bytes.h"
#include "tools/cli/admin.h"

/* What to call with; NULL: the server's default. */
struct invoke {
	const char *name;
	const char *method; /* upper case */
	const char *path;
	const char *start; /* "warm", "image", "build", "fork" */
	bool whole_event;  /* body is the event, in JSON */
	struct slice body;
};

/* Is this one of the start kinds?  Otherwise says so: CLI_USAGE. */
int invoke_check_start(const char *command, const char *start);

/* As admin_fetch().  A 404 brings a hint on the name. */
int invoke_call(struct admin *admin, const struct invoke *invoke,
    struct admin_reply *reply_out, json_t **json_out);
