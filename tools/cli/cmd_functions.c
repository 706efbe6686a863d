/*
 * cmd_functions.c - ls, describe, ps: what is deployed and what runs.
 *
 * Runs in: cli.
 */
#include "tools/cli/cli_priv.h"

#include "tools/cli/human.h"
#include "tools/cli/term.h"

#include <inttypes.h>
#include <stdarg.h>

static enum term_colour
state_colour(const char *state)
{
	if (strcmp(state, "broken") == 0)
		return TERM_RED;
	return strcmp(state, "serving") == 0 ? TERM_GREEN : TERM_YELLOW;
}

static void
add_version(struct table *table, const json_t *object)
{
	if (js_is_null(object, "version"))
		term_table_add(table, TERM_DIM, "-");
	else
		term_table_add(table, TERM_PLAIN, "%" PRIu64,
		    js_count(object, "version"));
}

/* "2 idle, 1 busy", or "-" at zero. */
static void
workers_text(const json_t *function, struct buf *out)
{
	static const char *const states[] = {"idle", "busy", "starting"};
	const json_t *workers = json_object_get(function, "workers");

	for (size_t i = 0; i < 3; i++) {
		uint64_t n = js_count(workers, states[i]);

		if (n > 0)
			buf_addf(out, "%s%" PRIu64 " %s",
			    out->n > 0 ? ", " : "", n, states[i]);
	}
	buf_puts(out, out->n == 0 ? "-" : "");
	buf_putc(out, '\0');
}

/* "GET POST", or "all". */
static void
words_text(const json_t *array, const char *when_empty, struct buf *out)
{
	const json_t *word;
	size_t i;

	json_array_foreach(array, i, word)
	    buf_addf(out, "%s%s", i > 0 ? " " : "",
		json_is_string(word) ? json_string_value(word) : "?");
	buf_puts(out, out->n == 0 ? when_empty : "");
	buf_putc(out, '\0');
}

static void
add_error(struct table *table, const json_t *function)
{
	const char *error = js_text(function, "error");

	if (error[0] == '\0')
		return;
	if (js_is_null(function, "version"))
		term_table_note(table, TERM_RED, "%s", error);
	else
		term_table_note(table, TERM_RED,
		    "%s (version %" PRIu64 " goes on serving)", error,
		    js_count(function, "version"));
}

static void
add_function(struct table *table, const json_t *f)
{
	const char *state = js_text(f, "state");
	struct buf workers = {0};

	workers_text(f, &workers);
	term_table_add(table, TERM_BOLD, "%s", js_text(f, "name"));
	term_table_add(table, state_colour(state), "%s", state);
	add_version(table, f);
	term_table_add(table, TERM_PLAIN, "%s", js_text(f, "route"));
	term_table_add(table, TERM_PLAIN, "%s", workers.p);
	term_table_add(table, TERM_PLAIN, "%s",
	    human_count(js_count(f, "invocations")).text);
	term_table_add(table, js_count(f, "errors") > 0 ? TERM_RED : TERM_PLAIN,
	    "%s", human_count(js_count(f, "errors")).text);
	buf_fini(&workers);
}

static void
add_function_more(struct table *table, const json_t *f)
{
	struct buf methods = {0};

	words_text(json_object_get(f, "methods"), "all", &methods);
	term_table_add(table, TERM_PLAIN, "%s",
	    human_count(js_count(f, "cold_starts")).text);
	term_table_add(table, TERM_PLAIN, "%" PRIu64, js_count(f, "queued"));
	term_table_add(table, TERM_PLAIN, "%s", methods.p);
	term_table_add(table, TERM_PLAIN, "%s", js_text(f, "heap"));
	term_table_add(table, TERM_PLAIN, "%" PRIu64 " MB",
	    js_count(f, "memory_mb"));
	term_table_add(table, TERM_PLAIN, "%s",
	    human_ms(js_count(f, "timeout_ms")).text);
	term_table_add(table, TERM_PLAIN, "%s",
	    js_is_null(f, "image_bytes")
		? "-"
		: human_bytes(js_count(f, "image_bytes")).text);
	term_table_add(table, TERM_DIM, "%.12s", js_text(f, "hash"));
	term_table_add(table, TERM_PLAIN, "%s",
	    human_time(js_time(f, "changed_ms")).text);
	buf_fini(&methods);
}

