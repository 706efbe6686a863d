/*
 * cmd_logs.c - logs: what functions and platform wrote.
 *
 * Runs in: cli.
 *
 * Lines come as a stream of JSON objects.  A message may contain anything a
 * function likes to print: its newlines are indented, so that it cannot pass
 * for a log line of its own.
 */
#include "tools/cli/cli_priv.h"

#include "tools/cli/human.h"
#include "tools/cli/term.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1048576 /* a longer line is cut */

struct lines {
	struct buf line; /* the beginning of the next line */
	bool raw;	 /* print as it comes: --json */
	uint64_t count;
};

static enum term_colour
level_colour(const char *level)
{
	if (strcmp(level, "error") == 0)
		return TERM_RED;
	if (strcmp(level, "warn") == 0)
		return TERM_YELLOW;
	return strcmp(level, "debug") == 0 ? TERM_DIM : TERM_PLAIN;
}

static void
print_message(const char *message, enum term_colour colour)
{
	for (;;) {
		size_t n = strcspn(message, "\n");

		term_put(stdout, colour, TERM_ONE_LINE, slice_from(message, n));
		if (message[n] == '\0' || message[n + 1] == '\0')
			return;
		(void)fputs("\n    | ", stdout);
		message += n + 1;
	}
}

static void
print_fields(json_t *fields)
{
	const char *name;
	json_t *value;

	json_object_foreach(fields, name, value)
	{
		char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

		(void)fputc(' ', stdout);
		term_put(stdout, TERM_DIM, TERM_ONE_LINE, slice_of(name));
		(void)fputc('=', stdout);
		term_put(stdout, TERM_PLAIN, TERM_ONE_LINE, slice_of(text));
		free(text);
	}
}

/* The record of a call is long: here what one looks for; --json has it all. */
static void
print_record(const json_t *record)
{
	const json_t *start = json_object_get(record, "start");
	const json_t *us = json_object_get(record, "us");

	(void)fputc(' ', stdout);
	term_put(stdout, TERM_PLAIN, TERM_ONE_LINE,
	    slice_of(js_text(record, "outcome")));
	if (js_text(record, "reason")[0] != '\0') {
		(void)fputc(' ', stdout);
		term_put(stdout, TERM_RED, TERM_ONE_LINE,
		    slice_of(js_text(record, "reason")));
	}
	term_printf(stdout, TERM_PLAIN, " %" PRIu64 ", ",
	    js_count(record, "status"));
	term_put(stdout, TERM_PLAIN, TERM_ONE_LINE,
	    slice_of(js_text(start, "kind")));
	term_printf(stdout, TERM_PLAIN,
	    " start, handler %" PRIu64 " us, billed %" PRIu64 " ms",
	    js_count(us, "handler"), js_count(record, "billed_ms"));
}

/* The line that a call leaves behind, and not one that says "invocation". */
static bool
is_record(const json_t *line)
{
	const json_t *fields = json_object_get(line, "fields");

	return strcmp(js_text(line, "message"), "invocation") == 0 &&
	    json_is_object(json_object_get(fields, "start")) &&
	    json_is_object(json_object_get(fields, "us"));
}

static void
print_who(const json_t *line)
{
	const char *function = js_text(line, "function");
	uint64_t version = js_count(line, "version");
	struct buf who = {0};

	buf_puts(&who, function[0] == '\0' ? "perilune" : function);
	if (function[0] != '\0' && version != 0)
		buf_addf(&who, "@%" PRIu64, version);
	term_put(stdout, TERM_BOLD, TERM_ONE_LINE, buf_slice(&who));
	buf_fini(&who);
}

static void
print_line(const json_t *line)
{
	const char *level = js_text(line, "level");
	const char *id = js_text(line, "request_id");

	term_put(stdout, TERM_DIM, TERM_ONE_LINE,
	    slice_of(human_time_ms(js_time(line, "time")).text));
	(void)fputc(' ', stdout);
	term_printf(stdout, level_colour(level), "%-5s", level);
	(void)fputc(' ', stdout);
	print_who(line);
	(void)fputc(' ', stdout);
	print_message(js_text(line, "message"), level_colour(level));
	if (is_record(line))
		print_record(json_object_get(line, "fields"));
	else
		print_fields(json_object_get(line, "fields"));
	if (id[0] != '\0') {
		(void)fputc(' ', stdout);
		term_put(stdout, TERM_DIM, TERM_ONE_LINE, slice_of(id));
	}
	(void)fputc('\n', stdout);
}

