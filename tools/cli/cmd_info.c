/*
 * cmd_info.c - info, version: what runs.
 *
 * Runs in: cli.
 */
#include "tools/cli/cli_priv.h"

#include "sandbox/base/clock.h"
#include "tools/cli/human.h"
#include "tools/cli/term.h"

#include <inttypes.h>
#include <stdio.h>

static void
fact(struct table *table, const char *name, const char *value)
{
	term_table_add(table, TERM_DIM, "%s", name);
	term_table_add(table, TERM_PLAIN, "%s", value);
}

static void
show_info(const json_t *info)
{
	int64_t up_ms = clock_wall_ms() - js_time(info, "started_ms");
	bool ready = json_is_true(json_object_get(info, "ready"));
	struct table *table = term_table_new("|");
	const json_t *address;
	size_t i;

	term_table_add(table, TERM_DIM, "server");
	term_table_add(table, ready ? TERM_GREEN : TERM_YELLOW,
	    "perilune %s, pid %" PRId64 ", %s%s", js_text(info, "version"),
	    js_int(info, "pid"), ready ? "ready" : "not ready",
	    json_is_true(json_object_get(info, "dev")) ? ", --dev" : "");
	term_table_add(table, TERM_DIM, "started");
	term_table_add(table, TERM_PLAIN, "%s (up %s)",
	    human_time(js_time(info, "started_ms")).text,
	    human_age(up_ms < 0 ? 0 : (uint64_t)up_ms).text);
	json_array_foreach(json_object_get(info, "listen"), i, address)
	{
		term_table_add(table, TERM_DIM, "listens");
		term_table_add(table, TERM_PLAIN, "http://%s",
		    json_is_string(address) ? json_string_value(address) : "?");
	}
	fact(table, "functions", js_text(info, "functions_dir"));
	fact(table, "uploads", js_text(info, "uploads_dir"));
	fact(table, "state", js_text(info, "state_dir"));
	term_table_add(table, TERM_DIM, "prices");
	term_table_add(table, TERM_PLAIN, "%s, in %s",
	    js_text(info, "price_card"), js_text(info, "currency"));
	term_table_print(table, stdout);
	term_table_free(table);
}

static int
run_info(int argc, char **argv)
{
	const char *state = NULL;
	bool json = false;
	const struct opt opts[] = {OPT_STATE(&state), OPT_JSON(&json)};
	struct buf path = {0};
	int rc = opts_parse(OPTS(opts), &argc, argv, 0, 0, "");

	if (rc != 0)
		return rc;
	buf_puts(&path, "/v1/info");
	return cli_show(state, json, &path, show_info);
}

static int
run_version(int argc, char **argv)
{
	bool sandbox = false;
	const struct opt opts[] = {{"sandbox", 0, OPT_FLAG, &sandbox, 0, 0}};
	int rc = opts_parse(opts, cli_sandbox_version_hook != NULL, &argc, argv,
	    0, 0, "");

	if (rc != 0)
		return rc;
	(void)printf("perilune %s\n", PERILUNE_VERSION);
	return sandbox ? cli_sandbox_version_hook() : CLI_OK;
}

const struct cli_command cmd_info = {"info", "info [--json] [--state DIR]",
    "say which server this is: version, addresses, folders, prices",
    "Options:\n" HELP_JSON HELP_STATE "\nExamples:\n"
    "  perilune info\n"
    "  curl http://$(perilune info --json | jq -r '.listen[0]')/hello\n",
    run_info};

const struct cli_command cmd_version = {"version", "version [--sandbox]",
    "print the version of this program",
    "Options:\n"
    "  --sandbox         also the sandbox program, its Lua, and known holes\n"
    "\n`perilune info` prints the version of the server that runs.\n"
    "\nExamples:\n"
    "  perilune version\n",
    run_version};
