/*
 * cmd_usage.c - usage: what was used and what it cost.
 *
 * Runs in: cli.
 */
#include "tools/cli/cli_priv.h"

#include "sandbox/base/clock.h"
#include "tools/cli/human.h"
#include "tools/cli/term.h"

#include <inttypes.h>
#include <stdio.h>

/* The API's fields in its order; is a number, or text (exact decimals). */
static const struct {
	const char *name;
	bool number;
} fields[] = {{"invocations", true}, {"errors", true}, {"cold", true},
    {"billed_ms", true}, {"gb_s", false}, {"cpu_ms", true}, {"bytes_in", true},
    {"bytes_out", true}, {"cost", false}};

#define NFIELDS (sizeof(fields) / sizeof(fields[0]))

/* RFC 4180, with the newline that tools here expect. */
static void
csv_text(struct buf *out, const char *text)
{
	if (strpbrk(text, ",\"\r\n") == NULL) {
		buf_puts(out, text);
		return;
	}
	buf_putc(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"')
			buf_putc(out, '"');
		buf_putc(out, *text);
	}
	buf_putc(out, '"');
}

static void
csv_row(struct buf *out, const json_t *row, const json_t *answer)
{
	csv_text(out, js_text(row, "key"));
	for (size_t i = 0; i < NFIELDS; i++) {
		buf_putc(out, ',');
		if (fields[i].number)
			buf_addf(out, "%" PRId64, js_int(row, fields[i].name));
		else
			csv_text(out, js_text(row, fields[i].name));
	}
	buf_putc(out, ',');
	csv_text(out, js_text(answer, "currency"));
	buf_putc(out, ',');
	csv_text(out, js_text(answer, "card"));
	buf_putc(out, '\n');
}

static void
show_csv(const json_t *answer)
{
	struct buf out = {0};
	const json_t *row;
	size_t i;

	buf_puts(&out, "key");
	for (i = 0; i < NFIELDS; i++)
		buf_addf(&out, ",%s", fields[i].name);
	buf_puts(&out, ",currency,card\n");
	json_array_foreach(json_object_get(answer, "rows"), i, row)
	    csv_row(&out, row, answer);
	(void)fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
}

static void
add_row(struct table *table, const json_t *row, const char *key,
    enum term_colour colour)
{
	uint64_t errors = js_count(row, "errors");

	term_table_add(table, colour, "%s", key);
	term_table_add(table, colour, "%s",
	    human_count(js_count(row, "invocations")).text);
	term_table_add(table, errors > 0 ? TERM_RED : colour, "%s",
	    human_count(errors).text);
	term_table_add(table, colour, "%s",
	    human_count(js_count(row, "cold")).text);
	term_table_add(table, colour, "%s",
	    human_ms(js_count(row, "billed_ms")).text);
	term_table_add(table, colour, "%s", js_text(row, "gb_s"));
	term_table_add(table, colour, "%s",
	    human_ms(js_count(row, "cpu_ms")).text);
	term_table_add(table, colour, "%s",
	    human_bytes(js_count(row, "bytes_in")).text);
	term_table_add(table, colour, "%s",
	    human_bytes(js_count(row, "bytes_out")).text);
	term_table_add(table, colour, "%s", js_text(row, "cost"));
}

static void
show(const json_t *answer, const char *head)
{
	const json_t *rows = json_object_get(answer, "rows");
	struct buf heads = {0};
	struct table *table;
	const json_t *row;
	size_t i;

	buf_addf(&heads,
	    "%s|>CALLS|>ERRORS|>COLD|>BILLED|>GB-S|>CPU|>IN|>OUT|"
	    ">COST %s%c",
	    head, js_text(answer, "currency"), '\0');
	table = term_table_new(heads.p);
	json_array_foreach(rows, i, row)
	    add_row(table, row, js_text(row, "key"), TERM_PLAIN);
	add_row(table, json_object_get(answer, "total"), "total", TERM_BOLD);
	term_table_print(table, stdout);
	term_printf(stdout, TERM_DIM, "price card: %s\n",
	    js_text(answer, "card"));
	term_table_free(table);
	buf_fini(&heads);
}