#define LS_COLUMNS "NAME|STATE|>VERSION|ROUTE|WORKERS|>CALLS|>ERRORS"

static void
show_table(const json_t *answer, bool more)
{
	const json_t *functions = json_object_get(answer, "functions");
	struct table *table = term_table_new(more ? LS_COLUMNS
		"|>COLD|>QUEUED|METHODS|HEAP|>MEMORY|>TIMEOUT|"
		">IMAGE|HASH|CHANGED"
						  : LS_COLUMNS);
	const json_t *f;
	size_t i;

	json_array_foreach(functions, i, f)
	{
		add_function(table, f);
		if (more)
			add_function_more(table, f);
		add_error(table, f);
	}
	if (json_array_size(functions) > 0)
		term_table_print(table, stdout);
	else
		term_printf(stderr, TERM_PLAIN,
		    "No functions yet.  Write one with: perilune new hello\n");
	term_table_free(table);
}

static void
show_ls(const json_t *answer)
{
	show_table(answer, false);
}

static void
show_ls_long(const json_t *answer)
{
	show_table(answer, true);
}

static void
show_names(const json_t *answer)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(answer, "functions"), i, f)
	    term_printf(stdout, TERM_PLAIN, "%s\n", js_text(f, "name"));
}

static int
run_ls(int argc, char **argv)
{
	const char *state = NULL;
	bool json = false, more = false, names = false;
	const struct opt opts[] = {
	    OPT_STATE(&state),
	    OPT_JSON(&json),
	    {"long", 'l', OPT_FLAG, &more, 0, 0},
	    {"quiet", 'q', OPT_FLAG, &names, 0, 0},
	};
	struct buf path = {0};
	int rc = opts_parse(OPTS(opts), &argc, argv, 0, 0, "");

	if (rc != 0)
		return rc;
	buf_puts(&path, "/v1/functions");
	return cli_show(state, json, &path,
	    names      ? show_names
		: more ? show_ls_long
		       : show_ls);
}

static void __attribute__((format(printf, 3, 4)))
fact(struct table *table, const char *name, const char *fmt, ...)
{
	struct buf text = {0};
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf_room(&text, 4096), 4096, fmt, ap);
	va_end(ap);
	text.n = n < 0 ? 0 : n < 4096 ? (size_t)n : 4095;
	buf_putc(&text, '\0');
	term_table_add(table, TERM_DIM, "%s", name);
	term_table_add(table, TERM_PLAIN, "%s", text.p);
	buf_fini(&text);
}

static void
add_state(struct table *table, const json_t *f)
{
	const char *state = js_text(f, "state");

	term_table_add(table, TERM_DIM, "state");
	term_table_add(table, state_colour(state), "%s", state);
	if (!js_is_null(f, "version"))
		fact(table, "version", "%" PRIu64 " (%.12s)",
		    js_count(f, "version"), js_text(f, "hash"));
	if (js_text(f, "error")[0] != '\0') {
		term_table_add(table, TERM_DIM, "error");
		term_table_add(table, TERM_RED, "%s", js_text(f, "error"));
	}
	fact(table, "changed", "%s", human_time(js_time(f, "changed_ms")).text);
}

