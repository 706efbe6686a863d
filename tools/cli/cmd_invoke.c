/*
 * cmd_invoke.c - invoke: run a function once and show what it answered.
 *
 * Runs in: cli.
 *
 * stdout gets the body, and nothing else unless -i asks for it, so that it
 * can be piped on; what went wrong is on stderr.  To a terminal the body is
 * cleaned like all else; to a pipe it is the function's bytes.
 */
#include "tools/cli/invoke.h"

#include "runtime/stat/record.h"
#include "tools/cli/base64.h"
#include "tools/cli/cli_priv.h"
#include "tools/cli/human.h"
#include "tools/cli/term.h"

#include <inttypes.h>
#include <unistd.h>

#define SERVER_ERROR 500 /* this and above: the function failed */

int
invoke_check_start(const char *command, const char *start)
{
	const char *kinds[] = {record_kind_name(RECORD_KIND_WARM),
	    record_kind_name(RECORD_KIND_IMAGE),
	    record_kind_name(RECORD_KIND_BUILD),
	    record_kind_name(RECORD_KIND_FORK)};

	for (size_t i = 0; i < 4; i++)
		if (start == NULL || strcmp(start, kinds[i]) == 0)
			return CLI_OK;
	term_error("%s: \"%s\" is no kind of start: one of %s, %s, %s, %s",
	    command, start, kinds[0], kinds[1], kinds[2], kinds[3]);
	return CLI_USAGE;
}

int
invoke_call(struct admin *admin, const struct invoke *invoke,
    struct admin_reply *reply_out, json_t **json_out)
{
	struct admin_request request = {.method = "POST", .body = invoke->body};
	struct buf path = {0};
	int rc;

	buf_puts(&path, "/v1/invoke/");
	admin_segment(&path, invoke->name);
	admin_query(&path, "start", invoke->start);
	admin_query(&path, "method", invoke->method);
	admin_query(&path, "path", invoke->path);
	admin_query(&path, "type", invoke->whole_event ? "json" : "http");
	buf_putc(&path, '\0');
	request.path = path.p;
	rc = admin_fetch(admin, &request, reply_out, json_out);
	if (reply_out->status == 404)
		cli_hint_function(admin, invoke->name);
	buf_fini(&path);
	return rc;
}

static bool
get_body(const json_t *answer, struct buf *out)
{
	const json_t *body = json_object_get(answer, "body");
	struct slice text =
	    slice_from(json_string_value(body), json_string_length(body));

	if (json_is_true(json_object_get(answer, "body_base64")))
		return base64_decode(out, text);
	buf_add_slice(out, text);
	return true;
}

static bool
is_binary(struct slice s)
{
	return s.n > 0 && memchr(s.p, '\0', s.n) != NULL;
}

static int
print_body(const json_t *answer)
{
	bool people = isatty(STDOUT_FILENO) == 1;
	struct buf body = {0};

	if (!get_body(answer, &body)) {
		term_error("the server sent a body that is not base64");
		return CLI_FAILED;
	}
	if (!people) {
		(void)fwrite(body.p, 1, body.n, stdout);
	} else if (json_is_true(json_object_get(answer, "body_base64")) ||
	    is_binary(buf_slice(&body))) {
		term_printf(stdout, TERM_DIM,
		    "(%s, not text: redirect it to a file)\n",
		    human_bytes(body.n).text);
	} else {
		term_put(stdout, TERM_PLAIN, TERM_LINES, buf_slice(&body));
		if (body.n > 0 && body.p[body.n - 1] != '\n')
			(void)fputc('\n', stdout);
	}
	buf_fini(&body);
	return CLI_OK;
}

static void
print_head(const json_t *answer)
{
	const json_t *header;
	size_t i;

	term_printf(stdout, TERM_BOLD, "%" PRId64 "\n",
	    js_int(answer, "status"));
	json_array_foreach(json_object_get(answer, "headers"), i, header)
	{
		const char *name = json_string_value(json_array_get(header, 0));
		const char *value =
		    json_string_value(json_array_get(header, 1));

		term_printf(stdout, TERM_PLAIN, "%s: %s\n",
		    name == NULL ? "" : name, value == NULL ? "" : value);
	}
	(void)fputc('\n', stdout);
}

static void
add_times(struct table *table, const json_t *us)
{
	static const char *const phases[] = {"queue", "spawn", "jail", "load",
	    "init", "handler"};
	struct buf text = {0};

	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (js_count(us, phases[i]) > 0)
			buf_addf(&text, "%s%s %s", text.n > 0 ? ", " : "",
			    phases[i], human_us(js_count(us, phases[i])).text);
	buf_putc(&text, '\0');
	term_table_add(table, TERM_DIM, "time");
	term_table_add(table, TERM_PLAIN, "%s", text.p);
	buf_fini(&text);
}

