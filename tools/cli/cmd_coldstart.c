/*
 * cmd_coldstart.c - coldstart: take a function to zero, call it, many times.
 *
 * Runs in: cli.
 *
 * The server brings the function into the state that makes the next start be
 * of the wanted kind; the times are those of its records, so what is shown is
 * what is billed and counted, without this program's own time.
 */
#include "tools/cli/coldstart.h"

#include "sandbox/base/clock.h"
#include "tools/cli/cli_priv.h"
#include "tools/cli/invoke.h"
#include "tools/cli/term.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define KINDS_MAX	  4
#define PROGRESS_AFTER_US 1000000
#define PROGRESS_EVERY_US 200000
#define WARM		  "warm"

struct measure {
	struct admin *admin;
	struct invoke invoke;
	uint64_t calls;			  /* per kind */
	struct samples series[KINDS_MAX]; /* warm is the last one */
	size_t nseries;
	uint64_t began_us, shown_us; /* shown: 0 when there was no progress */
};

/* "image", "image,fork" or "all" into series, then warm. */
static int
choose_kinds(struct measure *measure, const char *kinds)
{
	static const char *const known[] = {"image", "build", "fork"};
	bool all = strcmp(kinds, "all") == 0;
	const char *p = kinds;
	size_t found = 0, commas = 0;

	for (; *p != '\0'; p++)
		commas += *p == ',';
	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(known[i]);
		bool wanted = all;

		for (p = kinds; p != NULL; p = strchr(p, ',')) {
			p += *p == ',';
			wanted |= strncmp(p, known[i], n) == 0 &&
			    (p[n] == ',' || p[n] == '\0');
		}
		if (wanted) {
			found++;
			samples_init(&measure->series[measure->nseries++],
			    known[i]);
		}
	}
	samples_init(&measure->series[measure->nseries++], WARM);
	if (all || strcmp(kinds, WARM) == 0 || found == commas + 1)
		return CLI_OK;
	term_error("coldstart: --kind must be image, build, fork, warm or all "
		   "(or some, with commas), not \"%s\"",
	    kinds);
	return CLI_USAGE;
}

static void
progress(struct measure *measure, const struct samples *series, uint64_t done)
{
	uint64_t now = clock_mono_us();

	if (isatty(STDERR_FILENO) != 1 ||
	    now - measure->began_us < PROGRESS_AFTER_US ||
	    now - measure->shown_us < PROGRESS_EVERY_US)
		return;
	measure->shown_us = now;
	(void)fprintf(stderr, "\r  %s %" PRIu64 "/%" PRIu64 "  ", series->kind,
	    done, measure->calls);
}

static void
clear_progress(struct measure *measure)
{
	if (measure->shown_us > 0)
		(void)fprintf(stderr, "\r%40s\r", "");
	measure->shown_us = 0;
}

static int
call_once(struct measure *measure, struct samples *series)
{
	struct admin_reply reply;
	json_t *answer = NULL;
	int rc;

	measure->invoke.start = series->kind;
	rc = invoke_call(measure->admin, &measure->invoke, &reply, &answer);
	if (rc == 0) {
		samples_add(series, json_object_get(answer, "record"));
		series->failed +=
		    json_is_object(json_object_get(answer, "error"));
	}
	json_decref(answer);
	admin_reply_fini(&reply);
	return rc;
}

static int
measure_all(struct measure *measure)
{
	int rc = 0;

	measure->began_us = clock_mono_us();
	for (size_t i = 0; i < measure->nseries && rc == 0; i++) {
		struct samples *series = &measure->series[i];

		for (uint64_t n = 0; n < measure->calls && rc == 0; n++) {
			rc = call_once(measure, series);
			progress(measure, series, n + 1);
		}
		samples_sort(series);
	}
	clear_progress(measure);
	return rc;
}

/* What spoils the figures; returns the exit code. */
static int
complain(const struct measure *measure)
{
	int rc = CLI_OK;

	for (size_t i = 0; i < measure->nseries; i++) {
		const struct samples *s = &measure->series[i];

		if (s->other > 0)
			term_error("%zu of %" PRIu64 " starts were not %s but "
				   "%s; they are left out",
			    s->other, measure->calls, s->kind,
			    s->other_kind[0] == '\0' ? "unknown"
						     : s->other_kind);
		if (s->failed > 0)
			term_error("%zu of %" PRIu64 " %s calls ended in an "
				   "error of the function",
			    s->failed, measure->calls, s->kind);
		if (s->n == 0 || s->failed > 0)
			rc = CLI_FAILED;
	}
	return rc;
}

