/*
 * cli_priv.h - what the files of this folder share and nobody else needs.
 *
 * Runs in: cli.
 * Owns:    nothing.
 */
#pragma once

#include "sandbox/base/bytes.h"
#include "tools/cli/admin.h"
#include "tools/cli/cli.h"
#include "tools/cli/opts.h"

/* Options that client commands share, for their tables and their help. */
#define OPT_STATE(out)                            \
	{                                         \
		"state", 0, OPT_TEXT, (out), 0, 0 \
	}
#define OPT_JSON(out)                            \
	{                                        \
		"json", 0, OPT_FLAG, (out), 0, 0 \
	}
#define HELP_STATE                                                 \
	"  --state DIR       the server's state folder (default: " \
	"$PERILUNE_STATE,\n"                                       \
	"                    then .perilune in the current folder)\n"
#define HELP_JSON "  --json            print the server's JSON as it is\n"

extern const struct cli_command cmd_new, cmd_deploy, cmd_ls, cmd_describe,
    cmd_ps, cmd_invoke, cmd_logs, cmd_usage, cmd_coldstart, cmd_invocations,
    cmd_uploads, cmd_info, cmd_version;

/*
 * A command that is no more than one GET: open, then print the JSON as it is
 * or show it.  Takes path's bytes.  Returns an exit code.
 */
int cli_show(const char *state, bool json, struct buf *path,
    void (*show)(const json_t *answer));

/*
 * GET /v1/functions/NAME.  When there is none, says so with the name that was
 * probably meant.
 */
int cli_function(struct admin *admin, const char *name, json_t **json_out);

/* To be called after a 404 for this function: "did you mean hello?" */
void cli_hint_function(struct admin *admin, const char *name);

/* The bytes that -d gives: DATA, @FILE, or @- for stdin.  0 or an exit code. */
int cli_data(const char *given, struct buf *out);

/* The whole file, or stdin for "-".  0 or an exit code. */
int cli_read_file(const char *path, struct buf *out);

/* As cli_function(), but print the JSON as it is. */
int cli_print_function(struct admin *admin, const char *name);