static void
add_limits(struct table *table, const json_t *f)
{
	struct buf methods = {0}, workers = {0};

	words_text(json_object_get(f, "methods"), "all methods", &methods);
	workers_text(f, &workers);
	fact(table, "route", "%s (%s)", js_text(f, "route"), methods.p);
	fact(table, "limits", "%s, %" PRIu64 " MB, heap %s",
	    human_ms(js_count(f, "timeout_ms")).text, js_count(f, "memory_mb"),
	    js_text(f, "heap"));
	fact(table, "workers", "%s; %" PRIu64 " queued", workers.p,
	    js_count(f, "queued"));
	if (!js_is_null(f, "image_bytes"))
		fact(table, "image", "%s",
		    human_bytes(js_count(f, "image_bytes")).text);
	fact(table, "calls", "%s, errors %s, cold starts %s",
	    human_count(js_count(f, "invocations")).text,
	    human_count(js_count(f, "errors")).text,
	    human_count(js_count(f, "cold_starts")).text);
	buf_fini(&methods);
	buf_fini(&workers);
}

static void
add_lists(struct table *table, const json_t *f)
{
	const char *name;
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(f, "triggers"), i, item)
	    fact(table, "trigger", "%s: %s/%s%s%s", js_text(item, "type"),
		js_text(item, "dir"), js_text(item, "pattern"),
		js_text(item, "output")[0] == '\0' ? "" : " -> ",
		js_text(item, "output"));
	json_array_foreach(json_object_get(f, "modules"), i, item)
	    fact(table, "module", "%s (%s)", js_text(item, "name"),
		human_bytes(js_count(item, "bytes")).text);
	json_object_foreach(json_object_get(f, "env"), name, item)
	    fact(table, "env", "%s=%s", name,
		json_is_string(item) ? json_string_value(item) : "?");
}

static void
add_phases(struct table *table, const json_t *start)
{
	const char *name;
	json_t *phase;

	json_object_foreach(json_object_get(start, "phases"), name, phase)
	{
		size_t n = strlen(name);

		if (n > 3 && strcmp(name + n - 3, "_us") == 0)
			n -= 3;
		term_table_add(table, TERM_PLAIN, "%s", js_text(start, "kind"));
		term_table_add(table, TERM_PLAIN, "%s",
		    js_text(start, "cause"));
		term_table_add(table, TERM_PLAIN, "%.*s", (int)n, name);
		term_table_add(table, TERM_PLAIN, "%s",
		    human_count(js_count(phase, "count")).text);
		for (size_t i = 0; i < 4; i++) {
			static const char *const ps[] = {"p50", "p90", "p99",
			    "max"};

			term_table_add(table, TERM_PLAIN, "%s",
			    human_us(js_count(phase, ps[i])).text);
		}
	}
}

static void
show_describe(const json_t *f)
{
	const json_t *starts = json_object_get(f, "starts");
	struct table *table = term_table_new("|");
	const json_t *start;
	size_t i;

	term_printf(stdout, TERM_BOLD, "%s\n", js_text(f, "name"));
	add_state(table, f);
	add_limits(table, f);
	add_lists(table, f);
	term_table_print(table, stdout);
	term_table_free(table);
	if (json_array_size(starts) == 0)
		return;
	table = term_table_new("START|CAUSE|PHASE|>COUNT|>P50|>P90|>P99|>MAX");
	(void)fputc('\n', stdout);
	json_array_foreach(starts, i, start) add_phases(table, start);
	term_table_print(table, stdout);
	term_table_free(table);
}

static int
run_describe(int argc, char **argv)
{
	const char *state = NULL;
	bool json = false;
	const struct opt opts[] = {OPT_STATE(&state), OPT_JSON(&json)};
	struct admin *admin;
	json_t *function = NULL;
	int rc = opts_parse(OPTS(opts), &argc, argv, 1, 1, "NAME");

	if (rc != 0)
		return rc;
	admin = admin_open(state);
	if (admin == NULL)
		return CLI_UNREACHABLE;
	rc = json ? cli_print_function(admin, argv[1])
		  : cli_function(admin, argv[1], &function);
	if (function != NULL)
		show_describe(function);
	json_decref(function);
	admin_close(admin);
	return rc;
}