static void
on_line(struct lines *lines)
{
	json_t *line =
	    json_loadb(lines->line.p, lines->line.n, JSON_ALLOW_NUL, NULL);

	if (lines->line.n == 0)
		return;
	lines->count++;
	if (json_is_object(line)) {
		print_line(line);
	} else {
		term_put(stdout, TERM_PLAIN, TERM_ONE_LINE,
		    buf_slice(&lines->line));
		(void)fputc('\n', stdout);
	}
	json_decref(line);
	buf_reset(&lines->line, 65536);
}

/* Flushed at every piece: Ctrl-C may end us between two of them. */
static void
on_bytes(struct slice bytes, void *arg)
{
	struct lines *lines = arg;

	lines->count += lines->raw && bytes.n > 0;
	for (size_t i = 0; i < bytes.n && !lines->raw; i++) {
		if (bytes.p[i] == '\n')
			on_line(lines);
		else if (lines->line.n < LINE_MAX_BYTES)
			buf_putc(&lines->line, bytes.p[i]);
	}
	if (lines->raw)
		(void)fwrite(bytes.p, 1, bytes.n, stdout);
	(void)fflush(stdout);
}

static void
on_interrupt(int signal)
{
	_exit(CLI_OK);
}

/* While following, Ctrl-C is the way to end, not a failure. */
static void
end_well_when_interrupted(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

static int
stream(const char *state, const char *path, bool follow, struct lines *lines)
{
	struct admin *admin = admin_open(state);
	struct admin_request request = {.path = path,
	    .timeout_s = follow ? 0 : 30,
	    .on_bytes = on_bytes,
	    .arg = lines};
	struct admin_reply reply;
	int rc;

	if (admin == NULL)
		return CLI_UNREACHABLE;
	if (follow)
		end_well_when_interrupted();
	rc = admin_fetch(admin, &request, &reply, NULL);
	on_line(lines);
	if (rc == 0 && follow) {
		term_error("the server closed the stream: it is stopping");
		rc = CLI_UNREACHABLE;
	} else if (rc == 0 && lines->count == 0) {
		term_printf(stderr, TERM_PLAIN, "No log lines.\n");
	}
	admin_reply_fini(&reply);
	admin_close(admin);
	return rc;
}

static int
run_logs(int argc, char **argv)
{
	const char *state = NULL;
	bool follow = false;
	uint64_t count = 100;
	struct lines lines = {0};
	struct buf path = {0};
	const struct opt opts[] = {
	    OPT_STATE(&state),
	    OPT_JSON(&lines.raw),
	    {"follow", 'f', OPT_FLAG, &follow, 0, 0},
	    {"lines", 'n', OPT_NUMBER, &count, 0, 100000},
	};
	int rc = opts_parse(OPTS(opts), &argc, argv, 0, 1, "NAME");

	if (rc != 0)
		return rc;
	buf_puts(&path, "/v1/logs");
	admin_query(&path, "function", argc > 1 ? argv[1] : NULL);
	admin_query_number(&path, "lines", (int64_t)count);
	admin_query(&path, "follow", follow ? "1" : NULL);
	buf_putc(&path, '\0');
	rc = stream(state, path.p, follow, &lines);
	buf_fini(&lines.line);
	buf_fini(&path);
	return rc;
}

const struct cli_command cmd_logs = {"logs",
    "logs [NAME] [-f] [-n LINES] [--json] [--state DIR]",
    "print the log of one function, or of all and the platform",
    "Options:\n"
    "  -f, --follow      go on with new lines until Ctrl-C (exit code 0); 4 "
    "when the\n"
    "                    server goes away\n"
    "  -n, --lines N     begin with the last N lines (default 100)\n"
    "  --json            one JSON object per line, as the server sends "
    "it\n" HELP_STATE
    "\nA line: local time, level, function@version, message, fields, request "
    "id.\nFurther lines of one message begin with \"    | \".  Of the record "
    "that a\n"
    "call leaves, the line has the outcome, start and bill; --json has all of "
    "it.\n"
    "\nExamples:\n"
    "  perilune logs\n"
    "  perilune logs hello -f\n"
    "  perilune logs -n 1000 --json | jq 'select(.level == \"error\")'\n",
    run_logs};
