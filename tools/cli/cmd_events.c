/*
 * cmd_events.c - invocations, uploads: what was run and what became of it.
 *
 * Runs in: cli.
 */
#include "tools/cli/cli_priv.h"

#include "tools/cli/human.h"
#include "tools/cli/term.h"

#include <inttypes.h>
#include <stdio.h>

static void
add_record(struct table *table, const json_t *r)
{
	const json_t *start = json_object_get(r, "start");
	const char *outcome = js_text(r, "outcome");
	bool ok = strcmp(outcome, "ok") == 0;

	term_table_add(table, TERM_PLAIN, "%s",
	    human_time(js_time(r, "time")).text);
	term_table_add(table, TERM_DIM, "%s", js_text(r, "request_id"));
	term_table_add(table, TERM_PLAIN, "%s@%" PRIu64, js_text(r, "function"),
	    js_count(r, "version"));
	term_table_add(table, TERM_PLAIN, "%s", js_text(r, "source"));
	term_table_add(table, TERM_PLAIN, "%s", js_text(start, "kind"));
	term_table_add(table, TERM_PLAIN, "%s", js_text(start, "cause"));
	term_table_add(table, ok ? TERM_GREEN : TERM_RED, "%s", outcome);
	term_table_add(table, TERM_PLAIN, "%" PRId64, js_int(r, "status"));
	term_table_add(table, TERM_PLAIN, "%s",
	    human_us(js_count(json_object_get(r, "us"), "handler")).text);
	term_table_add(table, TERM_PLAIN, "%" PRIu64 " ms",
	    js_count(r, "billed_ms"));
	term_table_add(table, TERM_PLAIN, "%s",
	    human_bytes(js_count(r, "peak_kb") * 1024).text);
	if (!ok)
		term_table_note(table, TERM_DIM, "%s%s%s", js_text(r, "reason"),
		    js_text(r, "failed_by")[0] == '\0' ? "" : ", failed by ",
		    js_text(r, "failed_by"));
}

static void
show_invocations(const json_t *answer)
{
	const json_t *records = json_object_get(answer, "records");
	struct table *table =
	    term_table_new("TIME|REQUEST|FUNCTION|SOURCE|START|"
			   "CAUSE|OUTCOME|>STATUS|>HANDLER|"
			   ">BILLED|>PEAK");
	const json_t *record;
	size_t i;

	json_array_foreach(records, i, record) add_record(table, record);
	if (i > 0)
		term_table_print(table, stdout);
	else
		term_printf(stderr, TERM_PLAIN,
		    "No invocations since the server started.\n");
	term_table_free(table);
}

static int
run_invocations(int argc, char **argv)
{
	const char *state = NULL;
	bool json = false;
	uint64_t count = 20;
	struct buf path = {0};
	const struct opt opts[] = {
	    OPT_STATE(&state),
	    OPT_JSON(&json),
	    {"lines", 'n', OPT_NUMBER, &count, 1, 10000},
	};
	int rc = opts_parse(OPTS(opts), &argc, argv, 0, 1, "NAME");

	if (rc != 0)
		return rc;
	buf_puts(&path, "/v1/invocations");
	admin_query(&path, "function", argc > 1 ? argv[1] : NULL);
	admin_query_number(&path, "lines", (int64_t)count);
	return cli_show(state, json, &path, show_invocations);
}

static void
add_event(struct table *table, const json_t *e)
{
	const char *state = js_text(e, "state");
	bool failed = strcmp(state, "failed") == 0;

	term_table_add(table, TERM_DIM, "%" PRIu64, js_count(e, "id"));
	term_table_add(table, TERM_PLAIN, "%s",
	    human_time(js_time(e, "accepted_ms")).text);
	term_table_add(table, TERM_PLAIN, "%s", js_text(e, "function"));
	term_table_add(table, TERM_PLAIN, "%s", js_text(e, "file"));
	term_table_add(table, TERM_PLAIN, "%s",
	    human_bytes(js_count(e, "bytes")).text);
	term_table_add(table,
	    failed			     ? TERM_RED
		: strcmp(state, "done") == 0 ? TERM_GREEN
					     : TERM_YELLOW,
	    "%s", state);
	term_table_add(table, TERM_PLAIN, "%" PRIu64, js_count(e, "attempts"));
	if (js_text(e, "error")[0] == '\0')
		return;
	if (strcmp(state, "accepted") == 0)
		term_table_note(table, TERM_YELLOW, "%s (again at %s)",
		    js_text(e, "error"),
		    human_time(js_time(e, "run_at_ms")).text);
	else
		term_table_note(table, TERM_RED, "%s", js_text(e, "error"));
}