static void
add_worker(struct table *table, const json_t *w)
{
	const char *function = js_text(w, "function");
	const char *state = js_text(w, "state");

	term_table_add(table, TERM_PLAIN, "%" PRId64, js_int(w, "pid"));
	term_table_add(table,
	    strcmp(state, "busy") == 0 ? TERM_GREEN : TERM_PLAIN, "%s", state);
	if (function[0] == '\0')
		term_table_add(table, TERM_DIM, "-");
	else
		term_table_add(table, TERM_PLAIN, "%s@%" PRIu64, function,
		    js_count(w, "version"));
	term_table_add(table, TERM_PLAIN, "%s",
	    human_age(js_count(w, "age_ms")).text);
	term_table_add(table, TERM_PLAIN, "%s",
	    human_age(js_count(w, "idle_ms")).text);
	term_table_add(table, TERM_PLAIN, "%s",
	    human_count(js_count(w, "requests")).text);
	term_table_add(table, TERM_PLAIN, "%s",
	    human_us(js_count(w, "cpu_us")).text);
	term_table_add(table, TERM_PLAIN, "%s",
	    human_bytes(js_count(w, "peak_kb") * 1024).text);
}

static void
show_ps(const json_t *answer)
{
	const json_t *zygote = json_object_get(answer, "zygote");
	struct table *table = term_table_new(
	    ">PID|STATE|FUNCTION|>AGE|>IDLE|>REQUESTS|>CPU|>PEAK");
	const json_t *worker;
	size_t i;

	json_array_foreach(json_object_get(answer, "workers"), i, worker)
	    add_worker(table, worker);
	term_table_print(table, stdout);
	term_table_free(table);
	term_printf(stdout, TERM_DIM,
	    "zygote %" PRId64 ": %s forks, %" PRIu64 " restarts\n",
	    js_int(zygote, "pid"), human_count(js_count(zygote, "forks")).text,
	    js_count(zygote, "restarts"));
}

static int
run_ps(int argc, char **argv)
{
	const char *state = NULL;
	bool json = false;
	const struct opt opts[] = {OPT_STATE(&state), OPT_JSON(&json)};
	struct buf path = {0};
	int rc = opts_parse(OPTS(opts), &argc, argv, 0, 0, "");

	if (rc != 0)
		return rc;
	buf_puts(&path, "/v1/workers");
	return cli_show(state, json, &path, show_ps);
}

const struct cli_command cmd_ls = {"ls", "ls [-l | -q] [--json] [--state DIR]",
    "list the functions, and what is wrong with those that are broken",
    "Options:\n"
    "  -l, --long        also cold starts, queue, limits, image, hash, time\n"
    "  -q, --quiet       names only, one per line\n" HELP_JSON HELP_STATE
    "\nA version that does not load leaves the old one serving; the line that "
    "is\nwrong stands below the function.\n"
    "\nExamples:\n"
    "  perilune ls\n"
    "  perilune ls -l\n"
    "  perilune ls --json | jq '.functions[] | select(.error)'\n",
    run_ls};

const struct cli_command cmd_describe = {"describe",
    "describe NAME [--json] [--state DIR]",
    "all about one function: state, limits, modules, starts by kind and cause",
    "Options:\n" HELP_JSON HELP_STATE "\nExamples:\n"
    "  perilune describe hello\n"
    "  perilune describe hello --json | jq .manifest\n",
    run_describe};

const struct cli_command cmd_ps = {"ps", "ps [--json] [--state DIR]",
    "list the worker processes: state, function, age, CPU, memory",
    "Options:\n" HELP_JSON HELP_STATE
    "\nA ready worker is jailed and has no function yet; a worker that has "
    "one keeps\nit for life.\n"
    "\nExamples:\n"
    "  perilune ps\n"
    "  watch perilune ps\n",
    run_ps};
