/*
 * run.c - `perilune check` and `perilune run`: a function without a server.
 *
 * Runs in: cli.
 * Owns:    what one run needs: a solo, a version, an event.
 */
#include "runtime/gateway/commands.h"
#include "runtime/gateway/solo.h"
#include "runtime/hostcall/files.h"
#include "runtime/loop/loop.h"
#include "runtime/meter/meter.h"
#include "runtime/stat/reqid.h"
#include "sandbox/base/cleanup.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"
#include "tools/cli/cli.h"
#include "tools/cli/opts.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENT_MAX (33u << 20) /* bytes of an event document */

struct run {
	struct solo *solo;
	struct fn_version *version;
	struct meter *meter; /* for its prices; it keeps nothing */
	struct files *files; /* NULL: the handler has none */
	struct buf event;    /* a JSON document */
	bool json;
	int status; /* exit code */
};

/* --- check --------------------------------------------------------------------- */

static int
check(const char *path, struct solo **solo_out, struct fn_version **version_out)
{
	struct err err = {0};
	struct fn_version *version = fn_load_path(path, &err);
	struct solo *solo;

	if (version == NULL) {
		(void)fprintf(stderr, "perilune: %s\n", err.msg);
		return CLI_FAILED;
	}
	version->number = 1;
	solo = solo_open(~0u, &err);
	if (solo == NULL) {
		(void)fprintf(stderr, "perilune: %s\n", err.msg);
		fn_version_unref(version);
		return CLI_FAILED;
	}
	if (solo_build(solo, version) < 0) {
		fn_version_unref(version);
		solo_close(solo);
		return CLI_FAILED;
	}
	*solo_out = solo;
	*version_out = version;
	return CLI_OK;
}

static void
put_away(struct solo *solo, struct fn_version *version)
{
	fn_version_unref(version);
	solo_close(solo);
}

int
commands_check_path(const char *path)
{
	struct fn_version *version;
	struct solo *solo;
	int status = check(path, &solo, &version);

	if (status == CLI_OK)
		put_away(solo, version);
	return status;
}

int
command_check(int argc, char **argv)
{
	struct call_function_stats stats;
	struct fn_version *version;
	struct solo *solo;
	int status;

	if (opts_parse(NULL, 0, &argc, argv, 1, 1, "PATH") != 0)
		return CLI_USAGE;
	status = check(argv[1], &solo, &version);
	if (status != CLI_OK)
		return status;
	calls_function_stats(version, &stats);
	(void)printf("%s: ok, route %s, %zu module%s, image %zu KB\n",
	    version->name, version->manifest.route, version->nmodules,
	    version->nmodules == 1 ? "" : "s",
	    (stats.image_bytes + 1023) / 1024);
	put_away(solo, version);
	return CLI_OK;
}

/* --- run ------------------------------------------------------------------------ */

static void
encode(struct buf *out, void *arg)
{
	const struct run *run = arg;

	wire_add_str(out, buf_slice(&run->event));
}

static void
print_receipt(const struct record *r, const char *currency)
{
	struct buf money = {0};

	meter_money(&money, r->cost_pico);
	(void)fprintf(stderr,
	    "\nstatus %u, outcome %s\n"
	    "start %s: spawn %llu us, jail %llu us, init %llu us, load %llu "
	    "us\n"
	    "handler %llu us, cpu %llu us, peak %llu KB\n"
	    "billed %llu ms at %u MB: %.*s %s\n",
	    r->status, record_outcome_name(r->outcome),
	    record_kind_name(r->kind), (unsigned long long)r->spawn_us,
	    (unsigned long long)r->jail_us, (unsigned long long)r->init_us,
	    (unsigned long long)r->load_us, (unsigned long long)r->handler_us,
	    (unsigned long long)r->cpu_us, (unsigned long long)r->peak_kb,
	    (unsigned long long)r->billed_ms, r->memory_mb, (int)money.n,
	    money.p, currency);
	buf_fini(&money);
}

static void
print_json(const struct record *record, const struct call_result *result)
{
	struct buf out = {0};

	buf_addf(&out, "{\"status\":%u,\"body\":", record->status);
	buf_json_string(&out, result->body);
	buf_puts(&out, ",\"message\":");
	buf_json_string(&out, result->message);
	buf_puts(&out, ",\"traceback\":");
	buf_json_string(&out, result->traceback);
	buf_puts(&out, ",\"record\":");
	meter_record_json(&out, record);
	buf_puts(&out, "}\n");
	(void)fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
}

static void
done(struct call *call, const struct call_result *result, void *arg)
{
	struct run *run = arg;
	struct record record = *result->record;

	meter_price(run->meter, &record);
	run->status = record.outcome == RECORD_OUTCOME_OK ? CLI_OK : CLI_FAILED;
	if (run->json) {
		print_json(&record, result);
	} else {
		(void)fwrite(result->body.p, 1, result->body.n, stdout);
		if (result->body.n > 0 && isatty(STDOUT_FILENO))
			(void)fputc('\n', stdout);
		(void)fflush(stdout);
		if (result->message.n > 0)
			(void)fprintf(stderr, "error: %.*s\n%.*s\n",
			    (int)result->message.n, result->message.p,
			    (int)result->traceback.n, result->traceback.p);
		print_receipt(&record, meter_card_currency(run->meter));
	}
	loop_stop(solo_loop(run->solo));
}

static void
on_data(struct slice data, const char *reason, void *arg)
{
	call_answer_data(arg, reason == NULL,
	    reason == NULL ? data : slice_of(reason));
}