static void
show(const struct measure *measure)
{
	const struct samples *warm = &measure->series[measure->nseries - 1];

	for (size_t i = 0; i < measure->nseries; i++) {
		const struct samples *series = &measure->series[i];
		bool alone = measure->nseries == 1;

		if ((series == warm && !alone) || series->n == 0)
			continue;
		term_printf(stdout, TERM_BOLD, "%s%s: %s start, %zu calls",
		    i > 0 ? "\n" : "", measure->invoke.name, series->kind,
		    series->n);
		if (!alone)
			term_printf(stdout, TERM_PLAIN, "; warm, %zu calls",
			    warm->n);
		(void)fputs("\n\n", stdout);
		samples_print(series, alone || warm->n == 0 ? NULL : warm,
		    stdout);
		term_printf(stdout, TERM_DIM,
		    "\ntotal = queue + spawn + jail + load + init:\n");
		samples_histogram(series, stdout);
	}
}

static void
show_json(const struct measure *measure)
{
	json_t *kinds = json_array();
	json_t *all;

	for (size_t i = 0; i < measure->nseries; i++)
		(void)json_array_append_new(kinds,
		    samples_json(&measure->series[i]));
	all = json_pack("{ss sI so}", "function", measure->invoke.name,
	    "calls_per_kind", (json_int_t)measure->calls, "starts", kinds);
	(void)json_dumpf(all, stdout, JSON_COMPACT);
	(void)fputc('\n', stdout);
	json_decref(all);
}

static int
measure_and_show(struct measure *measure, const char *state, bool json)
{
	int rc;

	measure->admin = admin_open(state);
	if (measure->admin == NULL)
		return CLI_UNREACHABLE;
	rc = measure_all(measure);
	if (rc == 0 && json)
		show_json(measure);
	else if (rc == 0)
		show(measure);
	admin_close(measure->admin);
	return rc == 0 ? complain(measure) : rc;
}

static int
run_coldstart(int argc, char **argv)
{
	const char *state = NULL, *kinds = "image", *data = NULL;
	bool json = false;
	struct measure measure = {.calls = 100};
	struct buf body = {0};
	const struct opt opts[] = {
	    OPT_STATE(&state),
	    OPT_JSON(&json),
	    {"calls", 'n', OPT_NUMBER, &measure.calls, 1, 100000},
	    {"kind", 0, OPT_TEXT, &kinds, 0, 0},
	    {"data", 'd', OPT_TEXT, &data, 0, 0},
	};
	int rc = opts_parse(OPTS(opts), &argc, argv, 1, 1, "NAME");

	if (rc == 0)
		rc = choose_kinds(&measure, kinds);
	if (rc == 0)
		rc = cli_data(data, &body);
	if (rc == 0) {
		measure.invoke.name = argv[1];
		measure.invoke.method = data != NULL ? "POST" : "GET";
		measure.invoke.body = buf_slice(&body);
		rc = measure_and_show(&measure, state, json);
	}
	for (size_t i = 0; i < measure.nseries; i++)
		samples_fini(&measure.series[i]);
	buf_fini(&body);
	return rc;
}

const struct cli_command cmd_coldstart = {"coldstart",
    "coldstart NAME [-n CALLS] [--kind KIND] [-d DATA] [--json] [--state DIR]",
    "measure cold starts, phase by phase, next to warm ones",
    "Before each call the server takes the function to zero.  The times are "
    "those of the\nserver's records; the calls are real ones: they are logged "
    "and billed.\n"
    "\nOptions:\n"
    "  -n, --calls N     calls of each kind (default 100)\n"
    "  --kind KIND       image (default): a ready worker receives the image\n"
    "                    build: a ready worker loads the source and runs init\n"
    "                    fork:  no ready worker either\n"
    "                    warm:  only warm starts\n"
    "                    all, or several with commas: image,fork\n"
    "  -d, --data DATA   the body of each call (then POST); @FILE: from a "
    "file\n"
    "  --json            all figures as JSON\n" HELP_STATE
    "\nPhases: queue (waiting for a worker), spawn, jail, load, init, first "
    "(dispatch to\nthe first instruction of the handler), handler.\n"
    "\nExamples:\n"
    "  perilune coldstart hello -n 500\n"
    "  perilune coldstart hello -n 500 --kind all\n"
    "  perilune coldstart hello --json | jq '.starts[0].phases.total_us.p99'\n",
    run_coldstart};
