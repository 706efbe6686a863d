/*
 * cli.h - the `perilune` command: its table of commands, help, exit codes.
 *
 * Runs in: cli.
 * Owns:    nothing; commands stand in static tables.
 *
 * A command is one line of a table.  The client commands (all that talk to a
 * running server through its admin socket) stand in this folder; a program
 * may put its own table before or after them and hand all to cli_dispatch(),
 * which gives every command the same help, the same hints on a mistyped name
 * and the same exit codes.  Options are parsed with opts.h.
 */
#pragma once

#include <stddef.h>

/* Exit codes, as documented by `perilune help`. */
#define CLI_EXITS(X)                                                      \
	X(OK, 0, "done")                                                  \
	X(FAILED, 1,                                                      \
	    "the operation failed: a function error, no such function")   \
	X(USAGE, 2, "wrong command line; the message says what is wrong") \
	X(DEGRADED, 3, "it works, but degraded (perilune doctor)")        \
	X(UNREACHABLE, 4, "the server cannot be reached, or went away")

enum cli_exit {
#define X(name, code, text) CLI_##name = (code),
	CLI_EXITS(X)
#undef X
};

struct cli_command {
	const char *name;
	const char *usage;   /* "invoke NAME [-d DATA]", without "perilune" */
	const char *summary; /* one line, lower case, no full stop */
	const char *help;    /* options and examples; ends with a newline */
	/* argv[0] is the command's name.  Returns an exit code. */
	int (*run)(int argc, char **argv);
};

/* The client commands, in the order of the help. */
const struct cli_command *cli_client_commands(size_t *n_out);

/*
 * Run the command that argv[1] names.  Knows `help [COMMAND]`, `--help`,
 * `--version` (the command "version") and the hidden `help --markdown` and
 * `help --names` by itself.  The first of two commands of one name wins.
 * Returns the exit code, after stdout was flushed.
 */
int cli_dispatch(const struct cli_command *commands, size_t n, int argc,
    char **argv);

/* cli_dispatch() with the client commands alone. */
int cli_main(int argc, char **argv);

/*
 * Called by `deploy` before anything is copied; NULL: no check.  It says by
 * itself what is wrong; anything but 0 means: do not deploy.
 */
extern int (*cli_check_hook)(const char *path);

/* Called by `version --sandbox`; NULL: there is no such option.  Returns an
 * exit code. */
extern int (*cli_sandbox_version_hook)(void);