static void
show_functions(const json_t *answer)
{
	show(answer, "FUNCTION");
}

static void
show_days(const json_t *answer)
{
	show(answer, "DAY (UTC)");
}

static void
show_hours(const json_t *answer)
{
	show(answer, "HOUR (UTC)");
}

struct asked {
	const char *function, *since, *until, *by;
	bool json, csv;
};

static int
add_time(struct buf *path, const char *name, const char *text)
{
	int64_t wall_ms;

	if (text == NULL)
		return CLI_OK;
	if (!human_parse_since(text, clock_wall_ms(), &wall_ms)) {
		term_error("usage: --%s: \"%s\" is no time: 30m, 12h, 2d, 1w, "
			   "today, yesterday, 2026-11-01 or "
			   "2026-11-01T12:30",
		    name, text);
		return CLI_USAGE;
	}
	admin_query_number(path, name, wall_ms);
	return CLI_OK;
}

static int
build_path(const struct asked *asked, struct buf *path)
{
	int rc;

	if (strcmp(asked->by, "function") != 0 &&
	    strcmp(asked->by, "day") != 0 && strcmp(asked->by, "hour") != 0) {
		term_error("usage: --by must be function, day or hour, not "
			   "\"%s\"",
		    asked->by);
		return CLI_USAGE;
	}
	if (asked->json && asked->csv) {
		term_error("usage: --json and --csv exclude each other");
		return CLI_USAGE;
	}
	buf_puts(path, "/v1/usage");
	admin_query(path, "function", asked->function);
	admin_query(path, "by", asked->by);
	rc = add_time(path, "since", asked->since);
	return rc != 0 ? rc : add_time(path, "until", asked->until);
}

static int
run_usage(int argc, char **argv)
{
	const char *state = NULL;
	struct asked asked = {.by = "function"};
	struct buf path = {0};
	const struct opt opts[] = {
	    OPT_STATE(&state),
	    OPT_JSON(&asked.json),
	    {"csv", 0, OPT_FLAG, &asked.csv, 0, 0},
	    {"function", 0, OPT_TEXT, &asked.function, 0, 0},
	    {"since", 0, OPT_TEXT, &asked.since, 0, 0},
	    {"until", 0, OPT_TEXT, &asked.until, 0, 0},
	    {"by", 0, OPT_TEXT, &asked.by, 0, 0},
	};
	int rc = opts_parse(OPTS(opts), &argc, argv, 0, 0, "");

	if (rc == 0)
		rc = build_path(&asked, &path);
	if (rc != 0) {
		buf_fini(&path);
		return rc;
	}
	return cli_show(state, asked.json, &path,
	    asked.csv				? show_csv
		: strcmp(asked.by, "day") == 0	? show_days
		: strcmp(asked.by, "hour") == 0 ? show_hours
						: show_functions);
}

const struct cli_command cmd_usage = {"usage",
    "usage [--function NAME] [--since TIME] [--until TIME] "
    "[--by day|hour|function]\n"
    "               [--json | --csv] [--state DIR]",
    "sum up calls, billed time and cost",
    "Options:\n"
    "  --function NAME   only this function\n"
    "  --since TIME      30m, 12h, 2d, 1w (so long ago), today, yesterday,\n"
    "                    2026-11-01, 2026-11-01T12:30 (local; with a Z: UTC);\n"
    "                    default: all there is\n"
    "  --until TIME      likewise; default: now\n"
    "  --by WHAT         a row per function (default), day or hour (UTC)\n"
    "  --csv             comma-separated values with a head line, no "
    "total\n" HELP_JSON HELP_STATE
    "\nBilled is handler time, each call rounded up to 1 ms, and init time "
    "where the call\nwaited for it.  Costs are exact, by the price card that "
    "is "
    "named.\n"
    "\nExamples:\n"
    "  perilune usage\n"
    "  perilune usage --since today --by hour\n"
    "  perilune usage --since 2026-11-01 --by day --csv > november.csv\n",
    run_usage};