static void
on_written(const char *reason, void *arg)
{
	call_answer_done(arg, reason == NULL, slice_of(reason));
}

static void
on_file(struct call *call, const struct wire_header *header, struct slice body,
    void *arg)
{
	const struct run *run = arg;
	struct wire_reader r = {(const uint8_t *)body.p, body.n, false};

	if (header->type == WIRE_FILE_READ) {
		uint64_t offset = wire_get_u64(&r);

		files_read(run->files, offset, wire_get_u32(&r), on_data, call);
	} else if (header->type == WIRE_FILE_WRITE) {
		struct slice name = wire_get_str(&r);

		files_write(run->files, name, wire_get_str(&r), on_written,
		    call);
	} else {
		files_commit(run->files, wire_get_str(&r), on_written, call);
	}
}

static int
read_event(struct run *run, const char *path)
{
	auto_close int opened = -1;
	int fd = STDIN_FILENO;
	ssize_t n;

	if (strcmp(path, "-") != 0) {
		opened = open(path, O_RDONLY | O_CLOEXEC);
		fd = opened;
	}
	do {
		n = fd < 0 ? -1 : read(fd, buf_room(&run->event, 65536), 65536);
		if (n > 0)
			run->event.n += (size_t)n;
	} while (n > 0 && run->event.n < EVENT_MAX);
	if (n != 0) {
		(void)fprintf(stderr, "perilune: %s: %s\n", path,
		    n < 0 ? strerror(errno) : "larger than 33 MiB");
		return -1;
	}
	return 0;
}

/* The function would be told too, but it is not the function's fault. */
static int
check_event(const struct run *run, const char *path)
{
	json_error_t at;
	json_t *event = json_loadb(run->event.p, run->event.n,
	    JSON_DECODE_ANY | JSON_ALLOW_NUL, &at);
	enum json_error_code code;

	json_decref(event);
	if (event != NULL)
		return 0;
	code = json_error_code(&at);
	if (code != json_error_invalid_syntax &&
	    code != json_error_premature_end_of_input)
		return 0; /* a limit of this parser's own */
	(void)fprintf(stderr,
	    "perilune: the event %s is not JSON: line %d: %s\n", path, at.line,
	    at.text);
	return -1;
}

static void
default_event(struct run *run)
{
	buf_puts(&run->event,
	    "{\"type\":\"http\",\"method\":\"GET\",\"query\":{},"
	    "\"params\":{},\"headers\":{},\"body\":\"\","
	    "\"remote_addr\":\"127.0.0.1\",\"path\":");
	buf_json_string(&run->event, slice_of(run->version->manifest.route));
	buf_putc(&run->event, '}');
}

static int
open_files(struct run *run, const char *file, const char *output)
{
	auto_close int content = -1;
	auto_close int dir = -1;

	if (file != NULL)
		content = open(file, O_RDONLY | O_CLOEXEC);
	if (output != NULL)
		dir = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if ((file != NULL && content < 0) || (output != NULL && dir < 0)) {
		perror("perilune: --file or --output");
		return -1;
	}
	if (file != NULL || output != NULL)
		run->files =
		    files_new(solo_loop(run->solo), content, dir, NULL);
	return 0;
}

static void
run_once(struct run *run)
{
	struct err err;
	struct reqid_source ids;
	char id[RECORD_ID_MAX];

	reqid_init(&ids);
	reqid_make(&ids, clock_wall_ms(), id);
	(void)call_start(solo_calls(run->solo),
	    &(struct call_request){.version = run->version,
		.source = RECORD_SOURCE_INVOKE,
		.request_id = id,
		.wall_ms = clock_wall_ms(),
		.accepted_us = clock_mono_us(),
		.bytes_in = run->event.n,
		.attempt = 1,
		.kind = WIRE_EVENT_JSON,
		.encode = encode,
		.done = done,
		.on_file = run->files == NULL ? NULL : on_file,
		.arg = run});
	(void)loop_run(solo_loop(run->solo), &err);
}

int
command_run(int argc, char **argv)
{
	const char *event = NULL;
	const char *file = NULL;
	const char *output = NULL;
	struct run run = {.status = CLI_FAILED};
	const struct opt opts[] = {
	    {"event", 'e', OPT_TEXT, &event, 0, 0},
	    {"file", 0, OPT_TEXT, &file, 0, 0},
	    {"output", 0, OPT_TEXT, &output, 0, 0},
	    {"json", 0, OPT_FLAG, &run.json, 0, 0},
	};
	const struct meter_config prices = {.statefd = -1};
	struct err err = {0};
	int status;

	if (opts_parse(OPTS(opts), &argc, argv, 1, 1, "FILE") != 0)
		return CLI_USAGE;
	if (event != NULL &&
	    (read_event(&run, event) < 0 || check_event(&run, event) < 0))
		return CLI_FAILED;
	run.meter = meter_new(NULL, NULL, &prices, &err);
	if (run.meter == NULL) {
		(void)fprintf(stderr, "perilune: %s\n", err.msg);
		return CLI_FAILED;
	}
	status = check(argv[1], &run.solo, &run.version);
	if (status != CLI_OK)
		return status;
	if (event == NULL)
		default_event(&run);
	if (open_files(&run, file, output) == 0)
		run_once(&run);
	files_free(run.files);
	meter_free(run.meter);
	put_away(run.solo, run.version);
	buf_fini(&run.event);
	return run.status;
}