static void
show_refused(const json_t *refused)
{
	struct table *table = term_table_new("REFUSED|FILE|WHY");
	const json_t *one;
	size_t i;

	(void)fputc('\n', stdout);
	json_array_foreach(refused, i, one)
	{
		term_table_add(table, TERM_PLAIN, "%s",
		    human_time(js_time(one, "time_ms")).text);
		term_table_add(table, TERM_PLAIN, "%s", js_text(one, "file"));
		term_table_add(table, TERM_RED, "%s", js_text(one, "why"));
	}
	term_table_print(table, stdout);
	term_table_free(table);
}

static void
show_uploads(const json_t *answer)
{
	const json_t *refused = json_object_get(answer, "refused");
	struct table *table =
	    term_table_new(">ID|ACCEPTED|FUNCTION|FILE|>SIZE|STATE|>TRIES");
	const json_t *event;
	size_t i;

	json_array_foreach(json_object_get(answer, "events"), i, event)
	    add_event(table, event);
	if (i > 0)
		term_table_print(table, stdout);
	else
		term_printf(stderr, TERM_PLAIN, "No uploads.\n");
	term_table_free(table);
	if (json_array_size(refused) > 0)
		show_refused(refused);
}

static int
run_uploads(int argc, char **argv)
{
	const char *state = NULL, *function = NULL;
	bool json = false, failed = false;
	uint64_t count = 100;
	struct buf path = {0};
	const struct opt opts[] = {
	    OPT_STATE(&state),
	    OPT_JSON(&json),
	    {"function", 0, OPT_TEXT, &function, 0, 0},
	    {"failed", 0, OPT_FLAG, &failed, 0, 0},
	    {"lines", 'n', OPT_NUMBER, &count, 1, 10000},
	};
	int rc = opts_parse(OPTS(opts), &argc, argv, 0, 0, "");

	if (rc != 0)
		return rc;
	buf_puts(&path, "/v1/uploads");
	admin_query(&path, "function", function);
	admin_query(&path, "state", failed ? "failed" : NULL);
	admin_query_number(&path, "limit", (int64_t)count);
	return cli_show(state, json, &path, show_uploads);
}

const struct cli_command cmd_invocations = {"invocations",
    "invocations [NAME] [-n COUNT] [--json] [--state DIR]",
    "list the latest calls: start, outcome, time, bill",
    "Options:\n"
    "  -n, --lines N     so many, newest first (default 20)\n" HELP_JSON
	HELP_STATE
    "\nA start is warm, image, build or fork; its cause is first, from_zero, "
    "scale_out,\nreplace or deploy.\n"
    "\nExamples:\n"
    "  perilune invocations\n"
    "  perilune invocations hello -n 100 --json | jq '.records[].us'\n",
    run_invocations};

const struct cli_command cmd_uploads = {"uploads",
    "uploads [--function NAME] [--failed] [-n COUNT] [--json] [--state DIR]",
    "list the files that arrived and what became of each",
    "Options:\n"
    "  --function NAME   only files for this function\n"
    "  --failed          only those whose last attempt failed\n"
    "  -n, --lines N     so many, newest first (default 100)\n" HELP_JSON
	HELP_STATE
    "\nA failing function is tried three times; then its event is kept as "
    "failed.  Files\nthat were refused (links, special files) are listed with "
    "the reason.\n"
    "\nExamples:\n"
    "  perilune uploads\n"
    "  perilune uploads --failed --function report\n",
    run_uploads};