static void
print_receipt(const json_t *record)
{
	const json_t *start = json_object_get(record, "start");
	struct table *table = term_table_new("|");

	term_table_add(table, TERM_DIM, "request");
	term_table_add(table, TERM_PLAIN, "%s", js_text(record, "request_id"));
	term_table_add(table, TERM_DIM, "version");
	term_table_add(table, TERM_PLAIN, "%" PRIu64,
	    js_count(record, "version"));
	term_table_add(table, TERM_DIM, "start");
	term_table_add(table, TERM_PLAIN, "%s; cause=%s",
	    js_text(start, "kind"), js_text(start, "cause"));
	add_times(table, json_object_get(record, "us"));
	term_table_add(table, TERM_DIM, "cpu");
	term_table_add(table, TERM_PLAIN, "%s",
	    human_us(js_count(record, "cpu_us")).text);
	term_table_add(table, TERM_DIM, "memory");
	term_table_add(table, TERM_PLAIN, "%s of %" PRIu64 " MB",
	    human_bytes(js_count(record, "peak_kb") * 1024).text,
	    js_count(record, "memory_mb"));
	term_table_add(table, TERM_DIM, "billed");
	term_table_add(table, TERM_PLAIN, "%" PRIu64 " ms, cost %s",
	    js_count(record, "billed_ms"), js_text(record, "cost"));
	(void)fputc('\n', stdout);
	term_table_print(table, stdout);
	term_table_free(table);
}

static int
outcome(const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");
	const char *traceback = js_text(error, "traceback");

	if (!json_is_object(error))
		return js_int(answer, "status") >= SERVER_ERROR ? CLI_FAILED
								: CLI_OK;
	term_error("the function failed (%s): %s", js_text(error, "reason"),
	    js_text(error, "message"));
	if (traceback[0] != '\0')
		term_printf(stderr, TERM_DIM, "%s\n", traceback);
	return CLI_FAILED;
}

static int
call_and_show(const char *state, const struct invoke *invoke, bool head,
    bool json)
{
	struct admin *admin = admin_open(state);
	struct admin_reply reply = {0};
	json_t *answer = NULL;
	int rc = CLI_UNREACHABLE;

	if (admin != NULL)
		rc = invoke_call(admin, invoke, &reply, &answer);
	if (answer != NULL && json) {
		admin_print_reply(&reply);
		rc = outcome(answer);
	} else if (answer != NULL) {
		if (head)
			print_head(answer);
		rc = print_body(answer);
		if (head)
			print_receipt(json_object_get(answer, "record"));
		if (outcome(answer) != CLI_OK)
			rc = CLI_FAILED;
	}
	json_decref(answer);
	admin_reply_fini(&reply);
	admin_close(admin);
	return rc;
}

static int
check(const struct invoke *invoke, const char *data, const char *event)
{
	if (data != NULL && event != NULL) {
		term_error("invoke: -d and -e exclude each other: the event "
			   "has its own body");
		return CLI_USAGE;
	}
	if (event != NULL && (invoke->method != NULL || invoke->path != NULL)) {
		term_error("invoke: with -e method and path stand in the "
			   "event");
		return CLI_USAGE;
	}
	if (invoke->path != NULL && invoke->path[0] != '/') {
		term_error("invoke: --path must begin with /, not \"%s\"",
		    invoke->path);
		return CLI_USAGE;
	}
	return invoke_check_start("invoke", invoke->start);
}

static int
run_invoke(int argc, char **argv)
{
	const char *state = NULL, *data = NULL, *event = NULL;
	bool head = false, json = false;
	struct invoke invoke = {0};
	struct buf body = {0};
	const struct opt opts[] = {
	    OPT_STATE(&state),
	    OPT_JSON(&json),
	    {"data", 'd', OPT_TEXT, &data, 0, 0},
	    {"event", 'e', OPT_TEXT, &event, 0, 0},
	    {"method", 'X', OPT_TEXT, &invoke.method, 0, 0},
	    {"path", 0, OPT_TEXT, &invoke.path, 0, 0},
	    {"start", 0, OPT_TEXT, &invoke.start, 0, 0},
	    {"include", 'i', OPT_FLAG, &head, 0, 0},
	};
	int rc = opts_parse(OPTS(opts), &argc, argv, 1, 1, "NAME");

	if (rc == 0)
		rc = check(&invoke, data, event);
	if (rc == 0)
		rc = event != NULL ? cli_read_file(event, &body)
				   : cli_data(data, &body);
	if (rc == 0) {
		invoke.name = argv[1];
		invoke.whole_event = event != NULL;
		invoke.body = buf_slice(&body);
		if (invoke.method == NULL && event == NULL)
			invoke.method = data != NULL ? "POST" : "GET";
		rc = call_and_show(state, &invoke, head, json);
	}
	buf_fini(&body);
	return rc;
}

const struct cli_command cmd_invoke = {"invoke",
    "invoke NAME [-d DATA | -e FILE] [-i] [--json] [--start KIND] [--state "
    "DIR]",
    "call a function once and print what it answers",
    "Options:\n"
    "  -d, --data DATA   the body; @FILE: from a file, @-: from stdin\n"
    "  -e, --event FILE  the whole event, in JSON; -: from stdin\n"
    "  -X, --method M    default: GET, with -d POST\n"
    "  --path PATH       with its query, default: the function's route\n"
    "  --start KIND      bring the function into the state for this kind of "
    "start\n"
    "                    first: warm, image, build or fork\n"
    "  -i, --include     also status and headers before the body, the receipt "
    "after it\n"
    "  --json            print status, headers, body, record and error as "
    "JSON\n" HELP_STATE
    "\nExit code 1 when the function failed, or answered with status 500 or "
    "above.\n"
    "\nExamples:\n"
    "  perilune invoke hello\n"
    "  perilune invoke hello --path '/hello?name=Ada' -i\n"
    "  perilune invoke orders -d '{\"item\": 7}'\n"
    "  perilune invoke resize -d @photo.png > small.png\n"
    "  perilune invoke hello --start image --json | jq .record.us\n",
    run_invoke};
